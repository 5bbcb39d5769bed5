/**
 * Where channels go in a graph: one walk for all passes. Channels stay themselves through moves, through
 * means over other axes, and through sums of tensors that all have them; an operator's record says where they
 * go (`ahead` in `src/ops`). Each pass decides what to do where they end, split or join.
 */
import type { Node, Use } from "../../ir/graph.ts";
import { axesBehind, axisAhead, wholeAxesBehind } from "../../ops/channels.ts";
import type { Track } from "../../ops/define.ts";
import { isOp, opOf } from "../../ops/table.ts";
import { isConstantLinear } from "../tidy/constants.ts";

/** A tensor and the axis of its channels. */
export interface Place {
  readonly node: Node;
  readonly axis: number;
}

/** Whether a node only places values elsewhere, or averages them. */
function isMove(node: Node): boolean {
  const { kind } = opOf(node);
  return kind === "move" || kind === "mean";
}

/**
 * Where the inputs of a move, mean or sum have the channels of its result; null for an input such as indices.
 * Null of other nodes, whose channels are of their own making, of several tensors' channels and of sums with
 * what lacks them.
 */
export function behind({ node, axis }: Place): readonly (Place | null)[] | null {
  if (!isMove(node) && !isOp(node, "add")) return null;
  const axes = wholeAxesBehind(node, axis);
  if (axes === null || (isOp(node, "add") && axes.includes(null))) return null;
  return axes.map((axis, i) => axis === null ? null : { node: node.inputs[i]!, axis });
}

/** Where a move, mean or sum has the channels it reads along `axis`: all, some, or rows of them joined. */
export function ahead(use: Use, axis: number): Place & Track | null {
  if ("output" in use) return null;
  const { user, index } = use;
  const track = isMove(user) || isOp(user, "add") ? axisAhead(user, { axis, index }) : null;
  if (track === null || (isOp(user, "add") && behind({ node: user, axis: track.axis }) === null)) return null;
  return { ...track, node: user };
}

/** The same of moves and means of one tensor. */
export function movedTo(use: Use, axis: number): Place & Track | null {
  const place = ahead(use, axis);
  if (place === null || isOp(place.node, "add")) return null;
  const sources = axesBehind(place.node, place.axis).filter((source) => source !== null);
  return sources.length === 1 ? place : null;
}

/** The one tensor that a node moves or averages, with the same channels. */
export function movedFrom(place: Place): Place | null {
  const sources = isOp(place.node, "add") ? [] : behind(place)?.filter((source) => source !== null) ?? [];
  return sources.length === 1 ? sources[0]! : null;
}

/** Whether a use is that of a product with constant weights which sums over the channels. */
export function isReading(use: Use, { node, axis }: Place): use is { user: Node; index: number } {
  return "user" in use && use.index === 0 && isConstantLinear(use.user) &&
    axis === node.type.shape.length - 1;
}

/**
 * Every tensor on the ways from a place, with the axis of its channels. Null where one has them along two
 * axes, or where `next`, which says where the ways go on from each, answers null.
 */
export function follow(
  { node, axis }: Place,
  next: (place: Place) => readonly Place[] | null,
): ReadonlyMap<Node, number> | null {
  const axes = new Map([[node, axis]]);
  // A map's own iteration sees what is added on the way.
  for (const [node, axis] of axes) {
    const places = next({ node, axis });
    if (places === null || places.some((place) => (axes.get(place.node) ?? place.axis) !== place.axis)) {
      return null;
    }
    for (const place of places) axes.set(place.node, place.axis);
  }
  return axes;
}
