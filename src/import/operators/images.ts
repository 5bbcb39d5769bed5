/** Windows over images and sequences: convolutions, pools, padding, and images of another size. */
import { UnfoldError } from "../../errors.ts";
import type { Node } from "../../ir/graph.ts";
import { type Dim, multiplyDims, sameShape, type Shape, showShape } from "../../ir/shape.ts";
import { dataOf } from "../../ops/constant.ts";
import type { Pair, WindowAttrs } from "../../ops/image/window.ts";
import { constantNode } from "../../ops/table.ts";
import { reshapedData } from "../../weights/derived/derive.ts";
import type { Site } from "../site.ts";
import { fixed } from "../values.ts";
import type { Translators } from "./define.ts";
import { activated, linearOf } from "./products.ts";
import { sliced } from "./shapes.ts";

export const IMAGES: Translators = {
  Conv: convolved,
  "com.microsoft.FusedConv": (at) => {
    const product = convolved(at);
    return activated(at, at.has(3) ? at.make("add", [product, at.tensor(3)], {}) : product);
  },
  ConvTranspose: (at) => {
    if (at.text("auto_pad", "NOTSET") !== "NOTSET" || at.ints("output_shape") !== undefined) {
      throw new UnfoldError("its padding by the size of its result (auto_pad, output_shape)");
    }
    const [image, weight] = [asImage(at, at.tensor(0)), heightened(at, at.tensor(1))];
    const [, , ...kernel] = weight.type.shape as number[];
    const window = windowOf(at, image.type.shape, kernel as [number, number]);
    const { stride, padding, paddingAfter = padding, dilation } = window;
    const more = pairOf(at.ints("output_padding"), 0);
    const fills = sameShape(kernel, stride) && at.int("group", 1) === 1 && dilation === undefined &&
      [...padding, ...paddingAfter, ...more].every((count) => count === 0);
    const whole = fills
      ? inWindows(at, image, weight)
      : overlapping(at, { image, weight, ...window, paddingAfter, more });
    if (!at.has(2)) return asGiven(at, whole);
    const shift = at.make("reshape", [at.tensor(2)], { shape: [at.shape(2)[0]!, 1, 1] });
    return asGiven(at, at.make("add", [whole, shift], {}));
  },
  MaxPool: (at) => {
    if (at.node.outputs.filter((output) => output !== "").length > 1) throw new UnfoldError("its indices");
    return asGiven(at, pooled(at, "max_pool"));
  },
  AveragePool: (at) => asGiven(at, pooled(at, "average_pool")),
  GlobalAveragePool: (at) => at.make("reduce_mean", [at.tensor(0)], { axes: planeOf(at), keepDims: true }),
  DepthToSpace: (at) => {
    const [batch, channels, height, width] = at.shape(0) as [Dim, Dim, Dim, Dim];
    const block = at.int("blocksize", 1);
    const depth = fixed(channels, "the number of channels") / block ** 2;
    // Either the places within a block are outermost among channels, or the channels that stay.
    const isOutermost = at.text("mode", "DCR") === "DCR";
    const inner = isOutermost ? [block, block, depth] : [depth, block, block];
    const apart = at.make("reshape", [at.tensor(0)], { shape: [batch, ...inner, height, width] });
    const permutation = isOutermost ? [0, 3, 4, 1, 5, 2] : [0, 1, 4, 2, 5, 3];
    const moved = at.make("transpose", [apart], { permutation });
    const shape = [batch, depth, multiplyDims(height, block), multiplyDims(width, block)];
    return at.make("reshape", [moved], { shape });
  },
  SpaceToDepth: (at) => {
    const [batch, channels, height, width] = at.shape(0) as [Dim, Dim, Dim, Dim];
    const block = at.int("blocksize", 1);
    const [rows, columns] = [height, width].map((size) => fixed(size, "an image in blocks") / block) as [
      number,
      number,
    ];
    const apart = at.make("reshape", [at.tensor(0)], {
      shape: [batch, channels, rows, block, columns, block],
    });
    const moved = at.make("transpose", [apart], { permutation: [0, 3, 5, 1, 2, 4] });
    return at.make("reshape", [moved], { shape: [batch, multiplyDims(channels, block ** 2), rows, columns] });
  },
  Pad: (at) => {
    const mode = at.text("mode", "constant");
    const x = at.tensor(0);
    const axes = at.axes(at.numbersIf(3));
    const pads = at.ints("pads") ?? at.numbers(1, 2 * axes.length);
    const counts = (first: number) =>
      x.type.shape.map((_, axis) => axes.includes(axis) ? pads[first + axes.indexOf(axis)]! : 0);
    const [before, after] = [counts(0), counts(axes.length)];
    if ([...before, ...after].every((count) => count === 0)) return x;
    if ([...before, ...after].some((count) => count < 0)) {
      throw new UnfoldError("a negative padding; use Slice");
    }
    const value = at.numbersIf(2)?.[0] ?? at.float("value", 0);
    return mode === "constant"
      ? at.make("pad", [x], { before, after, value })
      : mirrored(at, x, { before, after, mode });
  },
  Resize: (at) => {
    const x = at.tensor(0);
    const shape = resizedShape(at, x.type.shape);
    const mode = at.text("mode", "nearest");
    if (mode !== "nearest" && mode !== "linear" && mode !== "cubic") {
      throw new UnfoldError(`the mode ${mode}`);
    }
    const coordinates = at.text("coordinate_transformation_mode", "half_pixel");
    const rounding = at.text("nearest_mode", "round_prefer_floor");
    const isPlain = at.int("antialias", 0) === 0 && at.int("exclude_outside", 0) === 0 &&
      (mode !== "cubic" || at.float("cubic_coeff_a", -0.75) === -0.75);
    const isKnown = mode === "nearest"
      ? coordinates === "asymmetric" && rounding === "floor"
      : coordinates === "align_corners" || coordinates === "half_pixel" ||
        (coordinates === "pytorch_half_pixel" && !shape.slice(2).includes(1));
    if (!isPlain || !isKnown) {
      const how = mode === "nearest" ? `${coordinates}, ${rounding}` : coordinates;
      throw new UnfoldError(`${mode} elements by ${how}: what UNfold has is PyTorch's interpolate`);
    }
    return at.make("resize", [x], { mode, alignCorners: coordinates === "align_corners", shape });
  },
};

