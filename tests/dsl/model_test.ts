import assert from "node:assert/strict";
import { embedding, float, ids, linear, type Model, model, norm, type Tensor } from "../../src/dsl/mod.ts";
import { range } from "../../src/dsl/functions/indices.ts";
import { withDims } from "../../src/dsl/fixed_dims.ts";
import { heldData, type TensorData } from "../../src/ir/data.ts";
import { batchNorm, layerNorm, noNorm, type Norm, unifiedNorm } from "../../src/norms/families.ts";
import { printGraph } from "../../src/ir/print.ts";
import { randomWeights } from "../../src/weights/mod.ts";
import { nodesOf, refuses, valuesOf, weightsOf } from "../support.ts";

const ones = (...shape: number[]): TensorData =>
  heldData(shape, new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(1), "ones");

function head(name = "small"): Model {
  return model({
    name,
    inputs: { x: float(["B", 4]) },
    norm: unifiedNorm(),
    forward: ({ x }, p) => linear(norm(x, p.at("norm")), p.at("head"), { outputs: 3 }),
  });
}

const weights = {
  "norm.weight": ones(4),
  "norm.bias": ones(4),
  "norm.running_var": ones(4),
  "head.weight": ones(3, 4),
  "head.bias": ones(3),
};

Deno.test("model() refuses a name that cannot be a folder", () => {
  for (const name of ["", "a/b", "..", ".hidden", "-x", "my model", "a.b"]) {
    refuses(() => head(name), "model: name must be letters, digits, - and _", `not ${JSON.stringify(name)}`);
  }
  assert.equal(head("ViT-S_16").name, "ViT-S_16");
});

Deno.test("model() knows its open sizes and compares with LayerNorm unless told otherwise", () => {
  assert.deepEqual(head().openDims, ["B"]);
  assert.equal(head().reference.family, "ln");
  const other = model({
    name: "other",
    inputs: { x: float(["B", "T", "2*W"]), ids: ids(["B"]) },
    norm: unifiedNorm(),
    reference: batchNorm(),
    forward: ({ x }) => x,
  });
  assert.deepEqual(other.openDims, ["B", "T", "W"]);
  assert.equal(other.reference.family, "bn");
});

Deno.test("withDims() fixes open sizes for whoever traces the model, and refuses others", () => {
  const open = model({
    name: "open",
    inputs: { x: float(["B", "T", "2*W"]) },
    dims: { T: { min: 2, opt: 4, max: 8 }, W: { min: 1, opt: 2, max: 3 } },
    norm: noNorm(),
    forward: ({ x }) => x.relu(),
  });
  const fixed = withDims(open, { T: 5 });
  assert.deepEqual(fixed.openDims, ["B", "W"]);
  assert.deepEqual(fixed.fixedDims, { T: 5 });
  assert.deepEqual(fixed.dims, { W: open.dims!.W });
  assert.deepEqual(fixed.inputs.x.shape, ["B", 5, "2*W"]);
  const shapeOf = (dims: Record<string, number>) =>
    fixed.trace({ weights: weightsOf({}), dims }).outputs[0]!.node.type.shape;
  assert.deepEqual(shapeOf({ B: 3 }), [3, 5, "2*W"]);
  assert.deepEqual(withDims(fixed, { W: 1 }).fixedDims, { T: 5, W: 1 });
  refuses(() => withDims(open, { S: 1 }), 'open has no open size "S"; open are B, T, W');
  refuses(() => withDims(open, { T: 9 }), "open takes whole numbers from 2 to 8 for T, not 9");
  refuses(() => withDims(open, { B: 0 }), "from 1 to 2147483647 for B, not 0");
});

Deno.test("trace() refuses sizes of inputs that are none", () => {
  for (const dim of [-1, 0, 2.5, "", "batch size", "1+T"]) {
    const wrong = model({
      name: "wrong",
      inputs: { x: float([dim, 4]) },
      norm: noNorm(),
      forward: ({ x }) => x.relu(),
    });
    const weights = weightsOf({});
    refuses(() => wrong.trace({ weights }), `input: the size ${JSON.stringify(dim)} of [${dim}, 4]`, '"T+1"');
  }
});

Deno.test("trace() takes every weight once and gives the graph", () => {
  const graph = head().trace({ weights: weightsOf(weights) });
  assert.equal(
    printGraph(graph),
    `small(x: fp32[B, 4]) -> output: fp32[B, 3]
  norm = channel_affine(x, norm.scale[4], norm.shift[4]) {axis: -1, family: un} : fp32[B, 4]
  head = linear(norm, head.weight[3, 4], head.bias[3]) : fp32[B, 3]
  output <- head
`,
  );
});

Deno.test("trace() names a weight that is missing", () => {
  for (const name of Object.keys(weights) as (keyof typeof weights)[]) {
    const { [name]: _, ...rest } = weights;
    refuses(() => head().trace({ weights: weightsOf(rest) }), name);
  }
});

Deno.test("trace() names a weight of another shape, and both shapes", () => {
  const wrong = { ...weights, "head.weight": ones(4, 3) };
  refuses(() => head().trace({ weights: weightsOf(wrong) }), "head.weight", "[4, 3]", "[3, 4]");
});

