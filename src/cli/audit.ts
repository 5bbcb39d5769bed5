/** `deno task audit`: where each normalization goes, or why it stays; whether values fit fp16. */
import { PRECISIONS } from "../ir/dtype.ts";
import type { Audit } from "../compile/audit.ts";
import type { RangeAudit } from "../compile/audit_ranges.ts";
import { withoutHome } from "../report/home.ts";
import { passLines } from "../report/passes.ts";
import { examplesText, fates } from "../report/phrases.ts";
import { hanging, table } from "../report/table.ts";
import { keepText } from "./subject/keep.ts";
import { SUBJECT_HELP, SUBJECT_OPTIONS, subjectOf } from "./model_argument.ts";
import { oneOf, parseOptions } from "./options.ts";
import { EXIT, print, Progress, runCommand, styled, UsageError } from "./terminal.ts";

const HELP =
  `Lists each normalization of a network: folded into what, or why not, and what the rounding may cost.

  deno task audit MODEL [options]
  deno task audit --checkpoint FILE [options]

MODEL is a script that exports a model by default, an ONNX file that an exporter wrote, or a network of the papers by
name (deno task models lists them). Nothing is built, and neither TensorRT nor a GPU is needed.

Examples
  deno task audit swin-t                           with the network's own normalization, random weights
  deno task audit swin-t --norm ln                 what of Layer Normalization can go, and what stays
  deno task audit bert-base --norm un --precision fp16
                                                   post-norm: the scales that the residual stream is divided by
  deno task audit gpt2 --norm ln --dim T=128       an open size fixed, as for an engine of 128 tokens alone
  deno task audit --checkpoint un.pth --strict     in CI: fails where anything remains
  deno task audit exported.onnx                    a network that an exporter wrote
  deno task audit my_model.ts --json               for scripts
  deno task audit vit-b16 --ranges                 does it fit fp16? every tensor of a run, and what helps
  deno task audit vit-b16 --ranges --keep fp32 stream
                                                   and with the residual stream in fp32?

Options
${SUBJECT_HELP}
  --precision TYPE      fp32 (default), fp16 or bf16: what folded weights are rounded to, and with --ranges everything
                        (fp16 unless bf16 is given)
  --ranges              run the network that TensorRT would be given on the CPU, every result rounded, and report the
                        range of every tensor instead: what overflows, whether bf16 or a rescaled residual stream
                        helps, and the fewest --keep with which nothing overflows
  --samples FILE        inputs for that, under the model's names; else the model's own examples, else random ones
  --keep-going          of a MODEL.onnx with operators that UNfold does not know: what folds around them
  --strict              exit with 1 where a normalization remains, or, with --ranges, where something overflows
  --verbose             also list the compiler's passes: their laws, what each did and how long it took
  --json                the audit as JSON on stdout, nothing else
  --help                this text

Error bound: by how much of its deviation an output of the products that took the normalization in can move, because
their weights are rounded once. Exact folds have no other error.

Exits with 0, or 1 where something failed, or remains or overflows with --strict, 2 for a mistake in the
command, 130 after Ctrl-C.`;

const OPTIONS = {
  ...SUBJECT_OPTIONS,
  precision: { type: "string", default: "fp32" },
  ranges: { type: "boolean", default: false },
  samples: { type: "string", file: "read" },
  "keep-going": { type: "boolean", default: false },
  strict: { type: "boolean", default: false },
  verbose: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
} as const;

/** Runs the command; resolves to its exit code. */
export async function auditCommand(args: readonly string[]): Promise<number> {
  const parsed = await parseOptions(args, { command: "audit", options: OPTIONS, most: 1, help: HELP });
  if (parsed === null) return EXIT.ok;
  const { values, positionals } = parsed;
  const precision = oneOf("precision", values.precision, PRECISIONS);
  if (positionals.length === 0 && values.checkpoint === undefined) {
    throw new UsageError("give a MODEL or --checkpoint FILE, as in `deno task audit swin-t`");
  }
  for (const option of ["samples", "keep"] as const) {
    if (values[option] !== undefined && !values.ranges) {
      throw new UsageError(`--${option}: this is for --ranges`);
    }
  }
  await parsed.checkFiles();
  const { model, norm, layerNorm, weights } = await subjectOf(positionals[0], {
    ...values,
    // Of fp32 it is fp16 that ranges are looked at in.
    precision: values.ranges && precision === "fp32" ? "fp16" : precision,
  });
  if (values.ranges) {
    const { measureRanges } = await import("../compile/audit_ranges.ts");
    const ranges = await measureRanges(model, {
      norm,
      precision,
      layerNorm,
      samples: values.samples,
      ...weights,
    });
    await answer(ranges, describeRanges(ranges), values);
    return values.strict && ranges.overflows > 0 ? EXIT.failed : EXIT.ok;
  }
  const { auditModel } = await import("../compile/audit.ts");
  using progress = new Progress();
  const audit = auditModel(model, {
    norm,
    layerNorm,
    precision,
    ...weights,
    onProgress: (fraction) => progress.show(`auditing ${model.name}`, fraction),
  });
  progress.clear();
  await answer(audit, describeAudit(audit), values);
  return values.strict && audit.remaining > 0 ? EXIT.failed : EXIT.ok;
}

