/** Weights out of a checkpoint: names, shapes, values, and what was left over. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { float64Of, heldData, type TensorData } from "../../src/ir/data.ts";
import type { Checkpoint } from "../../src/weights/checkpoint.ts";
import { openCheckpoint } from "../../src/weights/open.ts";
import { derivationOf } from "../../src/weights/derived/derivation.ts";
import { transposedData } from "../../src/weights/derived/derive.ts";
import { checkpointWeights } from "../../src/weights/source.ts";
import { fp32, goodFile, refuses, withFolder } from "./fixtures.ts";

/** A checkpoint in memory that counts how often it is read. */
function held(tensors: Record<string, TensorData>): Checkpoint & { reads: number } {
  return {
    path: "held.safetensors",
    metadata: {},
    training: {},
    stateDict: null,
    recorded: [],
    reads: 0,
    names: () => Object.keys(tensors),
    has: (name) => Object.hasOwn(tensors, name),
    typeOf: () => "F32",
    shapeOf: (name) => tensors[name]!.shape,
    tensor(name) {
      const data = tensors[name]!;
      if (derivationOf(data) !== null) return data;
      return {
        ...data,
        bytes: () => {
          this.reads++;
          return data.bytes();
        },
      };
    },
  };
}

function values(shape: number[], ...numbers: number[]): TensorData {
  return heldData(shape, Float32Array.from(numbers), "held");
}

Deno.test("take() reads nothing, and bytes() reads once per call", () => {
  const checkpoint = held({ w: values([2], 1, 2) });
  const weights = checkpointWeights(checkpoint);
  assert.equal(weights.origin, "held.safetensors");
  const w = weights.take("w", [2], { init: "linear" });
  assert.equal(checkpoint.reads, 0);
  assert.deepEqual([...float64Of(w)], [1, 2]);
  assert.equal(checkpoint.reads, 1);
  assert.equal(weights.take("w", [2], { init: "linear" }), w, "tied weights are one");
});

Deno.test("take() of a missing tensor names the parameter, the file and the nearest names", () => {
  const one = values([1], 1);
  const weights = checkpointWeights(
    held({
      "blocks.0.norm1.weight": one,
      "blocks.0.norm2.weight": one,
      "blocks.1.norm1.weight": one,
      zzz: one,
    }),
  );
  const asked = () => weights.take("blocks.0.norm3.weight", [1], { init: "gain" });
  refuses(
    asked,
    'held.safetensors has no tensor "blocks.0.norm3.weight"',
    'Closest: "blocks.0.norm1.weight", ',
  );
  refuses(() => weights.take("q", [1], { init: "gain" }), "It holds 4 others");
  const renamed = checkpointWeights(held({ a: one }), { rename: (name) => `x.${name}` });
  refuses(() => renamed.take("b", [1], { init: "gain" }), 'no tensor "x.b" for parameter "b"');
  refuses(() => checkpointWeights(held({})).take("b", [1], { init: "gain" }), "holds no tensors");
});

Deno.test("take() strips module. when every name has it, and names other prefixes", () => {
  const one = values([1], 1);
  const parallel = checkpointWeights(held({ "module.a": one, "module.b": one, "module.c": one }), {
    ignore: [/^c$/],
  });
  assert.equal(parallel.take("a", [1], { init: "gain" }), parallel.take("module.a", [1], { init: "gain" }));
  assert.deepEqual(parallel.unused(), ["module.b"]);
  const mixed = checkpointWeights(held({ "module.a": one, b: one }));
  refuses(() => mixed.take("a", [1], { init: "gain" }), 'no tensor "a"', 'Closest: "module.a"');
  const model = checkpointWeights(held({ "model.enc.a": one, "model.enc.b": one }));
  assert.equal(model.take("a", [1], { init: "gain" }), model.take("enc.a", [1], { init: "gain" }));
  refuses(() => model.take("c", [1], { init: "gain" }), 'no tensor "c"');
});

