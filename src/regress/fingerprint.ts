/** Where figures come from: the machine and the software. What may not be asked is left open. */
import type { Fingerprint } from "../report/run_report.ts";
import { environment } from "../run/environment.ts";
import { THIS_MACHINE } from "../run/machine.ts";

/** What of a fingerprint the timing knows. */
export interface Backend {
  readonly backend: string | null;
  readonly threads: number | null;
  readonly onGpu: boolean;
}

export const NOTHING_TIMED: Backend = { backend: null, threads: null, onGpu: false };

export function fingerprint({ backend, threads, onGpu }: Backend, tensorrt: string | null): Fingerprint {
  return {
    ...environment(),
    clockMHz: THIS_MACHINE.state().clockMHz ?? null,
    backend,
    threads,
    onGpu,
    tensorrt,
  };
}

/** How two machines differ, as phrases: "the processor (A, not B)"; empty where times are comparable. */
export function machineDifferences(current: Fingerprint, stored: Fingerprint): string[] {
  const differences: string[] = [];
  const compare = (what: string, key: "os" | "cpu" | "cores" | "backend" | "threads") => {
    if (current[key] !== stored[key]) {
      differences.push(`${what} (here ${current[key]}, there ${stored[key]})`);
    }
  };
  compare("the system", "os");
  compare("the processor", "cpu");
  compare("the number of cores", "cores");
  compare("what runs the network", "backend");
  compare("the number of threads", "threads");
  return differences;
}
