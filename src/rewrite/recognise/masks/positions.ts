/**
 * What is computed from positions alone. Exporters index masks and tables by whole numbers that are the
 * places of their own elements, `0, 1, .., n - 1` along an axis, as constants where sizes are known and by
 * `range` where one is open. Such an index moves nothing:
 *
 *     x[range(n), range(m)] = x,    flat(x)[range(n) m + range(m)] = x,    x[range(k)] = the first k of x
 *
 * and a comparison of such numbers that holds everywhere, `range(n) >= 0`, is no mask. What is repeated along
 * an axis first and then computed with is computed first and repeated where that is needed.
 */
import { bytesFromNumbers, elementCount, float64Of, heldData } from "../../../ir/data.ts";
import { type DType, isFloat } from "../../../ir/dtype.ts";
import type { Node } from "../../../ir/graph.ts";
import { axisIn, type Dim, sameShape, type Shape, sizeOf } from "../../../ir/shape.ts";
import { dataOf } from "../../../ops/constant.ts";
import { apply, constantNode, isOp, opOf, rebuild } from "../../../ops/table.ts";
import type { Rule } from "../../driver.ts";
import { expanded, reshaped } from "../../shaped.ts";
import { besides, numberOf } from "../arithmetic.ts";
import { differenceOf, HOLDS, MOST_PLACES, type Places, placesOf, placesOfValues } from "./places.ts";

/** Where an axis of x goes: along an axis of the result, from its place `start` on; or one place alone. */
interface Along {
  readonly axis: number | null;
  readonly start: number;
}

/** The first axes of x along axes of the result, which has the rest of them last; null of another order. */
function laid(x: Node, along: readonly Along[], node: Node): Node | null {
  const { shape } = node.type;
  const rest = x.type.shape.slice(along.length);
  const axes = along.flatMap(({ axis }) => axis ?? []);
  if (axes.some((axis, i) => i > 0 && axis <= axes[i - 1]!)) return null;
  const { name } = node;
  let part = x;
  for (const [at, { axis, start }] of along.entries()) {
    const [size, whole] = [axis === null ? 1 : shape[axis]!, x.type.shape[at]!];
    if (start < 0 || (typeof size === "number" && typeof whole === "number" && start + size > whole)) {
      return null;
    }
    if (size !== whole) part = apply("slice", [part], { attrs: { axis: at, start, size, step: 1 }, name });
  }
  const thin = shape.map((dim, axis): Dim =>
    axes.includes(axis) || axis >= shape.length - rest.length ? dim : 1
  );
  return expanded(reshaped(part, thin, name), shape, name);
}

/** Places along one axis, one behind the other, or one place; null of others. */
function alongOne(places: Places | null): Along | null {
  if (places === null || typeof places.offset !== "number") return null;
  const [term, ...more] = places.terms;
  if (more.length > 0 || (term !== undefined && term.stride !== 1)) return null;
  return { axis: term?.axis ?? null, start: places.offset };
}

/** Places in x's rows one behind the other as those of each axis of x, whose first axes were flattened. */
function unflattened({ offset, terms }: Places, shape: Shape): readonly Along[] | null {
  if (offset !== 0) return null;
  const along: Along[] = [];
  let left = terms;
  for (const [at, size] of shape.entries()) {
    const stride = sizeOf(shape.slice(at + 1));
    const term = size === 1 ? undefined : left.find((term) => term.stride === stride);
    if (size !== 1 && term === undefined) return null;
    left = left.filter((other) => other !== term);
    along.push({ axis: term?.axis ?? null, start: 0 });
  }
  return left.length === 0 ? along : null;
}

/** Whether both are weights, or a table and its rows: they are folded. */
const areConstant = (nodes: readonly Node[]) => nodes.every(({ op }) => op === "constant");

