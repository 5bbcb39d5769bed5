/**
 * Parameter scopes: the one thing a layer needs besides its inputs. A scope is a path into the state dict
 * ("blocks.0") together with where weights come from, the precision they are used in and the model's choice
 * of normalization.
 */
import { UnfoldError } from "../errors.ts";
import {
  argument,
  COUNT,
  either,
  FIXED_SHAPE,
  FLAG,
  given,
  type Kind,
  oneOf,
  optional,
  TEXT,
  whole,
} from "../ir/given.ts";
import { float64Of, heldData, type TensorData } from "../ir/data.ts";
import type { Precision } from "../ir/dtype.ts";
import type { Node } from "../ir/graph.ts";
import { axisIn, sameShape, showShape } from "../ir/shape.ts";
import type { AffineOptions, NormScope } from "../norms/define.ts";
import type { Norm } from "../norms/families.ts";
import type { NormId } from "../ops/define.ts";
import { apply, type AttrsOf, constantNode, isOp } from "../ops/table.ts";
import { type HeadRows, regroupedData } from "../weights/derived/derive.ts";
import type { WeightHint, WeightSource } from "../weights/source.ts";
import { nodeOf, type Tensor, tensorOf } from "./tensor.ts";

/** What all scopes of one trace share. */
export interface TraceContext {
  readonly weights: WeightSource;
  readonly precision: Precision;
  readonly norm: Norm;
  /** Parameters already made, so that tied weights are one constant. */
  readonly params: Map<string, Tensor>;
}

const PART: Kind = {
  ...either(TEXT, whole(0)),
  words: "a name of 1 to 200 characters or a whole number from 0",
};

const HINT = {
  init: oneOf("linear", "embedding", "zeros", "ones", "gain", "bias", "variance"),
  fanIn: optional(COUNT),
  nonNegative: optional(FLAG),
  onesDoNotCount: optional(FLAG),
};

/** The root scope of a trace. */
export let rootScope: (context: TraceContext) => Scope;
let contextOf: (scope: Scope) => TraceContext;

/**
 * A place in the state dict; `forward` is given its root.
 *
 * @example
 * ```ts ignore
 * const block = p.at("blocks", 0);                       // "blocks.0"
 * const table = block.param("attn.bias", [4, 17, 17]);   // "blocks.0.attn.bias"
 * ```
 */
export class Scope {
  /** The path so far, without a trailing dot; empty at the root. */
  readonly path: string;
  readonly #context: TraceContext;

  private constructor(context: TraceContext, path: string) {
    this.#context = context;
    this.path = path;
  }

  static {
    rootScope = (context) => new Scope(context, "");
    contextOf = (scope) => scope.#context;
  }