function convolved(at: Site): Node {
  const [image, weight] = [asImage(at, at.tensor(0)), heightened(at, at.tensor(1))];
  const kernel = weight.type.shape.slice(2) as [number, number];
  const groups = at.int("group", 1);
  const attrs = { ...windowOf(at, image.type.shape, kernel), ...groups !== 1 && { groups } };
  const inputs = [image, weight, ...at.has(2) ? [at.tensor(2)] : []];
  return asGiven(at, at.make("conv", inputs, attrs, { name: at.path }));
}

/** Each place becomes a window of its own: a product, whose outputs are laid out. */
function inWindows(at: Site, x: Node, weight: Node): Node {
  const [channels, outputs, height, width] = weight.type.shape as [number, number, number, number];
  const [batch, , tall, wide] = x.type.shape as [Dim, Dim, Dim, Dim];
  const rows = [channels, outputs * height * width];
  const places = at.make("transpose", [x], { permutation: [0, 2, 3, 1] });
  const product = weight.op === "constant"
    ? linearOf(at, places, reshapedConstant(weight, rows))
    : at.make("matmul", [places, at.make("reshape", [weight], { shape: rows })], {});
  const apart = at.make("reshape", [product], { shape: [batch, tall, wide, outputs, height, width] });
  const moved = at.make("transpose", [apart], { permutation: [0, 3, 1, 4, 2, 5] });
  const shape = [batch, outputs, multiplyDims(tall, height), multiplyDims(wide, width)];
  return at.make("reshape", [moved], { shape });
}

