/**
 * Imports each ONNX file of a zoo that `tests/fixtures/onnx_zoo.py` made, folds it, runs it by ONNX Runtime
 * as UNfold emits it and compares it with PyTorch's own outputs. A line for each file goes to standard
 * output, and with `--write` the table to a page.
 *
 * Files of other exporters and optimizers (`tests/fixtures/onnx_exporters.py`) lie in a folder of their own.
 *
 *     deno run -A tests/census/onnx.ts ZOO [--others FOLDER] [--only WORD]
 *                                      [--write docs/onnx_in_census.md --machine WORDS]
 */
import { parseArgs } from "node:util";
import { isRefusal } from "../../src/errors.ts";
import { importOnnx } from "../../src/import/model.ts";
import { type Graph, topological } from "../../src/ir/graph.ts";
import { asOnnx } from "../../src/rewrite/backends/onnx_forms.ts";
import type { NormFold } from "../../src/rewrite/fold/fold_norm.ts";
import { optimize } from "../../src/rewrite/pipeline.ts";
import { errorOf, recordedCall } from "../recorded.ts";
import { census, type Named, namedBy, OPTIONS, zooIn } from "./zoo.ts";

/** What came of one file. */
interface Row extends Named {
  /** The implementation of attention that could be exported, "sdpa" where PyTorch's own could. */
  readonly attention: string;
  /** Why it was not imported. */
  readonly refused?: string;
  readonly norms?: readonly NormFold[];
  /** Operators that are not of the kinds that a description is made of, by kind. */
  readonly plain?: Readonly<Record<string, number>>;
  readonly attentions?: number;
  /** Largest error of any output, max |a - b| / max |b|, of the network as it came in and folded. */
  readonly errors?: { readonly traced: number; readonly folded: number };
}

/**
 * Of what descriptions are made too, with what moves data; the rest is arithmetic that no law has a name for.
 */
const RECOGNISED: ReadonlySet<string> = new Set([
  ...[
    "input",
    "constant",
    "linear",
    "conv",
    "matmul",
    "add",
    "softmax",
    "reduce_mean",
    "max_pool",
    "average_pool",
  ],
  ...[
    "attention",
    "self_attention",
    "token_attention",
    "layer_norm",
    "rms_norm",
    "group_norm",
    "channel_affine",
  ],
  ...["gelu", "bias_gelu", "relu", "silu", "tanh", "sigmoid", "hard_swish", "hard_sigmoid", "resize"],
  ...["reshape", "transpose", "slice", "concat", "gather", "expand", "cast", "pad"],
]);

function countBy(graph: Graph, of: (op: string) => boolean): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { op } of topological(graph)) if (of(op)) counts[op] = (counts[op] ?? 0) + 1;
  return counts;
}

async function look(path: string): Promise<Row> {
  const { attention, dims = {} } = JSON.parse(await Deno.readTextFile(path.replace(/\.onnx$/, ".json")));
  const row = { ...namedBy(path), attention };
  try {
    const { model, open } = importOnnx(path, { dims });
    const traced = model.trace({ weights: open() });
    const { graph, norms } = optimize(traced);
    const lowered = asOnnx(graph, "onnxruntime");
    const attentions = topological(lowered).filter(({ op }) => op.includes("attention")).length;
    const found = { ...row, norms, attentions, plain: countBy(graph, (op) => !RECOGNISED.has(op)) };
    try {
      const call = recordedCall(path.replace(/\.onnx$/, ".safetensors"));
      const errors = { traced: await errorOf(traced, call), folded: await errorOf(lowered, call) };
      return { ...found, errors };
    } catch (error) {
      return { ...found, refused: told(error) };
    }
  } catch (error) {
    return { ...row, refused: told(error) };
  }
}

function told(error: unknown): string {
  if (isRefusal(error)) return error.message;
  return `CRASH ${error instanceof Error ? error.stack : error}`;
}

const ONLINE: ReadonlySet<string> = new Set(["ln", "rms", "gn"]);

/** Found, folded, online and refused. */
function fatesOf({ norms = [] }: Row): readonly number[] {
  const staying = norms.filter(({ folded }) => !folded);
  const online = staying.filter(({ family }) => ONLINE.has(family)).length;
  return [norms.length, norms.length - staying.length, online, staying.length - online];
}

const errorIn = ({ errors }: Row) => errors === undefined ? NaN : Math.max(errors.traced, errors.folded);

const digits = (error: number) => Number.isNaN(error) ? "" : error.toExponential(1);

const plainIn = ({ plain = {} }: Row) =>
  Object.entries(plain).map(([op, count]) => `${count} ${op}`).join(", ");

/** What both exporters' files have in common once, else one behind the other. */
function both(rows: readonly Row[], of: (row: Row) => string): string {
  const texts = [...new Set(rows.map(of))];
  return texts.join(" / ");
}

const NORMS: Readonly<Record<string, string>> = {
  own: "As published",
  bn: "With Batch Normalization over channels in place of every LN and RMSNorm",
  un: "With Unified Normalization, a multiplication and an addition, in place of every LN and RMSNorm",
};