  /** The scope below this one: `p.at("blocks", i, "attn")`. */
  at(...parts: readonly (string | number)[]): Scope {
    for (const part of parts) argument(`${this.path || "the root scope"}: a part of its path`, part, PART);
    return new Scope(this.#context, joined(this, parts.join(".")));
  }

  /**
   * The parameter `name` in this scope, a tensor of the model's precision.
   *
   * @param hint how a random source invents it; a checkpoint ignores that
   * @throws {UnfoldError} the weights lack it or hold another shape
   */
  param(name: string, shape: readonly number[], hint: WeightHint = { init: "embedding" }): Tensor {
    argument(`${this.path || "the root scope"}: a parameter's name`, name, TEXT);
    const path = joined(this, name);
    argument(`${path}: its shape`, shape, FIXED_SHAPE);
    given(`${path}: its hint`, hint, HINT);
    const { params, weights, precision } = this.#context;
    const known = params.get(path);
    if (known === undefined) {
      const node = constantNode(weights.take(path, shape, hint), { dtype: precision, name: path });
      params.set(path, tensorOf(node));
      return tensorOf(node);
    }
    if (sameShape(known.shape, shape)) return known;
    throw new UnfoldError(
      `the parameter ${path} is used with the shapes ${showShape(known.shape)} and ${showShape(shape)}`,
    );
  }
}

/** How a normalization is applied, besides where. */
export interface Application {
  /** A factor on the result. */
  readonly gain?: number | undefined;
  /** Of its vectors, which are stored head by head. */
  readonly regroup?: HeadRows | undefined;
}

/** `x` over an axis with a normalization, the model's unless given, and a scope's parameters. */
export function normalized(
  x: Tensor,
  p: Scope,
  { axis, family = contextOf(p).norm, ...how }: Application & {
    readonly axis: number;
    readonly family?: Norm;
  },
): Tensor {
  if (p.path === "") throw new UnfoldError('a normalization needs a scope of its own: norm(x, p.at("norm"))');
  return tensorOf(alongAxis(nodeOf(x), axis, (moved) => family.apply(moved, normScope(p, how))));
}

/** What normalizes a last axis, over any. */
export function alongAxis(x: Node, axis: number, normalize: (x: Node) => Node): Node {
  const rank = x.type.shape.length;
  const at = axisIn(axis, rank, "norm");
  if (at === rank - 1) return normalize(x);
  const to = [...x.type.shape.keys()].filter((i) => i !== at).concat(at);
  const moved = apply("transpose", [x], { attrs: { permutation: to } });
  const result = normalize(moved);
  if (result === moved) return x;
  if (isOp(result, "channel_affine") && result.inputs[0] === moved && !result.attrs.centred) {
    const [, scale, shift] = result.inputs;
    const attrs = { ...result.attrs, axis: at };
    return apply("channel_affine", [x, scale, shift], { attrs, name: result.name });
  }
  return apply("transpose", [result], { attrs: { permutation: to.map((_, i) => to.indexOf(i)) } });
}

/** A scope as normalizations see it: vectors to compute with in the description, and an affine at the end. */
export function normScope(p: Scope, { gain = 1, regroup }: Application = {}): NormScope {
  const { weights, precision } = contextOf(p);
  const { path } = p;
  const own: NormId = Symbol(path);
  return {
    path,
    vector(name, length, hint) {
      const stored = weights.take(joined(p, name), [length], { ...hint, onesDoNotCount: true });
      return float64Of(regroup === undefined ? stored : regroupedData(stored, regroup));
    },
    statistics: (op, x, attrs) =>
      apply(op, [x] as readonly Node[], {
        attrs: { ...attrs, norm: own } as AttrsOf<typeof op>,
        name: `${path}/statistics`,
      }),
    affine(x: Node, { scale, shift, family, centred = false }: AffineOptions): Node {
      const held = (values: Float64Array, part: string) => {
        const name = joined(p, part);
        return constantNode(heldData([values.length], values.map((v) => v * gain), name), {
          dtype: precision,
          name,
        });
      };
      // What is not behind this scope's statistics is a normalization by itself.
      const norm = x.attrs.norm === own ? own : Symbol(path);
      return apply("channel_affine", [x, held(scale, "scale"), held(shift, "shift")], {
        attrs: { axis: -1, norm, family, ...(centred && { centred }) },
        name: path,
      });
    },
  };
}

/** The stored bias, or the one that is given. */
export function biasOf(bias: true | Tensor, p: Scope, outputs: number): Tensor {
  return bias === true ? p.param("bias", [outputs], { init: "bias" }) : bias;
}

/** A parameter with its rows changed, a constant as it was: normalizations fold into it. */
export function withData(tensor: Tensor, change: (data: TensorData) => TensorData): Tensor {
  const { type: { dtype }, name } = nodeOf(tensor);
  return tensorOf(constantNode(change(dataOfParameter(tensor)), { dtype, name }));
}

/** The numbers of a parameter. */
export const valuesOf = (tensor: Tensor): Float64Array => float64Of(dataOfParameter(tensor));

function dataOfParameter(tensor: Tensor): TensorData {
  const { op, name, attrs: { data } } = nodeOf(tensor);
  if (op === "constant") return data as TensorData;
  throw new UnfoldError(`${name}: its numbers are needed, and it is computed; give a parameter`);
}

function joined({ path }: Scope, name: string): string {
  return path === "" ? name : `${path}.${name}`;
}
