/** The report for people: what a terminal shows after a build. Pure text; colour is the caller's. */
import { listed, quoted } from "../text.ts";
import { basename } from "node:path";
import { isNarrow } from "../ir/dtype.ts";
import type { NormFamily } from "../norms/families.ts";
import { percent } from "./metrics.ts";
import {
  bytes,
  fates,
  INT8_TARGET_LABEL,
  keptTexts,
  label,
  rangesText,
  rangeText,
  turns,
} from "./phrases.ts";
import { passGroups, passLines } from "./passes.ts";
import { calibrationText } from "./quantization.ts";
import type { PhaseName } from "./phases.ts";
import type { CheckpointReport, GateReport, Report, StateDictReport } from "./report.ts";
import { hanging } from "./table.ts";

type Style = (text: string, style: "bold" | "dim" | "green" | "yellow") => string;

const VERDICT_STYLE = { faster: "green", slower: "yellow", "no difference shown": "dim" } as const;

export interface SummaryOptions {
  /** The folder of the build. */
  readonly out: string;
  readonly style: Style;
  /** Whether to list the compiler's passes; false unless given. */
  readonly verbose?: boolean;
}

/** Shapes a report into a page of at most some forty lines, and the passes where they are asked for. */
export function summarize(report: Report, { out, style, verbose = false }: SummaryOptions): string {
  return [
    `${style(report.model, "bold")}  ${report.precision}, batch ${report.batch}${
      Object.entries(report.dims ?? {}).map(([name, size]) => `, ${name} = ${size}`).join("")
    }`,
    ...checkpoint(report, style),
    "",
    ...norms(report, style),
    ...keptTexts(report).flatMap((text, i) => hanging((i === 0 ? "Kept in" : "").padEnd(17), text)),
    "",
    ...agreement(report),
    ...ranges(report, style),
    "",
    ...engines(report, style),
    ...quantization(report),
    ...int8(report),
    "",
    ...phases(report),
    ...verbose
      ? passGroups(report).flatMap(({ title, passes }) => ["", `Passes of ${title}`, ...passLines(passes)])
      : [],
    "",
    ...untested(report, style),
    `Files in ${out}/: ${files(report)}`,
    ...notes(report).map((note) => style(`note: ${note}`, "yellow")),
  ].join("\n");
}

/** Which was taken, where there was a choice. */
function stateDictLine(choice: StateDictReport | null | undefined): string[] {
  return choice === null || choice === undefined || choice.others.length === 0
    ? []
    : [`  state dict: ${quoted(choice.key)}; also there: ${listed(choice.others)} (--state says which)`];
}

function checkpoint({ checkpoint, engines }: Report, style: Style): string[] {
  // Weights of a described network: those of the first, which is the folded one; the reference has its own.
  if (checkpoint === null) return stateDictLine(Object.values(engines)[0]?.stateDict);
  const { path, format, stateDict, prefix, settled = [], ignored, quantized = [] } = checkpoint;
  const assumed = settled.filter(({ basis }) => basis === "assumed");
  return [
    `read as ${style(format, "bold")}: ${path}`,
    ...stateDictLine(stateDict),
    ...prefix === "" ? [] : [`  names: without the prefix ${quoted(prefix)}, which all have`],
    ...assumed.flatMap(({ name, value, why }) =>
      hanging("  assumed: ", `${name} ${value}: ${why}`).map((line) => style(line, "yellow"))
    ),
    ...byReason("in eight bits", quantized),
    ...byReason("ignored", ignored).map((line) => style(line, "dim")),
  ];
}

/** Each reason, with the first of its tensors. */
function byReason(what: string, tensors: CheckpointReport["ignored"]): string[] {
  return [...Map.groupBy(tensors, ({ why }) => why)].flatMap(([why, alike]) => {
    const shown = alike.slice(0, 3).map(({ name }) => name).join(", ");
    const more = alike.length > 3 ? ` and ${alike.length - 3} more` : "";
    return hanging(`  ${what}: `, `${shown}${more}: ${why}`);
  });
}

function norms({ norms: { found, folded, remaining, where } }: Report, style: Style): string[] {
  const counts = `${found} found, ${folded} folded, ${remaining} remaining`;
  const width = Math.max(0, ...where.map(({ norm }) => norm.length));
  const { texts, shared } = fates(where);
  return [
    `Normalizations   ${style(counts, remaining === 0 ? "green" : "yellow")}`,
    ...where.map(({ norm, refused }, i) =>
      `  ${norm.padEnd(width)}  ${style(texts[i]!, refused ? "yellow" : "dim")}`
    ),
    ...shared.map((line) => `  ${style(line, "yellow")}`),
  ];
}