/** A convolution of the image with zeros between its places, the kernel turned round. */
function overlapping(
  at: Site,
  { image, weight, stride, padding, paddingAfter, dilation = [1, 1], more }:
    & Required<Pick<WindowAttrs, "stride" | "padding" | "paddingAfter">>
    & { readonly image: Node; readonly weight: Node; readonly dilation?: Pair; readonly more: Pair },
): Node {
  const [channels, outputs, height, width] = weight.type.shape as [number, number, number, number];
  const [batch, , tall, wide] = image.type.shape as [Dim, Dim, Dim, Dim];
  const groups = at.int("group", 1);
  const apart = at.make("reshape", [image], { shape: [batch, channels, tall, 1, wide, 1] });
  const spread = at.make("pad", [apart], {
    before: [0, 0, 0, 0, 0, 0],
    after: [0, 0, 0, stride[0] - 1, 0, stride[1] - 1],
    value: 0,
  });
  const places = at.make("reshape", [spread], {
    shape: [batch, channels, multiplyDims(tall, stride[0]), multiplyDims(wide, stride[1])],
  });
  const split = [groups, channels / groups, outputs, height, width];
  const grouped = at.make("reshape", [weight], { shape: split });
  const swapped = at.make("transpose", [grouped], { permutation: [0, 2, 1, 3, 4] });
  const kernel = [2, 3].reduce(
    (turned, axis) => sliced(at, turned, { axis, start: -1, end: -Infinity, step: -1 }),
    at.make("reshape", [swapped], { shape: [groups * outputs, channels / groups, height, width] }),
  );
  // Behind the last place there are zeros already.
  const reach = [dilation[0] * (height - 1), dilation[1] * (width - 1)] as const;
  const pads = ([0, 1] as const).map((i) =>
    [reach[i] - padding[i], reach[i] - paddingAfter[i] + more[i] - (stride[i] - 1)] as const
  );
  if (pads.flat().some((count) => count < 0)) {
    throw new UnfoldError("windows of its result with gaps between");
  }
  return at.make("conv", [places, kernel], {
    stride: [1, 1],
    padding: pads.map(([before]) => before) as unknown as Pair,
    paddingAfter: pads.map(([, after]) => after) as unknown as Pair,
    ...dilation.some((step) => step !== 1) && { dilation },
    ...groups !== 1 && { groups },
  }, { name: at.path });
}

/** A sequence as an image of height 1. */
function asImage(at: Site, x: Node): Node {
  const { shape } = x.type;
  if (shape.length === 4) return x;
  if (shape.length !== 3) {
    throw new UnfoldError(`windows over ${shape.length - 2} axes; one and two are known`);
  }
  return at.make("reshape", [x], { shape: [shape[0]!, shape[1]!, 1, shape[2]!] });
}

/** A result as the operand was: a sequence again. */
function asGiven(at: Site, image: Node): Node {
  const { shape } = image.type;
  return at.rank(0) === 4 ? image : at.make("reshape", [image], { shape: [shape[0]!, shape[1]!, shape[3]!] });
}

/** A weight `[O, C, w]` as `[O, C, 1, w]`, unread where it is no product of others. */
function heightened(at: Site, weight: Node): Node {
  const { shape } = weight.type;
  if (shape.length !== 3) return weight;
  const wide = shape.toSpliced(2, 0, 1);
  return weight.op === "constant"
    ? reshapedConstant(weight, wide as number[])
    : at.make("reshape", [weight], { shape: wide });
}

function reshapedConstant(weight: Node, shape: readonly number[]): Node {
  return constantNode(reshapedData(dataOf(weight), shape), { dtype: weight.type.dtype, name: weight.name });
}

/** The axes of an image behind batch and channels. */
const planeOf = (at: Site): number[] => at.shape(0).flatMap((_, axis) => axis < 2 ? [] : [axis]);

/** An attribute of one number or two, for each axis of the image; a sequence has a height of 1. */
function pairOf(numbers: readonly number[] | undefined, height: number): Pair {
  const [first = height, second] = numbers ?? [];
  return second === undefined ? numbers === undefined ? [height, height] : [height, first] : [first, second];
}

