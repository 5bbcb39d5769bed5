/**
 * Samples of what is quantized. Scales are powers of two, so that what is a tie is one on every backend.
 */
import { bytesAs, bytesFromNumbers, heldData } from "../../src/ir/data.ts";
import type { DType, Precision } from "../../src/ir/dtype.ts";
import { apply, constantNode } from "../../src/ops/table.ts";
import type { QuantizeAttrs } from "../../src/ops/quantize.ts";
import { Random } from "../support.ts";
import type { Sample, Samples } from "./sample.ts";

const dims = { B: 3, T: 5 };
const tokens = { x: { shape: ["B", "T", 8] } } as const;
/** What came with version 19 of ONNX's operators, and GPUs of compute capability 8.9. */
const fp4 = { opset: 21, targets: ["12.0"] } as const;
const fp8 = { opset: 19, targets: ["8.9", "12.0"] } as const;

function scale(values: readonly number[], shape: readonly number[], dtype: Precision | "fp8") {
  const data = heldData(shape, Float64Array.from(values), "scale");
  const held = dtype === "fp8" ? { ...data, dtype, bytes: () => bytesAs(data, dtype) } : data;
  return constantNode(held, { dtype, name: "scale" });
}

/** Whole numbers of a type's range, -8 to 7 in int4. */
export function whole(shape: readonly number[], dtype: DType) {
  const random = new Random(2);
  const count = shape.reduce((product, size) => product * size, 1);
  const [least, most] = dtype === "int4" ? [-8, 7] : dtype === "fp4" ? [-6, 6] : [-127, 127];
  const bytes = bytesFromNumbers(
    Float64Array.from({ length: count }, () => random.integer(least, most)),
    dtype,
  );
  return constantNode({ dtype, shape, origin: "whole", bytes: () => bytes }, { dtype, name: "whole" });
}

/** There and back, with a step of which the inputs are beyond the range. */
function quantized(name: string, attrs: QuantizeAttrs, rest: Partial<Sample> = {}): Sample {
  return {
    ...rest,
    name,
    inputs: tokens,
    dims,
    build: ({ x }, _p, dtype) => {
      const step = scale([attrs.to === "fp8" ? 2 ** -8 : 2 ** -6], [], dtype);
      return apply("dequantize", [apply("quantize", [x!, step], { attrs }), step], {
        attrs: { zero: attrs.zero },
      });
    },
  };
}

/** A product's weight, by rows of 16 and what scales they have. */
function weight(
  name: string,
  rest: Partial<Sample> & {
    readonly dtype: DType;
    readonly scales: readonly number[];
    readonly axis?: number;
  },
): Sample {
  const { dtype: from, scales, axis, ...sample } = rest;
  return {
    ...sample,
    name,
    inputs: { x: { shape: ["B", 128] } },
    dims,
    build: ({ x }, _p, dtype) => {
      const steps = scales.reduce((product, size) => product * size, 1);
      const values = Array.from({ length: steps }, (_, i) => 2 ** -(5 + i % 3));
      // Scales of blocks in fp4 are numbers of E4M3 themselves.
      const steps8 = from !== "fp4" ? scale(values, scales, dtype) : apply("dequantize", [
        scale(values, scales, "fp8"),
        scale([2 ** -2], [], dtype),
      ], { attrs: { zero: 0 } });
      const w = apply("dequantize", [whole([6, 128], from), steps8], {
        attrs: { zero: 0, ...axis !== undefined && { axis } },
      });
      return apply("linear", [x!, w], { attrs: {} });
    },
  };
}

export const QUANTIZED_SAMPLES = {
  quantize: [
    quantized("int8", { to: "int8", zero: 0 }),
    quantized("uint8", { to: "uint8", zero: 100 }, { notOnTensorRt: "TensorRT does not quantize to uint8" }),
    quantized("int8 with a zero", { to: "int8", zero: -28 }, {
      notOnTensorRt: "TensorRT's whole numbers have no zero of -28",
    }),
    quantized("fp8", { to: "fp8", zero: 0 }, fp8),
  ],
  dequantize: [
    weight("int8, a scale for each row", { dtype: "int8", scales: [6], axis: 0 }),
    {
      name: "int8, of a convolution",
      inputs: { x: { shape: ["B", 4, 6, 6] } },
      dims,
      build: ({ x }, _p, dtype) => {
        const w = apply("dequantize", [whole([8, 4, 3, 3], "int8"), scale([2 ** -6], [], dtype)], {
          attrs: { zero: 0 },
        });
        return apply("conv", [x!, w], { attrs: { stride: [1, 1], padding: [1, 1] } });
      },
    },
    weight("int8, one scale", { dtype: "int8", scales: [] }),
    weight("fp8, a scale for each row", { dtype: "fp8", scales: [6], axis: 0, ...fp8 }),
    weight("fp8, one scale", { dtype: "fp8", scales: [], ...fp8 }),
    weight("fp4, a scale for each block", { dtype: "fp4", scales: [6, 8], ...fp4 }),
    weight("int4, a scale for each block", { dtype: "int4", scales: [6, 2], opset: 21 }),
  ],
  dynamic_quantize: [
    {
      ...fp4,
      name: "into a product in fp4",
      inputs: { x: { shape: ["B", 128] } },
      dims,
      build: ({ x }, _p, dtype) => {
        const steps = scale(Array.from({ length: 48 }, (_, i) => 2 ** -(3 + i % 3)), [6, 8], "fp8");
        const unit = scale([2 ** -2], [], dtype);
        const w = apply("dequantize", [
          whole([6, 128], "fp4"),
          apply("dequantize", [steps, unit], { attrs: { zero: 0 } }),
        ], { attrs: { zero: 0 } });
        const narrow = apply("dynamic_quantize", [x!], { attrs: { unit: 2 ** -8 } });
        return apply("linear", [narrow, w], { attrs: {} });
      },
    },
  ],
} satisfies Samples;
