/**
 * The state of the machine that a measurement runs on (its clock, its load, its processor's speed), and the
 * warnings that follow from it. No permission is asked for: what is not granted is not known. GPUs are left
 * out; their sessions have their own warnings.
 */
import os from "node:os";
import process from "node:process";

/** What a measurement asks of the machine it runs on; a test gives its own. */
export interface Machine {
  /** Milliseconds from any origin, never going back. */
  now(): number;
  /** The same for how long phases last, where `now` does not count waiting; default: `now`. */
  elapsed?(): number;
  state(): MachineState;
}

/** What is not known, or not permitted to be known, is absent. */
export interface MachineState {
  readonly cores: number;
  /** Of the last minute: the number of threads that ran or wanted to. */
  readonly loadAverage?: number;
  /** Since some origin: all processors' time, what of it was busy, and what of that this process took. */
  readonly processorMs?: { readonly all: number; readonly busy: number; readonly process: number };
  /** Of the fastest core. */
  readonly clockMHz?: number;
}

/** Why figures between two states are less trustworthy, as sentences; `threads` are the measured work's. */
export function machineWarnings(
  before: MachineState,
  after: MachineState,
  { threads }: { readonly threads?: number | undefined },
): string[] {
  const { cores } = before;
  const warnings: string[] = [];
  if (threads !== undefined && threads > cores) warnings.push(`${threads} threads share ${cores} cores`);
  const shareOfOthers = othersShare(before.processorMs, after.processorMs);
  if (shareOfOthers > USUAL_SHARE) {
    warnings.push(
      `other programs had ${(100 * shareOfOthers).toFixed(0)} % of the processors' time meanwhile`,
    );
  }
  const [from, to] = [before.clockMHz, after.clockMHz];
  if (from !== undefined && to !== undefined && Math.abs(to / from - 1) > 0.05) {
    warnings.push(`the processor's clock went from ${from.toFixed(0)} to ${to.toFixed(0)} MHz`);
  }
  return warnings;
}

/** What a quiet machine's own upkeep takes; more is worth a warning. */
const USUAL_SHARE = 0.05;

/** The share of the processors' time that others had; 0 where it is not known. */
function othersShare(before: MachineState["processorMs"], after: MachineState["processorMs"]): number {
  if (before === undefined || after === undefined || !(after.all > before.all)) return 0;
  return (after.busy - before.busy - (after.process - before.process)) / (after.all - before.all);
}

/** The machine this program runs on. */
export const THIS_MACHINE: Machine = {
  now: () => performance.now(),
  state: () => {
    const cores = navigator.hardwareConcurrency;
    const loadAverage = granted({ name: "sys", kind: "loadavg" }) ? Deno.loadavg()[0] : undefined;
    const clockMHz = granted({ name: "read", path: CPUS }) ? fastestMHz(cores) : undefined;
    const processorMs = granted({ name: "sys", kind: "cpus" }) ? processorTimes() : undefined;
    return {
      cores,
      ...(processorMs !== undefined && { processorMs }),
      ...(loadAverage !== undefined && { loadAverage }),
      ...(clockMHz !== undefined && { clockMHz }),
    };
  },
};

/**
 * Measures by the processor time of the whole process: what a call computes, without the time that other
 * programs had the processor meanwhile. For work on the CPU; waiting, and what threads win by working at
 * once, does not show in it.
 */
export const PROCESSOR_TIME: Machine = {
  now: () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  },
  elapsed: () => performance.now(),
  state: THIS_MACHINE.state,
};

function processorTimes(): NonNullable<MachineState["processorMs"]> {
  let [all, idle] = [0, 0];
  for (const { times } of os.cpus()) {
    for (const ms of Object.values(times)) all += ms;
    idle += times.idle;
  }
  const { user, system } = process.cpuUsage();
  return { all, busy: all - idle, process: (user + system) / 1000 };
}

const CPUS = "/sys/devices/system/cpu";

/** Asked first, since using what is not granted would stop a measurement for a prompt. */
function granted(permission: Deno.PermissionDescriptor): boolean {
  return Deno.permissions.querySync(permission).state === "granted";
}

/** Linux says it in kHz, where the kernel (not a hypervisor) governs the clock. */
function fastestMHz(cores: number): number | undefined {
  const clocks: number[] = [];
  for (let cpu = 0; cpu < cores; cpu++) {
    try {
      clocks.push(Number(Deno.readTextFileSync(`${CPUS}/cpu${cpu}/cpufreq/scaling_cur_freq`)) / 1000);
    } catch {
      return undefined;
    }
  }
  return Math.max(...clocks);
}
