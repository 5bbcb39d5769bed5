/**
 * Imports each ONNX file of a zoo that `tests/fixtures/onnx_zoo.py` made, folds it, runs it by ONNX Runtime
 * as UNfold emits it and compares it with PyTorch's own outputs. A line for each file goes to standard
 * output, and with `--write` the table to a page.
 *
 *     deno run -A tests/census/onnx.ts ZOO [--only WORD] [--write docs/onnx_in_census.md]
 */
import { parseArgs } from "node:util";
import { basename, join } from "node:path";
import { isRefusal } from "../../src/errors.ts";
import { importOnnx } from "../../src/import/model.ts";
import { type Graph, topological } from "../../src/ir/graph.ts";
import { asOnnx } from "../../src/rewrite/backends/onnx_forms.ts";
import type { NormFold } from "../../src/rewrite/fold/fold_norm.ts";
import { optimize } from "../../src/rewrite/pipeline.ts";
import { errorOf, recordedCall } from "../import/recorded.ts";

/** What came of one file. */
interface Row {
  readonly network: string;
  readonly norm: string;
  readonly exporter: string;
  /** Why it was not imported. */
  readonly refused?: string;
  readonly norms?: readonly NormFold[];
  /** Operators that are not of the kinds that a description is made of, by kind. */
  readonly plain?: Readonly<Record<string, number>>;
  readonly attentions?: number;
  /** Largest error of any output, max |a - b| / max |b|, of the network as it came in and folded. */
  readonly errors?: { readonly traced: number; readonly folded: number };
}

/** What the DSL's own descriptions trace to, data that only moves and masks included. */
const RECOGNISED = new Set(
  "input constant linear conv layer_norm rms_norm group_norm channel_affine gelu bias_gelu relu silu tanh softmax attention self_attention token_attention add matmul reshape transpose slice concat gather expand cast pad roll pick mean max_pool"
    .split(" "),
);

function countBy(graph: Graph, of: (op: string) => boolean): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { op } of topological(graph)) if (of(op)) counts[op] = (counts[op] ?? 0) + 1;
  return counts;
}

async function look(path: string): Promise<Row> {
  const [network, norm, exporter] = basename(path).split(".") as [string, string, string];
  const row = { network, norm, exporter };
  try {
    const { model, open } = importOnnx(path);
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

function cells({ network, norm, exporter, refused, norms, plain, attentions, errors }: Row): string[] {
  const count = (keep: (norm: NormFold) => boolean) =>
    norms === undefined ? "" : String(norms.filter(keep).length);
  const online = new Set(["ln", "rms", "gn"]);
  const fates = [
    count(() => true),
    count(({ folded }) => folded),
    count(({ folded, family }) => !folded && online.has(family)),
    count(({ folded, family }) => !folded && !online.has(family)),
  ];
  const plainText = Object.entries(plain ?? {}).map(([op, count]) => `${op} ${count}`).join(", ");
  const error = errors === undefined ? "" : Math.max(errors.traced, errors.folded).toExponential(1);
  return [
    network,
    norm,
    exporter,
    refused === undefined ? "yes" : "no",
    plainText,
    ...fates,
    String(attentions ?? ""),
    error,
  ];
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { only: { type: "string", default: "" }, write: { type: "string" }, verbose: { type: "boolean" } },
});
const [folder] = positionals;
if (folder === undefined) throw new Error("the folder of the zoo is missing");
const files = [...Deno.readDirSync(folder)].map(({ name }) => name)
  .filter((name) => name.endsWith(".onnx") && name.includes(values.only)).sort();
const rows: Row[] = [];
for (const file of files) {
  const row = await look(join(folder, file));
  rows.push(row);
  console.log(cells(row).join(" | "), row.refused === undefined ? "" : `\n    ${row.refused}`);
  for (const { norm, folded, family, refused } of row.norms ?? []) {
    if (values.verbose && !folded) {
      console.log(`    ${norm} (${family}): ${refused?.consumer} ${refused?.reason}`);
    }
  }
}