const GATHER: Rule = {
  name: "gather-of-places",
  law: "gather(x; range(n)) = the first n of x; gather(flat(x); range(n) m + range(m)) = x",
  rewrite: (node) => {
    if (!isOp(node, "gather") || areConstant(node.inputs)) return null;
    const [x, indices] = node.inputs;
    const places = placesOf(indices);
    if (places === null) return null;
    const before = axisIn(node.attrs.axis, x.type.shape.length, "gather");
    const front = Array.from({ length: before }, (_, axis) => ({ axis, start: 0 }));
    const behind = (along: Along) => ({ ...along, axis: along.axis === null ? null : along.axis + before });
    const one = alongOne(places);
    // A lone row of a weight would be numbers of its own, and no part of the weight.
    if (one?.axis === null && x.op === "constant") return null;
    if (one !== null) return laid(x, [...front, behind(one)], node);
    const whole = isOp(x, "reshape") ? x.inputs[0] : null;
    if (whole === null || before !== 0) return null;
    const joined = joinedAxes(whole.type.shape, x.type.shape);
    const along = joined === null ? null : unflattened(places, whole.type.shape.slice(0, joined));
    if (along === null || !fills(along, whole.type.shape, node)) return null;
    // What stood behind the flattened axes stands in the result as x has it.
    return laid(
      reshaped(whole, [...whole.type.shape.slice(0, joined!), ...x.type.shape.slice(1)], node.name),
      along,
      node,
    );
  },
};

/** How many of the first axes make up the first of the flattened; null where it is no product of them. */
function joinedAxes(shape: Shape, [first, ...rest]: Shape): number | null {
  const count = shape.findIndex((_, i) => sizeOf(shape.slice(0, i + 1)) === first) + 1;
  return count > 0 && sizeOf(shape.slice(count)) === sizeOf(rest) ? count : null;
}

/** Whether axes of x go along axes of their own size: places of flattened rows go on into the next row. */
function fills(along: readonly Along[], shape: Shape, node: Node): boolean {
  return along.every(({ axis }, at) => axis === null || node.type.shape[axis] === shape[at]);
}

const GATHER_ND: Rule = {
  name: "gather-nd-of-places",
  law: "gather_nd(x, [range(n), range(m)]) = x",
  rewrite: (node) => {
    if (!isOp(node, "gather_nd")) return null;
    const [x, indices] = node.inputs;
    const along = columnsOf(indices)?.map(alongOne) ?? [];
    return along.length > 0 && along.every((each) => each !== null) ? laid(x, along, node) : null;
  },
};

/** The places that the last axis of indices holds, one for each of x's axes. */
function columnsOf(indices: Node): readonly (Places | null)[] | null {
  const last = indices.type.shape.length - 1;
  if (isOp(indices, "concat") && axisIn(indices.attrs.axis, last + 1, "concat") === last) {
    return indices.inputs.every(({ type }) => type.shape[last] === 1) ? indices.inputs.map(placesOf) : null;
  }
  const shape = indices.type.shape as readonly number[];
  if (indices.op !== "constant" || elementCount(shape) > MOST_PLACES) return null;
  const [values, count] = [float64Of(dataOf(indices)), shape[last]!];
  return Array.from(
    { length: count },
    (_, column) => placesOfValues(values.filter((_, i) => i % count === column), shape.slice(0, last)),
  );
}

const GATHER_ELEMENTS: Rule = {
  name: "gather-elements-of-places",
  law: "gather_elements(x, range(n)) = the first n of x; of elements that are all c, c",
  rewrite: (node) => {
    if (!isOp(node, "gather_elements") || areConstant(node.inputs)) return null;
    const [x, indices] = node.inputs;
    const { name, type: { shape } } = node;
    const same = uniform(isOp(x, "expand") ? x.inputs[0] : x);
    if (same !== null) return expanded(same(shape.length), shape, name);
    const at = axisIn(node.attrs.axis, shape.length, "gather_elements");
    const along = alongOne(placesOf(indices));
    if (along === null || along.axis !== at) return null;
    const front = Array.from({ length: shape.length }, (_, axis) => axis === at ? along : { axis, start: 0 });
    return laid(x, front, node);
  },
};

