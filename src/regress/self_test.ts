/**
 * What verdicts are worth on this machine: runs of a network against itself, of which at most one in twenty
 * may be called worse, and the same network with a slowdown and with one more node planted in it, which must
 * be.
 */
import { parseBatch } from "../compile/batch.ts";
import type { Subject } from "../compile/order.ts";
import { block, float, linear, model, norm } from "../dsl/mod.ts";
import type { Model } from "../dsl/model.ts";
import { unifiedNorm } from "../norms/families.ts";
import type { Metric } from "../report/metrics.ts";
import { isWorse, type MetricReport } from "../report/run_report.ts";
import { Scratch } from "../leavings.ts";
import { regress } from "./regress.ts";
import { saveBaseline } from "./save.ts";

/** One run of the self-test. */
export interface SelfTestRun {
  /** What was changed: nothing, a layer, a node. */
  readonly planted: "nothing" | "10 % more work" | "one more node";
  readonly latency: MetricReport;
  readonly nodes: MetricReport;
  /** How long building and timing took. */
  readonly durationMs: number;
}

export interface SelfTest {
  readonly runs: readonly SelfTestRun[];
  /** Runs against itself that were called worse. */
  readonly falseAlarms: number;
  /** Runs against itself of which nothing could be told. */
  readonly undecided: number;
  readonly foundSlowdown: boolean;
  readonly foundNode: boolean;
  readonly passed: boolean;
}

export interface SelfTestOptions {
  /** Runs against itself; default 20. */
  readonly runs?: number;
  /** Time of each of them, at most; default 6000. */
  readonly runMs?: number;
  /** Time that finding the slowdown may take; default 120 000. */
  readonly slowdownMs?: number;
  /** Default `processor`: verdicts are tested, and wall time on a busy machine takes minutes to judge. */
  readonly clock?: "wall" | "processor" | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onRun?: (run: SelfTestRun) => void;
}

const ONLY: readonly Metric[] = ["latency p50", "nodes"];
const DEPTH = 10;

/** Saves a small network in a store of its own and runs against it. */
export async function selfTest(options: SelfTestOptions = {}): Promise<SelfTest> {
  const { runs = 20, runMs = 6000, slowdownMs = 120_000, clock = "processor", signal, onRun } = options;
  await using scratch = await Scratch.open("self-test");
  // One thread: two would wait for each other wherever another program takes a core.
  const common = { store: scratch.path("store"), name: "self-test", plans: false, threads: 1, signal };
  await saveBaseline({ ...common, subjects: [subjectOf(network(DEPTH))], rebuilds: 1, sampleMs: 100 });
  const against = async (planted: SelfTestRun["planted"], subject: Subject, maxTimeMs: number) => {
    const started = performance.now();
    const { models } = await regress({
      ...common,
      subjects: [subject],
      rebuilds: 3,
      maxTimeMs,
      minTimeMs: Math.min(1000, maxTimeMs),
      only: ONLY,
      clock,
      record: false,
    });
    const [latency, nodes] = ONLY.map((name) => models[0]!.metrics.find(({ metric }) => metric === name)!);
    const run: SelfTestRun = {
      planted,
      latency: latency!,
      nodes: nodes!,
      durationMs: performance.now() - started,
    };
    onRun?.(run);
    return run;
  };
  const same: SelfTestRun[] = [];
  for (let i = 0; i < runs; i++) same.push(await against("nothing", subjectOf(network(DEPTH)), runMs));
  const slow = await against("10 % more work", subjectOf(network(DEPTH + 1)), slowdownMs);
  const node = await against("one more node", subjectOf(network(DEPTH, { extraNode: true })), runMs);
  const falseAlarms = same.filter(({ latency, nodes }) => isWorse(latency) || isWorse(nodes)).length;
  const foundSlowdown = slow.latency.verdict === "slower";
  const foundNode = node.nodes.verdict === "worse" && !isWorse(node.latency);
  return {
    runs: [...same, slow, node],
    falseAlarms,
    undecided: same.filter(({ latency }) => latency.verdict === "cannot tell").length,
    foundSlowdown,
    foundNode,
    passed: falseAlarms * 20 <= runs && foundSlowdown && foundNode,
  };
}

/** Blocks of equal work, so that one more than ten is 10 % more. */
function network(depth: number, { extraNode = false } = {}): Model {
  return model({
    name: "self-test",
    inputs: { tokens: float(["B", 16, 64]) },
    norm: unifiedNorm(),
    forward({ tokens }, p) {
      let x = tokens;
      for (let i = 0; i < depth; i++) x = block(x, p.at("blocks", i), { heads: 4, mlp: { hidden: 256 } });
      const logits = linear(norm(x, p.at("norm")).mean({ axes: [1] }), p.at("head"), { outputs: 10 });
      return extraNode ? logits.relu() : logits;
    },
  });
}

function subjectOf(model: Model): Subject {
  return {
    model,
    norm: model.norm,
    precision: "fp32",
    layerNorm: "layer",
    batch: parseBatch("4"),
    weights: {},
  };
}
