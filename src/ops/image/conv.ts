/**
 * Two-dimensional convolution: patch embeddings, and depthwise ones inside attention. One of a sequence is
 * that of an image of height 1 (`convolution1d`); over three axes there is none.
 */
import { sameShape } from "../../ir/shape.ts";
import { elementCount } from "../../ir/data.ts";
import { commonDType, defineOp, sizesOf } from "../define.ts";
import { Misfit } from "../operands.ts";
import { forBf16 } from "../primitives.ts";
import { absorbIntoWeight, giveFromWeight } from "../linear.ts";
import { stridesOf } from "../reference.ts";
import { padsOf, type WindowAttrs, windowed } from "./window.ts";

/** The padding is zeros. */
export type ConvAttrs = WindowAttrs & {
  /** Groups of channels convolved by themselves, 1 by default; as many as channels make it depthwise. */
  readonly groups?: number;
};

export const conv = defineOp({
  name: "conv",
  doc: "2-D convolution of x [B, C, H, W] with a weight [O, C / groups, h, w] and bias [O]",
  operands: ["x", "weight", ["bias"]],
  infer: (inputs, { groups = 1, ...window }: ConvAttrs) => {
    const [x, weight, bias] = inputs;
    const channels = (weight.shape[1] as number) * groups;
    if (x.shape.length !== 4 || weight.shape.length !== 4 || x.shape[1] !== channels) {
      const divided = groups === 1 ? "C" : `C/${groups}`;
      throw new Misfit(`x [B, C, H, W] needs a weight [O, ${divided}, h, w]`);
    }
    if (!Number.isInteger(groups) || groups < 1 || weight.shape[0] as number % groups !== 0) {
      throw new Misfit(`the outputs do not divide into ${groups} groups`);
    }
    if (bias && !sameShape(bias.shape, [weight.shape[0]!])) throw new Misfit("the bias must be [O]");
    const spatial = windowed(x.shape, weight.shape.slice(2) as [number, number], window);
    return { dtype: commonDType(inputs), shape: [x.shape[0]!, weight.shape[0]!, ...spatial] };
  },
  kind: "product",
  flop: (node) => 2 * elementCount(sizesOf(node)) * elementCount(sizesOf(node.inputs[1]).slice(1)),
  ahead: ({ axis, index }) => axis === 0 && index === 0 ? { axis } : null,
  evaluate: ([x, weight, bias], { groups = 1, ...window }) => {
    const { stride, padding, dilation = [1, 1] } = window;
    const [batch, , height, width] = x.shape as [number, number, number, number];
    const [outputs, channels, kernelHeight, kernelWidth] = weight.shape as [number, number, number, number];
    const [rows, columns] = windowed(x.shape, [kernelHeight, kernelWidth], window) as readonly [
      number,
      number,
    ];
    const shape = [batch, outputs, rows, columns];
    const data = new Float64Array(elementCount(shape));
    const [xStride, wStride] = [stridesOf(x.shape), stridesOf(weight.shape)];
    let i = 0;
    for (let b = 0; b < batch; b++) {
      for (let o = 0; o < outputs; o++) {
        const first = Math.floor(o * groups / outputs) * channels;
        for (let row = 0; row < rows; row++) {
          for (let column = 0; column < columns; column++, i++) {
            let sum = bias ? bias.data[o]! : 0;
            for (let c = 0; c < channels; c++) {
              for (let h = 0; h < kernelHeight; h++) {
                const y = row * stride[0] + h * dilation[0] - padding[0];
                if (y < 0 || y >= height) continue;
                for (let w = 0; w < kernelWidth; w++) {
                  const z = column * stride[1] + w * dilation[1] - padding[1];
                  if (z < 0 || z >= width) continue;
                  sum += x.data[b * xStride[0]! + (first + c) * xStride[1]! + y * width + z]! *
                    weight.data[o * wStride[0]! + c * wStride[1]! + h * kernelWidth + w]!;
                }
              }
            }
            data[i] = sum;
          }
        }
      }
    }
    return { shape, data };
  },
  tensorrt: (net, [x, weight, bias], { groups = 1, ...window }) =>
    net.convolution(x, { weight, ...(bias && { bias }), groups, ...window }),
  onnx: (g, inputs, { groups = 1, dilation, ...window }, node) => {
    const attributes = {
      kernel_shape: node.inputs[1].type.shape.slice(2) as number[],
      strides: window.stride,
      pads: padsOf(window),
      ...(dilation && { dilations: dilation }),
      ...(groups !== 1 && { group: groups }),
    };
    const { dtype } = node.type;
    return forBf16(g, { inputs, dtype, since: 22 }, (operands) => g.node("Conv", operands, attributes));
  },
  absorb: ({ axis, ...affine }, { node, index }) => {
    const { groups = 1, ...window } = node.attrs;
    if (index !== 0 || axis !== 1) {
      return { refused: `it contracts axis 1, the normalization is on axis ${axis}` };
    }
    if (affine.centred && groups !== 1) {
      return { refused: "it convolves groups of channels by themselves, and the mean is that of all" };
    }
    if (padsOf(window).some((p) => p !== 0) && affine.shift.some((t) => t !== 0)) {
      return {
        refused: "its padding is zeros, which the normalization's shift would turn into something else",
      };
    }
    return absorbIntoWeight(node, affine, { groups });
  },
  give: ({ axis, ...affine }, node) =>
    axis === 1 && !(affine.centred && (node.attrs.groups ?? 1) !== 1)
      ? giveFromWeight(node, affine)
      : { refused: `its outputs are axis 1, the normalization is on axis ${axis}` },
});
