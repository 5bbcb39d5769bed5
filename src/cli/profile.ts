/** `deno task profile`: options and printing; the measuring is `src/run/tensorrt/profile.ts`. */
import type { ProfileOptions } from "../run/tensorrt/profile.ts";
import { withoutHome } from "../report/home.ts";
import { libraryOfDevice } from "./device_library.ts";
import { parseOptions, type ValuesOf } from "./options.ts";
import { EXIT, note, print, Progress, runCommand, UsageError } from "./terminal.ts";

const HELP = `Run a TensorRT engine on this machine's GPU and time it, as trtexec does.

  deno task profile PLAN [options]

Examples
  deno task profile build/digits/un.plan                     latency, its parts and throughput
  deno task profile un.plan --layers                         and how long each layer takes
  deno task profile un.plan --shapes tokens:8x128x64         sizes of an engine with open sizes
  deno task profile un.plan --cuda-graph --no-transfers      the kernels alone, enqueued as one
  deno task profile un.plan --inf-streams 4                  throughput with four inferences at a time
  deno task profile un.plan --samples un.json --json > profile.json

Options
  --shapes SPEC             NAME:2x3,...; default: what the optimization profile is tuned for
  --profile N               the optimization profile; default: the one tuned nearest to --shapes
  --warm-up MS              inferences that do not count; 200
  --duration SECONDS        how long is measured, at least; 3
  --iterations N            how many inferences per stream, at least; 10
  --inf-streams N           contexts and CUDA streams at work at a time; 1
  --cuda-graph              enqueue each inference as one CUDA graph
  --no-transfers            copy inputs once and outputs never
  --percentile LIST         90,95,99
  --layers                  the time of each layer, from runs of their own
  --samples FILE            the times of every inference, as JSON in trtexec's form
  --weight-streaming-budget SIZE   GPU memory for streamed weights: 512M, 2G, 50% or auto
  --runtime-cache-file FILE        where TensorRT for RTX keeps the kernels it compiles
  --json                    everything but the samples as JSON on stdout, nothing else
  --tensorrt-lib PATH       the TensorRT library or its folder (also UNFOLD_TENSORRT_LIB)
  --help                    this text

trtexec's own spelling of an option works, too: --loadEngine, --warmUp, --useCudaGraph, --dumpProfile, ... Those that change
nothing here (--useSpinWait, --separateProfileRun, --avgRuns, --verbose, ...) are taken with a note.
Latency = H2D + GPU compute + D2H, on the GPU's clock; enqueue time is the processor's. On one stream they run one after
another (trtexec's --exposeDMA). Inputs are random. Exits with 1 where no GPU runs the engine, 2 for a mistake in the
command, 130 after Ctrl-C.`;

const OPTIONS = {
  shapes: { type: "string" },
  profile: { type: "string" },
  "warm-up": { type: "string" },
  duration: { type: "string" },
  iterations: { type: "string" },
  "inf-streams": { type: "string" },
  "cuda-graph": { type: "boolean", default: false },
  "no-transfers": { type: "boolean", default: false },
  percentile: { type: "string", default: "90,95,99" },
  layers: { type: "boolean", default: false },
  samples: { type: "string", file: "written" },
  "weight-streaming-budget": { type: "string" },
  "runtime-cache-file": { type: "string", file: "written" },
  json: { type: "boolean", default: false },
  "tensorrt-lib": { type: "string" },
} as const;

/** trtexec's names of the same options. */
const TRTEXEC: Readonly<Record<string, keyof typeof OPTIONS>> = {
  useProfile: "profile",
  warmUp: "warm-up",
  infStreams: "inf-streams",
  streams: "inf-streams",
  useCudaGraph: "cuda-graph",
  noDataTransfers: "no-transfers",
  dumpProfile: "layers",
  exportTimes: "samples",
  weightStreamingBudget: "weight-streaming-budget",
  runtimeCacheFile: "runtime-cache-file",
};

const BUILT = "the plan is what it was built";

