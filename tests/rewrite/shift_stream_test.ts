import assert from "node:assert/strict";
import { heldData } from "../../src/ir/data.ts";
import type { Node } from "../../src/ir/graph.ts";
import { apply, constantNode } from "../../src/ops/table.ts";
import { foldNorm } from "../../src/rewrite/fold/fold_norm.ts";
import { shiftStream } from "../../src/rewrite/fold/shift_stream.ts";
import { verifyGraph } from "../../src/rewrite/verify.ts";
import {
  affine,
  EXACT,
  graphOf,
  input,
  linear,
  meaningDifference,
  nodesOf,
  param,
  Random,
} from "../support.ts";
import { encoder, traced } from "./networks.ts";
import { add, gather, relu, reshape, slice, transpose } from "../nodes.ts";

Deno.test("shiftStream() keeps the meaning of networks without q, k and v biases", () => {
  for (const packed of [true, false]) {
    for (let seed = 0; seed < 5; seed++) {
      const graph = traced(encoder({ packed, qkvBias: false }), { seed });
      const { graph: after, shifted } = shiftStream(graph);
      verifyGraph(after, "shiftStream");
      assert.equal(shifted, 2);
      assert.ok(meaningDifference(after, graph, seed) <= EXACT);
      const products = nodesOf(foldNorm(after).graph, "linear").filter(({ name }) =>
        /qkv|[qkv]_proj/.test(name)
      );
      assert.ok(products.every(({ inputs }) => inputs.length === 2));
    }
  }
});

Deno.test("shiftStream() leaves products that have a bias anyway", () => {
  const graph = traced(encoder());
  const { graph: after, shifted } = shiftStream(graph);
  assert.equal(shifted, 0);
  assert.equal(after.outputs[0]!.node, graph.outputs[0]!.node);
});

/** A stream `x W + b` that is normalized into a product without bias, and read once more. */
const streams: Readonly<Record<string, (stream: Node, random: Random) => Node | Record<string, Node>>> = {
  "is an output": (stream) => ({ stream }),
  "is read by a relu": (stream) => relu(stream),
  "is added to itself": (stream) => add(stream, stream),
  "is added to an input": (stream) => add(stream, input("z", [2, 3, 4])),
  "is moved and put out": (stream) => transpose(stream, [0, 2, 1]),
  "loses some of its channels": (stream) => relu(slice(stream, { axis: -1, start: 1 })),
  "is normalized over another axis": (stream, random) =>
    linear(affine(stream, { random, axis: 1, name: "other" }), 4, { random, name: "fc2" }),
};

for (const [name, build] of Object.entries(streams)) {
  Deno.test(`shiftStream() leaves a stream that ${name}`, () => {
    const random = new Random(1);
    const stream = linear(input("x", [2, 3, 5]), 4, { random, name: "writer" });
    const read = linear(affine(stream, { random }), 4, { random, name: "fc", bias: false });
    const built = build(stream, random);
    const graph = graphOf({
      read,
      ..."op" in built ? { other: built as Node } : built as Record<string, Node>,
    });
    const { graph: after, shifted } = shiftStream(graph);
    assert.equal(shifted, 0);
    assert.ok(meaningDifference(after, graph, 2) <= EXACT);
  });
}

Deno.test("shiftStream() corrects every other reader of the stream", () => {
  for (let seed = 0; seed < 20; seed++) {
    const random = new Random(seed);
    const x = input("x", [2, 3, 4]);
    const start = random.uniform() < 0.5
      ? linear(x, 4, { random, name: "writer" })
      : add(x, param("positions", random.pick([[1, 3, 4], [4]]), { random }));
    const bare = (name: string) =>
      linear(affine(start, { random, name: `${name}.norm` }), 4, { random, name, bias: false });
    const branch = linear(relu(bare("a")), 4, { random, name: "branch" });
    const graph = graphOf({ y: add(branch, start), b: bare("b") });
    const { graph: after } = shiftStream(graph);
    assert.ok(meaningDifference(after, graph, seed) <= EXACT, `seed ${seed}`);
  }
});

Deno.test("shiftStream() leaves a stream whose constant would drown it", () => {
  const random = new Random(5);
  const stream = linear(input("x", [2, 3, 4]), 4, { random, name: "writer" });
  const norm = affine(stream, { random });
  const large = { ...norm.inputs[2]!, attrs: { ...norm.inputs[2]!.attrs } };
  const data = large.attrs.data as { bytes(): Uint8Array };
  large.attrs.data = { ...data, bytes: () => new Uint8Array(new Float64Array(4).fill(1e4).buffer) };
  const shifted = { ...norm, inputs: [stream, norm.inputs[1]!, large] };
  const graph = graphOf(linear(shifted, 3, { random, bias: false }));
  assert.equal(shiftStream(graph).shifted, 0);
});

