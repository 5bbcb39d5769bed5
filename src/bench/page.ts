/** The report of `deno task bench` as a page: the ratios of all cases at a glance, then case by case, then parity and plans. */
import {
  badge,
  type Content,
  distributions,
  figure,
  html,
  type IntervalRow,
  intervals,
  milliseconds,
  name,
  note,
  page,
  percentOf,
  type Samples,
  type Section,
  table,
  words,
} from "../report/html/mod.ts";
import {
  type BenchCase,
  type BenchContender,
  type BenchRatio,
  type BenchReport,
  type BenchStructure,
  VARIANT_LABELS,
} from "./schema.ts";

/** One HTML file, complete in itself. */
export function benchPage(report: BenchReport): string {
  const { machine, versions, cases, structure, notes } = report;
  const sections: Section[] = [
    ...(cases.length > 0 ? [ratioSection(cases)] : []),
    ...cases.map(caseSection),
    ...(cases.length > 0 ? [paritySection(cases)] : []),
    ...(structure === null ? [] : [structureSection(structure)]),
    {
      id: "words",
      title: "Words",
      body: words([
        "folding",
        "paired",
        "interval",
        "noise",
        "cpu",
        ...(structure === null ? [] : ["kernel", "normalizationKernel"] as const),
      ]),
    },
  ];
  const made = Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(", ");
  return page({
    title: "Latency",
    lead: html`${
      name(report.command)
    }<br>${machine.cpu}, ${machine.cores} cores, ${machine.threads} threads; ${
      report.startedAt.slice(0, 10)
    }`,
    sections,
    footer: html`${made}. ${
      notes.map((text) => `${text}. `)
    }This file is complete in itself and loads nothing.`,
  });
}

function ratioSection(cases: readonly BenchCase[]): Section {
  const rows = cases.flatMap((one) =>
    one.ratios.map((ratio): IntervalRow => ({
      label: `${engineOf(one, ratio)}: ${ratio.name}`,
      ratio: ratio.median,
      low: ratio.low,
      high: ratio.high,
      noiseLow: one.noise.low,
      noiseHigh: one.noise.high,
      series: ratio.numerator.includes("/onnxruntime/") ? 0 : 1,
      group: `${one.model}, batch ${one.batch}`,
    }))
  );
  return {
    id: "ratios",
    title: "Ratios",
    body: [
      note(
        html`<p>These are times of a CPU, which spends a few per cent of them in normalizations. They say little of a GPU,
where starts of kernels and memory decide.</p>`,
      ),
      rows.length === 0 ? null : figure({
        id: "ratios-all",
        title: "Time of the folded network against others",
        description: rows.map(({ group, label, ratio, low, high }) =>
          `${group}, ${label}: ${percentOf(ratio)}, 95 % interval ${percentOf(low)} to ${percentOf(high)}.`
        ).join(" "),
        caption:
          "Dots are medians of paired rounds, lines their 95 % intervals, grey bands the baseline against itself. " +
          "Left of 0 % the folded network takes less time.",
        draw: (canvas) => intervals(rows, canvas),
      }),
      table({
        caption: "All ratios; each within its own rounds",
        columns: [
          { title: "network" },
          { title: "engine" },
          { title: "ratio" },
          { title: "median", align: "right" },
          { title: "95 %", align: "right" },
          { title: "of least", align: "right" },
          { title: "" },
        ],
        rows: cases.flatMap((one) =>
          one.ratios.map((ratio) => [
            `${one.model}, batch ${one.batch}`,
            engineOf(one, ratio),
            ratio.name,
            ratio.median.toFixed(3),
            `${ratio.low.toFixed(3)} to ${ratio.high.toFixed(3)}`,
            ratio.ofMinima.toFixed(3),
            badge(
              ratio.verdict,
              ratio.verdict === "faster" ? "good" : ratio.verdict === "slower" ? "bad" : "even",
            ),
          ])
        ),
      }),
    ],
  };
}

function engineOf({ contenders }: BenchCase, { numerator, denominator }: BenchRatio): string {
  const [top, bottom] = [numerator, denominator].map((id) =>
    contenders.find((contender) => contender.id === id)!.engine
  );
  const precision = numerator.split("/")[2]!;
  return (top === bottom ? top! : `${top} / ${bottom}`) + (precision === "fp32" ? "" : `, ${precision}`);
}

