/** What of a network is in other types: what was kept, engines in fewer bits, and the file in int8. */
import type { Report } from "../report.ts";
import { bytes, INT8_TARGET_LABEL, keptTexts } from "../phrases.ts";
import { calibrationText } from "../quantization.ts";
import { type Content, html } from "./markup.ts";
import type { Section } from "./page.ts";
import { badge, breakable, name, percentOf, table } from "./parts.ts";

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
