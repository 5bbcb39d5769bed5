/** The report of `deno task bench` as a page: ratios with intervals, networks' times, structure, parity. */
import { bytes, minuteOf } from "../report/phrases.ts";
import {
  badge,
  breakable,
  type Content,
  details,
  distributions,
  figure,
  html,
  type IntervalRow,
  intervals,
  meaning,
  milliseconds,
  name,
  note,
  page,
  percentOf,
  type Section,
  table,
  words,
} from "../report/html/mod.ts";
import {
  ALL_VARIANTS,
  type BenchCase,
  type BenchContender,
  type BenchRatio,
  type BenchReport,
  type BenchStructure,
  engineOf,
  inPrecision,
  structureLabel,
  variantLabel,
} from "./schema.ts";

export function benchPage(report: BenchReport): string {
  const { machine, startedAt, versions, cases, structure, notes } = report;
  const { own, reference } = [...cases, ...structure ?? []][0]?.families ?? { own: "un", reference: "ln" };
  const sections: Section[] = [];
  if (cases.length > 0) {
    sections.push(ratiosSection(cases), {
      id: "networks",
      title: "Times",
      body: html`<p>Milliseconds are this machine's at that hour: compare ratios, not times.</p>`,
      parts: cases.map((one) =>
        caseSection(one, `case-${one.model.replace(/[^A-Za-z0-9-]/g, "-")}-${one.batch}`)
      ),
    }, paritySection(cases));
  }
  if (structure !== null) sections.push(structureSection(structure));
  sections.push(environmentSection(report));
  if (notes.length > 0) {
    sections.push({
      id: "left-out",
      title: "Left out",
      body: html`<ul>${notes.map((one) => html`<li>${one}</li>`)}</ul>`,
    });
  }
  sections.push({
    id: "words",
    title: "Words",
    body: words([
      "folding",
      ...(cases.length > 0 ? ["cpu", "paired", "interval", "noise", "agreement"] as const : []),
      ...(structure === null ? [] : ["kernel", "normalizationKernel", "plan"] as const),
    ]),
  });
  return page({
    title: "Networks with and without their normalization",
    lead: own === reference
      ? `${meaning(own)}.`
      : `${meaning(own)}, folded into the linear layers around it; ${meaning(reference)}.`,
    made: html`${machine.cpu}, ${machine.threads} threads.<br>${minuteOf(startedAt)}, ${
      name(report.command)
    }, UNfold ${versions["unfold"] ?? ""}.`,
    sections,
    footer: "Made by UNfold. This file is complete in itself and loads nothing.",
  });
}

/** Two lines of a cell: what it is, and what to know of it. */
const withSmall = (text: Content, small: string) =>
  html`${text}<br><span class="muted small">${breakable(small)}</span>`;

const verdict = (one: BenchRatio["verdict"]) =>
  badge(one, one === "faster" ? "good" : one === "slower" ? "bad" : "even");

function ratiosSection(cases: readonly BenchCase[]): Section {
  const names = [...new Set(cases.flatMap(({ ratios }) => ratios.map((ratio) => ratio.name)))];
  const rows = cases.flatMap(({ model, batch, ratios, noise, contenders }) =>
    ratios.map((ratio): IntervalRow => ({
      label: ratio.name,
      group: `${model}, batch ${batch}, ${engineOf(ratio, contenders)}`,
      ratio: ratio.median,
      low: ratio.low,
      high: ratio.high,
      noiseLow: noise.low,
      noiseHigh: noise.high,
      series: names.indexOf(ratio.name),
    }))
  );
  return {
    id: "ratios",
    title: "Ratios",
    body: [
      note(
        html`<p>These are times on a CPU. They tell how much of its time a CPU saves, which is little where products are
      large, and whether a fold costs anything. They do not predict a GPU's times; what a GPU starts is counted from its
      compiled plan, and does not show in these times.</p>`,
      ),
      rows.length === 0 ? null : figure({
        id: "ratios-figure",
        title: "Time of the first over time of the second",
        description: rows.map(({ group, label, ratio, low, high }) =>
          `${group}, ${label}: ${percentOf(ratio)}, 95 % interval ${percentOf(low)} to ${percentOf(high)}.`
        ).join(" "),
        caption:
          "Dots are medians over loadings, lines their 95 % intervals, grey bands one contender against itself. " +
          "Left of 0 % the first takes less time.",
        draw: (canvas) => intervals(rows, canvas),
      }),
      table({
        caption: "Ratios of paired rounds, median over loadings",
        columns: [
          { title: "ratio", breaks: true },
          { title: "median, 95 % interval", align: "right" },
          { title: "verdict" },
        ],
        rows: cases.flatMap(({ model, batch, ratios, contenders }) =>
          ratios.map((ratio) => [
            withSmall(ratio.name, `${model}, batch ${batch}, ${engineOf(ratio, contenders)}`),
            withSmall(ratio.median.toFixed(3), `${ratio.low.toFixed(3)} to ${ratio.high.toFixed(3)}`),
            verdict(ratio.verdict),
          ])
        ),
      }),
    ],
  };
}

/** More panels than this are no picture. */
const MOST_PANELS = 8;

