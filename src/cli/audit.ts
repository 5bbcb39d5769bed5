/** `deno task audit`: where each normalization of a network goes, or why it stays. Options and printing. */
import { PRECISIONS } from "../ir/dtype.ts";
import type { Audit } from "../compile/audit.ts";
import { fate } from "../report/summary.ts";
import { table } from "../report/table.ts";
import { SUBJECT_HELP, SUBJECT_OPTIONS, subjectOf } from "./model_argument.ts";
import { oneOf, parseOptions } from "./options.ts";
import { EXIT, print, Progress, runCommand, styled, UsageError } from "./terminal.ts";

const HELP =
  `Lists each normalization of a network: folded into what, or why not, and what the rounding may cost.

  deno task audit MODEL [options]
  deno task audit --checkpoint FILE [options]

MODEL is a script that exports a model by default, or a network of the papers by name (deno task models lists them).
Nothing is built, and neither TensorRT nor a GPU is needed.

Examples
  deno task audit swin-t                           with the network's own normalization, random weights
  deno task audit swin-t --norm ln                 what of Layer Normalization can go, and what stays
  deno task audit bert-base --norm un --precision fp16
                                                   post-norm: the scales that the residual stream is divided by
  deno task audit --checkpoint un.pth --strict     in CI: fails where anything remains
  deno task audit my_model.ts --json               for scripts

Options
${SUBJECT_HELP}
  --precision TYPE      fp32 (default), fp16 or bf16: what folded weights are rounded to
  --strict              exit with 1 where a normalization remains
  --json                the audit as JSON on stdout, nothing else
  --help                this text

Error bound: by how much of its deviation an output of the products that took the normalization in can move, because
their weights are rounded once. Exact folds have no other error.`;

const OPTIONS = {
  ...SUBJECT_OPTIONS,
  precision: { type: "string", default: "fp32" },
  strict: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
  help: { type: "boolean", default: false, short: "h" },
  cwd: { type: "string" },
} as const;

/** Runs the command; resolves to its exit code. */
export async function auditCommand(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseOptions(args, {
    options: OPTIONS,
    positionals: [0, 1],
    command: "audit",
  });
  if (values.help) {
    await print(HELP);
    return EXIT.ok;
  }
  if (values.cwd) Deno.chdir(values.cwd);
  const precision = oneOf("precision", values.precision, PRECISIONS);
  if (positionals.length === 0 && values.checkpoint === undefined) {
    throw new UsageError("give a MODEL or --checkpoint FILE, as in `deno task audit swin-t`");
  }
  const { model, norm, layerNorm, weights } = await subjectOf(positionals[0], values);
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
  await print(values.json ? JSON.stringify(audit, null, 2) : describeAudit(audit));
  return values.strict && audit.remaining > 0 ? EXIT.failed : EXIT.ok;
}

/** The audit for people. */
export function describeAudit(audit: Audit): string {
  const { model, family, precision, found, folded, remaining, norms, layout, weights } = audit;
  const counts = `${found} found, ${folded} folded, ${remaining} remaining`;
  const rows = norms.map((norm) => [
    norm.norm,
    norm.family,
    norm.errorBound === null ? "-" : norm.errorBound.toExponential(1),
    styled(fate(norm), norm.refused ? "yellow" : "dim"),
  ]);
  return [
    `${styled(model, "bold")}  ${family}, ${precision}, ${weights}`,
    ...(layout === null ? [] : [`read as ${styled(layout, "bold")}`]),
    "",
    `Normalizations   ${styled(counts, remaining === 0 ? "green" : "yellow")}`,
    ...(rows.length === 0 ? [] : [
      table([["", "family", "error bound", "what became of it"], ...rows], {
        align: ["left", "left", "right", "left"],
        indent: 2,
      }),
    ]),
  ].join("\n");
}

if (import.meta.main) await runCommand(auditCommand);
