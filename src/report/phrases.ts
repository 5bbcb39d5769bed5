/** What the terminal and the page say alike of a report: findings in words. Pure text, without markup. */
import type { Int8Target } from "../ir/dtype.ts";
import type { NormFold } from "../rewrite/fold/fold_norm.ts";
import { listed } from "../text.ts";
import type {
  LatencyReport,
  NetworkRanges,
  ProvenanceReport,
  RangesReport,
  Report,
  TensorRange,
} from "./report.ts";

export const INT8_TARGET_LABEL = {
  any: "any processor",
  vnni: "processors with VNNI or AMX, and arm64",
} as const satisfies Record<Int8Target, string>;

/** Names that a line of the summary has room for; the report has all. */
const MOST_NAMES = 4;

/** Text with names of a model in it, so that a page can set them apart. */
export type Phrase = readonly (string | { readonly name: string })[];

const named = (names: readonly string[]): Phrase =>
  names.flatMap((name, i) => i === 0 ? [{ name }] : [", ", { name }]);

/** Normalizations that one reason keeps, from which on it is said once, under their table. */
const REASON_APART = 3;

/** What became of normalizations, in words: a text for each, and lines with the reasons that many share. */
export function fates(folds: readonly NormFold[]): { readonly texts: string[]; readonly shared: string[] } {
  const counts = new Map<string, number>();
  for (const { norm, refused } of folds) {
    if (refused?.consumer === norm) counts.set(refused.reason, (counts.get(refused.reason) ?? 0) + 1);
  }
  const shared = new Map([...counts].filter(([, count]) => count >= REASON_APART));
  return {
    texts: folds.map((fold) =>
      fatePhrase(fold, shared).map((part) => typeof part === "string" ? part : part.name).join("")
    ),
    shared: [...shared].map(([reason, count]) => `${count} kept: ${reason}`),
  };
}

/** The same of one with its names apart; without a reason that is `said` elsewhere. */
export function fatePhrase(
  { norm, into, through, carried, keepsShift, refused }: NormFold,
  said: ReadonlyMap<string, unknown> = new Map(),
): Phrase {
  const path: Phrase = through.length > 0 ? [" through ", ...named(through)] : [];
  const along = carried
    ? `; the residual stream divided by ${carried.min.toPrecision(2)} to ${carried.max.toPrecision(2)}`
    : "";
  const more = into.length > MOST_NAMES ? ` and ${into.length - MOST_NAMES} more` : "";
  const taken: Phrase = [...named(into.slice(0, MOST_NAMES)), more, ...path, along];
  if (!refused) return ["into ", ...taken];
  const kept: Phrase = refused.consumer !== norm
    ? ["kept: ", { name: refused.consumer }, ": ", refused.reason]
    : said.has(refused.reason)
    ? ["kept"]
    : ["kept: ", refused.reason];
  return into.length > 0 ? [...kept, `; ${keepsShift ? "gain" : "gain and shift"} into `, ...taken] : kept;
}

/** A moment as ISO 8601 has it, to the minute: "2026-11-27 02:21 UTC". */
export const minuteOf = (time: string): string => `${time.slice(0, 16).replace("T", " ")} UTC`;

/** Ten digits of a commit, and whether there was more than it; null outside of a repository. */
export function commitText({ commit, dirty }: Pick<ProvenanceReport, "commit" | "dirty">): string | null {
  return commit && `${commit.slice(0, 10)}${dirty ? " with changes" : ""}`;
}

/** What each `--keep` came to, by network: "fp32 stream: 24 of UN; 37 of LN". */
export function keptTexts({ engines }: Pick<Report, "engines">): readonly string[] {
  const networks = Object.entries(engines).flatMap(([family, engine]) =>
    engine?.kept === undefined ? [] : [{ family, kept: engine.kept }]
  );
  return (networks[0]?.kept ?? []).map(({ precision, scopes }, i) => {
    const parts = networks.map(({ family, kept }) => {
      const { nodes, folded } = kept[i]!;
      const into = [...new Set(folded.flatMap(({ into }) => into))];
      const why = folded.length === 0 ? "" : `, ${folded.length} folded into ${listed(into, MOST_NAMES)}`;
      return `${nodes.length === 0 ? "nothing" : nodes.length} of ${family.toUpperCase()}${why}`;
    });
    return `${precision} ${scopes}: ${parts.join("; ")}`;
  });
}

/** "360 examples: the model's own examples". */
export const examplesText = (
  { count, origin }: { readonly count: number; readonly origin: string },
): string => `${count} example${count === 1 ? "" : "s"}: ${origin}`;

/** A network's ranges in a few words. */
export function rangesText(
  { tensors, largest, overflows, near }: NetworkRanges,
  { samples }: RangesReport,
): string {
  const where = examplesText(samples);
  if (overflows > 0) return `${overflows} of ${tensors} tensors overflow (${where})`;
  const edge = near === 0 ? "" : `, ${near} of ${tensors} tensors near its end`;
  return `fits, at most ${largest?.toPrecision(3) ?? "NaN"}${edge} (${where})`;
}

/** What a tensor reaches, and what that means. */
export function rangeText({ tensor, largest, verdict, error }: TensorRange): string {
  const reached = largest === null ? "is not finite even in fp32" : `reaches ${largest.toPrecision(3)}`;
  return verdict === "small"
    ? `${tensor} ${reached} and loses ${(100 * error!).toPrecision(2)} % to rounding`
    : `${tensor} ${reached}${verdict === "overflows" ? ", which overflows" : ""}`;
}

/** How often both networks took turns. */
export function turns({ rounds, loadings }: Pick<LatencyReport, "rounds" | "loadings">): string {
  return `${rounds} rounds in turns${loadings === undefined ? "" : `, ${loadings.length} loadings`}`;
}

/** "unFolded" to "UN folded". */
export function label(name: string): string {
  const [family, state] = name.split(/(?=[A-Z])/);
  return `${family!.toUpperCase()}${state ? ` ${state.toLowerCase()}` : ""}`;
}

/** 1,234,567 bytes as "1.2 MB": decimal units, as disks and downloads have them. */
export function bytes(count: number): string {
  if (count < 1e3) return `${count} B`;
  const [size, unit] = count < 1e6
    ? [count / 1e3, "kB"]
    : count < 1e9
    ? [count / 1e6, "MB"]
    : [count / 1e9, "GB"];
  return `${size.toFixed(size < 10 ? 2 : 1)} ${unit}`;
}
