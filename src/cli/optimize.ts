/** `deno task optimize`: an ONNX file to a folded ONNX file. Options and printing. */
import type { OptimizedFile } from "../compile/optimize.ts";
import { PRECISIONS } from "../ir/dtype.ts";
import { withoutHome } from "../report/home.ts";
import { fates } from "../report/phrases.ts";
import { hanging, table } from "../report/table.ts";
import { ONNX_FORMS } from "../rewrite/backends/onnx_form_names.ts";
import { fixedGiven } from "./subject/dims.ts";
import { asUsage, oneOf, parseOptions } from "./options.ts";
import { complain, EXIT, note, print, Progress, runCommand, styled, UsageError } from "./terminal.ts";

const HELP =
  `Folds what normalizes offline in an ONNX file, Batch Normalization, multiplications and additions per channel, into
the products around it, and the gains and shifts of Layer Normalization and RMSNorm, and writes an ONNX file with the
same inputs, outputs, dynamic axes and metadata. ONNX Runtime then runs both on the same random inputs.

  deno task optimize MODEL.onnx -o FOLDED.onnx [options]

Examples
  deno task optimize levit.onnx -o folded.onnx     what became of each normalization, and how well both files agree
  deno task optimize bert.onnx -o folded.onnx --dim sequence=128
                                                   an open size fixed: masks that are computed from it become constants
  deno task optimize vit.onnx -o folded.onnx --onnx onnxruntime
                                                   with ONNX Runtime's own operators, for its CPU
  deno task optimize odd.onnx --keep-going         what would fold, although there are operators that UNfold does not know
  deno task optimize levit.onnx -o folded.onnx --json > report.json

Options
  --output FILE, -o     where the folded file goes, in place of one that is there; weights of more than 1 GiB go into
                        FILE.data
  --dim NAME=N          fixes an open size by its name in the file, letters and digits; repeatable. The batch is B
  --precision TYPE      fp32, fp16 or bf16; the file's own unless given
  --onnx FORM           standard (default), onnxruntime, openvino or tensorrt: the runtime whose fusions it is written for
  --opset N             of the standard's operators; the file's own unless given, from 17 on
  --keep-going          lists operators that UNfold does not know and what would fold around them; writes nothing then
  --no-check            do not run the files
  --allow-nonfinite     accept NaN and infinity in the weights
  --json                the report as JSON on stdout, nothing else
  --help                this text

Exits with 0, or 1 where something failed, an operator is not known or the files do not agree, 2 for a mistake in the
command, 130 after Ctrl-C.

Audit, engines and comparisons take the file too: deno task audit MODEL.onnx, deno task build-engine MODEL.onnx, which
with --no-engine --precision int8 --calibrate FILE writes a file in 8 bits for CPUs.`;

const OPTIONS = {
  output: { type: "string", short: "o", file: "written" },
  dim: { type: "string", multiple: true },
  precision: { type: "string" },
  onnx: { type: "string", default: "standard" },
  opset: { type: "string" },
  "keep-going": { type: "boolean", default: false },
  "no-check": { type: "boolean", default: false },
  "allow-nonfinite": { type: "boolean", default: false },
  json: { type: "boolean", default: false },
} as const;

