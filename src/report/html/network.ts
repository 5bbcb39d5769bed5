/** What a build did to the network, and how exactly: folds, types, agreement, accuracy, machine. */
import { isNarrow } from "../../ir/dtype.ts";
import type { CheckpointReport, DifferenceReport, Report } from "../report.ts";
import { bytes, fatePhrase, INT8_TARGET_LABEL, keptTexts, label, rangesText } from "../phrases.ts";
import { calibrationText } from "../quantization.ts";
import { figuresOf, passGroups } from "../passes.ts";
import { type Content, type Html, html } from "./markup.ts";
import type { Section } from "./page.ts";
import { badge, breakable, details, name, note, percentOf, table } from "./parts.ts";

type Fold = Report["norms"]["where"][number];

export function foldSection({ norms: { found, folded, remaining, where } }: Report, id: string): Section {
  const families = [...new Set(where.map(({ family }) => family.toUpperCase()))];
  return {
    id,
    title: "Normalizations",
    body: [
      html`
        <p>${badge(`${folded} of ${found} folded`, remaining === 0 ? "good" : "even")} ${remaining === 0
          ? "None is left in the network."
          : `${remaining} remain, for the reasons below.`}</p>
      `,
      where.length === 0 ? null : table({
        caption: `Where each normalization went${families.length === 1 ? `; all are ${families[0]}` : ""}`,
        columns: [{ title: "normalization", isName: true }, { title: "what became of it", breaks: true }],
        rows: where.map((fold) => [
          fold.norm,
          html`${resultOf(fold)} ${families.length === 1 ? "" : `${fold.family.toUpperCase()}, `}${
            fatePhrase(fold).map((part) => typeof part === "string" ? breakable(part) : name(part.name))
          }`,
        ]),
      }),
    ],
  };
}

function resultOf({ folded, into }: Fold): Content {
  return folded ? badge("folded", "good") : into.length > 0 ? badge("in part", "even") : badge("kept", "bad");
}

/** Null where nothing was compared. */
export function agreementSection(
  { parity, accuracy, precision, checkpoint }: Report,
  id: string,
): Section | null {
  if (parity === null) return null;
  const row = (title: string, { maxAbsError, maxRelError, against, agrees }: DifferenceReport) => [
    html`${title}<br><span class="muted small">with ${breakable(against)}</span>`,
    maxAbsError.toExponential(1),
    maxRelError.toExponential(1),
    agrees === null ? "" : agrees ? badge("agrees", "good") : badge("differs", "bad"),
  ];
  const rows = [row(`folded, ${parity.precision}`, parity)];
  if (parity.emitted) rows.push(row(`as emitted, ${parity.emitted.precision}`, parity.emitted));
  if (parity.reference) rows.push(row("reference, fp32", parity.reference));
  return {
    id,
    title: "Agreement and accuracy",
    body: [
      parity.problem ? note(html`<p>${parity.problem}</p>`, { warn: true }) : null,
      !parity.emitted && !parity.problem && isNarrow(precision)
        ? note(
          html`<p>The network as emitted in ${precision} was not run.</p>`,
        )
        : null,
      table({
        caption: "Largest difference between outputs",
        columns: [
          { title: "network" },
          { title: "absolute", align: "right" },
          { title: "relative", align: "right" },
          { title: "verdict" },
        ],
        rows,
      }),
      checkpoint === null || parity.agrees !== null ? null : unproven(checkpoint),
      accuracy === null ? null : table({
        caption: "Top-1 accuracy on the model's labelled examples",
        columns: [{ title: "network" }, { title: "accuracy", align: "right" }],
        rows: Object.entries(accuracy).map(([key, value]) => [label(key), `${(100 * value).toFixed(2)} %`]),
      }),
    ],
  };
}

/** What such a comparison cannot see: the fold may be exact of a network that was guessed. */
function unproven({ settled = [] }: CheckpointReport): Html {
  const assumed = settled.filter(({ basis }) => basis === "assumed");
  return note(html`
    <p>This says nothing of whether the network is the file's${assumed.length === 0
      ? "."
      : ", of which nothing tells:"}</p>
    ${assumed.length === 0
      ? null
      : html`<ul>${assumed.map(({ name, value, why }) => html`<li>${name} ${value}: ${why}</li>`)}</ul>`}
  `);
}

