/** The report of `deno task bench` as Markdown: figures, their intervals, and what they cannot tell. */
import {
  type BenchCase,
  type BenchContender,
  type BenchReport,
  type BenchStructure,
  engineOf,
  type Families,
  inPrecision,
  isFileVariant,
  structureLabel,
  variantLabel,
} from "./schema.ts";

/** The whole report: a section per case, the ratios of all, the parity of all, the structure of plans. */
export function markdownOf(report: BenchReport): string {
  const { machine, versions, cases, structure, notes } = report;
  const load = machine.loadAverage === null ? "" : `, load ${machine.loadAverage.toFixed(1)} before`;
  const words = Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(", ");
  const sections = [
    `# Latency, ${report.startedAt.slice(0, 10)}`,
    `\`${report.command}\``,
    `${machine.cpu}, ${machine.cores} cores, ${machine.threads} threads${load}; ${words}.`,
  ];
  if (cases.length > 0) {
    sections.push(
      "Contenders took turns, in an order shuffled per round; a turn is one call that is not counted and one that is. All are loaded again and again; a ratio is the median over loadings, each the median of its paired rounds, with its 95 % " +
        "interval; below 1 the first is faster. Milliseconds are this machine's at that hour: compare ratios.",
      "## Ratios",
      ratioTable(cases),
      ...cases.flatMap(caseSection),
      "## Parity",
      "max |a - b| / max |b| of each contender's outputs against the network as it was described, nothing rewritten.",
      parityTable(cases),
    );
  }
  if (structure !== null) {
    sections.push(
      "## Structure on a GPU",
      "Kernels of TensorRT's compiled plan. They say what a GPU starts and, with the bytes of the normalizations, what its " +
        "memory carries for them; not how long it takes. Nothing of this shows in the times of a CPU above.",
      ...structure.some(({ variant }) => isFileVariant(variant)) ? [OF_FILES] : [],
      ...structure.some(({ quantized }) => quantized !== undefined) ? [OF_FEW_BITS] : [],
      structureTable(structure),
    );
  }
  if (notes.length > 0) sections.push("## Left out", notes.map((note) => `- ${note}`).join("\n"));
  return sections.join("\n\n") + "\n";
}

const OF_FILES =
  "NVIDIA's parser is given the exporter's file with its floats cast to the precision, one by one, where they are " +
  "stored in another, and the inputs' sizes fixed.";
const OF_FEW_BITS =
  "Quantized, the rest of a network is in fp16. A kernel that quantizes writes numbers of 8 bits or 4, whatever else " +
  "it does; products that do so in their epilogue are not counted there.";

function caseSection(
  { model, title, families, batch, rounds, contenders, noise, peak, skipped, warnings }: BenchCase,
) {
  const sorted = [...contenders].sort((a, b) => a.medianMs - b.medianMs);
  const baseline = contenders.find(({ id }) => id === noise.contender);
  const shown = [
    `## ${model}, batch ${batch}`,
    `${title}; ${rounds} rounds; ${nameOf(baseline, families)} against itself is within ${range(noise)}. ` +
    `The fastest matrix product, of ${peak.product}, ran at ${
      peak.gflopPerS.toFixed(0)
    } GFLOP/s in these rounds, ${peak.best.toFixed(0)} at best.`,
    markdownTable(
      [
        "contender",
        "engine",
        "median ms",
        "least ms",
        "varies by",
        "GFLOP",
        "of that, at best",
      ],
      sorted.map((contender) => [
        variantLabel(contender.variant, families) + inPrecision(contender),
        contender.engine,
        contender.medianMs.toFixed(2),
        contender.minMs.toFixed(2),
        percent(contender.coefficientOfVariation),
        contender.gflop.toFixed(2),
        percent(contender.utilization, 0),
      ]),
      2,
    ),
  ];
  const remarks = [
    ...skipped.map(({ id, why }) => `- left out: ${id}: ${why.replaceAll(/\s+/g, " ")}`),
    ...warnings.map((warning) => `- warning: ${warning}`),
  ];
  if (remarks.length > 0) shown.push(remarks.join("\n"));
  return shown;
}

function ratioTable(cases: readonly BenchCase[]): string {
  return markdownTable(
    ["network", "batch", "engine", "ratio", "median", "95 %", "of least", ""],
    cases.flatMap(({ model, batch, ratios, contenders }) =>
      ratios.map((ratio) => [
        model,
        String(batch),
        engineOf(ratio, contenders),
        ratio.name,
        ratio.median.toFixed(3),
        range(ratio),
        ratio.ofMinima.toFixed(3),
        ratio.verdict,
      ])
    ),
    4,
  );
}

function parityTable(cases: readonly BenchCase[]): string {
  return markdownTable(
    ["network", "batch", "contender", "engine", "precision", "largest difference", "bound", ""],
    cases.flatMap(({ model, families, batch, contenders }) =>
      contenders.map(({ variant, engine, precision, parity }) => [
        model,
        String(batch),
        variantLabel(variant, families),
        engine,
        precision,
        parity.maxRelError === null ? "cannot be compared" : parity.maxRelError.toExponential(1),
        parity.bound.toExponential(0),
        parity.agrees ? "agrees" : "**differs**",
      ])
    ),
    5,
  );
}

function structureTable(rows: readonly BenchStructure[]): string {
  const isQuantized = rows.some(({ quantized }) => quantized !== undefined);
  const count = (value: number | null | undefined) => value === undefined ? "" : value ?? "?";
  return markdownTable(
    [
      "network",
      "batch",
      "precision",
      "variant",
      "kernels",
      "of normalizations",
      "their bytes",
      ...isQuantized ? ["that quantize", "products quantized"] : [],
      "plan",
    ],
    rows.map(({ none, quantized, ...row }) => [
      row.model,
      String(row.batch),
      row.precision,
      structureLabel(row) + (none === undefined ? "" : `: ${none}`),
      ...none === undefined
        ? [
          count(row.kernels),
          count(row.normalizationKernels),
          row.normalizationBytes === null ? "?" : megabytes(row.normalizationBytes),
          ...isQuantized
            ? [count(row.quantizationKernels), quantized ? `${quantized.products} of ${quantized.of}` : ""]
            : [],
          row.planBytes === null ? "?" : megabytes(row.planBytes),
        ].map(String)
        : Array(isQuantized ? 6 : 4).fill("-"),
    ]),
    4,
  );
}

/** Columns from `right` on are numbers, on the right. */
function markdownTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  right: number,
): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const rule = head.map((_, i) => i < right || head[i] === "" ? "---" : "---:");
  return [line(head), line(rule), ...rows.map(line)].join("\n");
}

const nameOf = (contender: BenchContender | undefined, families: Families | undefined): string =>
  contender === undefined
    ? "the baseline"
    : `${variantLabel(contender.variant, families)} (${contender.engine}${inPrecision(contender)})`;

const percent = (share: number, digits = 1): string => `${(share * 100).toFixed(digits)} %`;

const range = ({ low, high }: { low: number; high: number }): string =>
  `${low.toFixed(3)} to ${high.toFixed(3)}`;

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