async function answer(
  audit: Audit | RangeAudit,
  text: string,
  { json, verbose }: { readonly json: boolean; readonly verbose: boolean },
): Promise<void> {
  if (json) return await print(JSON.stringify(withoutHome(audit), null, 2));
  await print(verbose ? [text, "", "Passes", ...passLines(audit.passes)].join("\n") : text);
}

/** Tensors that are listed where nothing is wrong with them. */
const LARGEST_LISTED = 8;

/** The ranges for people: whatever needs a word, and the largest of the others. */
function describeRanges(audit: RangeAudit): string {
  const { model, family, precision, weights, trained, samples, assumed, tensors } = audit;
  const isWorst = new Set(
    tensors.toSorted((a, b) => (b.largest ?? Infinity) - (a.largest ?? Infinity))
      .slice(0, LARGEST_LISTED).map(({ tensor }) => tensor),
  );
  const listed = tensors.filter(({ helps, tensor }) => helps !== null || isWorst.has(tensor));
  const rows = listed.map(({ tensor, largest, usual, error, verdict, helps, factor }) => [
    tensor,
    largest?.toPrecision(3) ?? "not finite",
    usual?.toPrecision(2) ?? "",
    error === null ? "" : `${(100 * error).toFixed(2)} %`,
    verdict === "fits" ? styled("fits", "dim") : styled(
      `${verdict}: ${
        helps === "rescale" ? `divide the residual stream by ${factor}, or use a wider type` : helps
      }`,
      "yellow",
    ),
  ]);
  return [
    `${styled(model, "bold")}  ${family}, ${weights}`,
    examplesText(samples),
    ...(trained
      ? []
      : ["These weights were not trained with this normalization: the ranges say little about it."]),
    "",
    `${precision}   ${styled(verdictOf(audit), audit.overflows > 0 ? "yellow" : "green")}`,
    table([["", "largest", "usual", "rounding", ""], ...rows], {
      align: ["left", "right", "right", "right", "left"],
      indent: 2,
    }),
    styled(`  ${tensors.length - listed.length} more tensors fit; --json lists all`, "dim"),
    ...keepLines(audit),
    styled(`  On the CPU: ${assumed}.`, "dim"),
  ].join("\n");
}

/** What to keep so that nothing overflows, to be copied. */
function keepLines({ overflows, keep, precision }: RangeAudit): string[] {
  if (overflows === 0) return [];
  if (keep === null) {
    return [`  Nothing kept in fp32 helps: an input overflows ${precision}, or a value fp32.`];
  }
  return ["  In a run with these nothing overflows:", `    ${keepText(keep)}`];
}

function verdictOf({ precision, overflows, near, advice, largest, tensors }: RangeAudit): string {
  if (overflows > 0) {
    return `${overflows} of ${tensors.length} tensors overflow ${precision}; ${
      advice === "rescale" ? "a rescaled residual stream or a wider type helps" : `use ${advice}`
    }`;
  }
  return near > 0
    ? `fits ${precision}, ${near} of ${tensors.length} tensors within a factor of 8 of its end`
    : `fits ${precision}, the largest value is ${largest?.toPrecision(3)}`;
}

/** The audit for people. */
function describeAudit(audit: Audit): string {
  const { model, family, precision, found, folded, remaining, norms, layout, weights, quantized } = audit;
  const counts = `${found} found, ${folded} folded, ${remaining} remaining`;
  const { texts, shared } = fates(norms);
  const rows = norms.map((norm, i) => [
    norm.norm,
    norm.family,
    norm.errorBound === null ? "-" : norm.errorBound.toExponential(1),
    styled(texts[i]!, norm.refused ? "yellow" : "dim"),
  ]);
  return [
    `${styled(model, "bold")}  ${family}, ${precision}, ${weights}`,
    ...(layout === null ? [] : [`read as ${styled(layout, "bold")}`]),
    ...quantized.flatMap((text) => hanging("in eight bits: ", text)),
    "",
    `Normalizations   ${styled(counts, remaining === 0 ? "green" : "yellow")}`,
    ...(rows.length === 0 ? [] : [
      table([["", "family", "error bound", "what became of it"], ...rows], {
        align: ["left", "left", "right", "left"],
        indent: 2,
      }),
    ]),
    ...shared.map((line) => `  ${styled(line, "yellow")}`),
  ].join("\n");
}

if (import.meta.main) await runCommand(auditCommand, { cleansUp: false });