/** What comes near the end of fp16 or bf16; null where that was not looked at. */
export function rangesSection({ ranges }: Report, id: string): Section | null {
  if (!ranges) return null;
  const networks = Object.entries(ranges.networks).flatMap(([family, network]) =>
    network === undefined ? [] : [{ family: family.toUpperCase(), network }]
  );
  return {
    id,
    title: `Range in ${ranges.precision}`,
    body: networks.map(({ family, network }) => [
      html`
        <p>${network.overflows > 0
          ? html`
            ${badge("overflows", "bad")}
          `
          : null}${family} ${rangesText(network, ranges)}.</p>
      `,
      network.troubled.length === 0 ? null : table({
        caption: `${family}: tensors near the end of ${ranges.precision}`,
        columns: [
          { title: "tensor", isName: true },
          { title: "largest", align: "right" },
          { title: "usual", align: "right" },
          { title: "verdict" },
          { title: "what helps", breaks: true },
        ],
        rows: network.troubled.map(({ tensor, largest, usual, verdict, helps, factor }) => [
          tensor,
          largest?.toPrecision(3) ?? "not finite",
          usual?.toPrecision(2) ?? "",
          badge(verdict, verdict === "overflows" ? "bad" : "even"),
          helps === "rescale" ? `the residual stream divided by ${factor}` : helps ?? "",
        ]),
      }),
    ]),
  };
}

/** What stood in for what; null where all was run, and of reports of before that was said. */
export function notExecutedSection({ notExecuted = [] }: Report, id: string): Section | null {
  if (notExecuted.length === 0) return null;
  return {
    id,
    title: "Not executed",
    body: html`<ul>${notExecuted.map((text) => html`<li>${text}</li>`)}</ul>`,
  };
}

const percent = (value: number) => `${(100 * value).toFixed(2)} %`;
const listed = (names: readonly { readonly name: string }[]) =>
  names.map((product, i) => [i === 0 ? "" : ", ", name(product.name)]);

/** What `--keep` left in another type; null where nothing was to be. */
export function keptSection(report: Report, id: string): Section | null {
  const texts = keptTexts(report);
  if (texts.length === 0) return null;
  return {
    id,
    title: "Kept in another type",
    body: html`<ul>${texts.map((text) => html`<li>${breakable(text)}</li>`)}</ul>`,
  };
}

/** The engines' products in fewer bits; null where that was not asked for. */
export function quantizationSection({ quantization }: Report, id: string): Section | null {
  if (!quantization) return null;
  const { to, placement, samples, calibration, biasCorrection } = quantization;
  const networks = Object.entries(quantization.networks);
  const each = (value: (of: (typeof networks)[number][1]) => Content): Content[] =>
    networks.map(([, of]) => value(of));
  const rows: Content[][] = [
    ["products quantized", ...each(({ quantized, products }) => `${quantized} of ${products}`)],
    ["outputs move by", ...each(({ gate }) => gate === null ? "not run" : percent(gate.outputError))],
  ];
  if (networks.some(([, { gate }]) => gate?.accuracy)) {
    rows.push([
      `accuracy, fp32 to ${to}`,
      ...each(({ gate }) =>
        gate?.accuracy ? `${percent(gate.accuracy.fp32)} to ${percent(gate.accuracy.quantized)}` : ""
      ),
    ]);
  }
  if (networks.some(([, { inFloat }]) => inFloat.length > 0)) {
    rows.push(["stay in fp16 for accuracy", ...each(({ inFloat }) => listed(inFloat))]);
  }
  const [smooth] = networks.map(([, { smoothQuant }]) => smoothQuant);
  const how = calibrationText({ calibration, smoothQuant: smooth, biasCorrection });
  return {
    id,
    title: `Engines in ${to}`,
    body: [
      html`<p>Which products: ${breakable(placement)}${
        samples === null ? "" : `; ranges of ${samples} sample inputs ${how}`.trimEnd()
      }.
        Emulated on a CPU: no GPU has executed it.</p>`,
      table({
        caption: `Products in ${to}`,
        columns: [
          { title: "what" },
          ...networks.map(([family]) => ({ title: family.toUpperCase(), breaks: true })),
        ],
        rows,
      }),
    ],
  };
}

