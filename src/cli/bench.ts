/** `deno task bench`: networks with and without their normalization on every engine, timed in turns. */
import type { BenchOptions } from "../bench/options.ts";
import {
  BENCH_PRECISIONS,
  type BenchReport,
  ENGINES,
  PLAN_PRECISIONS,
  type PlanPrecision,
  VARIANTS,
} from "../bench/schema.ts";
import { ENGINE_QUANTIZATIONS } from "../ir/dtype.ts";
import { withoutHome } from "../report/home.ts";
import { SUBJECT_HELP, SUBJECT_OPTIONS, subjectOf } from "./model_argument.ts";
import { asUsage, oneOf, parseOptions, typedCommand, type ValuesOf, wholeNumber } from "./options.ts";
import { int8ForOf, QUANTIZE_HELP, QUANTIZE_OPTIONS, quantizeOf, targetsOf } from "./precision.ts";
import { isOnnxFile } from "./subject/imported.ts";
import { complain, EXIT, print, Progress, runCommand, UsageError } from "./terminal.ts";

const HELP =
  `Time networks on this machine's CPU: the folded one, Layer Normalization, no normalization, and their peers.

  deno task bench [MODEL] [options]

MODEL is a script that exports a model by default (my_model.ts), an ONNX file that an exporter wrote (exported.onnx), or
a network of the papers by name. Without one and without --checkpoint, built-in networks are measured: see --models.

Examples
  deno task bench                                        encoder, vit, swin and gpt2, batch 1
  deno task bench --models vit --batch 1,8 --rounds 30   one network, two batches
  deno task bench un.onnx --reference ln.onnx            two networks that an exporter wrote, folded and as they are
  deno task bench my_model.ts --weights un.safetensors   a network of your own, with its weights
  deno task bench --python .venv/bin/python              PyTorch and its exported networks beside UNfold's
  deno task bench --plans --engines none                 kernels of TensorRT's plans only; needs no GPU
  deno task bench un.onnx --plans --engines none --python .venv/bin/python
                                                         and what NVIDIA's parser makes of the same file
  deno task bench --models vit --plans --engines none --precision fp16,fp8 --target 8.9 --quantize all
                                                         what quantizing costs and saves
  deno task bench --out build/bench                      tables, a page with plots, and every sample

Options
  --models LIST         of encoder, vit, swin, gpt2 (all of these by default) or any network of deno task models
  --batch LIST          1 (default), or 1,8
  --variants LIST       of un (the network's own normalization, folded), lnBest, lnExported, none; all by default. One that
                        a MODEL does not have is left out, with the reason; --keep is not for lnExported
  --reference FILE      of a MODEL.onnx: the same network with Layer Normalization, as another ONNX file
  --precision LIST      fp32 (default), fp16, bf16, int8; what an engine cannot run is left out, with its reason. Of
                        plans also fp8, int4w, nvfp4; fp16 unless given
  --int8-for WHAT       any (default) or vnni, as build-engine's
  --engines LIST        onnxruntime and, where its library is found, openvino; none times nothing
  --python PATH         a Python with PyTorch: its networks take turns too (safetensors; timm for vit and swin,
                        transformers for gpt2, onnxscript for its export). Of a MODEL.onnx: one with NVIDIA's parser
  --no-compile          leave out torch.compile, which takes a minute for each network
  --threads N           of every contender; default: the cores there are
  --rounds N            rounds of each network and batch, at least 20, in tens; default 20
  --max-time SECONDS    fewer rounds where they would take longer; default 60 for each network and batch
  --plans               build TensorRT's plans and count their kernels; with --python also what NVIDIA's ONNX parser
                        makes of PyTorch's exports (tensorrt-rtx, onnxscript), or of MODEL.onnx (tensorrt-rtx, onnx)
  --target LIST         the GPUs that plans are for, as for build-engine
${QUANTIZE_HELP}
                        Without --calibrate, ranges are of the model's examples, else of invented inputs
  --out DIR             write bench.md, bench.json and bench.html there
  --json                the report as JSON on stdout, in place of Markdown
  --openvino-lib PATH   OpenVINO's library or its folder (also UNFOLD_OPENVINO_LIB)
  --tensorrt-lib PATH   the TensorRT library or its folder (also UNFOLD_TENSORRT_LIB)
  --help                this text

Of MODEL
${SUBJECT_HELP}

Every contender of a network is held in memory at once, its weights about twice: gpt2 on all engines takes 12 GB.

Exits with 0, or 1 where something failed or an output does not agree with its network's meaning, 2 for a mistake in the
command, 130 after Ctrl-C. What a CPU shows of a fold is little, and says little of a GPU: docs/where_the_gain_is.md.`;

