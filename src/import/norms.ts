/**
 * Normalizations of an imported graph: which there are, of which families, and the same network with others
 * in their places, as a description is traced with another normalization.
 */
import type { Precision } from "../ir/dtype.ts";
import { type Graph, mapGraph, type Node, topological } from "../ir/graph.ts";
import type { NormScope, StatisticsOp } from "../norms/define.ts";
import {
  affineNorm,
  batchNorm,
  groupNorm,
  layerNorm,
  noNorm,
  type Norm,
  rmsNorm,
} from "../norms/families.ts";
import { alongAxis, normScope, rootScope } from "../dsl/scope.ts";
import { isOp, rebuild } from "../ops/table.ts";
import { statisticsOf } from "../rewrite/fold/norm_nodes.ts";
import type { WeightSource } from "../weights/mod.ts";

/** A scope that knows the normalization that the file has there. */
interface FileScope extends NormScope {
  keep(): Node;
}

/** Of each normalization by its gain and shift the statistics in front, null where it has none. */
function sitesOf(graph: Graph): ReadonlyMap<Node, Node | null> {
  const affines = topological(graph).filter((node) =>
    isOp(node, "channel_affine") && node.attrs.family !== LAYER_SCALE
  );
  return new Map(affines.map((affine) => [affine, statisticsOf(affine)]));
}

/** A gain that CaiT's layers end in; no normalization takes its place. */
const LAYER_SCALE = "layerscale";

/** What a site is, as the family of that name. */
function familyOf([affine, statistics]: readonly [Node, Node | null]): Norm {
  const epsilon = statistics?.attrs.epsilon as number | undefined;
  const options = epsilon === undefined ? {} : { epsilon };
  switch (statistics?.op as StatisticsOp | undefined) {
    case "layer_norm":
      return layerNorm(options);
    case "rms_norm":
      return rmsNorm(options);
    case "group_norm":
      return groupNorm({ ...options, groups: statistics!.attrs.groups as number });
    default:
      return affine.attrs.family === "bn" ? batchNorm() : affineNorm();
  }
}

/**
 * The normalization of an imported network: at each scope what the file has there. Where there are several,
 * it is called by the families of all.
 */
export function ownNorm(graph: Graph): Norm {
  const all = [
    ...new Map([...sitesOf(graph)].map(familyOf).map((norm) => [norm.label, norm])).values(),
  ];
  const [first = noNorm()] = [...all.filter(({ offline }) => offline), ...all];
  return {
    ...first,
    label: all.length <= 1 ? first.label : all.map(({ label }) => label).join(" and "),
    offline: all.every(({ offline }) => offline),
    ignoredKeys: [],
    apply: (x, scope) => "keep" in scope ? (scope as FileScope).keep() : first.apply(x, scope),
  };
}

/** The same network with a normalization in place of each of its own. */
export function withNorm(
  graph: Graph,
  norm: Norm,
  { weights, precision }: { readonly weights: WeightSource; readonly precision: Precision },
): Graph {
  const sites = sitesOf(graph);
  const root = rootScope({ weights, precision, norm, params: new Map() });
  return mapGraph(graph, (node, inputs) => {
    const rebuilt = rebuild(node, inputs);
    const statistics = sites.get(node);
    if (statistics === undefined) return rebuilt;
    const before = statistics === null ? rebuilt.inputs[0]! : rebuilt.inputs[0]!.inputs[0]!;
    let isKept = false;
    const scope: FileScope = {
      ...normScope(root.at(node.name)),
      keep: () => {
        isKept = true;
        return rebuilt;
      },
    };
    const axis = isOp(node, "channel_affine") ? node.attrs.axis : -1;
    const normalized = alongAxis(before, axis, (moved) => norm.apply(moved, scope));
    return isKept ? rebuilt : normalized;
  });
}
