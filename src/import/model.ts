/**
 * An ONNX file as a model with its weights, as a checkpoint of a known layout is one: whatever is done with a
 * network, audit, build, compare, convert, does it with this one too. Tracing translates the file again, at
 * the precision, sizes and normalization that are asked for; nothing of a weight is read.
 */
import { basename } from "node:path";
import type { RecognisedCheckpoint } from "../checkpoints/recognised.ts";
import type { Model, TraceOptions } from "../dsl/model.ts";
import { RequestError, UnfoldError } from "../errors.ts";
import type { TensorData } from "../ir/data.ts";
import { isFloat, type Precision } from "../ir/dtype.ts";
import { type Graph, type Node, topological } from "../ir/graph.ts";
import { bindShape, type DimValues, isDim, MOST_ELEMENTS, namesIn, showShape } from "../ir/shape.ts";
import { layerNorm, type Norm } from "../norms/families.ts";
import { readOnnx } from "../onnx/read.ts";
import type { OnnxFile } from "../onnx/file.ts";
import { isOp, type OpName } from "../ops/table.ts";
import { runPipeline } from "../rewrite/pass.ts";
import { RECOGNISE } from "../rewrite/recognise/recognise.ts";
import { listed, quoted } from "../text.ts";
import type { Checkpoint } from "../weights/checkpoint.ts";
import { checkpointWeights } from "../weights/mod.ts";
import { type Inputs, inputsOf } from "./inputs.ts";
import { ownNorm, withNorm } from "./norms.ts";
import { understood } from "./open_sizes.ts";
import { type Parameter, parametersOf } from "./parameters.ts";
import { translate } from "./translate.ts";
import { unknownOperators } from "./unknown.ts";

/** How an ONNX file is opened. */
export interface ImportOptions {
  /**
   * Sizes that are fixed before the network is read, `{ T: 128 }`: what is computed from them is known then.
   */
  readonly dims?: DimValues;
  /** The batch that a file may be frozen at; one whose batch is open stays so. */
  readonly batch?: number | null;
  /** The network that it is compared with, in place of itself with Layer Normalization. */
  readonly reference?: ImportedOnnx | undefined;
  /** Whether to look at the rest of a network with operators that UNfold does not know. */
  readonly keepGoing?: boolean;
}

/** An ONNX file as a network and its weights. */
export interface ImportedOnnx extends RecognisedCheckpoint {
  /** The type that its floats are stored in. */
  readonly precision: Precision;
  /** Operators that are not known, and the nodes of each; none unless the rest is looked at. */
  readonly unknown: readonly { readonly operator: string; readonly nodes: readonly string[] }[];
  /** Files that have weights of it, besides itself. */
  readonly beside: readonly string[];
  /** Of the file. */
  readonly nodes: number;
  /** The version of the standard's operators. */
  readonly opset: number;
}

/** Who wrote the file that another was made of, in the metadata of that. */
const SOURCE_KEY = "unfold.source";

/**
 * Opens an ONNX file as a network and its weights.
 *
 * ```ts ignore
 * const { model, open } = importOnnx("vit.onnx");
 * const graph = model.trace({ weights: open() });
 * ```
 *
 * @throws {UnfoldError} the file is malformed, has operators that UNfold does not know, all of which are
 * listed, or computes what an open size makes impossible
 */
