/**
 * A model: a name, its inputs, its choice of normalization and a forward function. `trace` runs that function
 * once over symbolic tensors and gives the graph; the same description traced with another normalization is
 * the reference.
 */
import { UnfoldError } from "../errors.ts";
import type { Precision } from "../ir/dtype.ts";
import { argument, shown, thrown } from "../ir/given.ts";
import type { TensorData } from "../ir/data.ts";
import type { Graph } from "../ir/graph.ts";
import { bindShape, type DimValues, namesIn, type Shape } from "../ir/shape.ts";
import { layerNorm, type Norm } from "../norms/families.ts";
import type { OnnxSaid } from "../onnx/file.ts";
import { apply } from "../ops/table.ts";
import type { WeightSource } from "../weights/source.ts";
import { describing } from "./description.ts";
import { rootScope, type Scope } from "./scope.ts";
import { checkedSpec, INPUT_SHAPE, type InputSpec, type ModelSpec, NORM, PORT } from "./spec.ts";
import { nodeOf, TENSOR, type Tensor, tensorOf } from "./tensor.ts";

export type { DimRange, Evaluation, InputSpec, Keep, ModelSpec } from "./spec.ts";

/** A floating-point input of the compiled precision. */
export function float(shape: Shape): InputSpec {
  argument("float: the shape", shape, INPUT_SHAPE);
  return { dtype: "float", shape };
}
/** An input of token ids. */
export function ids(shape: Shape): InputSpec {
  argument("ids: the shape", shape, INPUT_SHAPE);
  return { dtype: "int64", shape };
}

/** What a network is traced with. */
export interface TraceOptions {
  /** Where its parameters come from. */
  readonly weights: WeightSource;
  /** `"fp32"` unless said. */
  readonly precision?: Precision;
  /** In place of the model's own. */
  readonly norm?: Norm;
  /** Fixes named dimensions: `{ B: 8 }`. */
  readonly dims?: DimValues;
}

/** What an ONNX file said besides its network. */
export interface ModelOrigin {
  /** Its `metadata_props`. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Its documentation, and what it calls itself. */
  readonly said: OnnxSaid;
  /** Its names of open sizes by the model's: `{ B: "batch_size" }`. */
  readonly sizes: Readonly<Record<string, string>>;
  /** Its name of a tensor that is no parameter: a table of its code, which weights of the file have too. */
  nameOf(data: TensorData): string | null;
}

/** A described network, not yet bound to weights. */
export interface Model<Inputs extends string = string> extends ModelSpec<Inputs> {
  /** The normalization to compare with. */
  readonly reference: Norm;
  /** Names of the sizes that stay open: `["B"]`. */
  readonly openDims: readonly string[];
  /** Sizes that were open and have been fixed since: `{ T: 128 }`. */
  readonly fixedDims: Readonly<Record<string, number>>;
  /**
   * Of a network that came from a file, what files that are made of it keep.
   *
   * @internal
   */
  readonly origin?: ModelOrigin;
  /**
   * Runs `forward` over symbolic tensors.
   *
   * @throws {UnfoldError} a shape that does not fit, a weight that is missing, superfluous or of another
   *   shape
   */
  trace(options: TraceOptions): Graph;
}

/**
 * Describes a model; the default export of a `MODEL.ts`.
 *
 * @example
 * ```ts
 * import { block, float, linear, model, norm, unifiedNorm } from "../../mod.ts";
 *
 * export default model({
 *   name: "encoder",
 *   inputs: { tokens: float(["B", 16, 64]) },
 *   norm: unifiedNorm(),
 *   forward({ tokens }, p) {
 *     const x = block(tokens, p.at("block"), { heads: 4, mlp: { hidden: 256 } });
 *     return linear(norm(x, p.at("norm")).mean({ axes: [1] }), p.at("head"), { outputs: 10 });
 *   },
 * });
 * ```
 */
export function model<const Inputs extends string>(described: ModelSpec<Inputs>): Model<Inputs> {
  const spec = checkedSpec<Inputs>(described);
  const openDims = [
    ...new Set(Object.values<InputSpec>(spec.inputs).flatMap(({ shape }) => shape.flatMap(namesIn))),
  ];
  return {
    ...spec,
    reference: spec.reference ?? layerNorm(),
    openDims,
    fixedDims: {},
    trace: (options) => traceModel(spec, options),
  };
}