const OPTIONS = {
  models: { type: "string" },
  ...SUBJECT_OPTIONS,
  ...QUANTIZE_OPTIONS,
  batch: { type: "string" },
  variants: { type: "string", default: VARIANTS.join(",") },
  reference: { type: "string", file: "read" },
  precision: { type: "string" },
  "int8-for": { type: "string" },
  engines: { type: "string", default: ENGINES.join(",") },
  python: { type: "string" },
  "no-compile": { type: "boolean", default: false },
  threads: { type: "string" },
  rounds: { type: "string", default: "20" },
  "max-time": { type: "string", default: "60" },
  plans: { type: "boolean", default: false },
  target: { type: "string" },
  out: { type: "string" },
  json: { type: "boolean", default: false },
  "openvino-lib": { type: "string" },
  "tensorrt-lib": { type: "string" },
} as const;

/** Runs the command; resolves to its exit code. */
export async function benchCommand(args: readonly string[], signal: AbortSignal): Promise<number> {
  const parsed = await parseOptions(args, { command: "bench", options: OPTIONS, most: 1, help: HELP });
  if (parsed === null) return EXIT.ok;
  const { values, positionals: [argument] } = parsed;
  const asked = askedOf(values);
  await parsed.checkFiles();
  const measured = await measuredOf(argument, values, asked);
  const info = values.out === undefined ? null : await Deno.stat(values.out).catch(() => null);
  if (info?.isDirectory === false) throw new UsageError(`--out ${values.out}: this is a file; give a folder`);
  const { runBench } = await import("../bench/bench.ts");
  const { markdownOf } = await import("../bench/markdown.ts");
  using progress = new Progress();
  const report = withoutHome(
    await runBench({
      ...asked,
      ...measured,
      command: typedCommand("bench", args),
      onProgress: (text, fraction) => progress.show(text, fraction),
      signal,
    }),
  );
  progress.clear();
  const markdown = markdownOf(report);
  if (values.out !== undefined) {
    const { replaceFile } = await import("../emit/kept_file.ts");
    const { benchPage } = await import("../bench/page.ts");
    await replaceFile(`${values.out}/bench.md`, markdown);
    await replaceFile(`${values.out}/bench.html`, benchPage(report));
    await replaceFile(`${values.out}/bench.json`, JSON.stringify(report, null, 2) + "\n");
  }
  await print(values.json ? JSON.stringify(report, null, 2) : markdown.trimEnd());
  const wrong = disagreements(report);
  if (wrong.length === 0) return EXIT.ok;
  complain(
    `the outputs of ${wrong.join(", ")} do not agree with the network's meaning`,
  );
  return EXIT.failed;
}

type Values = ValuesOf<typeof OPTIONS>;

/** What is asked for, but of which networks and at which batch sizes. */
function askedOf(values: Values): Omit<BenchOptions, "command" | "networks" | "batches"> {
  const engines = values.engines === "none" ? [] : each("engines", values.engines, ENGINES);
  if (engines.length === 0 && !values.plans) {
    throw new UsageError("--engines none leaves nothing to do without --plans");
  }
  const { timed, plans } = precisionsOf(values, { isTimed: engines.length > 0 });
  return {
    variants: each("variants", values.variants, VARIANTS),
    precisions: timed,
    int8For: int8ForOf(timed, values),
    engines,
    python: values.python,
    torchCompile: !values["no-compile"],
    threads: wholeNumber("threads", values.threads) ?? navigator.hardwareConcurrency,
    rounds: wholeNumber("rounds", values.rounds),
    maxTimeMs: wholeNumber("max-time", values["max-time"]) * 1000,
    plans,
    ...quantizing([...timed, ...plans], values),
    openvinoLib: values["openvino-lib"],
    tensorrtLib: values["tensorrt-lib"],
  };
}

type Measured = Pick<BenchOptions, "networks" | "batches">;

async function measuredOf(
  argument: string | undefined,
  values: Values,
  { precisions, plans }: Pick<BenchOptions, "precisions" | "plans">,
): Promise<Measured> {
  const batches = values.batch === undefined
    ? undefined
    : listOf("batch", values.batch).map((text) => wholeNumber("batch", text));
  return argument === undefined && values.checkpoint === undefined
    ? { networks: await builtIn(values), batches: batches ?? [1] }
    : await givenOf(argument, values, { batches, precisions: [...precisions, ...plans] });
}

/** The networks of `--models`, which take no options of a MODEL. */
async function builtIn(values: Values): Promise<BenchOptions["networks"]> {
  const flags = [
    ...Object.keys(SUBJECT_OPTIONS),
    "reference",
  ] as (keyof typeof SUBJECT_OPTIONS | "reference")[];
  const unlessGiven = (flag: typeof flags[number]) =>
    "default" in OPTIONS[flag] ? OPTIONS[flag].default : undefined;
  const idle = flags.find((flag) => values[flag] !== unlessGiven(flag));
  if (idle !== undefined) {
    throw new UsageError(`--${idle}: this is for a MODEL; the networks of --models are measured as they are`);
  }
  const { benchNetwork } = await import("../bench/networks.ts");
  const names = listOf("models", values.models ?? "encoder,vit,swin,gpt2");
  return Object.fromEntries(names.map((name) => [name, asUsage(() => benchNetwork(name))]));
}

