/** Two-dimensional convolution: patch embeddings, and depthwise ones inside attention. No dilation. */
import { type Dim, divideDims, sameShape } from "../../ir/shape.ts";
import { elementCount } from "../../ir/data.ts";
import { commonDType, defineOp, sizesOf } from "../define.ts";
import { Misfit } from "../operands.ts";
import { forBf16 } from "../primitives.ts";
import { absorbIntoWeight, giveFromWeight } from "../linear.ts";
import { stridesOf } from "../reference.ts";

export type ConvAttrs = {
  readonly stride: readonly [height: number, width: number];
  /** Zeros added on both sides of each axis. */
  readonly padding: readonly [height: number, width: number];
  /** Groups of channels convolved by themselves, 1 by default; as many as channels make it depthwise. */
  readonly groups?: number;
};

export const conv = defineOp({
  name: "conv",
  doc: "2-D convolution of x [B, C, H, W] with a weight [O, C / groups, h, w] and bias [O]",
  operands: ["x", "weight", ["bias"]],
  infer: (inputs, { stride, padding, groups = 1 }: ConvAttrs) => {
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
    const spatial = [0, 1].map((i): Dim => {
      const [size, kernel] = [x.shape[2 + i]!, weight.shape[2 + i] as number];
      if (typeof size === "number") {
        const count = Math.floor((size + 2 * padding[i]! - kernel) / stride[i]!) + 1;
        if (count < 1) throw new Misfit("the kernel is larger than the image");
        return count;
      }
      const patches = kernel === stride[i] && padding[i] === 0 ? divideDims(size, kernel) : null;
      if (patches === null) throw new Misfit(`the open size ${size} is not a multiple of the kernel`);
      return patches;
    });
    return { dtype: commonDType(inputs), shape: [x.shape[0]!, weight.shape[0]!, ...spatial] };
  },
  kind: "product",
  flop: (node) => 2 * elementCount(sizesOf(node)) * elementCount(sizesOf(node.inputs[1]).slice(1)),
  ahead: ({ axis, index }) => axis === 0 && index === 0 ? { axis } : null,
  evaluate: ([x, weight, bias], { stride, padding, groups = 1 }) => {
    const [batch, , height, width] = x.shape as [number, number, number, number];
    const [outputs, channels, kernelHeight, kernelWidth] = weight.shape as [number, number, number, number];
    const rows = Math.floor((height + 2 * padding[0] - kernelHeight) / stride[0]) + 1;
    const columns = Math.floor((width + 2 * padding[1] - kernelWidth) / stride[1]) + 1;
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
                const y = row * stride[0] + h - padding[0];
                if (y < 0 || y >= height) continue;
                for (let w = 0; w < kernelWidth; w++) {
                  const z = column * stride[1] + w - padding[1];
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
  tensorrt: (net, [x, weight, bias], { stride, padding, groups = 1 }) =>
    net.convolution(x, { weight, ...(bias && { bias }), stride, padding, groups }),
  onnx: (g, inputs, { stride, padding, groups = 1 }, node) => {
    const attributes = {
      kernel_shape: node.inputs[1].type.shape.slice(2) as number[],
      strides: stride,
      pads: [...padding, ...padding],
      ...(groups !== 1 && { group: groups }),
    };
    const { dtype } = node.type;
    return forBf16(g, { inputs, dtype, since: 22 }, (operands) => g.node("Conv", operands, attributes));
  },
  absorb: ({ axis, ...affine }, { node, index }) => {
    const { padding, groups = 1 } = node.attrs;
    if (index !== 0 || axis !== 1) {
      return { refused: `it contracts axis 1, the normalization is on axis ${axis}` };
    }
    if (affine.centred && groups !== 1) {
      return { refused: "it convolves groups of channels by themselves, and the mean is that of all" };
    }
    if (padding.some((p) => p !== 0) && affine.shift.some((t) => t !== 0)) {
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
