/**
 * Rounding of folded weights, bit for bit: float64 products, rounded once to the network's precision; biases
 * held in float64 until a backend asks. And what that rounding costs a network's outputs.
 */
import assert from "node:assert/strict";
import { bf16FromNumber, bytesAs, heldData, typedView } from "../../src/ir/data.ts";
import type { Precision } from "../../src/ir/dtype.ts";
import type { Node } from "../../src/ir/graph.ts";
import { foldIntoWeight } from "../../src/weights/derived/fold.ts";
import { apply, constantNode } from "../../src/ops/table.ts";
import { foldNorm } from "../../src/rewrite/fold/fold_norm.ts";
import {
  affine,
  dataOf,
  graphOf,
  input,
  linear,
  meaningDifference,
  Random,
  theNode,
  valuesOf,
} from "../support.ts";

/** One rounding of float64 to a precision, as bits. */
const BITS: Readonly<Record<Precision, (value: number) => number>> = {
  fp32: (value) => new Uint32Array(Float32Array.of(value).buffer)[0]!,
  fp16: (value) => new Uint16Array(Float16Array.of(value).buffer)[0]!,
  bf16: bf16FromNumber,
};

const bitsOf = (node: Node, dtype: Precision): number[] => {
  const bytes = bytesAs(dataOf(node), dtype);
  return [
    ...(dtype === "fp32" ? new Uint32Array(bytes.slice().buffer) : new Uint16Array(bytes.slice().buffer)),
  ];
};

/** A product of `dtype` over a weight that is stored as `stored`. */
function product(
  x: Node,
  { dtype, stored, random }: { dtype: Precision; stored: "fp16" | "fp32" | "bf16"; random: Random },
) {
  const [outputs, channels] = [6, x.type.shape.at(-1) as number];
  const wide = heldData([outputs, channels], random.normals([outputs, channels]), "weight");
  const weight = { ...wide, dtype: stored, bytes: () => bytesAs(wide, stored) };
  const bias = heldData([outputs], random.normals([outputs]), "bias");
  const constants = [constantNode(weight, { dtype, name: "w" }), constantNode(bias, { dtype, name: "b" })];
  return apply("linear", [x, ...constants], { attrs: {}, name: "fc" });
}

for (const dtype of ["fp32", "fp16", "bf16"] as const) {
  for (const stored of ["fp32", "fp16", "bf16"] as const) {
    Deno.test(`foldNorm() rounds a folded ${stored} weight once to ${dtype}`, () => {
      const random = new Random(1);
      const norm = affine(input("x", [2, 32], dtype), { random, rounds: true });
      const before = product(norm, { dtype, stored, random });
      const after = theNode(foldNorm(graphOf(before)).graph, "linear");
      const [weight, bias] = [valuesOf(before.inputs[1]!), valuesOf(before.inputs[2]!)];
      const [scale, shift] = [valuesOf(norm.inputs[1]!), valuesOf(norm.inputs[2]!)];
      assert.deepEqual(
        bitsOf(after.inputs[1]!, dtype),
        [...weight].map((w, i) => BITS[dtype](w * scale[i % 32]!)),
      );
      const sums = [...bias].map((b, o) => shift.reduce((sum, t, c) => sum + weight[o * 32 + c]! * t, 0) + b);
      assert.deepEqual([...valuesOf(after.inputs[2]!)], sums);
      assert.deepEqual(bitsOf(after.inputs[2]!, dtype), sums.map(BITS[dtype]));
    });
  }
}

Deno.test("foldNorm() rounds a weight that is folded twice once, from the original", () => {
  const random = new Random(2);
  const inner = affine(input("x", [2, 64], "fp16"), { random, rounds: true, name: "inner" });
  const outer = affine(inner, { random, rounds: true, name: "outer" });
  const before = product(outer, { dtype: "fp16", stored: "fp32", random });
  const after = theNode(foldNorm(graphOf(before)).graph, "linear");
  const weight = valuesOf(before.inputs[1]!);
  const [first, second] = [valuesOf(inner.inputs[1]!), valuesOf(outer.inputs[1]!)];
  const once = [...weight].map((w, i) => BITS.fp16(w * (second[i % 64]! * first[i % 64]!)));
  assert.deepEqual(bitsOf(after.inputs[1]!, "fp16"), once);
  // The test would be empty if rounding in between gave the same.
  const twice = [...weight].map((w, i) => BITS.fp16(Math.f16round(w * second[i % 64]!) * first[i % 64]!));
  assert.notDeepEqual(once, twice);
});

Deno.test("foldIntoWeight() starts a second fold from the original weight and bias", () => {
  const random = new Random(3);
  const weight = heldData([3, 4], random.normals([3, 4]), "weight");
  const bias = heldData([3], random.normals([3]), "bias");
  const vector = () => Float64Array.from(random.normals([4]));
  const [s1, t1, s2, t2] = [vector(), vector(), vector(), vector()];
  const once = foldIntoWeight(weight, bias, { scale: s1, shift: t1 });
  const twice = foldIntoWeight(once.weight, once.bias, { scale: s2, shift: t2 });
  // W (s1 (s2 x + t2) + t1) + b
  const [scale, shift] = [s1.map((s, c) => s * s2[c]!), t1.map((t, c) => t + s1[c]! * t2[c]!)];
  const both = foldIntoWeight(weight, bias, { scale, shift });
  assert.deepEqual(twice.weight.bytes(), both.weight.bytes());
  assert.deepEqual(twice.bias.bytes(), both.bias.bytes());
});

Deno.test("foldIntoWeight() passes over the weight once for both results", () => {
  let reads = 0;
  const values = new Random(4).normals([3, 4]);
  const held = heldData([3, 4], values, "weight");
  const weight = { ...held, bytes: () => (reads++, held.bytes()) };
  const ones = new Float64Array(4).fill(1);
  const folded = foldIntoWeight(weight, null, { scale: ones, shift: ones });
  assert.equal(reads, 0);
  const bytes = bytesAs(folded.weight, "fp32");
  folded.bias.bytes();
  bytesAs(folded.weight, "fp32");
  assert.equal(reads, 1);
  assert.deepEqual(typedView(bytes, "fp32"), values);
});

// One rounding moves a weight by up to 2^-24 of itself, so an output moves by up to 6e-8 of the sum of its
// terms' magnitudes; with cancellation and the root of 16 terms that stays below 1e-6 of the largest output.
Deno.test("foldNorm() changes a network by no more than the rounding of its weights to fp32", () => {
  for (let seed = 0; seed < 40; seed++) {
    const random = new Random(seed);
    const norm = affine(input("x", [3, 5, 16]), { random, rounds: true });
    const graph = graphOf(linear(norm, 8, { random }));
    const error = meaningDifference(foldNorm(graph).graph, graph, seed);
    assert.ok(error > 0 && error <= 1e-6, `seed ${seed}: ${error}`);
  }
});