/** Options of trtexec's that change nothing here, and why. */
const NOTHING: Readonly<Record<string, string>> = {
  useSpinWait: "latency is on the GPU's clock, however the processor waits",
  noCudaGraph: "that is the default",
  threads: "every stream is fed as fast as it takes work",
  separateProfileRun: "layers are always timed in runs of their own",
  avgRuns: "every inference counts for itself",
  verbose: "whatever TensorRT complains of is always shown",
  profilingVerbosity: "the plan was built with one",
  allowWeightStreaming: "the plan was built with it or without",
  noBuilderCache: "nothing is built",
  ...Object.fromEntries(
    ["fp16", "bf16", "int8", "fp8", "best", "noTF32", "stronglyTyped", "minShapes", "optShapes", "maxShapes"]
      .map((option) => [option, BUILT]),
  ),
};

/** Options of trtexec's for what is had in another way here. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  loadEngine: "trtexec's form is --loadEngine=PLAN; PLAN alone will do",
  exportProfile: "--layers --json has the time of each layer",
  dumpLayerInfo: "`deno task inspect PLAN --kernels` lists them",
  exportLayerInfo: "`deno task inspect PLAN --json` has them",
  exposeDMA: "leave it out: on one stream copies and kernels run one after another",
  loadInputs: "inputs are random here",
  dumpOutput: "outputs are not kept here",
  exportOutput: "outputs are not kept here",
};

/** As often as trtexec's tables of layers are steady. */
const LAYER_RUNS = 50;

/** Runs the command; resolves to its exit code. */
export async function profileCommand(args: readonly string[], signal: AbortSignal): Promise<number> {
  const ours = args.filter((argument) => !changesNothing(argument)).map(inOurWords);
  for (const argument of ours) {
    const name = nameOf(argument);
    if (Object.hasOwn(ELSEWHERE, name)) throw new UsageError(`--${name} is not read: ${ELSEWHERE[name]}`);
  }
  const parsed = await parseOptions(ours, {
    command: "profile",
    options: OPTIONS,
    most: 1,
    files: true,
    help: HELP,
  });
  if (parsed === null) return EXIT.ok;
  const { values, positionals } = parsed;
  const [plan] = positionals;
  if (plan === undefined) throw new UsageError("give an engine, as in `deno task profile un.plan`");
  const options = optionsOf(values);
  for (const argument of args.filter(changesNothing)) {
    const name = nameOf(argument);
    note(`--${name} changes nothing here: ${NOTHING[name] ?? "it is the only one that is used"}`);
  }
  await parsed.checkFiles();
  const [{ profilePlan }, { describeProfile, profileJson, samplesJson }] = await Promise.all([
    import("../run/tensorrt/profile.ts"),
    import("../report/profile.ts"),
  ]);
  const { readKeptFile, replaceFile } = await import("../emit/kept_file.ts");
  const { path: library } = await libraryOfDevice(values["tensorrt-lib"]);
  const cacheFile = values["runtime-cache-file"];
  using progress = new Progress();
  const profile = await profilePlan(plan, {
    ...options,
    library,
    ...(cacheFile !== undefined && { runtimeCache: await readKeptFile(cacheFile) }),
    onProgress: ({ text, fraction }) => progress.show(text, fraction),
    signal,
  });
  progress.clear();
  if (cacheFile !== undefined && profile.runtimeCache) await replaceFile(cacheFile, profile.runtimeCache);
  if (values.samples !== undefined) {
    await replaceFile(values.samples, samplesJson(profile.traces));
  }
  if (values.json) {
    await print(JSON.stringify(withoutHome(profileJson(profile, plan)), null, 2));
    return EXIT.ok;
  }
  await print(describeProfile(profile, plan));
  if (values.samples !== undefined) note(`${profile.traces.length} inferences in ${values.samples}`);
  return EXIT.ok;
}

/** "avgRuns" of "--avgRuns=10". */
const nameOf = (argument: string) => /^--(\w+)/.exec(argument)?.[1] ?? "";

