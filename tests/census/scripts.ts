/**
 * Writes each ONNX file of a zoo that `tests/fixtures/onnx_zoo.py` made as a script, runs the script and
 * compares what it traces to with the file's network, node for node, in fp32 and in fp16. A line for each file
 * goes to standard output, and with `--write` the table to a page.
 *
 *     deno run -A tests/census/scripts.ts ZOO [--only WORD] [--write docs/onnx_in_scripts.md --machine WORDS]
 */
import { parseArgs } from "node:util";
import { basename } from "node:path";
import type { Precision } from "../../src/ir/dtype.ts";
import { isRefusal } from "../../src/errors.ts";
import { importOnnx } from "../../src/import/model.ts";
import { difference } from "../../src/script/same.ts";
import { scriptOf } from "../../src/script/write.ts";
import { ran, UNFOLD } from "../script/support.ts";
import { census, type Named, namedBy, OPTIONS, zooIn } from "./zoo.ts";

/** What came of one file. */
interface Row extends Named {
  /** Lines of the script; null where there is none. */
  readonly lines: number | null;
  /** Why there is none, or where it is another network; null where it is the same. */
  readonly wrong: string | null;
}

async function look(path: string): Promise<Row> {
  const row = namedBy(path);
  try {
    const { model, open } = importOnnx(path);
    const source = basename(path);
    const text = scriptOf(model, { weights: open(), unfold: UNFOLD, source, file: `${row.network}.ts` });
    const script = await ran(text);
    const differs = (precision: Precision) => {
      const [file, written] = [model, script].map((each) => each.trace({ weights: open(), precision }));
      const found = difference(file!, written!);
      return found && `${precision}: ${found}`;
    };
    return { ...row, lines: text.trimEnd().split("\n").length, wrong: differs("fp32") ?? differs("fp16") };
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return { ...row, lines: null, wrong: error.message };
  }
}

const NORMS = { own: "as published", bn: "with BN", un: "with UN" };

function pageOf(rows: readonly Row[], machine: string): string {
  const networks = Map.groupBy(rows, ({ network }) => network);
  const same = rows.filter(({ wrong }) => wrong === null);
  const cell = (files: readonly Row[], norm: string) =>
    ["torchscript", "dynamo"].map((exporter) => {
      const file = files.find((row) => row.norm === norm && row.exporter === exporter);
      return file === undefined ? "-" : file.wrong === null ? file.lines : "none";
    }).join(" / ");
  return [
    "# Exported networks as scripts",
    "",
    "Lines of the script that `build-engine model.onnx --emit-dsl model.ts` writes of each file of",
    "[the zoo](onnx_in_census.md), TorchScript's and dynamo's, the imports among them, as `deno fmt` has it.",
    "",
    "```sh",
    "python tests/fixtures/onnx_zoo.py --out zoo",
    "deno run -A tests/census/scripts.ts zoo --write docs/onnx_in_scripts.md",
    "```",
    "",
    `Measured on ${
      new Date().toISOString().slice(0, 10)
    } on ${machine}: ${same.length} of ${rows.length} files`,
    "have a script that traces to the same graph, node for node and weight for weight, in fp32 and in fp16.",
    "",
    `| network | ${Object.values(NORMS).join(" | ")} |`,
    "| --- | ---: | ---: | ---: |",
    ...[...networks].map(([network, files]) =>
      `| ${network} | ${Object.keys(NORMS).map((norm) => cell(files, norm)).join(" | ")} |`
    ),
    "",
    ...rows.filter(({ wrong }) => wrong !== null).map(({ network, norm, exporter, wrong }) =>
      `- ${network}, ${norm}, ${exporter}: ${wrong}`
    ),
  ].join("\n").trimEnd() + "\n";
}

const { values, positionals } = parseArgs({ allowPositionals: true, options: OPTIONS });
const rows = await census(
  zooIn(positionals),
  values.only,
  look,
  ({ network, norm, exporter, lines, wrong }) =>
    `${network}.${norm}.${exporter}.onnx: ${lines ?? "no"} lines, ${wrong ?? "the same graph"}`,
);
if (values.write !== undefined) await Deno.writeTextFile(values.write, pageOf(rows, values.machine));
