/** `deno task bench`: networks with and without their normalization on every engine, timed in turns. */
import type { BenchOptions } from "../bench/options.ts";
import { BENCH_PRECISIONS, type BenchReport, ENGINES, VARIANTS } from "../bench/schema.ts";
import { INT8_TARGETS } from "../ir/dtype.ts";
import { asUsage, oneOf, parseOptions, typedCommand, type ValuesOf } from "./options.ts";
import { withoutHome } from "../report/home.ts";
import { complain, EXIT, print, Progress, runCommand, UsageError } from "./terminal.ts";

const HELP =
  `Time networks on this machine's CPU: the folded one, Layer Normalization, no normalization, and their peers.

  deno task bench [options]

Examples
  deno task bench                                        encoder, vit, swin and gpt2, batch 1
  deno task bench --models vit --batch 1,8 --rounds 30   one network, two batches
  deno task bench --python .venv/bin/python              PyTorch and its exported networks beside UNfold's
  deno task bench --plans --engines none                 kernels of TensorRT's plans only; needs no GPU
  deno task bench --out build/bench                      tables, a page with plots, and every sample

Options
  --models LIST         of encoder, vit, swin, gpt2 (all of these by default) or any network of deno task models
  --batch LIST          1 (default), or 1,8
  --variants LIST       of un, lnBest, lnExported, none; all by default
  --precision LIST      fp32 (default), fp16, bf16, int8; what an engine cannot run is left out, with its reason
  --int8-for WHAT       any (default) or vnni, as build-engine's
  --engines LIST        onnxruntime and, where its library is found, openvino; none times nothing
  --python PATH         a Python with PyTorch: its networks take turns too (safetensors; timm for vit and swin,
                        transformers for gpt2, onnxscript for its export)
  --no-compile          leave out torch.compile, which takes a minute for each network
  --threads N           of every contender; default: the cores there are
  --rounds N            rounds of each network and batch; default 20
  --max-time SECONDS    fewer rounds where they would take longer; default 60 for each network and batch
  --plans               build TensorRT's plans and count their kernels; with --python also what NVIDIA's ONNX parser
                        makes of PyTorch's exports (tensorrt-rtx, onnxscript)
  --out DIR             write bench.md, bench.json and bench.html there
  --json                the report as JSON on stdout, in place of Markdown
  --openvino-lib PATH   OpenVINO's library or its folder (also UNFOLD_OPENVINO_LIB)
  --tensorrt-lib PATH   the TensorRT library or its folder (also UNFOLD_TENSORRT_LIB)
  --help                this text

Every contender of a network is held in memory at once, its weights about twice: gpt2 on all engines takes 12 GB.

Exits with 0, or 1 where something failed or an output does not agree with its network's meaning, 2 for a mistake in the
command, 130 after Ctrl-C. What a CPU shows of a fold is little, and says little of a GPU: docs/where_the_gain_is.md.`;

const OPTIONS = {
  models: { type: "string", default: "encoder,vit,swin,gpt2" },
  batch: { type: "string", default: "1" },
  variants: { type: "string", default: VARIANTS.join(",") },
  precision: { type: "string", default: "fp32" },
  "int8-for": { type: "string", default: "any" },
  engines: { type: "string", default: ENGINES.join(",") },
  python: { type: "string" },
  "no-compile": { type: "boolean", default: false },
  threads: { type: "string" },
  rounds: { type: "string", default: "20" },
  "max-time": { type: "string", default: "60" },
  plans: { type: "boolean", default: false },
  out: { type: "string" },
  json: { type: "boolean", default: false },
  "openvino-lib": { type: "string" },
  "tensorrt-lib": { type: "string" },
} as const;

/** Runs the command; resolves to its exit code. */
export async function benchCommand(args: readonly string[], signal: AbortSignal): Promise<number> {
  const parsed = await parseOptions(args, { command: "bench", options: OPTIONS, most: 0, help: HELP });
  if (parsed === null) return EXIT.ok;
  const { values } = parsed;
  const options = await optionsOf(values);
  const info = values.out === undefined ? null : await Deno.stat(values.out).catch(() => null);
  if (info?.isDirectory === false) throw new UsageError(`--out ${values.out}: this is a file; give a folder`);
  const { runBench } = await import("../bench/bench.ts");
  const { markdownOf } = await import("../bench/markdown.ts");
  using progress = new Progress();
  const report = withoutHome(
    await runBench({
      ...options,
      command: typedCommand("bench", args),
      onProgress: (text, fraction) => progress.show(text, fraction),
      signal,
    }),
  );
  progress.clear();
  const markdown = markdownOf(report);
  if (values.out !== undefined) {
    await Deno.mkdir(values.out, { recursive: true });
    const { replaceFile } = await import("../emit/kept_file.ts");
    const writeText = (path: string, text: string) =>
      replaceFile(path, new TextEncoder().encode(text), { signal });
    const { benchPage } = await import("../bench/page.ts");
    await writeText(`${values.out}/bench.md`, markdown);
    await writeText(`${values.out}/bench.html`, benchPage(report));
    await writeText(`${values.out}/bench.json`, JSON.stringify(report, null, 2) + "\n");
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

async function optionsOf(values: Values): Promise<Omit<BenchOptions, "command">> {
  const { benchNetwork } = await import("../bench/networks.ts");
  const names = listOf("models", values.models);
  const engines = values.engines === "none" ? [] : each("engines", values.engines, ENGINES);
  if (engines.length === 0 && !values.plans) {
    throw new UsageError("--engines none leaves nothing to do without --plans");
  }
  return {
    networks: Object.fromEntries(names.map((name) => [name, asUsage(() => benchNetwork(name))])),
    batches: listOf("batch", values.batch).map((text) => whole("batch", text)),
    variants: each("variants", values.variants, VARIANTS),
    precisions: each("precision", values.precision, BENCH_PRECISIONS),
    int8For: oneOf("int8-for", values["int8-for"], INT8_TARGETS),
    engines,
    python: values.python,
    torchCompile: !values["no-compile"],
    threads: values.threads === undefined ? navigator.hardwareConcurrency : whole("threads", values.threads),
    rounds: whole("rounds", values.rounds),
    maxTimeMs: whole("max-time", values["max-time"]) * 1000,
    plans: values.plans,
    openvinoLib: values["openvino-lib"],
    tensorrtLib: values["tensorrt-lib"],
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

function whole(flag: string, text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= 1e6) return value;
  throw new UsageError(`--${flag} ${text}: give a whole number from 1`);
}

const disagreements = ({ cases }: BenchReport): string[] =>
  cases.flatMap(({ model, batch, contenders }) =>
    contenders.filter(({ parity }) => !parity.agrees).map(({ id }) => `${model} x ${batch} ${id}`)
  );

if (import.meta.main) await runCommand(benchCommand);