/** The one value of whole numbers that are constant, with any number of axes; null of other nodes. */
function uniform(x: Node): ((rank: number) => Node) | null {
  if (x.op !== "constant" || isFloat(x.type.dtype)) return null;
  if (elementCount(x.type.shape as readonly number[]) > MOST_PLACES) return null;
  const [first, ...more] = float64Of(dataOf(x));
  if (first === undefined || more.some((value) => value !== first)) return null;
  return (rank) => single(first, x.type.dtype, { rank, name: x.name });
}

/** A whole number, a truth value, as a constant with axes of size 1. */
function single(value: number, dtype: DType, { rank, name }: { rank: number; name: string }): Node {
  const shape = Array.from({ length: rank }, () => 1);
  const held = Float64Array.of(value);
  const data = { ...heldData(shape, held, name), dtype, bytes: () => bytesFromNumbers(held, dtype) };
  return constantNode(data, { dtype, name });
}

const COMPARED: Rule = {
  name: "compared-places",
  law: "range(n) >= 0 = true, and what else holds of all places or of none",
  rewrite: (node) => {
    const holds = HOLDS[node.op];
    const places = holds && differenceOf(node.inputs as [Node, Node]);
    if (!places || typeof places.offset !== "number") return null;
    const signs = new Set(
      places.terms.map(({ stride }) => typeof stride === "number" ? Math.sign(stride) : NaN),
    );
    if (signs.size > 1 || signs.has(NaN)) return null;
    // From the first difference on they only rise, or fall.
    const [first, sign = 0] = [places.offset, ...signs];
    const [now, beyond] = [holds(first), holds(sign * Infinity)];
    const isSettled = sign === 0 || (now === beyond && (first === 0 || Math.sign(first) === sign));
    if (!isSettled) return null;
    const { name, type: { shape } } = node;
    return expanded(single(now ? 1 : 0, "bool", { rank: shape.length, name }), shape, name);
  },
};

const TRUTHS: Rule = {
  name: "truths",
  law: "and(true, c) = c, and(false, c) = false, or(false, c) = c, where(true, a, b) = a",
  rewrite: (node) => {
    const { name, type: { shape } } = node;
    const known = (x: Node) => x.type.dtype === "bool" ? numberOf(x) : null;
    if (isOp(node, "where")) {
      const holds = known(node.inputs[0]);
      if (holds === null) return null;
      return spread(holds !== 0 ? node.inputs[1] : node.inputs[2], shape, name);
    }
    if (!isOp(node, "and") && !isOp(node, "or")) return null;
    const found = besides(node, (x) => known(x) !== null);
    if (found === null) return null;
    const [truth, other] = found;
    const isOther = (known(truth) !== 0) === (node.op === "and");
    return spread(isOther ? other : truth, shape, name);
  },
};

/** A node broadcast to a shape. */
function spread(x: Node, shape: Shape, name: string): Node {
  const missing = shape.length - x.type.shape.length;
  return expanded(
    reshaped(x, [...shape.slice(0, missing).map(() => 1), ...x.type.shape], name),
    shape,
    name,
  );
}

const REPEATED: Rule = {
  name: "repeated-later",
  law:
    "f(expand(x), y) = f(x, y), f of each element; of masks and indices expand(f(x, y)) where y is as small",
  rewrite: (node) => {
    const { name, type: { dtype, shape } } = node;
    if (isOp(node, "expand") && isOp(node.inputs[0], "expand")) {
      return expanded(node.inputs[0].inputs[0], shape, name);
    }
    const isPointwise = opOf(node).kind === "pointwise" || isOp(node, "cast");
    if (!isPointwise || !node.inputs.some((x) => isOp(x, "expand"))) return null;
    const once = rebuild(node, node.inputs.map((x) => isOp(x, "expand") ? x.inputs[0]! : x));
    if (sameShape(once.type.shape, shape)) return once;
    const isOfNumbers = isOp(node, "where") && node.inputs.slice(1).every((x) => numberOf(x) !== null);
    return !isFloat(dtype) || isOp(node, "cast") || isOfNumbers ? expanded(once, shape, name) : null;
  },
};

export const POSITIONS: readonly Rule[] = [
  GATHER,
  GATHER_ND,
  GATHER_ELEMENTS,
  COMPARED,
  TRUTHS,
  REPEATED,
];