const labelOf = ({ variant, engine, precision }: BenchContender): string =>
  `${VARIANT_LABELS[variant]}, ${engine}${precision === "fp32" ? "" : `, ${precision}`}`;

function caseSection(
  { model, title, batch, rounds, contenders, peak, skipped, warnings }: BenchCase,
): Section {
  const id = `case-${model}-${batch}`.replaceAll(/[^A-Za-z0-9]+/g, "-");
  const sorted = [...contenders].sort((a, b) => a.medianMs - b.medianMs);
  const engines = [...new Set(contenders.map(({ engine }) => engine))];
  const samples = sorted.map((contender): Samples => ({
    label: labelOf(contender),
    series: engines.indexOf(contender.engine),
    samplesMs: contender.samplesMs,
  }));
  const remarks = [...warnings, ...skipped.map(({ id, why }) => `left out: ${id}: ${why}`)];
  return {
    id,
    title: `${model}, batch ${batch}`,
    body: [
      html`<p>${title}; ${rounds} rounds. One large matrix product ran at ${
        peak.gflopPerS.toFixed(0)
      } GFLOP/s in these rounds, ${peak.best.toFixed(0)} at best.</p>`,
      table({
        caption: "Contenders, the fastest first; compared within this case only",
        columns: [
          { title: "contender" },
          { title: "median", align: "right" },
          { title: "least", align: "right" },
          { title: "varies by", align: "right" },
          { title: "GFLOP", align: "right" },
          { title: "of the product's rate", align: "right" },
        ],
        rows: sorted.map((contender) => [
          labelOf(contender),
          milliseconds(contender.medianMs),
          milliseconds(contender.minMs),
          `${(100 * contender.coefficientOfVariation).toFixed(1)} %`,
          contender.gflop.toFixed(2),
          `${(100 * contender.utilization).toFixed(0)} %`,
        ]),
      }),
      figure({
        id: `${id}-samples`,
        title: "All times, by contender",
        description: sorted.map((contender) =>
          `${labelOf(contender)}: median ${milliseconds(contender.medianMs)}.`
        ).join(" "),
        caption: "Bars count samples, ticks are single ones; the long mark is the median.",
        draw: (canvas) => distributions(samples, canvas),
      }),
      remarks.length === 0 ? null : note(
        html`
          <p>What makes these figures less sure, and what is missing:</p>
          <ul>${remarks.map((text) => html`<li>${text}</li>`)}</ul>
        `,
        { warn: true },
      ),
    ],
  };
}

function paritySection(cases: readonly BenchCase[]): Section {
  const cell = (contender: BenchContender): Content => {
    const { parity: { agrees, maxRelError } } = contender;
    const text = maxRelError === null ? "cannot be compared" : maxRelError.toExponential(1);
    return agrees ? text : html`${text} ${badge("differs", "bad")}`;
  };
  return {
    id: "parity",
    title: "Agreement",
    body: table({
      caption: "Largest relative difference from the network as it was described, nothing rewritten",
      columns: [{ title: "network" }, { title: "contender" }, { title: "difference", align: "right" }, {
        title: "rounding up to",
        align: "right",
      }],
      rows: cases.flatMap(({ model, batch, contenders }) =>
        contenders.map((contender) => [
          `${model}, batch ${batch}`,
          labelOf(contender),
          cell(contender),
          contender.parity.bound.toExponential(0),
        ])
      ),
    }),
  };
}

function structureSection(rows: readonly BenchStructure[]): Section {
  return {
    id: "structure",
    title: "Structure on a GPU",
    body: [
      html`<p>Kernels of TensorRT's compiled plans: what a GPU starts, and what its memory carries for normalizations. They
say what is saved, not how long it takes.</p>`,
      table({
        caption: "Plans",
        columns: [
          { title: "network" },
          { title: "variant" },
          { title: "kernels", align: "right" },
          { title: "of normalizations", align: "right" },
          { title: "their bytes", align: "right" },
        ],
        rows: rows.map((row) => [
          `${row.model}, ${row.precision}, batch ${row.batch}`,
          VARIANT_LABELS[row.variant],
          row.kernels ?? "unknown",
          row.normalizationKernels ?? "unknown",
          `${(row.normalizationBytes / 1e6).toFixed(1)} MB`,
        ]),
      }),
    ],
  };
}