/** The network of MODEL or `--checkpoint`, and the batch sizes that it can have. */
async function givenOf(
  argument: string | undefined,
  values: Values,
  { batches, precisions }: { readonly batches: number[] | undefined; readonly precisions: readonly string[] },
): Promise<Measured> {
  const shown = argument ?? values.checkpoint!;
  if (values.models !== undefined) {
    throw new UsageError(`--models: these are built-in networks; leave it out, or ${shown}`);
  }
  // Something is kept of a precision that is narrow, if only one is.
  const precision = precisions.every((one) => one === "fp32") ? "fp32" : undefined;
  const subject = await subjectOf(argument, { ...values, precision });
  const { model } = subject;
  const fixed = !model.openDims.includes("B");
  if (fixed && batches !== undefined && batches.join() !== String(model.batch)) {
    throw new UsageError(
      `--batch: the batch size of ${shown} is fixed${
        model.batch === undefined ? "" : `, ${model.batch}`
      }; leave it out`,
    );
  }
  const open = model.openDims.find((name) => name !== "B" && model.dims?.[name] === undefined);
  if (open !== undefined) {
    throw new UsageError(
      `${shown} leaves ${open} open, and one size is measured: fix it, as in --dim ${open}=128`,
    );
  }
  const { givenNetwork } = await import("../bench/networks.ts");
  const isFile = argument !== undefined && isOnnxFile(argument);
  const network = givenNetwork(subject, isFile ? { own: argument, reference: values.reference } : {});
  return { networks: { [model.name]: network }, batches: fixed ? [model.batch ?? 1] : batches ?? [1] };
}

/** What is timed and what is counted in plans: of `--precision` what each has, else fp32 and fp16. */
function precisionsOf({ precision, plans: arePlanned }: Values, { isTimed }: { readonly isTimed: boolean }) {
  if (precision === undefined) {
    return { timed: ["fp32"] as const, plans: arePlanned ? ["fp16"] as const : [] };
  }
  const plans: PlanPrecision[] = each("precision", precision, PLAN_PRECISIONS);
  const timed = BENCH_PRECISIONS.filter((one) => plans.includes(one));
  const [onlyPlanned] = plans.filter((one) => !BENCH_PRECISIONS.some((known) => known === one));
  if (onlyPlanned !== undefined && !arePlanned) {
    throw new UsageError(
      `--precision ${onlyPlanned}: no engine of a CPU has it; count its kernels with --plans`,
    );
  }
  if (isTimed && timed.length === 0) {
    throw new UsageError(
      `--precision ${precision}: nothing of it can be timed on a CPU; add --engines none, or ${
        BENCH_PRECISIONS.join(", ")
      }`,
    );
  }
  return { timed, plans: arePlanned ? plans : [] };
}

/** How networks are quantized, and the GPUs that plans are for. */
function quantizing(
  precisions: readonly PlanPrecision[],
  values: Values,
): Pick<BenchOptions, "quantize" | "targets"> {
  const [idle] = (["target", "quantize"] as const).filter((flag) => values[flag] !== undefined);
  if (idle !== undefined && !values.plans) throw new UsageError(`--${idle}: this is for --plans`);
  const { "int8-for": _, ...rest } = values;
  const quantized = ENGINE_QUANTIZATIONS.filter((to) => precisions.includes(to));
  // Where none is quantized, what only such have a use for is refused.
  const orders = (quantized.length > 0 ? quantized : precisions).map((one) => quantizeOf(one, rest));
  const targets = precisions.map((precision) => targetsOf(values.target, { precision, engines: true }));
  return {
    quantize: Object.fromEntries(orders.flatMap((order) => order === undefined ? [] : [[order.to, order]])),
    targets: targets[0],
  };
}

function listOf(flag: string, text: string): string[] {
  const items = text.split(",").map((item) => item.trim());
  if (items.includes("")) throw new UsageError(`--${flag} ${JSON.stringify(text)}: give a list, as a,b`);
  return [...new Set(items)];
}

function each<const Value extends string>(flag: string, text: string, allowed: readonly Value[]): Value[] {
  return listOf(flag, text).map((item) => oneOf(flag, item, allowed));
}

const disagreements = ({ cases }: BenchReport): string[] =>
  cases.flatMap(({ model, batch, contenders }) =>
    contenders.filter(({ parity }) => !parity.agrees).map(({ id }) => `${model} x ${batch} ${id}`)
  );

if (import.meta.main) await runCommand(benchCommand);
