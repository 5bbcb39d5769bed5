/** ONNX operators with operands, one by one, as `operators_test.ts` makes files of them. */
import { type Proto, tensor } from "../onnx/models.ts";

/** Element types as they lie in a file. */
export const ARRAYS = {
  fp32: Float32Array,
  int64: BigInt64Array,
  int32: Int32Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
} as const;

export type Attribute = number | string | readonly number[] | { readonly float: number } | {
  readonly tensor: Proto;
};

/** An operator with its operands. */
export interface Sample {
  /** Shapes of floating-point inputs x0, x1, ..., or with an element type: `["int64", 2, 3]`. */
  readonly inputs: readonly (readonly (number | string)[])[];
  readonly attributes?: Readonly<Record<string, Attribute>>;
  /** Constant operands by their place: numbers, or with a shape and type. */
  readonly constants?: Readonly<Record<number, Constant>>;
  readonly outputs?: number;
  /** The result's element type; fp32 unless said. */
  readonly gives?: keyof typeof ARRAYS;
  readonly opset?: number;
  /** In front of the first input: Log of Exp. */
  readonly behind?: string;
  /** Behind the result, with the same constants: what makes floats of it again. */
  readonly then?: string;
  readonly tolerance?: number;
}
export type Constant = readonly number[] | {
  readonly shape: readonly number[];
  readonly type?: "fp32" | "int64" | "int8" | "uint8" | "bool" | "int32";
  readonly values?: readonly number[];
};

const x234 = { inputs: [["N", 3, 4]] } as const;
const pair = { inputs: [["N", 3, 4], ["N", 3, 4]] } as const;
const image = { inputs: [["N", 4, 6, 8]] } as const;
const ints = (values: readonly number[]): Constant => ({ shape: [values.length], type: "int64", values });
const wave = (shape: readonly number[]): Constant => ({ shape });

