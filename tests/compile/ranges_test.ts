/**
 * Ranges of small networks whose values are known: what fits fp16, what does not, and what is said to help.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { measureRanges, type RangeAudit } from "../../src/compile/audit_ranges.ts";
import { float, linear, type Model, model, norm } from "../../src/dsl/mod.ts";
import { heldData } from "../../src/ir/data.ts";
import { unifiedNorm } from "../../src/norms/families.ts";
import { writeSafetensors } from "../../src/weights/mod.ts";
import { encoder } from "../rewrite/networks.ts";
import { rejects, withFolder } from "../support.ts";
import { add, mul, relu } from "../nodes.ts";

const byName = ({ tensors }: RangeAudit) => Object.fromEntries(tensors.map((range) => [range.tensor, range]));

/** Two residual sums over inputs of 4 channels, and a product that is no part of them. */
const stream: Model = model({
  name: "stream",
  inputs: { x: float(["B", 4]) },
  norm: unifiedNorm(),
  forward({ x }, p) {
    let y = add(x, linear(relu(x), p.at("first"), { outputs: 4 }));
    y = add(y, linear(relu(y), p.at("second"), { outputs: 4 }));
    return linear(norm(y, p.at("norm")), p.at("head"), { outputs: 4 });
  },
});

/** Ranges on one example of the given values. */
async function rangesOn(
  network: Model,
  values: readonly number[],
  precision: "fp16" | "bf16" = "fp16",
): Promise<RangeAudit> {
  let result: RangeAudit | undefined;
  await withFolder(async (folder) => {
    const samples = join(folder, "samples.safetensors");
    writeSafetensors(samples, [["x", heldData([1, values.length], Float32Array.from(values), "x")]]);
    result = await measureRanges(network, { norm: unifiedNorm(), samples, precision });
  });
  return result!;
}

Deno.test("measureRanges() finds nothing wrong with values of order 1, logits included", async () => {
  const audit = await measureRanges(encoder(), { norm: unifiedNorm() });
  assert.equal(audit.advice, "fp16");
  assert.ok(audit.tensors.every(({ verdict, largest }) => verdict === "fits" && largest! > 0));
  assert.equal(audit.tensors.filter(({ op }) => op === "softmax").length, 2);
});

Deno.test("measureRanges() sees a residual stream that overflows, and by what it would have to be divided", async () => {
  const audit = await rangesOn(stream, [6.5e4, 6.5e4, 6.5e4, 6.5e4]);
  const { "first/add": first, head, x } = byName(audit);
  assert.equal(x!.verdict, "near");
  assert.equal(first!.verdict, "overflows");
  assert.equal(first!.helps, "rescale");
  assert.ok(first!.largest! / first!.factor! <= 65504 / 8 && first!.largest! / first!.factor! > 65504 / 16);
  // Behind the overflow values are those of the algebra, or all that follows would be infinite.
  assert.ok(Number.isFinite(head!.largest));
});

Deno.test("measureRanges() advises bf16 where a product overflows, and warns within a factor of 8", async () => {
  const squares = model({
    name: "squares",
    inputs: { x: float(["B", 2]) },
    norm: unifiedNorm(),
    forward: ({ x }) => ({ y: mul(x, x) }),
  });
  const advice = async (x: number) => {
    const { advice, overflows, near } = await rangesOn(squares, [x, 1]);
    return { advice, overflows, near };
  };
  // From 65520 on a number rounds to infinity; below, to 65504.
  assert.deepEqual(await advice(256), { advice: "bf16", overflows: 1, near: 0 });
  assert.deepEqual(await advice(300), { advice: "bf16", overflows: 1, near: 0 });
  assert.deepEqual(await advice(255.9), { advice: "fp16", overflows: 0, near: 1 });
  assert.deepEqual(await advice(200), { advice: "fp16", overflows: 0, near: 1 });
  assert.deepEqual(await advice(10), { advice: "fp16", overflows: 0, near: 0 });
});

Deno.test("measureRanges() reports products of numbers that fp16 has few digits for", async () => {
  const tiny = model({
    name: "tiny",
    inputs: { x: float(["B", 2]) },
    norm: unifiedNorm(),
    forward: ({ x }) => ({ y: mul(mul(x, x), x) }),
  });
  const [, square] = (await rangesOn(tiny, [1e-4, 2e-4])).tensors;
  assert.equal(square!.verdict, "small");
  // 1e-8 is a sixth of the smallest number, 6e-8, and 4e-8 two thirds.
  assert.ok(square!.error! > 0.3);
  assert.equal(square!.helps, "bf16");
  const [, wide] = (await rangesOn(tiny, [1e-4, 2e-4], "bf16")).tensors;
  assert.equal(wide!.verdict, "fits");
  assert.ok(wide!.error! < 2 ** -9);
});

Deno.test("measureRanges() of bf16 fits what overflows fp16, and sees what overflows bf16 too", async () => {
  const cubes = model({
    name: "cubes",
    inputs: { x: float(["B", 2]) },
    norm: unifiedNorm(),
    forward: ({ x }) => ({ y: mul(mul(x, x), x) }),
  });
  const overflows = async (x: number, precision: "fp16" | "bf16") => {
    const { overflows, advice } = await rangesOn(cubes, [x, 1], precision);
    return [overflows, advice];
  };
  assert.deepEqual(await overflows(300, "fp16"), [2, "bf16"]);
  assert.deepEqual(await overflows(300, "bf16"), [0, "bf16"]);
  assert.deepEqual(await overflows(1e13, "bf16"), [1, "fp32"]);
});

Deno.test("measureRanges() knows that inputs overflow too", async () => {
  const { x } = byName(await rangesOn(stream, [1e5, 0, 0, 0]));
  assert.deepEqual([x!.verdict, x!.helps], ["overflows", "bf16"]);
});

Deno.test("measureRanges() refuses samples of another shape", async () => {
  await rejects(rangesOn(stream, [1, 2, 3]), "samples.safetensors", "[1, 3]", "[1, 4]");
});
