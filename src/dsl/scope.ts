/**
 * Parameter scopes: the one thing a layer needs besides its inputs. A scope is a path into the state dict ("blocks.0")
 * together with where weights come from, the precision they are used in and the model's choice of normalization.
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
import { float64Of, heldData } from "../ir/data.ts";
import type { Precision } from "../ir/dtype.ts";
import type { Node } from "../ir/graph.ts";
import { sameShape, showShape } from "../ir/shape.ts";
import type { AffineOptions, NormScope, StatisticsAttrs, StatisticsOp } from "../norms/define.ts";
import type { Norm } from "../norms/families.ts";
import type { NormId } from "../ops/define.ts";
import { apply, type AttrsOf, constantNode } from "../ops/table.ts";
import type { WeightHint, WeightSource } from "../weights/source.ts";

/** What all scopes of one trace share. */
export interface TraceContext {
  readonly weights: WeightSource;
  readonly precision: Precision;
  readonly norm: Norm;
  /** Parameters already made, so that tied weights are one constant. */
  readonly params: Map<string, Node>;
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

/**
 * A place in the state dict.
 *
 * @example
 * ```ts ignore
 * const block = p.at("blocks", 0);                       // "blocks.0"
 * const table = block.param("attn.bias", [4, 17, 17]);   // "blocks.0.attn.bias"
 * ```
 */
export class Scope implements NormScope {
  /** The path so far, without a trailing dot; empty at the root. */
  readonly path: string;
  readonly #context: TraceContext;
  /** What affines of this scope are multiplied by. */
  readonly #gain: number;
  /** Of the normalization whose scope it is. */
  readonly #norm: NormId;

  constructor(context: TraceContext, path = "", gain = 1) {
    this.#context = context;
    this.path = path;
    this.#gain = gain;
    this.#norm = Symbol(path);
  }

  /** The precision floating-point parameters are used in. */
  get precision(): Precision {
    return this.#context.precision;
  }

  /** The scope below this one: `p.at("blocks", i, "attn")`. */
  at(...parts: readonly (string | number)[]): Scope {
    for (const part of parts) argument(`${this.path || "the root scope"}: a part of its path`, part, PART);
    return new Scope(this.#context, this.#join(parts.join(".")));
  }

  /**
   * The parameter `name` in this scope, a tensor of the model's precision.
   *
   * @param hint how a random source invents it; a checkpoint ignores that
   * @throws {UnfoldError} the weights lack it or hold another shape
   */
  param(name: string, shape: readonly number[], hint: WeightHint = { init: "embedding" }): Node {
    argument(`${this.path || "the root scope"}: a parameter's name`, name, TEXT);
    const path = this.#join(name);
    argument(`${path}: its shape`, shape, FIXED_SHAPE);
    given(`${path}: its hint`, hint, HINT);
    const known = this.#context.params.get(path);
    if (known !== undefined) {
      if (sameShape(known.type.shape, shape)) return known;
      throw new UnfoldError(
        `the parameter ${path} is used with the shapes ${showShape(known.type.shape)} and ${
          showShape(shape)
        }`,
      );
    }
    const data = this.#context.weights.take(path, shape, hint);
    const node = constantNode(data, { dtype: this.#context.precision, name: path });
    this.#context.params.set(path, node);
    return node;
  }

  /** A vector parameter's values, for what is computed from it before the network runs; `[1, C, 1, 1]` is one too. */
  vector(name: string, length: number, hint: WeightHint): Float64Array {
    argument(`${this.path || "the root scope"}: a parameter's name`, name, TEXT);
    argument(`${this.#join(name)}: its length`, length, COUNT);
    given(`${this.#join(name)}: its hint`, hint, HINT);
    return float64Of(
      this.#context.weights.take(this.#join(name), [length], { ...hint, onesDoNotCount: true }),
    );
  }

  /** The part of this scope's normalization that depends on the input. */
  statistics<Op extends StatisticsOp>(op: Op, x: Node, attrs: Omit<StatisticsAttrs[Op], "norm">): Node {
    const own = { ...attrs, norm: this.#norm } as AttrsOf<Op>;
    return apply(op, [x], { attrs: own, name: `${this.path}/statistics` });
  }

  /** `scale * x + shift` over the last axis, named after this scope; how normalizations end. */
  affine(x: Node, { scale, shift, family, centred = false }: AffineOptions): Node {
    const held = (values: Float64Array, name: string) =>
      constantNode(heldData([values.length], values.map((v) => v * this.#gain), this.#join(name)), {
        dtype: this.precision,
        name: this.#join(name),
      });
    // What is not behind this scope's statistics is a normalization by itself.
    const norm = x.attrs.norm === this.#norm ? this.#norm : Symbol(this.path);
    return apply("channel_affine", [x, held(scale, "scale"), held(shift, "shift")], {
      attrs: { axis: -1, norm, family, ...(centred && { centred }) },
      name: this.path,
    });
  }

  /**
   * Normalizes `x` over its last axis with the model's normalization and the parameters of this scope.
   *
   * @param options.scale a factor on the result, as LayerNorm Scaling has it
   */
  normalize(x: Node, { scale = 1 } = {}): Node {
    if (this.path === "") {
      throw new UnfoldError('a normalization needs a scope of its own: norm(x, p.at("norm"))');
    }
    return this.#context.norm.apply(x, new Scope(this.#context, this.path, scale));
  }

  #join(name: string): string {
    return this.path === "" ? name : `${this.path}.${name}`;
  }
}