function agreement({ parity, accuracy, precision, checkpoint }: Report): string[] {
  if (parity === null) return ["Agreement        not looked at"];
  const line = (d: { maxAbsError: number; maxRelError: number }) =>
    `largest difference ${d.maxAbsError.toExponential(1)}, relative ${d.maxRelError.toExponential(1)}`;
  const lines = [`Agreement        folded: ${line(parity)}`, `                 with ${parity.against}`];
  if (checkpoint !== null && parity.agrees === null) {
    lines.push("                 which says nothing of whether that is the file's network: see assumed");
  }
  if (parity.emitted) {
    lines.push(`                 as emitted in ${parity.emitted.precision}: ${line(parity.emitted)}`);
  }
  if (parity.reference) lines.push(`                 reference: ${line(parity.reference)}`);
  if (!parity.emitted && !parity.problem && isNarrow(precision)) {
    lines.push(
      `                 as emitted in ${precision}: not run`,
    );
  }
  if (accuracy) {
    const scores = Object.entries(accuracy).map(([name, value]) =>
      `${label(name)} ${(100 * value).toFixed(2)} %`
    );
    lines.push(`Accuracy         ${scores.join(", ")}`);
  }
  return lines;
}

/** Tensors of a network that the summary names; the report has all. */
const MOST_TENSORS = 4;

/** What comes near the end of fp16 or bf16, by name, for each network. */
function ranges({ ranges }: Report, style: Style): string[] {
  if (!ranges) return [];
  return Object.entries(ranges.networks).flatMap(([family, network], i) => {
    if (network === undefined) return [];
    const { troubled } = network;
    const head = i === 0 ? `Range in ${ranges.precision}`.padEnd(17) : " ".repeat(17);
    const worst = troubled.toSorted((a, b) => (b.largest ?? Infinity) - (a.largest ?? Infinity));
    const listed = worst.slice(0, MOST_TENSORS).map((range) =>
      style(`                   ${rangeText(range)}`, range.verdict === "overflows" ? "yellow" : "dim")
    );
    const omitted = worst.length - listed.length;
    return [
      `${head}${family.toUpperCase()} ${rangesText(network, ranges)}`,
      ...listed,
      ...omitted > 0 ? [style(`                   and ${omitted} more in report.json`, "dim")] : [],
    ];
  });
}

/** What stood in for what. */
function untested({ notExecuted = [] }: Report, style: Style): string[] {
  return notExecuted.flatMap((text, i) =>
    hanging((i === 0 ? "Not executed" : "").padEnd(17), text).map((line) => style(line, "dim"))
  );
}

function engines({ engines, latency, targets }: Report, style: Style): string[] {
  const families = Object.keys(engines) as NormFamily[];
  const row = (name: string, cell: (family: NormFamily) => string) =>
    name.padEnd(25) + families.map((family) => cell(family).padStart(14)).join("");
  const count = (value: number | null) => value === null ? "unknown" : String(value);
  const isBuilt = families.every((family) => engines[family]!.path !== null);
  const lines = isBuilt
    ? [
      row("Engines", (family) => family.toUpperCase()),
      ...targets?.length ? [`  for compute capability ${targets.join(", ")}`] : [],
      row("  plan", (family) => bytes(engines[family]!.bytes!)),
      row("  kernels", (family) => count(engines[family]!.kernels)),
      row("  normalization kernels", (family) => count(engines[family]!.normalizationKernels)),
    ]
    : [row("ONNX alone", (family) => family.toUpperCase())];
  lines.push(row("  ONNX", (family) => bytes(engines[family]!.onnx.bytes)));
  if (latency === null) return lines;
  lines.push(
    `Latency, ${latency.backend}, ${latency.precision}, batch ${latency.batch}, ${turns(latency)}`,
    row("  median", (family) => `${latency[family]!.medianMs.toFixed(3)} ms`),
    row("  95th percentile", (family) => `${latency[family]!.p95Ms.toFixed(3)} ms`),
    `  time against the reference ${percent(latency.ratio)}, 95 % interval ${percent(latency.ratioLow)} to ` +
      `${percent(latency.ratioHigh)}; the reference against itself ${percent(latency.noiseLow)} to ` +
      `${percent(latency.noiseHigh)}: ${style(latency.verdict, VERDICT_STYLE[latency.verdict])}`,
  );
  if (latency.whyCpu !== null) {
    lines.push(style(`  On the CPU, since ${latency.whyCpu}.`, "dim"));
    lines.push(
      style(
        "  A CPU spends a few per cent of its time in normalizations; the gain a GPU sees is in kernels.",
        "dim",
      ),
    );
  }
  lines.push(...latency.warnings.map((warning) => style(`  warning: ${warning}`, "yellow")));
  return lines;
}

