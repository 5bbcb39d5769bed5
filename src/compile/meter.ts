/**
 * Time and memory of a build, phase by phase. Memory is the whole process's, the library's and the garbage
 * collector's share included: the system's own high-water mark where a phase raised it, which misses nothing,
 * else the largest of what was sampled while JavaScript had its turn.
 */
import process from "node:process";
import type { PhaseName, PhaseReport } from "../report/phases.ts";
import type { NormFamily } from "../norms/families.ts";

const SAMPLE_MS = 50;

/** Begins with no phase; disposing it stops the sampling. */
export class Meter implements Disposable {
  readonly #done: PhaseReport[] = [];
  readonly #timer: ReturnType<typeof setInterval>;
  #current: { phase: PhaseName; network: NormFamily | null; started: number; mark: number } | null = null;
  #largest = 0;

  constructor() {
    this.#timer = setInterval(() => this.#sample(), SAMPLE_MS);
    this.#timer.unref();
  }

  /** Ends the phase before, if any. */
  begin(phase: PhaseName, network: NormFamily | null = null): void {
    this.#end();
    this.#largest = 0;
    this.#sample();
    this.#current = { phase, network, started: performance.now(), mark: highWaterBytes() };
  }

  /** What each phase took, the last one ended. */
  phases(): readonly PhaseReport[] {
    this.#end();
    return [...this.#done];
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #end(): void {
    if (this.#current === null) return;
    const { phase, network, started, mark } = this.#current;
    this.#current = null;
    this.#sample();
    const highest = highWaterBytes();
    const peakBytes = highest > mark ? highest : this.#largest;
    this.#done.push({ phase, network, ms: performance.now() - started, peakBytes });
  }

  #sample(): void {
    this.#largest = Math.max(this.#largest, Deno.memoryUsage().rss);
  }
}

/** The most memory that the process ever had at a time. */
function highWaterBytes(): number {
  return process.resourceUsage().maxRSS * 1024;
}
