/** What convolutions and pools share: windows that slide over the last two axes of an image. */
import { addDims, type Dim, divideDims, namesIn, type Shape } from "../../ir/shape.ts";
import { Misfit } from "../operands.ts";

/** Numbers for the height and the width. */
export type Pair = readonly [height: number, width: number];

export type WindowAttrs = {
  readonly stride: Pair;
  /** Rows and columns in front of the image, and as many behind it unless `paddingAfter` is given. */
  readonly padding: Pair;
  readonly paddingAfter?: Pair;
  /** From one row or column that a window reads to the next; 1 unless said. */
  readonly dilation?: Pair;
};

/** The numbers of windows along the last two axes of `[B, C, H, W]`. */
export function windowed(
  image: Shape,
  kernel: Pair,
  { stride, padding, paddingAfter = padding, dilation = [1, 1] }: WindowAttrs,
): readonly [Dim, Dim] {
  const counted = (i: 0 | 1): Dim => {
    const size = image[2 + i]!;
    // Room for the first window; the image moves it by its size.
    const room = padding[i] + paddingAfter[i] - dilation[i] * (kernel[i] - 1) - 1;
    const fixed = typeof size === "number" ? size + room : room;
    const whole = typeof size === "number" ? 0 : divideDims(size, stride[i]);
    if (whole === null) {
      throw new Misfit(
        `the open size ${size} is not a multiple of the stride: fix it, as in --dim ${namesIn(size)[0]}=224`,
      );
    }
    const count = addDims(whole, Math.floor(fixed / stride[i]) + 1);
    if (typeof count === "number" ? count < 1 : count.includes("-")) {
      throw new Misfit("the kernel is larger than the image");
    }
    return count;
  };
  return [counted(0), counted(1)];
}

/** The padding as ONNX has it: in front of each axis, then behind each. */
export function padsOf({ padding, paddingAfter = padding }: WindowAttrs): readonly number[] {
  return [...padding, ...paddingAfter];
}