/** The first GPU is the one that is used, so that asking for it is no more than saying so. */
const changesNothing = (argument: string) =>
  argument === "--device=0" || (/^--\w+(=.*)?$/s.test(argument) && Object.hasOwn(NOTHING, nameOf(argument)));

/** One argument, an option of trtexec's as ours. */
function inOurWords(argument: string): string {
  const [, name = "", value = ""] = /^--(\w+)(=.*)?$/s.exec(argument) ?? [];
  if (name === "loadEngine" && value.length > 1) return value.slice(1);
  return Object.hasOwn(TRTEXEC, name) ? `--${TRTEXEC[name]}${value}` : argument;
}

type Values = ValuesOf<typeof OPTIONS>;

function optionsOf(values: Values): Omit<ProfileOptions, "library"> {
  const number = (flag: keyof Values & string, { least = 0, whole = false } = {}) => {
    const text = values[flag];
    if (typeof text !== "string") return undefined;
    const value = text.trim() === "" ? NaN : Number(text);
    if (Number.isFinite(value) && value >= least && (!whole || Number.isInteger(value))) return value;
    throw new UsageError(`--${flag} ${text}: give a ${whole ? "whole " : ""}number from ${least} on`);
  };
  const profile = number("profile", { whole: true });
  const warmUpMs = number("warm-up");
  const seconds = number("duration");
  const iterations = number("iterations", { least: 1, whole: true });
  const infStreams = number("inf-streams", { least: 1, whole: true });
  const budget = values["weight-streaming-budget"];
  const { shapes } = values;
  return {
    ...(shapes !== undefined && { shapes: parseShapes(shapes) }),
    ...(profile !== undefined && { profile }),
    ...(warmUpMs !== undefined && { warmUpMs }),
    ...(seconds !== undefined && { durationMs: seconds * 1000 }),
    ...(iterations !== undefined && { iterations }),
    ...(infStreams !== undefined && { infStreams }),
    ...(budget !== undefined && { weightStreamingBudget: parseBudget(budget) }),
    percentiles: parsePercentiles(values.percentile),
    cudaGraph: values["cuda-graph"],
    transfers: !values["no-transfers"],
    layerRuns: values.layers ? LAYER_RUNS : 0,
  };
}

/** "x:8x128,mask:8x1", as trtexec has it. */
export function parseShapes(text: string): Record<string, number[]> {
  return Object.fromEntries(
    text.split(",").map((entry) => {
      const [, name, sizes] = /^(.+):(\d+(?:x\d+)*)$/.exec(entry.trim()) ?? [];
      if (name === undefined) {
        throw new UsageError(`--shapes ${text}: "${entry}" is no NAME:SIZExSIZE, as tokens:8x128x64 is`);
      }
      return [name, sizes!.split("x").map(Number)];
    }),
  );
}

/** Bytes with a unit, a percentage of the weights, or "automatic". */
export function parseBudget(text: string): NonNullable<ProfileOptions["weightStreamingBudget"]> {
  // -1 is trtexec's word for it.
  if (text === "auto" || text === "-1") return "automatic";
  const [, digits = "", unit = ""] = /^(\d+(?:\.\d+)?)([BKMG%]?)$/i.exec(text) ?? [];
  if (digits === "") throw new UsageError(`--weight-streaming-budget ${text}: give 512M, 2G, 50% or auto`);
  if (unit !== "%") return Math.floor(Number(digits) * 1024 ** "BKMG".indexOf(unit.toUpperCase() || "B"));
  const percent = Number(digits);
  if (percent > 100) throw new UsageError(`--weight-streaming-budget ${text}: more than all of the weights`);
  return { percent };
}

function parsePercentiles(text: string): number[] {
  const percents = text.split(",").map((entry) => entry.trim() === "" ? NaN : Number(entry));
  if (percents.every((percent) => percent >= 0 && percent <= 100)) return percents;
  throw new UsageError(`--percentile ${text}: give numbers from 0 to 100, as 90,95,99`);
}

if (import.meta.main) await runCommand(profileCommand);