export function importOnnx(
  path: string | URL,
  { dims: given = {}, batch = null, keepGoing = false, reference }: ImportOptions = {},
): ImportedOnnx {
  const file = readOnnx(path);
  const parameters = parametersOf(file.graph);
  const name = nameOf(file.path);
  const traced = (inputs: Inputs, dims: DimValues) =>
  (
    { precision = "fp32", dims: more = {} }: Pick<TraceOptions, "precision" | "dims">,
    take: (parameter: Parameter) => Parameter["data"],
  ): Graph => {
    const plain = translate(file, {
      name,
      inputs,
      parameters,
      precision,
      dims: { ...dims, ...more },
      keepGoing,
      take,
    });
    return runPipeline(plain, RECOGNISE).graph;
  };
  const named = inputsOf(file);
  refuseOther(given, named, file.path);
  const look = (inputs: Inputs, dims: DimValues) => {
    const graph = traced(inputs, dims)({}, ({ data }) => data);
    return { norm: ownNorm(graph), quantized: quantizedIn(graph) };
  };
  const { inputs, seen: { norm, quantized }, dims } = understood(named, look, { file, dims: given, batch });
  const graphOf = traced(inputs, dims);
  const specs = Object.fromEntries(
    Object.entries(inputs.specs).map((
      [input, spec],
    ) => [input, { ...spec, shape: bindShape(spec.shape, dims) }]),
  );
  const compared = reference === undefined
    ? layerNorm()
    : referenceNorm(reference, { norm, specs, path: file.path });
  const model: Model = {
    name,
    inputs: specs,
    norm,
    reference: compared,
    openDims: openIn(specs),
    fixedDims: dims,
    ...batchOf(specs),
    origin: {
      metadata: {
        ...file.producer !== "" && { [SOURCE_KEY]: file.producer },
        ...Object.fromEntries(file.metadata),
      },
      said: file.said,
      sizes: Object.fromEntries(inputs.sizes),
      nameOf: (data) => [...file.graph.initializers].find(([, stored]) => stored === data)?.[0] ?? null,
    },
    forward: () => {
      throw new UnfoldError(`${name} comes from an ONNX file and has no description`);
    },
    trace: ({ weights, norm: other = norm, ...options }) => {
      if (reference !== undefined && other === compared) {
        return reference.model.trace({ weights, ...options });
      }
      const graph = graphOf(options, ({ name, data, hint }) => weights.take(name, data.shape, hint));
      return withNorm(graph, other, { weights, precision: options.precision ?? "fp32" });
    },
  };
  const byName = new Map([...parameters.values()].map((parameter) => [parameter.name, parameter]));
  const tensors = weightsOf(file, byName);
  return {
    path: file.path,
    format: `ONNX${file.producer === "" ? "" : ` of ${file.producer}`}`,
    stateDict: null,
    prefix: "",
    model,
    settled: [
      ...inputs.assumed.map((why) => ({ name: "batch", value: "B", basis: "assumed" as const, why })),
      ...isDouble(file)
        ? [{
          name: "precision",
          value: "fp32",
          basis: "assumed" as const,
          why: "the file's floats of 64 bits are taken for floats of 32, inputs and outputs among them",
        }]
        : [],
    ],
    ignored: [],
    quantized,
    precision: precisionOf(file),
    unknown: [...unknownOperators(file)].map(([operator, nodes]) => ({
      operator,
      nodes: nodes.map(({ name }) => name),
    })),
    beside: file.beside,
    nodes: file.graph.nodes.length,
    opset: file.opsets.get("") ?? 1,
    placeOf: (parameter) => parameter,
    tensors,
    ...(reference && { reference }),
    nameOf: (parameter) => byName.get(parameter)?.stored ?? null,
    open: ({ allowNonFinite = false } = {}) => checkpointWeights(tensors, { allowNonFinite }),
  };
}

/** Products of whole numbers, which stay what they are. */
function quantizedIn(graph: Graph): ImportedOnnx["quantized"] {
  const products = topological(graph).filter(({ op }) => PRODUCTS.has(op));
  const quantized = products.filter(({ inputs: [, weight] }) => isOp(weight!, "dequantize"));
  const isWhole = ({ inputs: [x] }: Node) => isOp(x!, "dequantize");
  const told = (nodes: readonly Node[], what: string) =>
    nodes.map(({ name }) => ({
      name,
      why: `${nodes.length} of ${products.length} products have ${what} of few bits in the file, and keep ` +
        "them; no normalization folds into them",
    }));
  return [
    ...told(quantized.filter(isWhole), "both operands"),
    ...told(quantized.filter((node) => !isWhole(node)), "a weight"),
  ];
}

const PRODUCTS: ReadonlySet<string> = new Set<OpName>(["conv", "linear", "matmul"]);

/**
 * What the reference's normalizations are, called as its file has them.
 *
 * @throws {UnfoldError} it has other inputs, or normalizations of the same family
 */
