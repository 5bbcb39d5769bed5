/** The latency of a build: distributions, paired ratios, figures, and what weakens them. */
import { NORM_FAMILIES, type NormFamily } from "../../norms/families.ts";
import { outliers, pairedRatios, percentile } from "../../run/statistics.ts";
import type { LatencyReport, Report, TimingReport } from "../report.ts";
import { turns } from "../phrases.ts";
import { type Content, html } from "./markup.ts";
import type { Section } from "./page.ts";
import { badge, figure, milliseconds, note, percentOf, table, type Tile } from "./parts.ts";
import { distributions, MOST_DOTS, roundRatios, type Samples } from "./plots.ts";

export interface TimedNetwork {
  readonly family: NormFamily;
  readonly label: string;
  readonly timing: TimingReport;
}

/** In the order of the engines: the folded network, then its reference. */
export function timedNetworks({ engines, latency }: Report): readonly TimedNetwork[] {
  const order = [...new Set([...Object.keys(engines) as NormFamily[], ...NORM_FAMILIES])];
  return order.flatMap((family) => {
    const timing = latency?.[family];
    return timing === undefined ? [] : [{ family, label: family.toUpperCase(), timing }];
  });
}

function verdictBadge(verdict: LatencyReport["verdict"]) {
  return badge(verdict, verdict === "faster" ? "good" : verdict === "slower" ? "bad" : "even");
}

/** What is read first of the times: the ratio where it is a result, else that none was shown. */
export function headline(latency: LatencyReport): Pick<Tile, "figure" | "isQuiet" | "detail"> {
  const { ratio, verdict } = latency;
  return verdict === "no difference shown"
    ? { figure: verdict, isQuiet: true, detail: interval(latency) }
    : { figure: percentOf(ratio), detail: html`${interval(latency)}<br>${verdictBadge(verdict)}` };
}

/** The same in a cell of a table. */
export function shortVerdict(latency: LatencyReport): Content {
  const badge = verdictBadge(latency.verdict);
  return latency.verdict === "no difference shown"
    ? html`${badge}<br><span class="muted small">${interval(latency)}</span>`
    : html`${percentOf(latency.ratio)}<br>${badge}`;
}

const interval = ({ ratioLow, ratioHigh }: LatencyReport) =>
  `${percentOf(ratioLow)} to ${percentOf(ratioHigh)}`;

/** One sentence: the ratio, its interval, the noise. */
function ratioSentence({ ratio, ratioLow, ratioHigh, noiseLow, noiseHigh }: LatencyReport): string {
  return `${percentOf(ratio)} time against the reference, 95 % interval ${percentOf(ratioLow)} to ` +
    `${percentOf(ratioHigh)}; the reference against itself ${percentOf(noiseLow)} to ${percentOf(noiseHigh)}`;
}

/** Null where a build measured none. */
export function latencySection(report: Report, id: string): Section | null {
  const { latency } = report;
  if (latency === null) return null;
  const networks = timedNetworks(report);
  const [primary, reference] = networks;
  if (primary === undefined || reference === undefined) return null;
  const { backend, precision, batch, whyCpu } = latency;
  const cpu = whyCpu === null
    ? null
    : note(html`<p>Timed on the CPU, since ${whyCpu}. These are not GPU times and do not
predict them; the gain a GPU sees is in kernels, below.</p>`);
  const warnings = latency.warnings.length === 0 ? null : note(
    html`
      <p>What makes these figures less sure:</p>
      <ul>${latency.warnings.map((text) => html`<li>${text}</li>`)}</ul>
    `,
    {
      warn: true,
    },
  );
  return {
    id,
    title: "Latency",
    body: [
      html`
        <p>${verdictBadge(latency.verdict)} ${ratioSentence(latency)}.</p>
        <p class="muted">${backend}, ${precision}, batch ${batch}; ${turns(latency)}.</p>
      `,
      cpu,
      warnings,
      distributionFigure(networks, id),
      ratioFigure({ latency, primary, reference, id }),
      timesTable(networks),
    ],
  };
}

function distributionFigure(networks: readonly TimedNetwork[], id: string): Content {
  const samples = networks.map(({ label, timing }, series): Samples => ({
    label,
    series,
    samplesMs: timing.samplesMs,
  }));
  return figure({
    id: `${id}-distribution`,
    title: "All times, by contender",
    description: networks.map(({ label, timing: { samplesMs } }) =>
      `${label}: ${samplesMs.length} samples, median ${
        milliseconds(percentile(samplesMs, 50))
      }, 99th percentile ` +
      `${milliseconds(percentile(samplesMs, 99))}.`
    ).join(" "),
    caption:
      "Bars count samples, ticks are single ones; the long mark is the median, short marks the 90th, 95th and " +
      "99th percentile.",
    draw: (canvas) => distributions(samples, canvas),
  });
}

function ratioFigure(
  { latency, primary, reference, id }: {
    latency: LatencyReport;
    primary: TimedNetwork;
    reference: TimedNetwork;
    id: string;
  },
): Content {
  const [primaryMs, referenceMs] = [primary.timing.samplesMs, reference.timing.samplesMs];
  // Rounds are pairs; a report whose samples are none says nothing of single rounds.
  if (primaryMs.length !== referenceMs.length) return null;
  const ratios = [...pairedRatios(primaryMs, referenceMs)];
  const faster = ratios.filter((ratio) => ratio < 1).length;
  const drawnOnly = ratios.length > MOST_DOTS
    ? ` ${MOST_DOTS} of ${ratios.length} rounds are drawn; all count.`
    : "";
  return figure({
    id: `${id}-ratios`,
    title: `${primary.label} divided by ${reference.label}, round by round`,
    description: `${faster} of ${ratios.length} rounds favour ${primary.label}. ${ratioSentence(latency)}.`,
    caption:
      `Each dot is one round; below 0 % ${primary.label} took less time. The line is the median over loadings, the coloured ` +
      "band its 95 % interval, the grey band the reference against itself; triangles are rounds beyond the picture." +
      drawnOnly,
    draw: (canvas) =>
      roundRatios({
        ratios,
        median: latency.ratio,
        low: latency.ratioLow,
        high: latency.ratioHigh,
        noiseLow: latency.noiseLow,
        noiseHigh: latency.noiseHigh,
      }, canvas),
  });
}

function timesTable(networks: readonly TimedNetwork[]): Content {
  const row = (title: string, cell: (samplesMs: readonly number[], timing: TimingReport) => string) => [
    title,
    ...networks.map(({ timing }) => cell(timing.samplesMs, timing)),
  ];
  const at = (percent: number) => (samplesMs: readonly number[]) =>
    milliseconds(percentile(samplesMs, percent));
  return table({
    caption: "Time per call; compared within this run only",
    columns: [
      { title: "of all samples" },
      ...networks.map(({ label }) => ({ title: label, align: "right" as const })),
    ],
    rows: [
      row("fastest", at(0)),
      row("median", at(50)),
      row("90th percentile", at(90)),
      row("95th percentile", at(95)),
      row("99th percentile", at(99)),
      row("variation", (_, { coefficientOfVariation }) => `${(100 * coefficientOfVariation).toFixed(1)} %`),
      row("outliers, mild and extreme", (samplesMs) => {
        const { mild, extreme } = outliers(samplesMs);
        return `${mild.length} + ${extreme.length}`;
      }),
    ],
  });
}
