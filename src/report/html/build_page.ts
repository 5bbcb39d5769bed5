/** The page of one build, or of several with a comparison of them in front, or of a baseline's history. */
import { html } from "./markup.ts";
import type { Report } from "../report.ts";
import { bytes } from "../phrases.ts";
import { headOf, madeOf } from "./head.ts";
import { type History, historySection } from "./history.ts";
import { kernelsSection, type Plans } from "./kernels.ts";
import { headline, latencySection, shortVerdict, timedNetworks } from "./latency.ts";
import {
  agreementSection,
  environmentSection,
  foldSection,
  int8Section,
  keptSection,
  notExecutedSection,
  quantizationSection,
  rangesSection,
} from "./network.ts";
import { page, type Section } from "./page.ts";
import { breakable, figure, name, percentOf, table, type Tile, tiles } from "./parts.ts";
import { type IntervalRow, intervals } from "./intervals.ts";
import { type Word, words } from "./words.ts";

/** A build, as it lies in its folder. */
export interface Build {
  readonly report: Report;
  readonly plans: Plans;
  /** Where it was read from. */
  readonly path: string;
}

/** @param history of a baseline, behind the builds; a page may be of it alone */
export function buildPage(
  builds: readonly Build[],
  { history }: { history?: History | undefined } = {},
): string {
  const historySections = history === undefined ? [] : [historySection(history, "history")];
  const [only] = builds;
  const sources = builds.map(({ path }, i) => [i === 0 ? " from " : ", ", name(path)]);
  const footer = html`Made by UNfold${sources}. This file is complete in itself and loads nothing.`;
  const words = wordsSection(builds, history !== undefined);
  if (builds.length === 1 && only !== undefined) {
    return page({
      title: only.report.model,
      lead: headOf(builds),
      made: madeOf(only.report),
      sections: [
        { id: "result", title: "Result", body: tiles(tilesOf(only.report)) },
        ...partsOf(only, ""),
        ...historySections,
        words,
      ],
      footer,
    });
  }
  const titles = titlesOf(builds);
  const sections = builds.map((build, i): Section => ({
    id: `build-${i + 1}`,
    title: titles[i]!,
    body: [
      html`<p class="muted">${madeOf(build.report)} ${name(build.path)}</p>`,
      tiles(tilesOf(build.report)),
    ],
    parts: partsOf(build, `build-${i + 1}-`),
  }));
  return page({
    title: builds.length === 0 ? "History" : `${builds.length} builds`,
    lead: headOf(builds),
    sections: [
      ...(builds.length === 0 ? [] : [overview(builds, titles)]),
      ...sections,
      ...historySections,
      words,
    ],
    footer,
  });
}

function partsOf({ report, plans }: Build, prefix: string): Section[] {
  return [
    latencySection(report, `${prefix}latency`),
    kernelsSection(report, plans, `${prefix}kernels`),
    foldSection(report, `${prefix}normalizations`),
    agreementSection(report, `${prefix}agreement`),
    rangesSection(report, `${prefix}ranges`),
    keptSection(report, `${prefix}kept`),
    quantizationSection(report, `${prefix}quantized`),
    int8Section(report, `${prefix}int8`),
    notExecutedSection(report, `${prefix}not-executed`),
    environmentSection(report, `${prefix}environment`),
  ].filter((section) => section !== null);
}

