/**
 * A value known at compile time. Its `type` is what the network computes in; its data may be held in a wider type and
 * is rounded once, when a backend asks for the bytes.
 */
import { elementCount, float64Of, type TensorData } from "../ir/data.ts";
import { type DType, isFloat } from "../ir/dtype.ts";
import { UnfoldError } from "../errors.ts";
import type { Node } from "../ir/graph.ts";
import { type ChannelAffine, defineOp } from "./define.ts";

export type ConstantAttrs = { readonly data: TensorData; readonly dtype: DType };

export const constant = defineOp({
  name: "constant",
  doc: "a value known at compile time",
  infer: (_, { data, dtype }: ConstantAttrs) => {
    if (isFloat(data.dtype) !== isFloat(dtype)) {
      throw new UnfoldError(`constant: ${data.origin} holds ${data.dtype} where ${dtype} is needed`);
    }
    return { dtype, shape: data.shape };
  },
  evaluate: (_, { data }) => ({ shape: data.shape, data: float64Of(data) }),
  tensorrt: (net, _, { data }, node) => net.constant(data, node.type),
  onnx: (g, _, { data }, node) => g.constant(data, node.type),
});

/** `scale * x + shift` of a constant, in float64, computed when it is read. */
export function affineData(data: TensorData, { axis, scale, shift, centred }: ChannelAffine): TensorData {
  const [channels, inner] = [data.shape[axis]!, elementCount(data.shape.slice(axis + 1))];
  return {
    dtype: "fp64",
    shape: data.shape,
    origin: `${data.origin}, normalization taken in`,
    bytes: () => {
      const values = float64Of(data);
      const result = new Float64Array(values.length);
      for (let outer = 0; outer < values.length; outer += channels * inner) {
        for (let i = outer; i < outer + inner; i++) {
          let mean = 0;
          if (centred) { for (let c = 0; c < channels; c++) mean += values[i + c * inner]! / channels; }
          for (let c = 0, at = i; c < channels; c++, at += inner) {
            result[at] = scale[c]! * (values[at]! - mean) + shift[c]!;
          }
        }
      }
      return new Uint8Array(result.buffer);
    },
  };
}

/** The values behind a constant node. */
export function dataOf(constant: Node): TensorData {
  return (constant.attrs as ConstantAttrs).data;
}
