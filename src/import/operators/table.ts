/** The table of ONNX operators, by rooms: what each becomes in the graph. */
import { type OnnxNode, operatorName } from "../../onnx/file.ts";
import { ATTENTIONS } from "./attention.ts";
import type { Translator, Translators } from "./define.ts";
import { ELEMENTWISE } from "./elementwise.ts";
import { IMAGES } from "./images.ts";
import { INDICES } from "./indices.ts";
import { NORMALIZATIONS } from "./norms.ts";
import { PRODUCTS } from "./products.ts";
import { QUANTIZATIONS } from "./quantized.ts";
import { REDUCTIONS } from "./reductions.ts";
import { SHAPES } from "./shapes.ts";

/** All of them, by `operatorName`. */
export const OPERATORS: Translators = {
  ...ELEMENTWISE,
  ...SHAPES,
  ...INDICES,
  ...PRODUCTS,
  ...IMAGES,
  ...REDUCTIONS,
  ...NORMALIZATIONS,
  ...ATTENTIONS,
  ...QUANTIZATIONS,
};

/** What an operator becomes; undefined where UNfold does not know it. */
export function translatorOf(node: OnnxNode): Translator | undefined {
  const name = operatorName(node);
  return Object.hasOwn(OPERATORS, name) ? OPERATORS[name] : undefined;
}