function referenceNorm(
  { path: other, model }: ImportedOnnx,
  { norm, specs, path }: { readonly norm: Norm; readonly specs: Model["inputs"]; readonly path: string },
): Norm {
  if (model.norm.family === norm.family) {
    throw new UnfoldError(
      `${path} and its reference ${other} are both of ${norm.label}; give one with other normalizations`,
    );
  }
  const inputsText = (inputs: Model["inputs"]) =>
    Object.entries(inputs).map(([name, { shape }]) => `${quoted(name)} ${showShape(shape)}`).sort().join(
      ", ",
    );
  const [own, others] = [specs, model.inputs].map(inputsText);
  if (own === others) return { ...model.norm };
  throw new UnfoldError(
    `${path} takes ${own}, and its reference ${other} ${others}; they are to be the same`,
  );
}

const openIn = (specs: Model["inputs"]): string[] => [
  ...new Set(Object.values(specs).flatMap(({ shape }) => shape.flatMap(namesIn))),
];

function refuseOther(dims: DimValues, { specs, sizes }: Inputs, path: string): void {
  const open = openIn(specs);
  const odd = Object.keys(dims).find((dim) => open.includes(dim) && !isDim(dims[dim]!));
  if (odd !== undefined) {
    throw new RequestError(
      `${path} takes whole numbers from 1 to ${MOST_ELEMENTS} for ${odd}, not ${dims[odd]}`,
    );
  }
  const wrong = Object.keys(dims).find((dim) => !open.includes(dim));
  if (wrong === undefined) return;
  const called = open.map((dim) => {
    const theirs = sizes.get(dim) ?? dim;
    return theirs === dim ? dim : `${dim} (${quoted(theirs)} in the file)`;
  });
  const are = open.length > 0 ? `open are ${called.join(", ")}` : "none is";
  throw new RequestError(`${path} has no open size ${quoted(wrong)}; ${are}`);
}

/** The size of the first axis of all inputs, where that is fixed. */
function batchOf(specs: Model["inputs"]): Pick<Model, "batch"> {
  const [batch, ...others] = new Set(Object.values(specs).map(({ shape: [first] }) => first));
  return typeof batch === "number" && others.length === 0 ? { batch } : {};
}

/** The type of floating-point inputs, else of the weights. */
function precisionOf({ graph: { inputs, initializers } }: OnnxFile): Precision {
  const types = [...inputs, ...initializers.values()].map(({ dtype }) => dtype);
  const found = types.find((type) => isFloat(type));
  return found === "fp16" || found === "bf16" ? found : "fp32";
}

/** Whether its inputs or outputs are floats of 64 bits. */
const isDouble = ({ graph: { inputs, outputs } }: OnnxFile): boolean =>
  [...inputs, ...outputs].some(({ dtype }) => dtype === "fp64");

/** A file's name as a model has one: letters, digits, - and _. */
function nameOf(path: string): string {
  const stem = basename(path).replace(/\.onnx$/i, "").replace(/[^A-Za-z0-9_-]+/g, "-").replace(/^[-_]+/, "");
  return stem.slice(0, 100) || "network";
}

/** The file's parameters under their names in the network; other tensors of it, unlisted, under their own. */
export function weightsOf(
  { path, metadata, graph: { initializers } }: OnnxFile,
  parameters: ReadonlyMap<string, Parameter>,
): Checkpoint {
  const known = (name: string) => parameters.get(name)?.data ?? initializers.get(name);
  const of = (name: string): TensorData => {
    const data = known(name);
    if (data !== undefined) return data;
    throw new UnfoldError(
      `${path} has no parameter ${quoted(name)}; it has ${listed([...parameters.keys()], 3)}`,
    );
  };
  return {
    path,
    metadata: Object.fromEntries(metadata),
    training: {},
    stateDict: null,
    recorded: [],
    names: () => [...parameters.keys()],
    has: (name) => known(name) !== undefined,
    typeOf: (name) => of(name).dtype,
    shapeOf: (name) => of(name).shape,
    tensor: of,
  };
}
