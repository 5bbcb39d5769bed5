/** Tests of attention that keeps keys and values, of grouped heads and of the mask of padding. */
import assert from "node:assert/strict";
import { cachedAttention, ids, model, paddingMask, repeatHeads } from "../../src/dsl/mod.ts";
import { unifiedNorm } from "../../src/norms/families.ts";
import { evaluateGraph } from "../../src/run/reference.ts";
import { randomWeights } from "../../src/weights/mod.ts";
import { EXACT, Random, refuses } from "../support.ts";
import { graphOf, input, scope as rootScope } from "./support.ts";

const scope = () => rootScope().at("attn");
const NAMES = { heads: 2, qkv: "c_attn", out: "c_proj" };

Deno.test("cachedAttention() of a token after others is what it is of all at once", () => {
  const random = new Random(1);
  const x = random.tensor([1, 5, 8]);
  const whole = cachedAttention(input("x", [1, 5, 8]), scope(), NAMES);
  const all = evaluateGraph(graphOf({ ...whole }), { x });
  const part = (value: { data: Float64Array }, from: number, to: number) => ({
    shape: [1, 2, to - from, 4],
    data: Float64Array.from({ length: 2 * (to - from) * 4 }, (_, i) => {
      const [head, rest] = [Math.floor(i / ((to - from) * 4)), i % ((to - from) * 4)];
      return value.data[head * 20 + from * 4 + rest]!;
    }),
  });
  const past = { key: input("key", [1, 2, 4, 4]), value: input("value", [1, 2, 4, 4]) };
  const step = cachedAttention(input("x", [1, 1, 8]), scope(), { ...NAMES, past });
  const last = evaluateGraph(graphOf({ ...step }), {
    x: { shape: [1, 1, 8], data: x.data.slice(32) },
    key: part(all.key!, 0, 4),
    value: part(all.value!, 0, 4),
  });
  assert.deepEqual(last.key!.shape, [1, 2, 5, 4]);
  for (let i = 0; i < 8; i++) assert.ok(Math.abs(last.output!.data[i]! - all.output!.data[32 + i]!) < EXACT);
  for (let i = 0; i < 40; i++) assert.ok(Math.abs(last.value!.data[i]! - all.value!.data[i]!) < EXACT);
});

Deno.test("cachedAttention() reads one token at a time after others", () => {
  const past = { key: input("key", [1, 2, "P", 4]), value: input("value", [1, 2, "P", 4]) };
  refuses(() => cachedAttention(input("x", [1, 3, 8]), scope(), { ...NAMES, past }), "attn", "one token");
});

Deno.test("repeatHeads() puts each head's repetitions beside each other", () => {
  const x = input("x", [1, 2, 1, 2]);
  const graph = graphOf(repeatHeads(x, 4));
  const data = Float64Array.of(1, 2, 3, 4);
  const { y } = evaluateGraph(graph, { x: { shape: [1, 2, 1, 2], data } });
  assert.deepEqual([...y!.data], [1, 2, 1, 2, 3, 4, 3, 4]);
  assert.equal(repeatHeads(x, 2), x);
  refuses(() => repeatHeads(x, 3), "3 query heads do not divide among 2 key heads");
});

Deno.test("paddingMask() is 0 for a token and what no softmax sees for padding, in fp16 too", () => {
  const masked = model({
    name: "masked",
    inputs: { mask: ids(["B", 3]) },
    norm: unifiedNorm(),
    forward: ({ mask }) => paddingMask(mask),
  });
  const graph = masked.trace({ weights: randomWeights({ seed: 1 }), precision: "fp16", dims: { B: 1 } });
  const { output } = evaluateGraph(graph, { mask: { shape: [1, 3], data: Float64Array.of(1, 1, 0) } });
  assert.deepEqual(output!.shape, [1, 1, 1, 3]);
  assert.deepEqual([...output!.data].map((x) => x + 0), [0, 0, -10000]);
  assert.equal(Math.exp(output!.data[2]!), 0);
});
