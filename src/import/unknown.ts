/** Operators of an ONNX file that UNfold does not have: one error lists all of them. */
import { UnfoldError } from "../errors.ts";
import { type OnnxFile, type OnnxNode, operatorName } from "../onnx/file.ts";
import { listed } from "../text.ts";
import { translatorOf } from "./operators/table.ts";
import { onSizesOf } from "./sizes.ts";

/** Operators of a file that UNfold does not have, with their nodes. */
export function unknownOperators({ graph }: OnnxFile): ReadonlyMap<string, readonly OnnxNode[]> {
  return Map.groupBy(graph.nodes.filter((node) => !isKnownOperator(node)), operatorName);
}

export const isKnownOperator = (node: OnnxNode): boolean =>
  translatorOf(node) !== undefined || onSizesOf(operatorName(node)) !== undefined;

/** @throws {UnfoldError} operators that are not known, all of them */
export function refuseUnknown(file: OnnxFile): void {
  const unknown = unknownOperators(file);
  if (unknown.size === 0) return;
  const isQuantized = [...unknown.keys()].some((op) => INTEGER_OPERATORS.test(op));
  const named = [...unknown].map(([op, nodes]) => `${op} (${listed(nodes.map(({ name }) => name), 3)})`);
  throw new UnfoldError(
    `${file.path} has ${
      unknown.size === 1 ? "an operator" : `${unknown.size} operators`
    } that UNfold does not know: ` +
      `${named.join(", ")}. deno task optimize MODEL.onnx --keep-going lists what would fold around them.` +
      (isQuantized
        ? " It was quantized into operators on whole numbers: give the file before that, or one of QuantFormat.QDQ."
        : ""),
  );
}

/** What ONNX Runtime's quantization makes, but for QuantizeLinear and DequantizeLinear. */
const INTEGER_OPERATORS =
  /^(?:com\.microsoft\.)?(?:QLinear|Q(?:Gemm|Attention|OrderedMatMul)|Dynamic(?:Quantize)|(?:MatMul|Conv)Integer)/;
