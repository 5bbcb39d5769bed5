/** `deno task build-engine`: options, progress and the summary; the work is in `src/compile`. */
import { relative, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { BuildEvent } from "../compile/mod.ts";
import type { Model } from "../dsl/model.ts";
import { isRefusal, UnfoldError } from "../errors.ts";
import { PRECISIONS } from "../ir/dtype.ts";
import type { Report } from "../report/schema.ts";
import { oneOf, parseOptions } from "./options.ts";
import { EXIT, print, Progress, runCommand, styled, UsageError } from "./terminal.ts";

const HELP = `Fold a model's normalization into its linear layers and build TensorRT engines.

  deno task build-engine [MODEL.ts] [options]

MODEL.ts exports a model by default; without one, the shipped example examples/digits/digits.ts is built.

Examples
  deno task build-engine                                  the digits example: fp32, batch 8
  deno task build-engine my_model.ts --weights un.safetensors --precision fp16
  deno task build-engine my_model.ts --batch 1:8:64       one engine for batches of 1 to 64, tuned for 8
  deno task build-engine my_model.ts --batch 1,8,64       one engine with a profile for each size
  deno task build-engine --no-time --json > report.json   for scripts

Options
  --weights FILE        a safetensors file, a folder or a *.index.json, in place of the model's own
  --norm FAMILY         un, bn, ln, rms or none, in place of the model's own
  --precision TYPE      fp32 (default), fp16 or bf16
  --batch SIZES         8 (default), a list 1,8,64, or min:opt:max
  --out DIR             where the files go; build/NAME unless given
  --no-time             do not measure latency
  --json                the report as JSON on stdout, nothing else
  --tensorrt-lib PATH   the TensorRT library or its folder (also UNFOLD_TENSORRT_LIB)
  --allow-nonfinite     accept NaN and infinity in the weights
  --help                this text

Exits with 0, or 1 where something failed or the outputs do not agree with PyTorch's, 2 for a mistake in the command.

Files
  DIR/un.plan ln.plan   engines: the folded network, and the reference with Layer Normalization
  DIR/un.onnx ln.onnx   the same networks as ONNX
  DIR/report.json       everything below and more

No GPU is needed to build. The TensorRT library is downloaded once, about 146 MB, where none is installed.`;

const OPTIONS = {
  weights: { type: "string" },
  norm: { type: "string" },
  precision: { type: "string", default: "fp32" },
  batch: { type: "string" },
  out: { type: "string" },
  "no-time": { type: "boolean", default: false },
  json: { type: "boolean", default: false },
  "tensorrt-lib": { type: "string" },
  "allow-nonfinite": { type: "boolean", default: false },
  help: { type: "boolean", default: false, short: "h" },
  cwd: { type: "string" },
} as const;

const EXAMPLE = new URL("../../examples/digits/digits.ts", import.meta.url);

/** Runs the command; resolves to its exit code. */
export async function buildEngineCommand(args: readonly string[], signal: AbortSignal): Promise<number> {
  const { values, positionals } = parseOptions(args, {
    options: OPTIONS,
    positionals: [0, 1],
    command: "build-engine",
  });
  if (values.help) {
    await print(HELP);
    return EXIT.ok;
  }
  const { NORM_FAMILIES, NORMS } = await import("../norms/mod.ts");
  const { parseBatch } = await import("../compile/batch.ts");
  // A task runs in its deno.json's folder; paths are meant from where the user stands.
  if (values.cwd) Deno.chdir(values.cwd);
  if (values.out === "") throw new UsageError("--out: give a folder");
  const precision = oneOf("precision", values.precision, PRECISIONS);
  const family = values.norm === undefined ? undefined : oneOf("norm", values.norm, NORM_FAMILIES);
  const batch = asUsage(() => parseBatch(values.batch ?? "8"));

  const model = await importModel(positionals[0]);
  if (values.batch !== undefined && !model.openDims.includes("B")) {
    throw new UsageError(
      `--batch: ${model.name} has no open batch size; name it "B" in the shapes of its inputs`,
    );
  }
  const { buildModel } = await import("../compile/mod.ts");
  const out = values.out ?? `build/${model.name}`;
  using progress = new Progress();
  const report = await buildModel(model, {
    norm: [model.norm, model.reference].find((norm) => norm.family === (family ?? model.norm.family)) ??
      NORMS[family!](),
    precision,
    batch,
    out,
    time: !values["no-time"],
    checkpoint: values.weights,
    allowNonFinite: values["allow-nonfinite"],
    tensorrtLib: values["tensorrt-lib"],
    onEvent: (event) => show(progress, event),
    signal,
  });
  progress.clear();
  if (values.json) {
    await print(JSON.stringify(report, null, 2));
  } else {
    const { summarize } = await import("../report/summary.ts");
    await print(summarize(report, { out, style: styled }));
  }
  if (!disagrees(report)) return EXIT.ok;
  console.error(
    `${styled("error:", "red", Deno.stderr)} the outputs do not agree with PyTorch's: check that the ` +
      "description, the epsilon of the normalization and the weights are the trained model's",
  );
  return EXIT.failed;
}

/** A flag's value is refused as a mistake in the command line. */
function asUsage<Value>(read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    throw error instanceof UnfoldError ? new UsageError(error.message) : error;
  }
}

function show(progress: Progress, event: BuildEvent): void {
  if (event.kind === "step") progress.show(event.text);
  else if (event.total > 0) progress.show(event.text, event.done / event.total);
  else progress.show(event.text, null, `${event.done} steps`);
}

/** Whether PyTorch's outputs are known and not reproduced. */
function disagrees({ parity }: Report): boolean {
  return parity.agrees === false || parity.emitted?.agrees === false || parity.reference?.agrees === false ||
    (parity.agrees !== null && parity.problem !== null);
}

/** The model that a script exports; whatever goes wrong in it is told as the script's own words. */
async function importModel(path: string | undefined): Promise<Model> {
  const url = path === undefined ? EXAMPLE : pathToFileURL(resolve(path));
  const shown = path ?? relative(Deno.cwd(), fileURLToPath(EXAMPLE));
  try {
    const info = await Deno.stat(url);
    if (!info.isFile) {
      throw new UnfoldError(`${shown} is no file; give a script whose default export is a model`);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new UnfoldError(`there is no file ${shown}; give a script whose default export is a model`);
  }
  const { isModel } = await import("../compile/networks.ts");
  let module: { default?: unknown };
  try {
    module = await import(url.href);
  } catch (error) {
    if (isRefusal(error)) throw new UnfoldError(`${shown}: ${error.message}`);
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    throw new UnfoldError(`${shown} cannot be loaded: ${text}${placeIn(error, url)}`);
  }
  if (!isModel(module.default)) {
    throw new UnfoldError(
      `${shown} does not export a model by default: end it with \`export default model({ ... })\``,
    );
  }
  return module.default;
}

/** " (line 12)" of the script, where the error's trace passes through it. */
function placeIn(error: unknown, url: URL): string {
  const stack = error instanceof Error ? error.stack ?? "" : "";
  const place = stack.split("\n").find((line) => line.includes(url.href));
  const line = place === undefined ? undefined : /:(\d+):\d+\)?$/.exec(place.trim())?.[1];
  return line === undefined ? "" : ` (line ${line})`;
}

if (import.meta.main) await runCommand(buildEngineCommand);
