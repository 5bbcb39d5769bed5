/**
 * What operators say of axes and numbers (`ahead`, `kind`, `keepsZero`, `flop`), against their executed
 * meaning: on every conformance sample of every operator in the table, so that a new one is covered by its
 * row.
 */
import assert from "node:assert/strict";
import { elementCount } from "../../src/ir/data.ts";
import { isFloat } from "../../src/ir/dtype.ts";
import { type Node, topological } from "../../src/ir/graph.ts";
import { axesBehind, isWhole, spread, wholeAxesBehind } from "../../src/ops/channels.ts";
import type { ReferenceTensor } from "../../src/ops/define.ts";
import { apply, type OpName, opOf, OPS } from "../../src/ops/table.ts";
import { evaluateGraph } from "../../src/run/reference.ts";
import { trace } from "../conformance/sample.ts";
import { SAMPLES } from "../conformance/samples.ts";
import { input, Random } from "../support.ts";

/** A node of a sample with the values that it reads there, and its own. */
interface Case {
  readonly node: Node;
  readonly what: string;
  readonly inputs: readonly ReferenceTensor[];
  readonly result: ReferenceTensor;
}

function* cases(): Generator<Case> {
  for (const op of Object.keys(SAMPLES) as OpName[]) {
    if (OPS[op].kind === "source") continue;
    for (const sample of SAMPLES[op]) {
      const { bound, numbers } = trace(sample, { op, precision: sample.onlyIn ?? "fp32" });
      for (const node of topological(bound).filter((node) => node.op === op)) {
        const outputs = [...node.inputs, node].map((node, i) => ({ name: `${i}`, node }));
        const values = evaluateGraph({ ...bound, outputs }, numbers);
        const [result, ...inputs] = outputs.map(({ name }) => values[name]!).toReversed();
        yield { node, what: `${op}, ${sample.name}`, inputs: inputs.reverse(), result: result! };
      }
    }
  }
}

/** The value with element `at(i)` of an axis at its place i. */
function select({ shape, data }: ReferenceTensor, axis: number, at: readonly number[]): ReferenceTensor {
  const [size, inner] = [shape[axis]!, elementCount(shape.slice(axis + 1))];
  const place = (i: number) => Math.floor(i / inner) % size;
  return { shape, data: data.map((_, i) => data[i + (at[place(i)]! - place(i)) * inner]!) };
}

function scaled(
  { shape, data }: ReferenceTensor,
  { axis, scale, shift }: { axis: number; scale: Float64Array; shift: Float64Array },
): ReferenceTensor {
  const [size, inner] = [shape[axis]!, elementCount(shape.slice(axis + 1))];
  const place = (i: number) => Math.floor(i / inner) % size;
  return { shape, data: data.map((value, i) => scale[place(i)]! * value + shift[place(i)]!) };
}

function isNear(a: ReferenceTensor, b: ReferenceTensor): boolean {
  return a.data.every((value, i) =>
    Object.is(value, b.data[i]) || Math.abs(value - b.data[i]!) <= 1e-12 * Math.max(1, Math.abs(value))
  );
}

const evaluate = ({ node }: Case, inputs: readonly ReferenceTensor[]) =>
  opOf(node).evaluate(inputs, node.attrs);

/** Elements of an axis at random, some of them more than once. */
const someOf = (size: number, random: Random) =>
  Array.from({ length: size }, () => random.integer(0, size - 1));

Deno.test("ahead() of every operator says which axes a selection of elements passes", () => {
  const random = new Random(1);
  for (const one of cases()) {
    const { node, what, inputs, result } = one;
    for (const axis of result.shape.keys()) {
      const axes = wholeAxesBehind(node, axis);
      if (axes === null) continue;
      const places = someOf(result.shape[axis]!, random);
      const selected = inputs.map((value, i) => axes[i] === null ? value : select(value, axes[i]!, places));
      assert.ok(isNear(evaluate(one, selected), select(result, axis, places)), `${what}: axis ${axis}`);
    }
  }
});