function tilesOf(report: Report): Tile[] {
  const { norms: { found, folded }, engines, latency, accuracy } = report;
  const [own, reference] = Object.values(engines);
  const other = Object.keys(engines)[1]?.toUpperCase();
  const items: Tile[] = [{ label: "Normalizations", figure: `${folded} of ${found}`, detail: "folded" }];
  if (own !== undefined && own.bytes !== null) {
    const against = reference?.kernels;
    items.push({
      label: "Kernels",
      figure: own.kernels ?? "unknown",
      detail: against === undefined
        ? undefined
        : `${other}: ${against ?? "unknown"}${
          against === null || own.kernels === null ? "" : ` (${percentOf(own.kernels / against, 0)})`
        }`,
    });
    items.push({
      label: "Plan",
      figure: own.bytes === null ? "not built" : bytes(own.bytes),
      detail: reference === undefined || reference.bytes === null
        ? undefined
        : `${other}: ${bytes(reference.bytes)}`,
    });
  }
  if (latency !== null) {
    items.push({
      label: latency.whyCpu === null ? "Time, GPU" : "Time, CPU",
      ...headline(latency),
    });
  }
  if (accuracy !== null) {
    const [[, value] = ["", 0], ...others] = Object.entries(accuracy);
    const last = others.at(-1);
    items.push({
      label: "Accuracy, folded",
      figure: `${(100 * value).toFixed(2)} %`,
      detail: last === undefined ? undefined : `${last[0].toUpperCase()}: ${(100 * last[1]).toFixed(2)} %`,
    });
  }
  return items;
}

/** What tells the builds apart; where model, precision and batch do not, a number does. */
function titlesOf(builds: readonly Build[]): string[] {
  const short = builds.map(({ report: { model, precision, batch } }) =>
    `${model}, ${precision}, batch ${batch}`
  );
  return short.map((title, i) => {
    const alike = short.flatMap((other, at) => other === title ? [at] : []);
    return alike.length === 1 ? title : `${title} (${alike.indexOf(i) + 1})`;
  });
}

function overview(builds: readonly Build[], titles: readonly string[]): Section {
  const timed = builds.flatMap(({ report }, i): IntervalRow[] => {
    const { latency } = report;
    return latency === null ? [] : [{
      label: titles[i]!,
      ratio: latency.ratio,
      low: latency.ratioLow,
      high: latency.ratioHigh,
      noiseLow: latency.noiseLow,
      noiseHigh: latency.noiseHigh,
      series: 0,
    }];
  });
  const kernels = ({ engines, environment: { tensorrt } }: Report): string =>
    tensorrt === null
      ? "not built"
      : Object.values(engines).map(({ kernels }) => kernels ?? "unknown").join(" / ");
  return {
    id: "overview",
    title: "Overview",
    body: [
      timed.length === 0 ? null : figure({
        id: "overview-ratios",
        title: "Time of the folded network against its reference",
        description: timed.map(({ label, ratio, low, high }) =>
          `${label}: ${percentOf(ratio)}, 95 % interval ${percentOf(low)} to ${percentOf(high)}.`
        ).join(" "),
        caption:
          "Dots are medians over loadings, lines their 95 % intervals, grey bands the reference against itself. " +
          "Left of 0 % the folded network takes less time.",
        draw: (canvas) => intervals(timed, canvas),
      }),
      table({
        caption: "All builds",
        columns: [
          { title: "network", breaks: true },
          { title: "folded", align: "right" },
          { title: "kernels", align: "right" },
          { title: "time", align: "right" },
        ],
        rows: builds.map(({ report }, i) => [
          html`<a href="#build-${i + 1}">${breakable(titles[i]!)}</a>`,
          `${report.norms.folded} of ${report.norms.found}`,
          kernels(report),
          report.latency === null ? "not timed" : shortVerdict(report.latency),
        ]),
      }),
    ],
  };
}

function wordsSection(builds: readonly Build[], hasHistory: boolean): Section {
  const used: Word[] = builds.length === 0
    ? []
    : ["folding", "kernel", "normalizationKernel", "plan", "agreement"];
  if (builds.some(({ report }) => timedNetworks(report).length > 0)) {
    used.push("paired", "interval", "noise", "percentiles");
  }
  if (builds.some(({ report }) => report.latency?.whyCpu)) used.push("cpu");
  if (hasHistory) used.push("change");
  return { id: "words", title: "Words", body: words(used) };
}
