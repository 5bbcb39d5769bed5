/**
 * Consequences of where an operator puts an axis (`ahead`) and of what it does to numbers (`kind`): where an
 * axis of its result comes from, how a channel affine passes it, and which parts of its inputs a part of the
 * result needs. An operator with more algebra than that says it itself, and is asked first.
 */
import { isFloat } from "../ir/dtype.ts";
import type { Node } from "../ir/graph.ts";
import { type Dim, type Shape, showShape } from "../ir/shape.ts";
import {
  type Absorbed,
  type Affines,
  type Carried,
  type ChannelAffine,
  type InputAxis,
  inverse,
  type Narrowed,
  type Part,
  type Refusal,
  type Track,
  type Wanted,
} from "./define.ts";
import { opOf } from "./table.ts";

/** Where an axis of an input is on the result. */
export function axisAhead(node: Node, from: InputAxis): Track | null {
  return opOf(node).ahead(from, node);
}

/** For each input the axis that makes up an axis of the result, a whole one if there is one; else null. */
export function axesBehind(node: Node, axis: number): readonly (Track | null)[] {
  return node.inputs.map(({ type }, index) => {
    const tracks = type.shape.flatMap((_, at): Track[] => {
      const ahead = axisAhead(node, { axis: at, index });
      return ahead?.axis === axis ? [{ ...ahead, axis: at }] : [];
    });
    return tracks.find(isWhole) ?? tracks[0] ?? null;
  });
}

/** Whether all elements of the input's axis stand along the result's, in their order. */
export function isWhole({ elements }: Track): boolean {
  return elements === undefined;
}

/** Each input's axis that is the result's whole axis; null if the result's has other elements too. */
export function wholeAxesBehind(node: Node, axis: number): readonly (number | null)[] | null {
  const tracks = axesBehind(node, axis);
  if (tracks.every((track) => track === null) || tracks.some((track) => track !== null && !isWhole(track))) {
    return null;
  }
  return tracks.map((track) => track?.axis ?? null);
}

/** The number per channel of the result, given those of an input; `rest` for other inputs' channels. */
export function spread(
  values: Float64Array,
  { elements }: Track,
  { length, rest }: { readonly length: number; readonly rest: number },
): Float64Array {
  if (elements === undefined) return values;
  const at = "inner" in elements
    ? (i: number) => Math.floor(i / elements.inner) % values.length
    : (i: number) => elements.start + i * elements.step;
  return Float64Array.from({ length }, (_, i) => values[at(i)] ?? rest);
}

/** The attributes of a node of which one axis has another size. */
export function resized({ attrs }: Node, { axis, size }: { axis: number; size: Dim }): Node["attrs"] {
  if (!("shape" in attrs)) return attrs;
  return { ...attrs, shape: (attrs.shape as Shape).map((dim, i) => i === axis ? size : dim) };
}

/** The affine on a node's result given affines on its inputs, and what the other inputs must give for it. */
export function carryOf(affines: Affines, node: Node): Carried | Refusal {
  const op = opOf(node);
  if (op.carry) return op.carry(affines, node);
  if (op.kind !== "move" && op.kind !== "mean") {
    return { refused: `${node.op} does not commute with a scale and shift per channel` };
  }
  const arrivals: Arrival[] = [];
  for (const [index, affine] of affines.entries()) {
    if (affine === null) continue;
    const track = op.ahead({ axis: affine.axis, index }, node);
    if (track === null) return { refused: op.breaks(node) };
    arrivals.push({ affine, track });
  }
  const { axis } = arrivals[0]!.track;
  if (arrivals.some(({ track }) => track.axis !== axis)) {
    return { refused: "normalizations of different axes meet in it" };
  }
  return arrivals.every(({ track }) => isWhole(track))
    ? carriedWhole(arrivals, { affines, node, axis })
    : carriedInParts(arrivals, { node, axis });
}

interface Arrival {
  readonly affine: ChannelAffine;
  readonly track: Track;
}

/** Channels that stay themselves: joined inputs need one affine, and those without give its inverse. */
function carriedWhole(
  arrivals: readonly Arrival[],
  { affines, node, axis }: { affines: Affines; node: Node; axis: number },
): Carried | Refusal {
  const [{ affine }] = arrivals as [Arrival];
  if (arrivals.some((other) => !sameAffine(other.affine, affine))) {
    return { refused: "two normalizations that differ meet in it" };
  }
  const missing = (wholeAxesBehind(node, axis) ?? []).flatMap((whole, index): [number, number][] =>
    whole === null || affines[index] ? [] : [[index, whole]]
  );
  const carried = { ...affine, axis };
  if (missing.length === 0) return { affine: carried };
  const undone = inverse(affine);
  if (undone === null) {
    return {
      refused: affine.centred
        ? "it sets tensors that are not normalized beside those of which the mean is subtracted"
        : "it sets tensors that are not normalized beside channels scaled by zero",
    };
  }
  return { affine: carried, required: new Map(missing.map(([index, axis]) => [index, { ...undone, axis }])) };
}

/** Channels that are split or joined: those of inputs without an affine get the identity. */
function carriedInParts(
  arrivals: readonly Arrival[],
  { node, axis }: { node: Node; axis: number },
): Carried | Refusal {
  const length = node.type.shape[axis];
  if (typeof length !== "number") {
    return { refused: `its channel axis is open: ${showShape(node.type.shape)}` };
  }
  if (arrivals.some(({ affine }) => affine.centred)) {
    return { refused: "its channels are not all of those of which the mean is subtracted, and no others" };
  }
  const scale = new Float64Array(length).fill(1);
  const shift = new Float64Array(length);
  for (const { affine, track } of arrivals) {
    spread(affine.scale, track, { length, rest: 1 }).forEach((s, c) => scale[c]! *= s);
    spread(affine.shift, track, { length, rest: 0 }).forEach((t, c) => shift[c]! += t);
  }
  return { affine: { axis, scale, shift } };
}

/** The constants or the affines of its inputs with which a node gives the affine of its result itself. */
export function giveOf(affine: ChannelAffine, node: Node): Absorbed | Wanted | Refusal {
  const op = opOf(node);
  if (op.give) return op.give(affine, node);
  if (op.kind !== "move" && op.kind !== "mean") {
    return { refused: `${node.op} cannot take in a scale and shift of its result` };
  }
  const axes = wholeAxesBehind(node, affine.axis);
  if (axes === null) return { refused: op.breaks(node) };
  const wanted = axes.flatMap((axis, index): [number, ChannelAffine][] =>
    axis === null ? [] : [[index, { ...affine, axis }]]
  );
  return wanted.every(([index]) => isFloat(node.inputs[index]!.type.dtype))
    ? { inputs: new Map(wanted) }
    : { refused: "it reads whole numbers" };
}

/** How a node is narrowed to a part of its result; null where it cannot be. */
export function narrowOf(part: Part, node: Node): Narrowed | null {
  const axes = wholeAxesBehind(node, part.axis);
  if (axes === null) return opOf(node).narrow?.(part, node) ?? null;
  const parts = axes.flatMap((axis, index): [number, Part][] =>
    axis === null ? [] : [[index, { ...part, axis }]]
  );
  return { inputs: new Map(parts), attrs: resized(node, part) };
}

/** Whether two affines are one map. */
function sameAffine(a: ChannelAffine, b: ChannelAffine): boolean {
  const same = (x: Float64Array, y: Float64Array) => x.every((value, i) => value === y[i]);
  return a.axis === b.axis && (a.centred ?? false) === (b.centred ?? false) &&
    same(a.scale, b.scale) && same(a.shift, b.shift);
}