Deno.test("ahead() of every operator knows the axes that it keeps in place", () => {
  const random = new Random(2);
  const forgotten: string[] = [];
  for (const one of cases()) {
    const { node, what, inputs: [x, ...others], result } = one;
    // Channels are floating-point; of a cast to whole numbers nobody asks.
    if (!isFloat(node.type.dtype)) continue;
    for (const [axis, size] of x!.shape.entries()) {
      if (size === 1 || result.shape[axis] !== size || opOf(node).ahead({ axis, index: 0 }, node)) continue;
      const isKept = Array.from({ length: 9 }, () => someOf(size, random)).every((places) =>
        isNear(evaluate(one, [select(x!, axis, places), ...others]), select(result, axis, places))
      );
      if (isKept) forgotten.push(`${what}: axis ${axis}`);
    }
  }
  assert.deepEqual(forgotten, []);
});

Deno.test("a scale and shift of channels passes every move and mean to where ahead() says", () => {
  const random = new Random(3);
  for (const one of cases()) {
    const { node, what, inputs, result } = one;
    const { kind } = opOf(node);
    if (kind !== "move" && kind !== "mean") continue;
    for (const [index, { shape }] of inputs.entries()) {
      if (!isFloat(node.inputs[index]!.type.dtype)) continue;
      for (const [axis, size] of shape.entries()) {
        const track = opOf(node).ahead({ axis, index }, node);
        if (track === null) continue;
        const scale = Float64Array.from({ length: size }, () => random.pick([-2, 0.5, 4]));
        const shift = Float64Array.from({ length: size }, () => random.integer(-9, 9));
        const behind = axesBehind(node, track.axis);
        const changed = inputs.map((value, i) => {
          const at = isWhole(track) ? behind[i]?.axis : i === index ? axis : undefined;
          return at === undefined ? value : scaled(value, { axis: at, scale, shift });
        });
        const length = result.shape[track.axis]!;
        const expected = scaled(result, {
          axis: track.axis,
          scale: spread(scale, track, { length, rest: 1 }),
          shift: spread(shift, track, { length, rest: 0 }),
        });
        assert.ok(isNear(evaluate(one, changed), expected), `${what}: axis ${axis} of input ${index}`);
      }
    }
  }
});

Deno.test("a move makes nothing new, a pointwise operator looks at no other place", () => {
  for (const { node, what, inputs, result } of cases()) {
    const { kind } = opOf(node);
    if (kind === "move" && node.inputs[0]!.type.dtype === node.type.dtype) {
      const known = new Set(inputs.flatMap(({ data }) => [...data]));
      assert.ok(result.data.every((value) => known.has(value)), what);
    }
    if (kind !== "pointwise") continue;
    for (const [axis, size] of result.shape.entries()) {
      assert.ok(size === 1 || wholeAxesBehind(node, axis) !== null, `${what}: axis ${axis}`);
    }
  }
});

Deno.test("keepsZero says of every pointwise operator what it makes of zeros", () => {
  for (const one of cases()) {
    const op = opOf(one.node);
    if (op.kind !== "pointwise") continue;
    const zeros = one.inputs.map(({ shape, data }) => ({ shape, data: new Float64Array(data.length) }));
    assert.equal(evaluate(one, zeros).data.every((value) => value === 0), op.keepsZero, one.what);
  }
});

Deno.test("flop of a fused product is that of its parts", () => {
  const flop = (node: Node) => {
    const op = opOf(node);
    return op.kind === "product" ? op.flop(node) : NaN;
  };
  const heads = ["q", "k", "v"].map((name) => input(name, name === "q" ? [2, 4, 3, 8] : [2, 4, 5, 8]));
  const attended = apply("attention", heads, { attrs: { scale: 1, causal: false } });
  assert.equal(flop(attended), 2 * (2 * 2 * 4 * 3 * 5 * 8));
  const tokens = ["q", "k", "v"].map((name) => input(name, name === "q" ? [2, 3, 32] : [2, 5, 32]));
  const attrs = { heads: 4, scale: 1, causal: false };
  assert.equal(flop(apply("token_attention", tokens, { attrs })), flop(attended));
  const [x, weight] = [input("x", [2, 3, 7]), input("w", [96, 7])];
  const square = apply("token_attention", [tokens[0]!, tokens[0]!, tokens[0]!], { attrs });
  assert.equal(
    flop(apply("self_attention", [x, weight], { attrs: { ...attrs, bias: false } })),
    flop(apply("linear", [x, weight], { attrs: {} })) + flop(square),
  );
});
