/** What pools share: windows over the last two axes of an image, of which each channel makes one number. */
import { elementCount } from "../../ir/data.ts";
import type { Node, TensorType } from "../../ir/graph.ts";
import type { InputAxis, ReferenceTensor, Track } from "../define.ts";
import { requireFloat } from "../define.ts";
import type { OnnxEmitter } from "../emitter.ts";
import { Misfit } from "../operands.ts";
import { forBf16 } from "../primitives.ts";
import { padsOf, type Pair, type WindowAttrs, windowed } from "./window.ts";

/** What lies outside of the image is no part of any window. */
export type PoolAttrs = Omit<WindowAttrs, "dilation"> & { readonly kernel: Pair };

export function pooledType([x]: readonly [TensorType], attrs: PoolAttrs): TensorType {
  const { kernel, padding, paddingAfter = padding } = attrs;
  requireFloat([x]);
  if (x.shape.length !== 4) throw new Misfit("x must be [B, C, H, W]");
  if ([padding, paddingAfter].some((sides) => sides.some((side, i) => side >= kernel[i]!))) {
    throw new Misfit("the padding must be less than the kernel");
  }
  return { dtype: x.dtype, shape: [...x.shape.slice(0, 2), ...windowed(x.shape, kernel, attrs)] };
}

/** `meaning` of the elements that each window has in the image. */
export function pooled(
  x: ReferenceTensor,
  attrs: PoolAttrs,
  meaning: (elements: readonly number[]) => number,
): ReferenceTensor {
  const { kernel, stride, padding } = attrs;
  const shape = [...x.shape.slice(0, 2), ...windowed(x.shape, kernel, attrs)] as number[];
  const [height, width] = x.shape.slice(2) as [number, number];
  const [rows, columns] = shape.slice(2) as [number, number];
  const within = (window: number, axis: 0 | 1, size: number) =>
    Array.from({ length: kernel[axis] }, (_, i) => window * stride[axis] - padding[axis] + i)
      .filter((place) => place >= 0 && place < size);
  const data = new Float64Array(elementCount(shape)).map((_, i) => {
    const plane = Math.floor(i / (rows * columns)) * height * width;
    const across = within(i % columns, 1, width);
    return meaning(
      within(Math.floor(i / columns) % rows, 0, height).flatMap((row) =>
        across.map((column) => x.data[plane + row * width + column]!)
      ),
    );
  });
  return { shape, data };
}

/** Images and channels stay where they are. */
export function everyPlane({ axis }: InputAxis): Track | null {
  return axis < 2 ? { axis } : null;
}

export function emitPool(
  g: OnnxEmitter,
  type: "AveragePool" | "MaxPool",
  { x, attrs, node }: { x: string; attrs: PoolAttrs; node: Node },
): string {
  const { kernel, stride } = attrs;
  const attributes = { kernel_shape: kernel, strides: stride, pads: padsOf(attrs) };
  return forBf16(
    g,
    { inputs: [x], dtype: node.type.dtype, since: 22 },
    (inputs) => g.node(type, inputs, attributes),
  );
}
