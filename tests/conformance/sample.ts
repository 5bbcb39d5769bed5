/**
 * A conformance sample: a small graph around one operator, with inputs drawn from a seed. The same sample is
 * traced in any precision; its open sizes stay open for the backends and get the values of `dims` for the
 * reference.
 */
import { heldData } from "../../src/ir/data.ts";
import type { Target } from "../../src/emit/targets.ts";
import type { DType, PortType, Precision } from "../../src/ir/dtype.ts";
import { type Graph, topological } from "../../src/ir/graph.ts";
import { bindShape, type DimValues, fixedShape, type Shape } from "../../src/ir/shape.ts";
import type { ReferenceTensor } from "../../src/ops/define.ts";
import { constantNode, type OpName } from "../../src/ops/table.ts";
import { type Feeds, numbersOf, tensorValue } from "../../src/run/session.ts";
import { bindDims, input, Random } from "../support.ts";
import { constant, type Tensor } from "../nodes.ts";

/** What a sample's input is fed. */
export interface SampleInput {
  readonly shape: Shape;
  /** `"float"`, normal numbers in the sample's precision, unless said; else whole numbers below `below`. */
  readonly dtype?: PortType | "float";
  readonly below?: number;
}

/** Parameters of a sample: normal numbers of its precision. */
export type Parameter = (shape: readonly number[]) => Tensor;

export interface Sample {
  readonly name: string;
  readonly inputs: Readonly<Record<string, SampleInput>>;
  /** Sizes of the open dimensions. */
  readonly dims?: DimValues;
  build(
    x: Readonly<Record<string, Tensor>>,
    p: Parameter,
    precision: Precision,
  ): Tensor | Readonly<Record<string, Tensor>>;
  /** The one precision it is for; ONNX Runtime's own operators have but one. */
  readonly onlyIn?: "fp32";
  /** The version of ONNX's operators that it needs; the lowest unless given. */
  readonly opset?: number;
  /** The GPUs that TensorRT builds it for; its own choice unless given. */
  readonly targets?: readonly Target[];
  /** In what words TensorRT's emission refuses it. */
  readonly notOnTensorRt?: string;
}

/** Samples of some operators; all of them are `samples.ts`'s. */
export type Samples = Readonly<Partial<Record<OpName, readonly Sample[]>>>;

/** A sample ready to run. */
export interface Traced {
  /** With open sizes, as backends get it. */
  readonly graph: Graph;
  /** Without, as the reference needs it. */
  readonly bound: Graph;
  readonly feeds: Feeds;
  /** The same numbers as the reference takes them. */
  readonly numbers: Readonly<Record<string, ReferenceTensor>>;
}

export function trace(sample: Sample, { op, precision }: { op: OpName; precision: Precision }): Traced {
  const random = new Random(1);
  const dtypeOf = ({ dtype = "float" }: SampleInput) => dtype === "float" ? precision : dtype;
  const inputs = Object.entries(sample.inputs).map(([name, spec]) => input(name, spec.shape, dtypeOf(spec)));
  let parameters = 0;
  const parameter: Parameter = (shape) => {
    const name = `param${++parameters}`;
    return constantNode(heldData(shape, random.normals(shape), name), { dtype: precision, name });
  };
  const built = sample.build(
    Object.fromEntries(inputs.map((node) => [node.name, node])),
    parameter,
    precision,
  );
  const named = "op" in built ? { y: built as Tensor } : built as Readonly<Record<string, Tensor>>;
  const outputs = Object.entries(named).map(([name, node]) => ({ name, node }));
  const graph = { name: op, inputs, outputs };
  if (!topological(graph).some((node) => node.op === op)) throw new Error(`${sample.name} has no ${op}`);
  const feeds: Feeds = Object.fromEntries(
    Object.entries(sample.inputs).map(([name, spec]) => {
      const shape = fixedShape(bindShape(spec.shape, sample.dims ?? {}));
      const { below } = spec;
      const values = random.normals(shape);
      const fed = below === undefined ? values : values.map(() => random.integer(0, below - 1));
      return [name, tensorValue(dtypeOf(spec), shape, fed)];
    }),
  );
  const numbers = Object.fromEntries(
    Object.entries(feeds).map(([name, value]) => [name, { shape: value.shape, data: numbersOf(value) }]),
  );
  return { graph, bound: bindDims(graph, sample.dims ?? {}), feeds, numbers };
}

/** Whole numbers as a constant, for indices. */
export function indices(values: readonly number[], shape = [values.length], dtype: DType = "int64"): Tensor {
  return constant(values, { shape, dtype, name: "indices" });
}