/** Runs the command; resolves to its exit code. */
export async function optimizeCommand(args: readonly string[]): Promise<number> {
  const parsed = await parseOptions(args, {
    command: "optimize",
    options: OPTIONS,
    most: 1,
    files: true,
    help: HELP,
  });
  if (parsed === null) return EXIT.ok;
  const { values, positionals: [path] } = parsed;
  const { output: out, "keep-going": keepGoing } = values;
  if (path === undefined) {
    throw new UsageError("give an ONNX file, as in `deno task optimize model.onnx -o folded.onnx`");
  }
  if (out === undefined && !keepGoing) {
    throw new UsageError("give the file to write, as in -o folded.onnx, or --keep-going to write none");
  }
  const form = oneOf("onnx", values.onnx, ONNX_FORMS);
  const precision = values.precision === undefined
    ? undefined
    : oneOf("precision", values.precision, PRECISIONS);
  const { parseOpset } = await import("../emit/opset.ts");
  const opset = values.opset === undefined ? undefined : asUsage(() => parseOpset(values.opset!));
  await parsed.checkFiles();
  const { optimizeFile } = await import("../compile/optimize.ts");
  using progress = new Progress();
  const report = await optimizeFile(path, {
    out,
    dims: fixedGiven(values),
    precision,
    form,
    opset,
    check: !values["no-check"],
    keepGoing,
    allowNonFinite: values["allow-nonfinite"],
    onEvent: (event) => progress.event(event),
  });
  progress.clear();
  await print(values.json ? JSON.stringify(withoutHome(report), null, 2) : describeOptimized(report));
  const { agreement, unknown, norms } = report;
  const { isSource } = await import("../checkpoints/converted.ts");
  if (norms.some((norm) => norm.refused !== undefined && isSource(norm.family))) {
    note(
      "what normalizes by its input does not fold; a trained network may do without: " +
        `deno task convert ${path} --samples FILE fits a scale and a shift in its place`,
    );
  }
  if (agreement?.agrees === false) {
    complain(
      `${out} was written, but its outputs are not those of ${path}: the largest difference is ` +
        `${agreement.maxAbsError.toExponential(1)}, relative ${agreement.maxRelError.toExponential(1)}`,
    );
  }
  if (unknown.length > 0 && out !== undefined) {
    complain(`nothing was written: ${unknown.length} operators of ${path} are not known`);
  }
  return agreement?.agrees === false || unknown.length > 0 ? EXIT.failed : EXIT.ok;
}

/** Nodes of an operator that are named. */
const MOST_NODES = 3;

/** The report for people. */
export function describeOptimized(report: OptimizedFile): string {
  const { model, precision, input, output, found, folded, remaining, norms, assumed, quantized, unknown } =
    report;
  const counts = `${found} found, ${folded} folded, ${remaining} remaining`;
  const { texts, shared } = fates(norms);
  const rows = norms.map(({ norm, family, refused }, i) => [
    norm,
    family,
    styled(texts[i]!, refused ? "yellow" : "dim"),
  ]);
  const nodes = ({ operator, nodes }: OptimizedFile["unknown"][number]) => [
    operator,
    `${nodes.length}`,
    `${nodes.slice(0, MOST_NODES).join(", ")}${nodes.length > MOST_NODES ? ", ..." : ""}`,
  ];
  return [
    `${styled(model, "bold")}  ${precision}, ${input.format}, opset ${input.opset}`,
    ...assumed.map((text) => `assumed: ${text}`),
    "",
    ...(unknown.length === 0 ? [] : [
      `Unknown operators   ${styled(`${unknown.length}`, "yellow")}, left out of what follows`,
      table(unknown.map(nodes), { align: ["left", "right", "left"], indent: 2 }),
      "",
    ]),
    ...quantized.flatMap((text) => hanging("Quantized        ", text)),
    `Normalizations   ${styled(counts, remaining === 0 ? "green" : "yellow")}`,
    ...(rows.length === 0 ? [] : [
      table([["", "family", "what became of it"], ...rows], { align: ["left", "left", "left"], indent: 2 }),
    ]),
    ...shared.map((line) => `  ${styled(line, "yellow")}`),
    ...agreementLines(report),
    ...(output === null ? [] : ["", `Written          ${output.paths.join(", ")}: ${nodeCounts(report)}`]),
  ].join("\n");
}

function agreementLines({ agreement, input }: OptimizedFile): string[] {
  if (agreement === null) return [];
  const { maxAbsError, maxRelError, agrees, sizes } = agreement;
  const named = Object.entries(sizes).map(([name, size]) => `${name}=${size}`).join(", ");
  const figure = `largest difference ${maxAbsError.toExponential(1)}, relative ${
    maxRelError.toExponential(1)
  }`;
  return [
    "",
    `Agreement        ${styled(figure, agrees ? "green" : "yellow")}`,
    `                 with ${input.path}, both run by ONNX Runtime on random inputs${named && `, ${named}`}`,
  ];
}

const nodeCounts = ({ input, output }: OptimizedFile): string =>
  `${output!.nodes} nodes from ${input.nodes}, ${(output!.bytes / 1e6).toFixed(2)} MB`;

if (import.meta.main) await runCommand(optimizeCommand, { cancelled: "cancelled; no file was left behind" });