Deno.test("trace() names weights that nobody took, and what to do about them", () => {
  const more = { ...weights, "blocks.0.fc.weight": ones(1), "extra": ones(1) };
  refuses(
    () => head().trace({ weights: weightsOf(more) }),
    "weights.safetensors: 2 tensors that small does not use: blocks.0.fc.weight, extra",
    "`unused` patterns",
  );
  const many = Object.fromEntries(Array.from({ length: 7 }, (_, i) => [`t${i}`, ones(1)]));
  refuses(() => head().trace({ weights: weightsOf({ ...weights, ...many }) }), "7 tensors", "t4, ...");
  refuses(() => head().trace({ weights: weightsOf({ ...weights, one: ones(1) }) }), "1 tensor that");
});

Deno.test("trace() binds named sizes and compiles in the precision asked for", () => {
  const graph = head().trace({ weights: weightsOf(weights), dims: { B: 8 }, precision: "fp16" });
  assert.deepEqual(graph.inputs[0]!.type, { dtype: "fp16", shape: [8, 4] });
  assert.deepEqual(graph.outputs[0]!.node.type, { dtype: "fp16", shape: [8, 3] });
});

Deno.test("trace() takes another normalization in place of the model's own", () => {
  const traced = (norm: Norm) => head().trace({ weights: randomWeights({ seed: 1 }), norm });
  assert.equal(nodesOf(traced(layerNorm()), "layer_norm").length, 1);
  assert.equal(nodesOf(traced(noNorm()), "linear")[0]!.inputs[0]!.op, "input");
});

Deno.test("trace() refuses a forward that returns no tensor", () => {
  for (const result of [undefined, null, {}, { y: 3 }, []]) {
    const broken = model({
      name: "broken",
      inputs: { x: float([1]) },
      norm: noNorm(),
      forward: () => result as unknown as Tensor,
    });
    refuses(() => broken.trace({ weights: weightsOf({}) }), "broken: forward must return a tensor");
  }
});

Deno.test("trace() makes tied parameters one constant", () => {
  const tied = model({
    name: "tied",
    inputs: { tokens: ids(["B", "T"]) },
    norm: noNorm(),
    forward({ tokens }, p) {
      const x = embedding(tokens, p.at("embed"), { entries: 5, channels: 4 });
      return x.relu().matmul(p.param("embed.weight", [5, 4]).transpose([1, 0]));
    },
  });
  const graph = tied.trace({ weights: weightsOf({ "embed.weight": ones(5, 4) }) });
  assert.equal(nodesOf(graph, "constant").length, 1);
  assert.equal(graph.inputs[0]!.type.dtype, "int64");
});

Deno.test("trace() applies one scope twice with the same parameters", () => {
  const twice = model({
    name: "twice",
    inputs: { x: float([2, 4]) },
    norm: unifiedNorm(),
    forward({ x }, p) {
      const layer = (y: Tensor) => linear(norm(y, p.at("norm")), p.at("fc"), { outputs: 4 });
      return layer(x).add(layer(x.relu()));
    },
  });
  const graph = twice.trace({ weights: randomWeights({ seed: 1 }) });
  const [first, second] = nodesOf(graph, "linear");
  assert.equal(first!.inputs[1], second!.inputs[1]);
  const scales = nodesOf(graph, "channel_affine").map(({ inputs }) => [...valuesOf(inputs[1]!)]);
  assert.deepEqual(scales[0], scales[1]);
});

Deno.test("norm() needs a scope of its own", () => {
  const bare = model({
    name: "bare",
    inputs: { x: float([2, 4]) },
    norm: unifiedNorm(),
    forward: ({ x }, p) => norm(x, p),
  });
  refuses(() => bare.trace({ weights: randomWeights({ seed: 1 }) }), 'norm(x, p.at("norm"))');
});

Deno.test("types catch what types can", () => {
  // Never called: what matters is that each line is an error to the compiler.
  const _ = () => {
    model({
      name: "typed",
      inputs: { x: float([2]) },
      norm: noNorm(),
      // @ts-expect-error the model has no input `y`
      forward: ({ y }) => y,
    });
    model({
      name: "typed",
      inputs: { x: float([2]) },
      norm: noNorm(),
      // @ts-expect-error forward returns tensors
      forward: () => 3,
    });
    // @ts-expect-error a model has a normalization
    model({ name: "typed", inputs: { x: float([2]) }, forward: ({ x }) => x });
    head().trace({
      weights: weightsOf({}),
      // @ts-expect-error int64 is no precision
      precision: "int64",
    });
    // @ts-expect-error a product needs the number of its outputs
    linear(null as never, null as never, {});
    // @ts-expect-error a tensor of three axes has no fourth
    const [_a, _b, _c, _d] = (null as unknown as Tensor).sizes(3);
  };
  assert.ok(_);
});

Deno.test("a size that is written by its name is the number that a trace fixes it at", () => {
  const named = model({
    name: "named",
    inputs: { x: float(["B", "T", 4]) },
    norm: noNorm(),
    forward: ({ x }) =>
      x.reshape(["B*T", 4]).reshape(["B", "T", 4]).slice({ axis: 1, size: "T" })
        .add(range("T").reshape([1, "T", 1]).cast("float").expand(["B", "T", 4])),
  });
  const shapeOf = (dims: Record<string, number>) =>
    named.trace({ weights: randomWeights({ seed: 0 }), dims }).outputs[0]!.node.type.shape;
  assert.deepEqual(shapeOf({}), ["B", "T", 4]);
  assert.deepEqual(shapeOf({ T: 3 }), ["B", 3, 4]);
  assert.deepEqual(shapeOf({ B: 2, T: 3 }), [2, 3, 4]);
});