/** The network in 8-bit whole numbers, for CPUs; null where that was not asked for. */
export function int8Section({ int8, quantization }: Report, id: string): Section | null {
  if (!int8) return null;
  const { gate, latency, onnx, inFloat, target, sums } = int8;
  const rows: Content[][] = [
    ["products in int8", `${int8.quantized} of ${int8.products}`],
    ["ranges from", `${int8.samples} sample inputs`],
    ["ONNX file", bytes(onnx.bytes)],
    ["outputs move by", percent(gate.outputError)],
    gate.accuracy === null ? ["allowed", percent(gate.limit)] : [
      "accuracy, fp32 to int8",
      `${percent(gate.accuracy.fp32)} to ${percent(gate.accuracy.int8)}, ${gate.limit} points allowed`,
    ],
  ];
  if (target !== undefined) rows.unshift(["for", INT8_TARGET_LABEL[target]]);
  if (sums !== undefined) {
    rows.push(["whole numbers", `exact in ${sums.products} products, ${sums.rows} rows each`]);
  }
  if (latency !== null) {
    rows.push([
      "time against fp32",
      `${percentOf(latency.ratio)}, 95 % interval ${percentOf(latency.ratioLow)} to ${
        percentOf(latency.ratioHigh)
      }`,
    ]);
  }
  if (inFloat.length > 0) {
    rows.push(["stayed in float", listed(inFloat)]);
  }
  return {
    id,
    title: "Int8 on CPUs",
    body: [
      html`<p>${badge(gate.passed ? "within its limit" : "beyond its limit", gate.passed ? "good" : "bad")}${
        quantization ? "" : " The TensorRT engines are not quantized."
      }</p>`,
      table({
        caption: "The folded network in int8",
        columns: [{ title: "what" }, { title: "value", breaks: true }],
        rows,
      }),
    ],
  };
}

export function environmentSection(report: Report, id: string): Section {
  const { environment: { unfold, deno, os, cpu, cores, tensorrt }, checkpoint, engines, passes, latency } =
    report;
  const weights = Object.entries(engines).map(([family, { weights, trained }]) => [
    `weights of ${family.toUpperCase()}`,
    trained
      ? weights
      : `${weights}; not trained: of its figures only sizes, kernels and latency mean something`,
  ]);
  return {
    id,
    title: "Environment",
    body: [
      table({
        caption: "What made these figures",
        columns: [{ title: "what" }, { title: "value", breaks: true }],
        rows: [
          ["UNfold", unfold],
          ["Deno", deno],
          [
            "TensorRT",
            tensorrt === null ? "not used" : `${tensorrt.version} (${tensorrt.flavour}), ${tensorrt.source}`,
          ],
          ["processor", `${cpu}, ${cores} ${cores === 1 ? "core" : "cores"}`],
          ["system", os],
          ...(latency === null ? [] : [["timed with", latency.backend]]),
          ...(checkpoint === null
            ? []
            : [["checkpoint", `${checkpoint.path}, read as ${checkpoint.format}`]]),
          ...weights,
        ],
      }),
      passes.length === 0 ? null : details({
        summary: `The ${passes.length} passes of the compiler`,
        body: passGroups(report).map(({ title, passes }) =>
          table({
            caption: `Nodes before and after each pass: ${title}`,
            columns: [{ title: "pass" }, { title: "before", align: "right" }, {
              title: "after",
              align: "right",
            }, { title: "detail", breaks: true }],
            rows: passes.map((pass) => [pass.pass, pass.nodesBefore, pass.nodesAfter, figuresOf(pass)]),
          })
        ),
      }),
    ],
  };
}