function caseSection(
  { model, title, families, batch, rounds, contenders, peak, skipped, warnings }: BenchCase,
  id: string,
): Section {
  const sorted = [...contenders].sort((a, b) => a.medianMs - b.medianMs);
  const shown = sorted.slice(0, MOST_PANELS);
  const label = (one: BenchContender) =>
    `${variantLabel(one.variant, families)}, ${one.engine}${inPrecision(one)}`;
  const remarks = [
    ...warnings,
    ...skipped.map(({ id, why }) => `left out: ${id}: ${why.replaceAll(/\s+/g, " ")}`),
  ];
  return {
    id,
    title: `${model}, batch ${batch}`,
    body: [
      html`
        <p
          class="muted">${title}; ${rounds} rounds in turns. The fastest matrix product, of ${peak
            .product}, ran at ${peak.gflopPerS
            .toFixed(0)} GFLOP/s in these rounds, ${peak.best.toFixed(0)} at best.</p>
      `,
      remarks.length === 0
        ? null
        : note(html`<ul>${remarks.map((one) => html`<li>${one}</li>`)}</ul>`, { warn: true }),
      table({
        caption: `Time per call, ${model}, batch ${batch}; the peak is the best rate of that matrix product`,
        columns: [
          { title: "contender", breaks: true },
          { title: "median, fastest", align: "right" },
          { title: "varies", align: "right" },
          { title: "of peak", align: "right" },
        ],
        rows: sorted.map((one) => [
          withSmall(variantLabel(one.variant, families), `${one.engine}, ${one.precision}`),
          withSmall(milliseconds(one.medianMs), milliseconds(one.minMs)),
          `${(100 * one.coefficientOfVariation).toFixed(1)} %`,
          `${(100 * one.utilization).toFixed(0)} %`,
        ]),
      }),
      shown.length === 0 ? null : details({
        summary: "All times, by contender",
        body: figure({
          id: `${id}-distribution`,
          title: `All times of ${model}, batch ${batch}`,
          description: shown.map((one) => `${label(one)}: median ${milliseconds(one.medianMs)}.`).join(" "),
          caption: sorted.length > shown.length
            ? `The ${shown.length} fastest of ${sorted.length} contenders.`
            : undefined,
          draw: (canvas) =>
            distributions(
              shown.map((one) => ({
                label: label(one),
                series: ALL_VARIANTS.indexOf(one.variant),
                samplesMs: one.samplesMs,
              })),
              canvas,
            ),
        }),
      }),
    ],
  };
}

function paritySection(cases: readonly BenchCase[]): Section {
  const all = cases.flatMap(({ contenders }) => contenders);
  const agree = all.filter(({ parity }) => parity.agrees).length;
  return {
    id: "parity",
    title: "Parity",
    body: [
      html`<p>${
        badge(`${agree} of ${all.length} agree`, agree === all.length ? "good" : "bad")
      } Outputs of each contender
      against the network as it was described, nothing rewritten.</p>`,
      details({
        summary: "All differences",
        body: table({
          caption: "Largest difference over largest output",
          columns: [
            { title: "contender", breaks: true },
            { title: "difference", align: "right" },
            { title: "bound", align: "right" },
            { title: "verdict" },
          ],
          rows: cases.flatMap(({ model, families, batch, contenders }) =>
            contenders.map(({ variant, engine, precision, parity }): Content[] => [
              `${model}, batch ${batch}: ${variantLabel(variant, families)}, ${engine}, ${precision}`,
              parity.maxRelError === null ? "cannot be compared" : parity.maxRelError.toExponential(1),
              parity.bound.toExponential(0),
              badge(parity.agrees ? "agrees" : "differs", parity.agrees ? "good" : "bad"),
            ])
          ),
        }),
      }),
    ],
  };
}

function structureSection(rows: readonly BenchStructure[]): Section {
  const isQuantized = rows.some(({ quantized }) => quantized !== undefined);
  return {
    id: "structure",
    title: "Structure on a GPU",
    body: [
      html`<p>What TensorRT's compiled plans start, and what normalizations read and write: counted, without noise and
      without a GPU. It does not say how long a kernel takes.</p>`,
      table({
        caption: "Kernels of compiled plans",
        columns: [
          { title: "network", breaks: true },
          { title: "kernels", align: "right" },
          { title: "of norms", align: "right" },
          ...isQuantized ? [{ title: "that quantize", align: "right" } as const] : [],
          { title: "plan", align: "right" },
        ],
        rows: rows.map((one) => [
          withSmall(structureLabel(one), `${one.model}, batch ${one.batch}, ${one.precision}`),
          one.none ?? one.kernels ?? "unknown",
          one.none === undefined
            ? withSmall(
              one.normalizationKernels ?? "unknown",
              one.normalizationBytes === null ? "" : bytes(one.normalizationBytes),
            )
            : "",
          ...isQuantized
            ? [withSmall(
              one.quantizationKernels ?? "",
              one.quantized === undefined ? "" : `${one.quantized.products} of ${one.quantized.of} products`,
            )]
            : [],
          one.planBytes === null ? "" : bytes(one.planBytes),
        ]),
      }),
    ],
  };
}

function environmentSection({ machine, versions, startedAt, command }: BenchReport): Section {
  return {
    id: "environment",
    title: "Environment",
    body: table({
      caption: "What made these figures",
      columns: [{ title: "what" }, { title: "value", breaks: true }],
      rows: [
        ["command", name(command)],
        ["started", minuteOf(startedAt)],
        ["processor", `${machine.cpu}, ${machine.cores} cores, ${machine.threads} threads`],
        ["load before", machine.loadAverage === null ? "unknown" : machine.loadAverage.toFixed(1)],
        ["system", machine.os],
        ...Object.entries(versions),
      ],
    }),
  };
}