function tableOf(norm: string, rows: readonly Row[]): string[] {
  const networks = Map.groupBy(rows, ({ network }) => network);
  return [
    `## ${NORMS[norm]}`,
    "",
    "| network | exporters | found | folded | online | refused | attentions | plain | error |",
    "| --- | --- | ---: | ---: | ---: | ---: | ---: | --- | ---: |",
    ...[...networks].map(([network, files]) => {
      const whole = files.filter(({ refused }) => refused === undefined);
      const cells = [
        network,
        whole.map(({ exporter }) => exporter).join(", ") || "none",
        ...[0, 1, 2, 3].map((i) => both(whole, (row) => String(fatesOf(row)[i]))),
        both(whole, ({ attentions }) => String(attentions)),
        both(whole, plainIn),
        digits(Math.max(...whole.map(errorIn))),
      ];
      return `| ${cells.join(" | ")} |`;
    }),
    "",
  ];
}

/** What a file of another tool holds, by the words of its name. */
const KINDS: Readonly<Record<string, (tools: string) => boolean>> = {
  "In float32": (tools) => !/half|\+(?:q|dynamic)/.test(tools),
  "In half precision": (tools) => tools.includes("half"),
  "Quantized by ONNX Runtime, with QuantizeLinear and DequantizeLinear": (tools) => tools.includes("+qdq"),
};

/** The networks of other exporters and optimizers. */
function othersOf(rows: readonly Row[]): string[] {
  const whole = rows.filter(({ refused }) => refused === undefined);
  const tables = Object.entries(KINDS).flatMap(([title, isOf]) => {
    const own = whole.filter(({ exporter }) => isOf(exporter));
    const networks = Map.groupBy(
      own,
      ({ network, norm }) => norm === "own" ? network : `${network}, ${norm}`,
    );
    return [
      `### ${title}`,
      "",
      "| network | tools | found | folded | online | refused | attentions | error |",
      "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
      ...[...networks].map(([network, files]) => {
        const counts = [0, 1, 2, 3].map((i) => both(files, (row) => String(fatesOf(row)[i])));
        const attentions = both(files, ({ attentions }) => String(attentions));
        const tools = files.map(({ exporter }) => exporter).join(", ");
        return `| ${
          [network, tools, ...counts, attentions, digits(Math.max(...files.map(errorIn)))].join(" | ")
        } |`;
      }),
      "",
    ];
  });
  const refused = Map.groupBy(
    rows.filter(({ refused }) => refused !== undefined),
    ({ refused }) =>
      refused!.includes("QuantFormat.QDQ")
        ? "quantized into operators on whole numbers"
        : shortened(refused!),
  );
  return [
    "## Other exporters, and files behind optimizers",
    "",
    "Networks of Keras by tf2onnx and by Keras' own export, of transformers by optimum, of timm by its own script",
    "(TorchScript and dynamo), and PyTorch's exports in half precision; the same behind onnxslim, onnxsim, the",
    "transformers optimizer of ONNX Runtime (`fused`), what ONNX Runtime saves at its extended level (`level2`), and",
    "its static quantization. The other side is ONNX Runtime on the file that the tools were given, in its own type:",
    "half precision rounds to 1e-3, and a step of eight bits that falls on the other side is 1e-2 and more.",
    "",
    "```sh",
    "python tests/fixtures/onnx_exporters.py --out others keras                    # with TensorFlow",
    "python tests/fixtures/onnx_exporters.py --out others optimum timm half slim fused quantized",
    "deno run -A tests/census/onnx.ts zoo --others others --write docs/onnx_in_census.md",
    "```",
    "",
    `${whole.length} of ${rows.length} files are imported whole.`,
    "",
    ...tables,
    "### What is not read",
    "",
    ...[...refused].map(([why, files]) =>
      `- ${why}: ${files.map(({ network, norm, exporter }) => `${network}.${norm}.${exporter}`).join(", ")}`
    ),
    "",
  ];
}

