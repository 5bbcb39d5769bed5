/** What a page says first: the normalizations' full names, and when, how and from what it was made. */
import { type NormFamily, NORMS } from "../../norms/families.ts";
import { commitText, minuteOf } from "../phrases.ts";
import type { Report } from "../report.ts";
import { type Content, html } from "./markup.ts";
import { name } from "./parts.ts";

/** "UN is Unified Normalization, folded into the linear layers; LN is Layer Normalization, its reference." */
export function headOf(builds: readonly { readonly report: Report }[]): string {
  if (builds.length === 0) return "How the figures of builds changed over saved runs against one baseline.";
  const primaries = builds.map(({ report }) => Object.keys(report.engines)[0] as NormFamily);
  const references = builds.flatMap(({ report }) => Object.keys(report.engines).slice(1) as NormFamily[]);
  const folded = new Set(primaries.filter((_, i) => builds[i]!.report.norms.folded > 0));
  return [
    ...[...new Set(primaries)].map((family) => `${meaning(family)}${folded.has(family) ? FOLDED : ""}`),
    ...[...new Set(references)].filter((family) => !primaries.includes(family)).map((family) =>
      `${meaning(family)}, the reference it is compared with`
    ),
  ].join("; ") + ".";
}

const FOLDED = ", folded into the linear layers around it";

/** "LN is Layer Normalization". */
export function meaning(family: NormFamily): string {
  return `${family.toUpperCase()} is ${NORMS[family]().label}`;
}

/** One line: the network's form, the engines, then when, by which command and from which commit. */
export function madeOf(
  { precision, batch, targets, provenance, environment: { unfold, tensorrt } }: Report,
): Content {
  const engines = tensorrt === null ? [] : [
    `engines by TensorRT ${tensorrt.version}${
      targets?.length ? ` for compute capability ${targets.join(", ")}` : ""
    }`,
  ];
  const form = [precision, `batch ${batch}`, ...engines].join(", ");
  if (provenance === undefined) return html`${form}; UNfold ${unfold}.`;
  const { startedAt, command } = provenance;
  const commit = commitText(provenance);
  return html`${form}.<br>${minuteOf(startedAt)}${command && html`, ${name(command)}`}${
    commit && html`, commit ${commit}`
  }, UNfold ${unfold}.`;
}
