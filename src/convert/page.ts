/** A conversion as a page: what each normalization is like, what taking them out costs, what was fitted. */
import {
  costLine,
  dots,
  figure,
  Html,
  html,
  legend,
  name,
  note,
  page,
  type Section,
  table,
  tiles,
} from "../report/html/mod.ts";
import { NORMS } from "../norms/families.ts";
import type { ConvertReport, Point } from "./report.ts";

export function conversionPage(report: ConvertReport): string {
  const { model, weights, samples, notes, normalizations, steps } = report;
  const sections: Section[] = [
    { id: "result", title: "Result", body: resultOf(report) },
    { id: "curve", title: "What taking them out costs", body: curveOf(report) },
    { id: "normalizations", title: "Normalizations", body: normalizationsOf(report) },
    ...steps.some(({ refitted, left }) => refitted.length + left.length > 0)
      ? [{ id: "products", title: "Products fitted anew", body: productsOf(report) }]
      : [],
  ];
  return page({
    title: `${model}, converted`,
    lead: `${normalizations.length} times ${NORMS[report.family].label}, taken out without training.`,
    made: html`Weights: ${
      name(weights)
    }. ${samples.fitted} samples were fitted to; ${samples.judged} judge: ${samples.judgedBy}.`,
    sections,
    footer: html`Made by UNfold in ${report.seconds.toFixed(0)} s. ${
      notes.map((words) => `${words[0]!.toUpperCase()}${words.slice(1)}. `)
    }Nothing here was run on a GPU. This file is complete in itself and loads nothing.`,
  });
}

const short = (value: number) => value.toFixed(3);
const percent = (share: number) => `${(100 * share).toFixed(2)}\u00a0%`;

function resultOf({ chosen, original, normalizations }: ConvertReport) {
  if (chosen === null) return note("No normalization can be taken out within the limits.", { warn: true });
  return tiles([
    {
      label: "taken out",
      figure: `${chosen.removed} of ${normalizations.length}`,
      detail: chosen.kept === 0 ? "all of them fold" : `${chosen.kept} stay as they were trained`,
    },
    { label: "relative error of the output", figure: short(chosen.outputError) },
    { label: "mean cosine to the original's", figure: short(chosen.cosine) },
    ...chosen.spearman === null ? [] : [{
      label: "rank correlation of similarities",
      figure: short(chosen.spearman),
      detail: "of all pairs of samples (Spearman)",
    }],
    ...chosen.accuracy === null ? [] : [{
      label: "accuracy",
      figure: percent(chosen.accuracy),
      detail: `${percent(original.accuracy!)} before`,
    }],
  ]);
}

function curveOf({ curve, chosen, original, order }: ConvertReport) {
  const across = "normalizations left";
  const line = (
    id: string,
    title: string,
    costOf: (point: Point) => number,
    label: (cost: number) => string,
  ) =>
    figure({
      id,
      title,
      description: `With ${curve[0]!.kept} left ${label(costOf(curve[0]!))}, with ${
        curve.at(-1)!.kept
      } left ${label(costOf(curve.at(-1)!))}.`,
      caption: chosen === null
        ? "One taken out behind the other; on samples that nothing was fitted to."
        : "One taken out behind the other; on samples that nothing was fitted to. The square is what was written: the " +
          "same ones taken out in the order in which they are computed.",
      draw: (canvas) =>
        costLine(curve.map((point) => ({ left: point.kept, cost: costOf(point) })), {
          across,
          chosen: chosen && { left: chosen.kept, cost: costOf(chosen) },
          canvas,
          label,
        }),
    });
  const row = (point: Point, what: string) => [
    what,
    String(point.kept),
    short(point.outputError),
    short(point.cosine),
    ...original.spearman === null ? [] : [short(point.spearman!)],
    ...original.accuracy === null ? [] : [percent(point.accuracy!)],
  ];
  const number = (title: string) => ({ title, align: "right" as const });
  return [
    line("error", "Relative error of the output", ({ outputError }) => outputError, String),
    original.accuracy === null
      ? null
      : line("accuracy", "Accuracy", ({ accuracy }) => 100 * accuracy!, (cost) => `${+cost.toFixed(2)} %`),
    table({
      caption: "One taken out behind the other: always what costs least then",
      columns: [
        { title: "taken out", isName: true },
        number("left"),
        number("output error"),
        number("cosine"),
        ...original.spearman === null ? [] : [number("Spearman")],
        ...original.accuracy === null ? [] : [number("accuracy")],
      ],
      rows: [
        ...curve.map((point, i) => row(point, order[i]!)),
        ...chosen === null ? [] : [row(chosen, "as written")],
      ],
    }),
  ];
}