/** The first sentence of an error, without the file's path. */
const shortened = (text: string) => text.replace(/^\S+\.onnx:? /, "").split(/(?<=[a-z"])[.:] /)[0]!;

/** Why what has running statistics stays: each reason, and where. */
function reasonsOf(rows: readonly Row[]): string[] {
  const reasons = new Map<string, Set<string>>();
  for (const { network, norms = [] } of rows) {
    for (const { norm, family, folded, refused } of norms) {
      if (folded || ONLINE.has(family)) continue;
      const reason = `${refused?.reason ?? "no reason"}`;
      const where = reasons.get(reason) ?? new Set();
      reasons.set(reason, where.add(`${network} \`${norm}\``));
    }
  }
  return [...reasons].map(([reason, where]) => `- ${reason}: ${[...where].join(", ")}`);
}

/** What arithmetic is left in the tables, and what would have to be so for a law. */
const WHY_PLAIN = [
  "## Why arithmetic stays plain",
  "",
  "- Masks: `cast`, `where` of padding are the mask itself, `[B, 1, 1, T]`, once for all layers. Causal masks " +
  "and padding at once, `range`, `less_or_equal` and `and`, stay one mask, `[B, 1, T, T]`: taken apart, a query " +
  "that sees nothing would weigh other keys than in the file. `reduce_sum`, `greater` and a `where` for each layer " +
  "are zeros for such queries, as TorchScript writes `scaled_dot_product_attention`; dynamo's files have none.",
  "- Rotary positions of an open length (GPT-NeoX, Llama, Qwen2): `range`, `cos` and `sin` make the tables, once " +
  "for all layers. UNfold's own Llama has tables of the longest text, which no file says. A kernel turns queries or " +
  "keys in either; the plans have as many (33 and 34 for two layers of Llama, TensorRT for RTX 1.7.1). Of known " +
  "lengths, and of images (EVA-02), the tables are constants with the signs in them.",
  "- T5's distances of an open length: logarithms of positions, one kernel for all layers, beside one that " +
  "gathers in UNfold's own T5: 14 kernels either way for two layers.",
  "- RoBERTa counts the tokens that are no padding (`equal`, `not`, `cumulative_sum`), which are inputs.",
  "- Queries and keys of length 1 (SwinV2, XCiT), `x / max(|x|, 1e-12)`, are no RMSNorm: that has its epsilon " +
  "under the root, and differs for short vectors.",
  "- CaiT's talking heads mix heads before and after the softmax, which no fused attention does; they are products " +
  "and a softmax.",
  "- CLIP divides embeddings by their lengths and takes the token of the greatest id (`arg_max`).",
  "",
];

function pageOf(rows: readonly Row[], others: readonly Row[], machine: string): string {
  const whole = rows.filter(({ refused }) => refused === undefined);
  const networks = new Set(rows.map(({ network }) => network));
  const failing = new Set(rows.filter(({ refused }) => refused !== undefined).map(({ network }) => network));
  const eager = new Set(
    rows.filter(({ attention }) => attention !== "sdpa").map(({ network, exporter }) =>
      `${network} (${exporter})`
    ),
  );
  const offline = whole.flatMap(({ norms = [] }) => norms).filter(({ family }) => !ONLINE.has(family));
  const folded = offline.filter(({ folded }) => folded).length;
  return [
    "# Which exported networks are read",
    "",
    "Small instances of timm's and transformers' networks with random weights, exported by both of PyTorch's",
    "exporters (TorchScript, and `dynamo`, which is `torch.export`) with open batches and lengths; imported,",
    "folded, emitted for ONNX Runtime and run by it in fp32 at sizes other than they were traced with, beside",
    "PyTorch's own outputs.",
    "",
    "```sh",
    "python tests/fixtures/onnx_zoo.py --out zoo",
    "deno run -A tests/census/onnx.ts zoo --write docs/onnx_in_census.md",
    "```",
    "",
    `Measured on ${new Date().toISOString().slice(0, 10)} on ${machine}:`,
    "",
    `- ${
      networks.size - failing.size
    } of ${networks.size} networks are imported whole, ${whole.length} of ${rows.length} files.`,
    `- ${folded} of ${offline.length} normalizations with running statistics, and gains of layers, fold; each other has a reason below.`,
    `- The largest error is ${digits(Math.max(...whole.map(errorIn)))} of the largest output.`,
    "",
    "Online are Layer and RMS Normalization: their statistics are of the example itself. Gains of layers (CaiT's",
    "layer scale) count among what is found. Attentions are fused ones in ONNX Runtime's form; plain is",
    "arithmetic that no law has a name for. Two values are TorchScript's and dynamo's, where they differ. LeViT and",
    "FastViT have neither LN nor RMSNorm. Exporters fail at `scaled_dot_product_attention` in these, which are",
    `exported with attention written out: ${[...eager].join(", ")}.`,
    "",
    ...Object.keys(NORMS).flatMap((norm) => tableOf(norm, rows.filter((row) => row.norm === norm))),
    ...WHY_PLAIN,
    "## Why some stay",
    "",
    ...reasonsOf(whole),
    "",
    ...(others.length === 0 ? [] : othersOf(others)),
    ...rows.filter(({ refused }) => refused !== undefined).map(({ network, norm, exporter, refused }) =>
      `- ${network}, ${norm}, ${exporter}: ${refused}`
    ),
  ].join("\n").trimEnd() + "\n";
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { ...OPTIONS, others: { type: "string" } },
});

function lineOf(row: Row): string {
  const { network, norm, exporter, refused, attentions = 0 } = row;
  const [found, folded, online, kept] = fatesOf(row);
  return refused ??
    `${network}.${norm}.${exporter}: ${
        digits(errorIn(row))
      }; of ${found} normalizations ${folded} folded, ${online} ` +
      `online, ${kept} refused; ${attentions} attentions; plain: ${plainIn(row)}`;
}

/** The files of a folder, in the order of the page. */
async function looked(folder: string): Promise<Row[]> {
  const rows = await census(folder, values.only, look, lineOf);
  return rows.sort((a, b) => a.network.localeCompare(b.network) || b.exporter.localeCompare(a.exporter));
}

const rows = await looked(zooIn(positionals));
const others = values.others === undefined ? [] : await looked(values.others);
if (values.write !== undefined) await Deno.writeTextFile(values.write, pageOf(rows, others, values.machine));