Deno.test("shiftStream() leaves a stream whose branch or writer is broadcast over the channels", () => {
  for (const [writer, branch] of [[8, 1], [1, 8], [1, 1]] as const) {
    for (const bias of [true, false]) {
      const random = new Random(30);
      const x = input("x", [2, 8]);
      const stream = add(relu(x), linear(x, writer, { random, bias, name: "writer" }));
      const normalized = affine(stream, { random });
      const next = add(stream, linear(normalized, branch, { random, bias: false, name: "branch" }));
      const graph = graphOf({ next, side: linear(normalized, 3, { random, bias: false, name: "side" }) });
      const { graph: after, shifted } = shiftStream(graph);
      verifyGraph(after, "shiftStream");
      assert.equal(shifted, 0);
      assert.ok(meaningDifference(after, graph, 1) <= EXACT);
    }
  }
});

Deno.test("shiftStream() leaves a normalization with gains of zero", () => {
  for (const zeros of [1, 5, 8]) {
    const random = new Random(31);
    const x = input("x", [2, 8]);
    const vector = (name: string, value: (c: number) => number) =>
      constantNode(heldData([8], Float64Array.from({ length: 8 }, (_, c) => value(c)), name), {
        dtype: "fp32",
        name,
      });
    const stream = linear(x, 8, { random, name: "writer" });
    const scale = vector("scale", (c) => c < zeros ? 0 : 1);
    const normalized = apply("channel_affine", [stream, scale, vector("shift", () => 0.5)], {
      attrs: { axis: -1, norm: Symbol(), family: "un" },
      name: "norm",
    });
    const graph = graphOf(linear(normalized, 3, { random, bias: false, name: "product" }));
    const { graph: after, shifted } = shiftStream(graph);
    assert.equal(shifted, 0);
    assert.ok(meaningDifference(foldNorm(after).graph, graph, 1) <= EXACT);
  }
});

Deno.test("shiftStream() follows a stream through moved tokens, to every kind of writer", () => {
  const writers: Readonly<Record<string, (random: Random) => Node>> = {
    linear: (random) => linear(input("x", [2, 6, 5]), 4, { random, name: "writer" }),
    "linear-and-table": (random) =>
      add(
        gather(param("table", [9, 4], { random }), constantNode(ints([6], [3, 1, 4, 1, 5, 8]), asInt)),
        linear(input("x", [2, 6, 5]), 4, { random, name: "writer" }),
      ),
    table: (random) =>
      gather(
        param("table", [9, 4], { random }),
        constantNode(ints([2, 6], [3, 1, 4, 1, 5, 8, 2, 6, 5, 3, 5, 8]), asInt),
      ),
    conv: (random) => {
      const weight = param("kernel", [4, 3, 2, 2], { random });
      const attrs = { stride: [2, 2], padding: [0, 0] } as const;
      const maps = apply("conv", [input("image", [2, 3, 4, 6]), weight], { attrs, name: "patches" });
      return transpose(reshape(maps, [2, 4, 6]), [0, 2, 1]);
    },
    channel_affine: (random) => affine(relu(input("x", [2, 6, 4])), { random, name: "first", shift: false }),
  };
  Object.entries(writers).forEach(([name, writer], seed) => {
    const random = new Random(seed);
    const written = writer(random);
    const order = constantNode(ints([6], [5, 3, 0, 1, 2, 4]), asInt);
    const stream = gather(written, order, { axis: 1 });
    const branch = linear(relu(affine(stream, { random, name: "other" })), 4, { random, name: "branch" });
    const back = gather(branch, order, { axis: 1 });
    const bare = linear(affine(stream, { random }), 4, { random, name: "product", bias: false });
    const graph = graphOf({ y: relu(add(gather(stream, order, { axis: 1 }), back)), bare });
    const { graph: after, shifted } = shiftStream(graph);
    verifyGraph(after, "shiftStream");
    assert.equal(shifted, 1, name);
    assert.ok(meaningDifference(after, graph, seed) <= EXACT, name);
    const product = nodesOf(foldNorm(after).graph, "linear").find(({ name }) => name === "product")!;
    assert.equal(product.inputs.length, 2, name);
  });
});

Deno.test("shiftStream() adds the constant in the open where queries read what nobody writes", () => {
  const random = new Random(40);
  const x = input("x", [2, 3, 4]);
  const normalized = affine(x, { random, rounds: true });
  const heads = (name: string) => {
    const product = linear(normalized, 4, { random, name, bias: false });
    return transpose(reshape(product, [2, 3, 2, 2]), [0, 2, 1, 3]);
  };
  const mixed = apply("attention", [heads("q"), heads("k"), heads("v")], {
    attrs: { scale: 0.5, causal: false },
    name: "mixed",
  });
  const out = linear(reshape(transpose(mixed, [0, 2, 1, 3]), [2, 3, 4]), 4, { random, name: "out" });
  const graph = graphOf(add(x, out));
  const { graph: after, shifted } = shiftStream(graph);
  verifyGraph(after, "shiftStream");
  assert.equal(shifted, 1);
  assert.deepEqual(after.inputs, graph.inputs);
  assert.equal(nodesOf(after, "add").filter(({ name }) => name === "x.shift").length, 1);
  assert.ok(meaningDifference(after, graph, 1) <= EXACT);
  // For a product that is not an attention's, an addition would be no gain.
  assert.equal(shiftStream(graphOf(linear(normalized, 4, { random, bias: false }))).shifted, 0);
});

const asInt = { dtype: "int32", name: "order" } as const;
const ints = (shape: readonly number[], values: readonly number[]) =>
  heldData(shape, Int32Array.from(values), "order");