/** Each operator of the table, in the forms that exporters write. */
export const SAMPLES: Readonly<Record<string, readonly Sample[]>> = {
  Abs: [x234, { inputs: [["int64", 2, 3]], gives: "int64" }],
  Add: [pair, { inputs: [["N", 3, 4]], constants: { 1: wave([4]) } }],
  And: [{ gives: "bool", inputs: [["bool", 2, 3], ["bool", 2, 3]] }],
  ArgMax: [{ ...x234, gives: "int64", attributes: { axis: 1, keepdims: 0 } }, {
    ...x234,
    gives: "int64",
    attributes: { axis: -1 },
  }],
  Attention: [
    { inputs: [["N", 2, 5, 4], ["N", 2, 5, 4], ["N", 2, 5, 4]], opset: 23 },
    {
      inputs: [["N", 5, 8], ["N", 5, 4], ["N", 5, 4]],
      attributes: { q_num_heads: 2, kv_num_heads: 1, is_causal: 1, scale: { float: 0.3 } },
      opset: 23,
    },
  ],
  AveragePool: [
    { ...image, attributes: { kernel_shape: [2, 2], strides: [2, 2] } },
    { ...image, attributes: { kernel_shape: [3, 3], pads: [1, 1, 1, 1], count_include_pad: 1 } },
    { ...image, attributes: { kernel_shape: [3, 3], pads: [1, 1, 1, 1] } },
    { inputs: [["N", 4, 8]], attributes: { kernel_shape: [2], strides: [2] } },
  ],
  BatchNormalization: [
    { ...image, constants: { 1: wave([4]), 2: wave([4]), 3: wave([4]), 4: [1, 2, 3, 4] } },
    { inputs: [["N", 4]], constants: { 1: wave([4]), 2: wave([4]), 3: wave([4]), 4: [1, 2, 3, 4] } },
  ],
  Cast: [
    { ...x234, attributes: { to: 7 }, gives: "int64" },
    { inputs: [["int64", 2, 3]], attributes: { to: 1 } },
    { inputs: [["bool", 2, 3]], attributes: { to: 1 } },
  ],
  CastLike: [{ inputs: [["int64", 2, 3], [2, 3]] }],
  Clip: [{ ...x234, constants: { 1: { shape: [], values: [-0.2] }, 2: { shape: [], values: [0.4] } } }],
  Concat: [{ inputs: [["N", 3, 4], ["N", 2, 4]], attributes: { axis: 1 } }],
  ConstantOfShape: [{
    inputs: [],
    constants: { 0: ints([2, 3]) },
    attributes: { value: { tensor: tensor("v", [7]) } },
  }],
  Conv: [
    {
      ...image,
      constants: { 1: wave([6, 4, 3, 3]), 2: wave([6]) },
      attributes: { pads: [1, 1, 1, 1], strides: [2, 2] },
    },
    {
      ...image,
      constants: { 1: wave([4, 1, 3, 3]) },
      attributes: { group: 4, dilations: [2, 2], pads: [2, 2, 2, 2] },
    },
    { ...image, constants: { 1: wave([6, 4, 2, 3]) }, attributes: { pads: [0, 1, 1, 2] } },
    {
      inputs: [[2, 4, 7, 7]],
      constants: { 1: wave([6, 4, 3, 3]) },
      attributes: { auto_pad: "SAME_UPPER", strides: [2, 2] },
    },
    {
      inputs: [["N", 4, 9]],
      constants: { 1: wave([6, 4, 3]), 2: wave([6]) },
      attributes: { pads: [1, 1], strides: [2] },
    },
  ],
  Cos: [x234],
  CumSum: [{ ...x234, constants: { 1: { shape: [], type: "int64", values: [1] } } }],
  DepthToSpace: [
    { ...image, attributes: { blocksize: 2 } },
    { ...image, attributes: { blocksize: 2, mode: "CRD" } },
  ],
  DequantizeLinear: [{
    inputs: [],
    constants: { 0: { shape: [2, 3], type: "int8" }, 1: { shape: [3], values: [1, 2, 3] } },
    attributes: { axis: 1 },
  }],
  Div: [{ ...pair, constants: { 1: [1, 2, 3, 4] }, inputs: [["N", 3, 4]] }],
  Dropout: [x234],
  Einsum: [
    { inputs: [["N", 3, 4], ["N", 4, 5]], attributes: { equation: "bij,bjk->bki" } },
    { inputs: [["N", 3, 2, 4], ["N", 5, 2, 4]], attributes: { equation: "bqhd,bkhd->bhqk" } },
    { inputs: [["N", 3, 4], [5, 4]], attributes: { equation: "btc,oc->bto" } },
  ],
  Elu: [{ ...x234, attributes: { alpha: { float: 0.7 } } }],
  Equal: [{ gives: "bool", inputs: [["int64", 2, 3], ["int64", 2, 3]] }],
  Erf: [x234],
  Exp: [x234],
  Expand: [{ inputs: [["N", 1, 4]], constants: { 1: ints([1, 3, 4]) } }],
  Flatten: [{ ...x234, attributes: { axis: 2 } }, x234],
  Floor: [{ ...x234, tolerance: 0 }],
  Gather: [
    { ...x234, constants: { 1: { shape: [], type: "int64", values: [-1] } }, attributes: { axis: 1 } },
    {
      ...x234,
      constants: { 1: { shape: [2, 2], type: "int64", values: [3, 0, -1, 1] } },
      attributes: { axis: 2 },
    },
    { inputs: [["int64", "N", 3]], constants: { 0: wave([5, 4]) } },
  ],
  GatherElements: [{ inputs: [[2, 3], ["int64", 2, 3]], attributes: { axis: 1 } }],
  GatherND: [{ inputs: [[3, 4], ["int64", 5, 2]] }],
  Gelu: [{ ...x234, opset: 20 }, { ...x234, opset: 20, attributes: { approximate: "tanh" } }],
  Gemm: [
    { inputs: [["N", 4]], constants: { 1: wave([3, 4]), 2: wave([3]) }, attributes: { transB: 1 } },
    { inputs: [["N", 4]], constants: { 1: wave([4, 3]), 2: wave([1, 3]) } },
    {
      inputs: [["N", 4]],
      constants: { 1: wave([4, 3]), 2: wave([3]) },
      attributes: { alpha: { float: 0.5 }, beta: { float: 2 } },
    },
    { inputs: [[4, 2], [4, 3]], attributes: { transA: 1 } },
  ],
  GlobalAveragePool: [image],
  Greater: [{ ...pair, gives: "bool" }],
  GreaterOrEqual: [{ ...pair, gives: "bool" }],
  GroupNormalization: [{
    ...image,
    constants: { 1: wave([4]), 2: wave([4]) },
    attributes: { num_groups: 2 },
    opset: 21,
  }],
  HardSigmoid: [{ ...x234, attributes: { alpha: { float: 0.3 }, beta: { float: 0.4 } } }],
  HardSwish: [x234],
  Identity: [x234],
  InstanceNormalization: [{ ...image, constants: { 1: wave([4]), 2: wave([4]) } }],
  IsNaN: [{ ...x234, gives: "bool" }],
  LayerNormalization: [
    { ...x234, constants: { 1: wave([4]), 2: wave([4]) }, attributes: { epsilon: { float: 1e-3 } } },
    { ...x234, constants: { 1: wave([3, 4]) }, attributes: { axis: 1 } },
  ],
  LeakyRelu: [{ ...x234, attributes: { alpha: { float: 0.2 } } }],
  Less: [{ ...pair, gives: "bool" }],
  LessOrEqual: [{ ...pair, gives: "bool" }],
  Log: [{ ...x234, behind: "Exp" }],
  LpNormalization: [{ ...x234, attributes: { axis: 1, p: 2 } }],
  MatMul: [
    { inputs: [["N", 3, 4], ["N", 4, 5]] },
    { inputs: [["N", 3, 4]], constants: { 1: wave([4, 5]) } },
    { inputs: [["N", 3, 4]], constants: { 1: wave([4]) } },
    { inputs: [["N", 4, 3]], constants: { 0: wave([5, 4]) } },
  ],
  Max: [pair, { inputs: [["N", 4], ["N", 4], [4]] }],
  MaxPool: [
    { ...image, attributes: { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] } },
    { inputs: [["N", 4, 8]], attributes: { kernel_shape: [2], strides: [2] } },
  ],
  Min: [pair],
  Mish: [{ ...x234, opset: 18 }],
  Mul: [pair],
  Neg: [x234],
  Not: [{ gives: "bool", inputs: [["bool", 2, 3]] }],
  Or: [{ gives: "bool", inputs: [["bool", 2, 3], ["bool", 2, 3]] }],
  PRelu: [{ ...x234, constants: { 1: wave([4]) } }],
  Pad: [
    { ...image, constants: { 1: ints([0, 0, 1, 2, 0, 0, 0, 1]), 2: { shape: [], values: [0.5] } } },
    { ...image, constants: { 1: ints([0, 0, 2, 1, 0, 0, 1, 3]) }, attributes: { mode: "reflect" } },
    { ...image, constants: { 1: ints([0, 0, 2, 1, 0, 0, 1, 3]) }, attributes: { mode: "edge" } },
  ],
  Pow: [2, 3, 0.5, 1.7, 1].map((power) => ({
    ...x234,
    behind: "Exp",
    constants: { 1: { shape: [], values: [power] } },
  })),
  QuantizeLinear: [{
    ...x234,
    then: "DequantizeLinear",
    constants: { 1: { shape: [], values: [0.1] }, 2: { shape: [], type: "uint8", values: [128] } },
  }],
  RMSNormalization: [],
  Range: [{
    inputs: [],
    gives: "int64",
    constants: {
      0: { shape: [], type: "int64", values: [1] },
      1: { shape: [], type: "int64", values: [8] },
      2: { shape: [], type: "int64", values: [3] },
    },
  }],
  Reciprocal: [{ ...x234, behind: "Exp" }],
  ReduceL2: [{ ...x234, constants: { 1: ints([1]) }, opset: 18 }],
  ReduceMean: [
    { ...x234, attributes: { axes: [1, 2], keepdims: 0 } },
    { ...x234, constants: { 1: ints([-1]) }, opset: 18 },
    { ...x234, opset: 18, attributes: { keepdims: 0 } },
  ],
  ReduceSum: [{ ...x234, constants: { 1: ints([1]) } }],
  ReduceSumSquare: [{ ...x234, constants: { 1: ints([1]) }, opset: 18 }],
  Relu: [x234],
  Reshape: [
    { ...x234, constants: { 1: ints([0, -1]) } },
    { ...x234, constants: { 1: ints([-1, 4]) } },
  ],
  Resize: [
    {
      ...image,
      constants: { 2: [1, 1, 2, 2] },
      attributes: { mode: "nearest", coordinate_transformation_mode: "asymmetric", nearest_mode: "floor" },
    },
    { inputs: [[2, 4, 6, 8]], constants: { 3: ints([2, 4, 9, 5]) }, attributes: { mode: "linear" } },
    {
      inputs: [[2, 4, 6, 8]],
      constants: { 3: ints([2, 4, 9, 12]) },
      attributes: {
        mode: "cubic",
        cubic_coeff_a: { float: -0.75 },
        coordinate_transformation_mode: "align_corners",
      },
    },
  ],
  RotaryEmbedding: [
    { inputs: [["N", 2, 5, 6], ["N", 5, 3], ["N", 5, 3]], opset: 23 },
    {
      inputs: [["N", 5, 12], ["N", 5, 2], ["N", 5, 2]],
      attributes: { interleaved: 1, num_heads: 2, rotary_embedding_dim: 4 },
      opset: 23,
    },
  ],
  Selu: [x234],
  Shape: [{ gives: "int64", inputs: [[2, 3, 4]], attributes: { start: 1 } }],
  Sigmoid: [x234],
  SimplifiedLayerNormalization: [{
    ...x234,
    constants: { 1: wave([4]) },
    attributes: { epsilon: { float: 1e-3 } },
  }],
  Sin: [x234],
  Size: [{ gives: "int64", inputs: [[2, 3, 4]] }],
  Slice: [
    { ...x234, constants: { 1: ints([1, -3]), 2: ints([3, 2 ** 40]), 3: ints([1, 2]), 4: ints([1, 2]) } },
    { ...x234, constants: { 1: ints([-1]), 2: ints([-(2 ** 40)]), 3: ints([2]), 4: ints([-1]) } },
  ],
  Softmax: [{ ...x234, attributes: { axis: 1 } }, { ...x234, opset: 12 }],
  Softplus: [x234],
  Softsign: [x234],
  SpaceToDepth: [{ ...image, attributes: { blocksize: 2 } }],
  Split: [
    { ...x234, constants: { 1: ints([1, 2]) }, attributes: { axis: 1 }, outputs: 2 },
    { ...x234, attributes: { axis: 2 }, outputs: 2 },
  ],
  Sqrt: [{ ...x234, behind: "Exp" }],
  Squeeze: [{ inputs: [["N", 1, 4]], constants: { 1: ints([1]) } }],
  Sub: [pair],
  Sum: [{ inputs: [["N", 4], ["N", 4], [4]] }],
  Swish: [],
  Tanh: [x234],
  Tile: [{ ...x234, constants: { 1: ints([1, 2, 3]) } }],
  Transpose: [{ ...x234, attributes: { perm: [2, 0, 1] } }, x234],
  Unsqueeze: [{ ...x234, constants: { 1: ints([1, -1]) } }],
  Where: [{ inputs: [["bool", "N", 4], ["N", 4], ["N", 4]] }],
  "com.microsoft.Attention": [
    { inputs: [["N", 5, 8]], constants: { 1: wave([8, 24]), 2: wave([24]) }, attributes: { num_heads: 2 } },
    {
      inputs: [["N", 5, 8], ["int32", "N", 5]],
      constants: { 1: wave([8, 24]), 2: wave([24]) },
      attributes: { num_heads: 2 },
    },
  ],
  "com.microsoft.BiasGelu": [{ ...x234, constants: { 1: wave([4]) } }],
  "com.microsoft.FastGelu": [{ ...x234, constants: { 1: wave([4]) } }],
  "com.microsoft.FusedMatMul": [{
    inputs: [["N", 3, 4], ["N", 5, 4]],
    attributes: { transB: 1, alpha: { float: 0.5 } },
  }],
  "com.microsoft.Gelu": [x234],
  "com.microsoft.MultiHeadAttention": [{
    inputs: [["N", 5, 8], ["N", 6, 8], ["N", 6, 8]],
    constants: { 3: wave([24]) },
    attributes: { num_heads: 2 },
  }],
  "com.microsoft.QuickGelu": [x234],
  "com.microsoft.RotaryEmbedding": [{
    inputs: [["N", 2, 5, 6], ["int64", "N", 5]],
    constants: { 2: wave([5, 3]), 3: wave([5, 3]) },
  }],
  "com.microsoft.SkipLayerNormalization": [
    { ...pair, constants: { 2: wave([4]), 3: wave([4]), 4: wave([4]) } },
  ],
  "com.microsoft.SkipSimplifiedLayerNormalization": [{ ...pair, constants: { 2: wave([4]) } }],
};
