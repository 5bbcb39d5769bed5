/** `deno task refit`: options and printing; the work is in `src/run/tensorrt/refit.ts`. */
import { ENGINE_PRECISIONS, networkPrecision } from "../ir/dtype.ts";
import { libraryOfDevice } from "./device_library.ts";
import { SUBJECT_HELP, SUBJECT_OPTIONS, subjectOf } from "./model_argument.ts";
import { oneOf, parseOptions, requireThere, requireWritable } from "./options.ts";
import { EXIT, print, Progress, runCommand, UsageError } from "./terminal.ts";

const HELP = `Fold new weights into an engine that is already built, without building it again.

  deno task refit PLAN [MODEL] --out FILE [options]

PLAN is an engine of build-engine --refit. MODEL and the options that describe the network are those it was built with;
without MODEL, the shipped example. A GPU that runs the engine is needed.

Examples
  deno task build-engine my_model.ts --weights epoch1.safetensors --refit --out build/mine
  deno task refit build/mine/un.plan my_model.ts --weights epoch2.safetensors --out build/mine/un2.plan

Options
${SUBJECT_HELP}
  --precision TYPE      fp32 (default), tf32, fp16 or bf16
  --batch SIZES         as for build-engine; 8
  --out FILE            the new engine; PLAN itself is replaced only where FILE says so
  --tensorrt-lib PATH   the TensorRT library or its folder (also UNFOLD_TENSORRT_LIB)
  --help                this text

Exits with 0, or 1 where the weights cannot be replaced, 2 for a mistake in the command, 130 after Ctrl-C.`;

const OPTIONS = {
  ...SUBJECT_OPTIONS,
  precision: { type: "string", default: "fp32" },
  batch: { type: "string", default: "8" },
  out: { type: "string" },
  "tensorrt-lib": { type: "string" },
} as const;

/** Runs the command; resolves to its exit code. */
export async function refitCommand(
  args: readonly string[],
  _signal?: AbortSignal,
  cleanUpFromNow?: () => void,
): Promise<number> {
  const parsed = await parseOptions(args, { command: "refit", options: OPTIONS, most: 2, help: HELP });
  if (parsed === null) return EXIT.ok;
  const { values, positionals } = parsed;
  const [plan, argument] = positionals;
  if (plan === undefined) throw new UsageError("give an engine, as in `deno task refit un.plan my_model.ts`");
  if (!values.out) throw new UsageError("--out: give a file for the new engine");
  const precision = networkPrecision(oneOf("precision", values.precision, ENGINE_PRECISIONS));
  const [{ parseBatch }, { chooseWeights, compile }, { layerWeights, refitPlan }] = await Promise.all([
    import("../compile/batch.ts"),
    import("../compile/networks.ts"),
    import("../run/tensorrt/refit.ts"),
  ]);
  const { replaceFile } = await import("../emit/kept_file.ts");
  const { fixed } = parseBatch(values.batch);
  await parsed.checkFiles();
  const { model, norm, weights } = await subjectOf(argument, values);
  await requireThere(plan);
  await requireWritable("out", values.out, [values.weights, values.checkpoint]);
  const { path: library } = await libraryOfDevice(values["tensorrt-lib"]);
  const choice = chooseWeights(model, norm, { ...weights, isReference: false });
  const { graph } = compile(model, {
    weights: choice.open(),
    precision,
    norm,
    dims: fixed === null ? {} : { B: fixed },
  });
  using progress = new Progress();
  const refitted = await refitPlan(plan, await layerWeights(graph, library), {
    library,
    onProgress: ({ text, fraction }) => progress.show(text, fraction),
  });
  progress.clear();
  cleanUpFromNow?.();
  await replaceFile(values.out, refitted.plan);
  await print(`${values.out}: ${refitted.replaced} weights of ${plan} replaced by those of ${choice.origin}`);
  return EXIT.ok;
}

if (import.meta.main) await runCommand(refitCommand, { cleansUp: false });
