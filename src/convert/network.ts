/**
 * A network with some of its normalizations replaced and some of its weights changed: traced anew each time,
 * with the place of every normalization and of the products that read it. Nothing is run here.
 */
import type { WeightChoice } from "../compile/networks.ts";
import { scopedNorm } from "../checkpoints/norms.ts";
import type { Model } from "../dsl/model.ts";
import { UnfoldError } from "../errors.ts";
import { float64Of, type TensorData } from "../ir/data.ts";
import { type Graph, type Node, topological, usesOf } from "../ir/graph.ts";
import type { AffineOptions } from "../norms/define.ts";
import { type Norm, unifiedNorm } from "../norms/families.ts";
import { dataOf } from "../ops/constant.ts";
import { apply, isOp, opOf } from "../ops/table.ts";
import type { WeightSource } from "../weights/mod.ts";

/** What is added to `running_var` in converted normalizations. */
export const EPSILON = 1e-5;

/** Parameters by their names in the description, in place of those of the file. */
export type Changes = ReadonlyMap<string, TensorData>;

/** A normalization where it is applied: `y = gain * norm(x)`. */
export interface Place {
  readonly scope: string;
  readonly x: Node;
  readonly y: Node;
  /** The factor that the description puts on its result; 1 of most. */
  readonly gain: number;
  /**
   * Where nothing reads more than some rows of y, a class token's for instance: the slices, the last first.
   */
  readonly slices: readonly Node[];
}

/** A network as it is at one step of a conversion. */
export interface Traced {
  readonly graph: Graph;
  /** In the order in which they are computed. */
  readonly places: readonly Place[];
}

/** What a conversion works on. */
export interface Subject {
  readonly model: Model;
  /** The normalization that it was trained with. */
  readonly norm: Norm;
  readonly weights: WeightChoice;
}

/** The network with the normalizations in `scopes` replaced and `changes` in place of its own weights. */
export function traced(
  { model, norm, weights }: Subject,
  { scopes, changes }: { readonly scopes: ReadonlySet<string>; readonly changes: Changes },
): Traced {
  const places: Omit<Place, "slices">[] = [];
  const instead = unifiedNorm({ epsilon: EPSILON });
  const replaced = scopedNorm(norm, (scope) => scopes.has(scope) ? instead : undefined);
  const recording: Norm = {
    ...replaced,
    apply(x, scope) {
      let asked: AffineOptions | undefined;
      const y = replaced.apply(x, {
        ...scope,
        affine: (of, options) => scope.affine(of, asked = options),
      });
      places.push({ scope: scope.path, x, y, gain: asked === undefined ? 1 : gainOf(y, asked) });
      return y;
    },
  };
  const graph = model.trace({ weights: withChanges(weights.open(), changes), norm: recording });
  const uses = usesOf(graph);
  return { graph, places: places.map((place) => ({ ...place, slices: slicesOf(place.y, uses) })) };
}

function slicesOf(y: Node, uses: ReturnType<typeof usesOf>): Node[] {
  const [use, ...others] = uses.get(y) ?? [];
  if (use === undefined || !("user" in use) || others.length > 0) return [];
  const { user } = use;
  const isOfRows = isOp(user, "slice") && user.attrs.axis !== user.type.shape.length - 1;
  return isOfRows ? [...slicesOf(user, uses), user] : [];
}

/** What the description multiplies a normalization's scale by. */
function gainOf(y: Node, { scale }: AffineOptions): number {
  const at = scale.reduce((most, value, c) => Math.abs(value) > Math.abs(scale[most]!) ? c : most, 0);
  const held = float64Of(dataOf(y.inputs[1]!))[at]!;
  return scale[at] === 0 ? 1 : held / scale[at]!;
}

/** `weights`, with values of the same shapes in place of some of theirs, and those that were not there. */
function withChanges(weights: WeightSource, changes: Changes): WeightSource {
  return {
    origin: weights.origin,
    take(name, shape, hint) {
      const change = changes.get(name);
      if (change === undefined) return weights.take(name, shape, hint);
      try {
        weights.take(name, shape, hint); // It counts as used.
      } catch (error) {
        if (!(error instanceof UnfoldError)) throw error;
      }
      return change;
    },
    unused: () => weights.unused(),
  };
}

/** A product that reads a normalization, and nothing else does what it does with its weight. */
export interface Reader {
  /** Its scope: that of `weight` and, where there is one, `bias`. */
  readonly scope: string;
  readonly node: Node;
  readonly hasBias: boolean;
  /**
   * From the normalization's result to the product's input: operators that only move values, the last first.
   */
  readonly moves: readonly Node[];
}

/** The products that read `place`, and the names of those that cannot be changed with why. */
export function readersOf(
  { graph, places }: Traced,
  place: Place,
): { readonly readers: readonly Reader[]; readonly left: readonly string[] } {
  const uses = usesOf(graph);
  const readers: Reader[] = [];
  const left: string[] = [];
  if (places.filter(({ scope }) => scope === place.scope).length > 1) {
    return { readers, left: [`${place.scope} is applied in several places`] };
  }
  const visit = (node: Node, moves: readonly Node[]) => {
    for (const use of uses.get(node) ?? []) {
      if (!("user" in use)) continue;
      const { user, index } = use;
      if (isOp(user, "linear") && index === 0) {
        const hasBias = user.inputs[2] !== undefined;
        if (isOwn(user, graph, uses)) readers.push({ scope: user.name, node: user, hasBias, moves });
        else left.push(`${user.name} shares its weight with others`);
      } else if (opOf(user).kind === "move" && user.inputs.length === 1) {
        visit(user, [user, ...moves]);
      }
    }
  };
  visit(place.y, []);
  return { readers, left };
}

/** The values of `x` where others would be read: moved as `moves` do, the last first. */
export function moved(x: Node, moves: readonly Node[]): Node {
  return moves.toReversed().reduce(
    (input, { op, attrs, name }) =>
      apply(op as "reshape", [input], { attrs: attrs as never, name: `${name}/unnormalized` }),
    x,
  );
}

/** The product that writes the branch of the residual sum that a normalization reads. */
export interface Writer {
  readonly scope: string;
  readonly node: Node;
  /** Whether nothing but the normalization reads the sum: post-norm. */
  readonly isAlone: boolean;
}

/** What writes the branch that `place` reads; null where that is no product that can be changed. */
export function writerOf({ graph, places }: Traced, { x, scope }: Place): Writer | null {
  if (!isOp(x, "add") || places.filter((place) => place.scope === scope).length > 1) return null;
  const uses = usesOf(graph);
  const written = x.inputs.filter((node) => isOp(node, "linear") && uses.get(node)!.length === 1);
  const [node] = written;
  if (written.length !== 1 || !sameShape(node!, x) || !isOwn(node!, graph, uses)) return null;
  return { scope: node!.name, node: node!, isAlone: uses.get(x)!.length === 1 };
}

const sameShape = (a: Node, b: Node) => a.type.shape.join() === b.type.shape.join();

/** Whether a product's weight and bias are its own, in one place and not tied to anything. */
function isOwn(product: Node, graph: Graph, uses: ReturnType<typeof usesOf>): boolean {
  const [, weight, bias] = product.inputs as readonly [Node, Node, Node?];
  return weight.op === "constant" && weight.name === `${product.name}.weight` &&
    uses.get(weight)!.length === 1 && (bias === undefined || uses.get(bias)!.length === 1) &&
    topological(graph).filter(({ name }) => name === product.name).length === 1;
}
