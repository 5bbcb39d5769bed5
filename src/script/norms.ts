/**
 * Normalizations as a script has them: which one makes each gain and shift of a network, with which options,
 * tried out on its weights; and which the model is said to have, the others being told where they stand.
 */
import { alongAxis, normScope, rootScope } from "../dsl/scope.ts";
import { isRefusal } from "../errors.ts";
import { bytesAs } from "../ir/data.ts";
import { type Graph, type Node, topological } from "../ir/graph.ts";
import { axisIn } from "../ir/shape.ts";
import * as families from "../norms/families.ts";
import { type Norm, type NormFamily, NORMS } from "../norms/families.ts";
import { dataOf } from "../ops/constant.ts";
import { isOp } from "../ops/table.ts";
import { statisticsOf } from "../rewrite/fold/norm_nodes.ts";
import type { HeadRows } from "../weights/derived/derive.ts";
import type { WeightSource } from "../weights/source.ts";
import { regroupingOf } from "./expressions.ts";
import { literal, parentOf } from "./phrase.ts";

/** A normalization in a network. */
export interface NormSite {
  readonly x: Node;
  readonly scope: string;
  /** Null where the axis is the last. */
  readonly axis: number | null;
  /** The statistics, which only the gain and shift read. */
  readonly within: readonly Node[];
  readonly regroup: HeadRows | null;
  readonly made: MadeNorm;
}

/** What makes a normalization: "batchNorm", "batchNorm({ epsilon: 0.001 })". */
export interface MadeNorm {
  readonly maker: string;
  readonly text: string;
}

export interface Norms {
  /** By their gains and shifts. */
  readonly sites: ReadonlyMap<Node, NormSite>;
  /** The model's: of its family, what most sites have. */
  readonly usual: MadeNorm;
}

/** Published networks' additions to the variance. */
const EPSILONS = [1e-5, 1e-6, 1e-12, 1e-3, 1e-8, 1e-7];

export function normsOf(
  graph: Graph,
  { norm, weights }: { readonly norm: Norm; readonly weights: WeightSource },
): Norms {
  const root = rootScope({ weights, precision: "fp32", norm, params: new Map() });
  const sites = new Map<Node, NormSite>();
  const counts = new Map<string, { made: MadeNorm; count: number }>();
  for (const node of topological(graph)) {
    if (!isOp(node, "channel_affine") || !Object.hasOwn(NORMS, node.attrs.family)) continue;
    const family = node.attrs.family as NormFamily;
    const statistics = statisticsOf(node);
    const x = (statistics ?? node).inputs[0]!;
    const at = axisIn(node.attrs.axis, x.type.shape.length, "channel_affine");
    // Vectors are in the order of the rows of the product in front.
    const regroup = x.op === "linear" ? regroupingOf(x.inputs[1])?.rows : undefined;
    const isMadeIn = (path: string, options: Options) => {
      try {
        const scope = normScope(root.at(path), { regroup });
        return isTwin(alongAxis(x, at, (moved) => NORMS[family](options).apply(moved, scope)), node);
      } catch (error) {
        if (isRefusal(error)) return false;
        throw error;
      }
    };
    const found = scopesOf(node).flatMap((scope) =>
      optionsOf(family, statistics).map((options) => ({ scope, options }))
    ).find(({ scope, options }) => isMadeIn(scope, options));
    if (found === undefined) continue;
    const made = madeNorm(family, found.options);
    if (family === norm.family) {
      const { count } = counts.get(made.text) ?? { count: 0 };
      counts.set(made.text, { made, count: count + 1 });
    }
    sites.set(node, {
      x,
      scope: found.scope,
      axis: at === x.type.shape.length - 1 ? null : at,
      within: statistics === null ? [] : [statistics],
      regroup: regroup ?? null,
      made,
    });
  }
  const [most] = [...counts.values()].sort((a, b) => b.count - a.count);
  return { sites, usual: most?.made ?? madeNorm(norm.family, {}) };
}

/** Where its parameters may be: a module that is called twice is "norm_1" the second time. */
function scopesOf({ name, inputs: [, gain] }: Node): readonly string[] {
  return [...new Set([name, parentOf(gain!.name), name.replace(/_\d+$/, "")])].filter((path) => path !== "");
}

type Options = Readonly<Record<string, unknown>>;

/** Options that a family may have been made with: what its statistics say, published epsilons, each flag. */
function optionsOf(family: NormFamily, statistics: Node | null): readonly Options[] {
  const defaults: Options = { ...NORMS[family].defaults };
  const flags = Object.entries(defaults).filter(([, value]) => typeof value === "boolean");
  const said = Object.entries(statistics?.attrs ?? {}).filter(([key]) => Object.hasOwn(defaults, key));
  const isTried = statistics === null && Object.hasOwn(defaults, "epsilon");
  return [{}, ...(isTried ? EPSILONS.map((epsilon) => ({ epsilon })) : [])].flatMap((tried) => {
    const options = { ...defaults, ...tried, ...Object.fromEntries(said) };
    return [options, ...flags.map(([flag, value]) => ({ ...options, [flag]: !value }))];
  });
}

function madeNorm(family: NormFamily, options: Options): MadeNorm {
  const [maker] = Object.entries(families).find(([, value]) =>
    typeof value === "function" && "word" in value && value.word === family
  )!;
  const defaults: Options = { ...NORMS[family].defaults };
  const given = Object.entries(options).filter(([key, value]) => value !== defaults[key])
    .map(([key, value]) => `${key}: ${literal(value)}`);
  return { maker, text: given.length === 0 ? `${maker}()` : `${maker}({ ${given.join(", ")} })` };
}

/** Whether two nodes over the same tensor are one normalization. */
function isTwin(a: Node, b: Node): boolean {
  if (a === b) return true;
  if (a.op !== b.op || a.inputs.length !== b.inputs.length) return false;
  if (isOp(a, "constant")) {
    const [left, right] = [a, b].map((node) => bytesAs(dataOf(node), "fp32"));
    return left!.length === right!.length && left!.every((byte, i) => byte === right![i]);
  }
  const told = ({ attrs, type }: Node) =>
    literal(
      Object.entries(attrs).filter(([, value]) => typeof value !== "symbol").map(([key, value]) =>
        key === "axis" ? [key, axisIn(value as number, type.shape.length, "norm")] : [key, value]
      ).sort(),
    );
  return told(a) === told(b) && a.inputs.every((input, i) => isTwin(input, b.inputs[i]!));
}