Deno.test("take() of another shape says both, and suspects a transpose", () => {
  const weights = checkpointWeights(held({ w: values([2, 3], 1, 2, 3, 4, 5, 6) }));
  const asked = () => weights.take("w", [6], { init: "linear" });
  refuses(asked, "has the shape [2, 3]", 'parameter "w" has [6]', "configuration");
  refuses(() => weights.take("w", [3, 2], { init: "linear" }), "[3, 2]", "looks transposed (HF Conv1D?)");
  assert.deepEqual(weights.unused(), ["w"], "what was refused was not used");
});

Deno.test("take() refuses integers", () => {
  const weights = checkpointWeights(held({ n: heldData([1], BigInt64Array.of(1n), "held") }));
  refuses(() => weights.take("n", [1], { init: "bias" }), "is int64", '"n" must be floating-point');
});

Deno.test("bytes() refuses NaN and infinity with coordinates, unless they are allowed", () => {
  withFolder((folder) => {
    const path = join(folder, "a.safetensors");
    Deno.writeFileSync(path, goodFile({ w: fp32([2, 3], [1, 2, 3, 4, NaN, 6]), v: fp32([1], [-Infinity]) }));
    const checkpoint = openCheckpoint(path);
    const strict = checkpointWeights(checkpoint);
    const w = strict.take("w", [2, 3], { init: "linear" });
    refuses(() => w.bytes(), path, '"w"', "is NaN at [1, 1]", "--allow-nonfinite");
    refuses(() => w.bytes(), "is NaN at [1, 1]");
    refuses(() => strict.take("v", [1], { init: "bias" }).bytes(), "is -Infinity at [0]");
    const lenient = checkpointWeights(checkpoint, { allowNonFinite: true });
    assert.equal(float64Of(lenient.take("w", [2, 3], { init: "linear" }))[4], NaN);
    const variance = lenient.take("v", [1], { init: "variance", nonNegative: true });
    refuses(() => variance.bytes(), "variance cannot be negative");
  });
});

Deno.test("bytes() refuses a negative variance, also when it was taken as something else before", () => {
  const weights = checkpointWeights(held({ v: values([1, 2], 1, -0.25) }));
  assert.equal(weights.take("v", [1, 2], { init: "bias" }).bytes().length, 8);
  const variance = weights.take("v", [1, 2], { init: "variance", nonNegative: true });
  refuses(() => variance.bytes(), "is -0.25 at [0, 1]", "variance cannot be negative");
});

Deno.test("readInto() checks what it reads, a matrix that is turned as the file has it, and does so once", () => {
  const numbers = Float32Array.of(1, 2, 3, NaN, -5, 6);
  const data: TensorData = {
    ...heldData([3, 2], numbers, "held"),
    readInto: (target, begin) =>
      target.set(new Uint8Array(numbers.buffer).subarray(begin, begin + target.length)),
  };
  const weights = checkpointWeights(held({ w: data, t: transposedData(data) }));
  const two = new Uint8Array(8);
  const w = weights.take("w", [3, 2], { init: "linear", nonNegative: true });
  w.readInto!(two, 0);
  assert.deepEqual([...new Float32Array(two.buffer)], [1, 2]);
  refuses(() => w.readInto!(two, 8), "is NaN at [1, 1]");
  refuses(() => w.readInto!(two, 16), "is -5 at [2, 0]");
  refuses(() => weights.take("t", [2, 3], { init: "linear" }).bytes(), "is NaN at [1, 1]");
  numbers[3] = 4;
  numbers[4] = 5;
  for (const begin of [0, 8, 16]) w.readInto!(two, begin);
  numbers.fill(NaN);
  assert.equal(float64Of(w)[0], NaN);
});

Deno.test("unused() leaves out what was taken or is ignored, with any flags of the pattern", () => {
  const one = values([1], 1);
  const names = ["a", "a.iters", "b.iters", "c"];
  const checkpoint = held(Object.fromEntries(names.map((name) => [name, one])));
  const weights = checkpointWeights(checkpoint, { ignore: [/iters$/g] });
  assert.deepEqual(weights.unused(), ["a", "c"]);
  weights.take("a", [1], { init: "gain" });
  assert.deepEqual(weights.unused(), ["c"]);
});