function quantization({ quantization }: Report): string[] {
  if (!quantization) return [];
  const { to, placement, networks, calibration, biasCorrection } = quantization;
  const lines = Object.entries(networks).flatMap(([family, { products, quantized, gate, inFloat }]) => [
    `${family}: ${quantized} of ${products} products (${placement})${gate === null ? ", not run" : ""}`,
    ...gate === null ? [] : [`emulated: ${effectOf(gate)}`],
    ...inFloat.map(({ name }) => `${name} stays in fp16`),
  ]);
  const [smooth] = Object.values(networks).map(({ smoothQuant }) => smoothQuant);
  const methods = calibrationText({ calibration, smoothQuant: smooth, biasCorrection });
  if (methods !== "") lines.push(`ranges ${methods}`);
  return ["", ...lines.map((line, i) => `${(i === 0 ? `In ${to}` : "").padEnd(17)}${line}`)];
}

const share = (value: number) => `${(100 * value).toFixed(2)} %`;

function effectOf({ outputError, accuracy }: GateReport): string {
  return `outputs move by ${share(outputError)}` +
    (accuracy === null ? "" : `, accuracy ${share(accuracy.quantized)} (fp32 ${share(accuracy.fp32)})`);
}

function int8({ int8 }: Report): string[] {
  if (!int8) return [];
  const { gate, latency, onnx, inFloat, target, sums } = int8;
  const kept = inFloat.length === 0 ? "" : `; in float: ${inFloat.map(({ name }) => name).join(", ")}`;
  const lines = [
    "",
    `Int8             ${int8.quantized} of ${int8.products} products, ranges of ${int8.samples} sample inputs ${
      calibrationText(int8)
    }`.trimEnd() + kept,
    ...target && sums
      ? [`                 for ${INT8_TARGET_LABEL[target]}; its whole numbers are exact on this one`]
      : [],
    `                 ${bytes(onnx.bytes)}, outputs move by ${share(gate.outputError)}` +
    (gate.accuracy === null
      ? `, ${share(gate.limit)} allowed`
      : `; accuracy ${share(gate.accuracy.int8)}, in fp32 ${share(gate.accuracy.fp32)}, of ` +
        `${gate.accuracy.examples} examples; ${gate.limit} points of loss allowed`),
  ];
  if (latency !== null) {
    lines.push(
      `                 ${latency.backend}, batch ${latency.batch}: ${latency.medianMs.toFixed(3)} ms, ` +
        `${latency.ratio.toFixed(3)} of the time in fp32, 95 % interval ${latency.ratioLow.toFixed(3)} to ` +
        `${latency.ratioHigh.toFixed(3)}, ${latency.rounds} rounds in turns`,
    );
  }
  return lines;
}

/** Time and peak memory of each phase, in order: one figure for all networks, or one per network. */
function phases({ phases, engines }: Report): string[] {
  const families = Object.keys(engines) as NormFamily[];
  const row = (name: string, cells: readonly string[]) =>
    name.padEnd(19) + cells.map((cell) => cell.padStart(20)).join("");
  const rows = [...Map.groupBy(phases, ({ phase }) => phase)].map(([name, costs]) => {
    const columns = costs.some(({ network }) => network === null) ? [null] : families;
    const cells = columns.map((column) => {
      const cost = costs.find(({ network }) => network === column);
      return cost === undefined ? "" : `${seconds(cost.ms)}, ${bytes(cost.peakBytes)}`;
    });
    return row(`  ${PHASE_TEXT[name]}`, cells);
  });
  return [row("Time, peak memory", families.map((family) => family.toUpperCase())), ...rows];
}

const PHASE_TEXT: Readonly<Record<PhaseName, string>> = {
  describe: "describe, fold",
  round: "look for overflows",
  locate: "find TensorRT",
  emit: "read weights",
  build: "build",
  write: "write plan",
  quantize: "quantize",
  onnx: "write ONNX",
  compare: "compare outputs",
  time: "time",
};

function seconds(ms: number): string {
  return ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}

/** What a reader must know to take the figures for what they are. */
function notes({ engines, parity, environment: { tensorrt } }: Report): string[] {
  const untrained = Object.entries(engines).filter(([, { trained }]) => !trained).map((
    [family, { weights }],
  ) =>
    `${family.toUpperCase()} was not trained (${weights}): of its figures only sizes, kernels and latency mean something`
  );
  const unread = Object.entries(engines).flatMap(([family, { unknown }]) =>
    unknown === null ? [] : [`the kernels of ${family}.plan are unknown: ${unknown}`]
  );
  const untested = tensorrt === null || tensorrt.flavour === "rtx"
    ? []
    : [`UNfold's tests have not run Enterprise TensorRT (${tensorrt.version}): check the engine's outputs`];
  return [
    ...parity?.problem ? [parity.problem] : [],
    ...untrained,
    ...unread,
    ...untested,
  ];
}

function files({ engines, int8 }: Report): string {
  const networks = Object.entries(engines).flatMap(([family, { path }]) => [
    ...path === null ? [] : [`${family}.plan`],
    `${family}.onnx`,
  ]);
  return [...networks, ...int8 ? [basename(int8.onnx.path)] : [], "report.json"].join(" ");
}