function traceModel<Inputs extends string>(
  spec: ModelSpec<Inputs>,
  { weights, precision = "fp32", norm = spec.norm, dims = {} }: TraceOptions,
): Graph {
  argument(`${spec.name}: the normalization`, norm, NORM);
  const inputs = Object.entries<InputSpec>(spec.inputs).map(([name, { dtype, shape }]) => {
    const attrs = { dtype: dtype === "float" ? precision : dtype, shape };
    // Sizes are checked as they were written, then bound.
    const open = apply("input", [], { attrs, name });
    return apply("input", [], { attrs: { ...attrs, shape: bindShape(open.type.shape, dims) }, name });
  });
  const byName = Object.fromEntries(inputs.map((node) => [node.name, tensorOf(node)])) as Record<
    Inputs,
    Tensor
  >;
  const root = rootScope({ weights, precision, norm, params: new Map() });
  const result = describing({ precision, dims }, () => forward(spec, byName, root));
  const entries = outputsOf(spec, result);
  const unused = weights.unused();
  if (unused.length > 0) {
    const advice = weights.explain?.(unused) ??
      "Describe the layers they belong to, or name them in the model's `unused` patterns";
    throw new UnfoldError(
      `${weights.origin}: ${unused.length} tensor${
        unused.length === 1 ? "" : "s"
      } that ${spec.name} does not use: ` +
        `${unused.slice(0, 5).join(", ")}${unused.length > 5 ? ", ..." : ""}. ${advice}`,
    );
  }
  return {
    name: spec.name,
    inputs,
    outputs: entries.map(([name, tensor]) => ({ name, node: nodeOf(tensor) })),
  };
}

/** What `forward` returned, by name. */
function outputsOf({ name, inputs }: ModelSpec<string>, result: unknown): (readonly [string, Tensor])[] {
  if (TENSOR.is(result)) return [["output", result as Tensor]];
  if (result instanceof Promise) {
    // Whatever it comes to: nobody waits for it.
    result.catch(() => {});
    throw new UnfoldError(`${name}: forward is asynchronous; describe the network without async and await`);
  }
  const entries = (() => {
    try {
      return typeof result === "object" && result !== null ? Object.entries(result) : [];
    } catch (error) {
      throw new UnfoldError(`${name}: what forward returned cannot be read: ${thrown(error)}`);
    }
  })();
  const wrong = entries.find(([, tensor]) => !TENSOR.is(tensor));
  if (entries.length === 0 || wrong !== undefined) {
    const what = wrong === undefined ? shown(result) : `${shown(wrong[1])} as ${shown(wrong[0])}`;
    throw new UnfoldError(`${name}: forward must return a tensor, or tensors by name, not ${what}`);
  }
  for (const [output] of entries) {
    argument(`${name}: the name of an output`, output, PORT);
    if (Object.hasOwn(inputs, output)) {
      throw new UnfoldError(`${name}: ${shown(output)} is an input's name; call the output otherwise`);
    }
  }
  return entries as [string, Tensor][];
}

/** Runs the user's function; what it throws is told as its own words, with the place in it. */
function forward<Inputs extends string>(
  spec: ModelSpec<Inputs>,
  inputs: Readonly<Record<Inputs, Tensor>>,
  scope: Scope,
): ReturnType<ModelSpec<Inputs>["forward"]> {
  try {
    return spec.forward(inputs, scope);
  } catch (error) {
    const root = new URL("../../", import.meta.url).href;
    const stack = error instanceof Error && typeof error.stack === "string" ? error.stack : "";
    const frames = stack.split("\n").filter((line) => /^\s*at /.test(line) && /file:/.test(line));
    // The innermost line that is not UNfold's own: a line of the model.
    const outside = frames.find((line) => !line.includes(`${root}src/`) && !line.includes(`${root}mod.ts`));
    const place = outside === undefined ? null : /([^/]+:\d+):\d+\)?$/.exec(outside.trim())?.[1];
    const where = place ? ` (${place})` : "";
    const what = error instanceof UnfoldError ? error.message : thrown(error);
    throw new UnfoldError(`${spec.name}: ${what}${where}`, { cause: error });
  }
}