function normalizationsOf({ normalizations, original }: ConvertReport) {
  const hasFirst = normalizations.some(({ variationBehindFirst }) => variationBehindFirst !== null);
  const mark = (series: number, shape: string) => new Html(`<${shape} fill="var(--series-${series})"/>`);
  return [
    figure({
      id: "variation",
      title: "How much what rows are divided by varies",
      description: "The coefficient of variation of the deviation over all rows, for each normalization" +
        (hasFirst ? ", with and without each sample's first row." : "."),
      caption: "Standard deviation over mean. At 0 a scale and a shift per channel would be exact.",
      legend: hasFirst
        ? legend([
          { mark: mark(0, 'circle cx="7" cy="7" r="5"'), label: "all rows" },
          {
            mark: mark(1, 'rect x="3" y="3" width="8" height="8"'),
            label: "without each sample's first, a class token for instance",
          },
        ])
        : null,
      draw: (canvas) =>
        dots(
          normalizations.map(({ scope, variation, variationBehindFirst }) => ({
            label: scope,
            values: [variation, variationBehindFirst],
          })),
          { unit: "coefficient of variation", canvas },
        ),
    }),
    figure({
      id: "largest",
      title: "The largest channel over the median one",
      description: "Root mean squares of channels, for each normalization.",
      draw: (canvas) =>
        dots(
          normalizations.map(({ scope, largestOverMedian }) => ({
            label: scope,
            values: [largestOverMedian],
          })),
          { unit: "times", canvas },
        ),
    }),
    table({
      caption: "In the order in which they are computed; the last columns are with this one alone taken out",
      columns: [
        { title: "normalization", isName: true },
        { title: "varies", align: "right" },
        { title: "without first", align: "right" },
        { title: "largest channel", align: "right" },
        { title: "rows", align: "right" },
        { title: "output error", align: "right" },
        ...original.accuracy === null ? [] : [{ title: "accuracy", align: "right" as const }],
      ],
      rows: normalizations.map((one) => [
        one.scope,
        short(one.variation),
        one.variationBehindFirst === null ? "–" : short(one.variationBehindFirst),
        `${one.largestOverMedian.toFixed(1)} times`,
        one.rows.toLocaleString("en"),
        short(one.alone.outputError),
        ...one.alone.accuracy === null ? [] : [percent(one.alone.accuracy)],
      ]),
    }),
  ];
}

function productsOf({ steps }: ConvertReport) {
  return table({
    caption: "Squared error of what the original network gave there, on samples held back, before and after",
    columns: [
      { title: "products", isName: true },
      { title: "ridge", align: "right" },
      { title: "before", align: "right" },
      { title: "after", align: "right" },
    ],
    rows: steps.flatMap(({ refitted, left }) => [
      ...refitted.map(({ products, ridge, errorBefore, errorAfter }) => [
        products.join(" "),
        ridge === null ? "as it was" : String(ridge),
        errorBefore.toFixed(4),
        errorAfter.toFixed(4),
      ]),
      ...left.map((why) => [why, "not fitted", "", ""]),
    ]),
  });
}