function windowOf(at: Site, image: Shape, kernel: Pair): WindowAttrs {
  const [stride, dilation] = [pairOf(at.ints("strides"), 1), pairOf(at.ints("dilations"), 1)];
  const pads = at.ints("pads") ?? [];
  const half = pads.length / 2;
  let [padding, paddingAfter] = [pairOf(pads.slice(0, half), 0), pairOf(pads.slice(half), 0)];
  const auto = at.text("auto_pad", "NOTSET");
  if (auto.startsWith("SAME_")) {
    // So many windows that every stride has one; what is odd goes behind (UPPER) or in front.
    const whole = ([0, 1] as const).map((i) => {
      const size = fixed(image[2 + i]!, "padding to the same size");
      const reach = dilation[i] * (kernel[i] - 1) + 1;
      return Math.max(0, (Math.ceil(size / stride[i]) - 1) * stride[i] + reach - size);
    }) as [number, number];
    const less = whole.map((sum) => Math.floor(sum / 2)) as [number, number];
    const more = whole.map((sum) => Math.ceil(sum / 2)) as [number, number];
    [padding, paddingAfter] = auto === "SAME_UPPER" ? [less, more] : [more, less];
  }
  const isEven = padding.every((count, i) => count === paddingAfter[i]);
  return {
    stride,
    padding,
    ...!isEven && { paddingAfter },
    ...dilation.some((step) => step !== 1) && { dilation },
  };
}

function pooled(at: Site, op: "max_pool" | "average_pool"): Node {
  const image = asImage(at, at.tensor(0));
  const kernel = pairOf(at.ints("kernel_shape"), 1);
  const { dilation, ...window } = windowOf(at, image.type.shape, kernel);
  if (dilation !== undefined) throw new UnfoldError("dilation in a pool");
  const { stride, padding, paddingAfter = padding } = window;
  const isPadded = [...padding, ...paddingAfter].some((count) => count !== 0);
  if (at.int("ceil_mode", 0) !== 0) {
    const isWhole = ([0, 1] as const).every((i) => {
      const size = image.type.shape[2 + i]!;
      return typeof size === "number" && (size + padding[i] + paddingAfter[i] - kernel[i]) % stride[i] === 0;
    });
    if (!isWhole) throw new UnfoldError("ceil_mode where windows reach over the end");
  }
  if (op === "max_pool" || !isPadded || at.int("count_include_pad", 0) === 0) {
    return at.make(op, [image], { kernel, ...window });
  }
  const padded = at.make("pad", [image], {
    before: [0, 0, ...padding],
    after: [0, 0, ...paddingAfter],
    value: 0,
  });
  return at.make(op, [padded], { kernel, stride, padding: [0, 0] });
}

/** Elements reflected at the ends of an axis, or the last one repeated, by their indices. */
function mirrored(
  at: Site,
  x: Node,
  { before, after, mode }: { before: readonly number[]; after: readonly number[]; mode: string },
): Node {
  if (mode !== "reflect" && mode !== "edge") throw new UnfoldError(`the mode ${mode} of padding`);
  return before.reduce((padded, count, axis) => {
    if (count === 0 && after[axis] === 0) return padded;
    const size = fixed(x.type.shape[axis]!, "padding that repeats elements");
    const rows = Array.from({ length: count + size + after[axis]! }, (_, i) => {
      const place = i - count;
      if (mode === "edge") return Math.min(Math.max(place, 0), size - 1);
      return place < 0 ? -place : place >= size ? 2 * (size - 1) - place : place;
    });
    return at.make("gather", [padded, at.constant(rows, { dtype: "int64" })], { axis });
  }, x);
}

/** The shape of a resized image: as it is given, or by scales that are quotients of sizes. */
function resizedShape(at: Site, from: Shape): Shape {
  const sizes = at.has(3) ? at.dims(3) : [];
  const axes = at.axes(at.ints("axes"));
  if (sizes.length > 0) {
    return from.map((dim, axis) => axes.includes(axis) ? sizes[axes.indexOf(axis)]! : dim);
  }
  const scales = at.has(2) ? at.dims(2) : [];
  return from.map((dim, axis): Dim => {
    const scale = scales[axes.indexOf(axis)] ?? 1;
    if (scale === 1) return dim;
    if (typeof dim === "string" || typeof scale === "string") return multiplyDims(dim, scale);
    const size = Math.floor(dim * scale + 1e-6);
    if (Math.abs(size / dim - scale) <= 1e-6 * scale) return size;
    throw new UnfoldError(
      `a scale of ${scale} that is no quotient of sizes: ${showShape(from)} to ${size} along axis ${axis}`,
    );
  });
}
