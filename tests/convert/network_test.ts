/** Which products are found around a normalization, and which are left alone with what reason. */
import assert from "node:assert/strict";
import { readersOf, traced, writerOf } from "../../src/convert/network.ts";
import { NOTHING } from "../../src/convert/walk.ts";
import { chooseWeights } from "../../src/compile/networks.ts";
import { embedding, float, ids, linear, type Model, model, norm } from "../../src/dsl/mod.ts";
import { layerNorm } from "../../src/norms/families.ts";

const subject = { inputs: { x: float(["B", "T", 4]) }, norm: layerNorm() };

function trace(described: Model) {
  return traced(
    { model: described, norm: described.norm, weights: chooseWeights(described, described.norm, {}) },
    NOTHING,
  );
}

/** What is found at each normalization. */
function around(described: Model) {
  const found = trace(described);
  return found.places.map((place) => {
    const { readers, left } = readersOf(found, place);
    const writer = writerOf(found, place);
    return {
      scope: place.scope,
      readers: readers.map(({ scope }) => scope),
      left,
      writer: writer && [writer.scope, writer.isAlone ? "alone" : "stream"],
      slices: place.slices.length,
    };
  });
}

Deno.test("a product that two normalizations read is nobody's to fit, and is said to be shared", () => {
  const described = model({
    name: "shared",
    ...subject,
    forward: ({ x }, p) => {
      const head = p.at("head");
      const first = linear(norm(x!, p.at("norm1")), head, { outputs: 3 });
      return first.add(linear(norm(x!.add(x!), p.at("norm2")), head, { outputs: 3 }));
    },
  });
  for (const { readers, left } of around(described)) {
    assert.deepEqual([readers, left], [[], ["head shares its weight with others"]]);
  }
});

Deno.test("a head that is tied to the embedding is left as it was", () => {
  const described = model({
    name: "tied",
    inputs: { words: ids(["B", "T"]) },
    norm: layerNorm(),
    forward: ({ words }, p) => {
      const x = embedding(words!, p.at("table"), { entries: 7, channels: 4 });
      return linear(norm(x, p.at("norm")), p.at("table"), { outputs: 7, bias: false });
    },
  });
  const [{ readers, left }] = around(described) as [ReturnType<typeof around>[number]];
  assert.deepEqual([readers, left], [[], ["table shares its weight with others"]]);
});

Deno.test("the product that writes a branch is found before and behind the residual sum", () => {
  const described = model({
    name: "branches",
    ...subject,
    forward: ({ x }, p) => {
      const sum = x!.add(linear(norm(x!, p.at("norm1")), p.at("fc1"), { outputs: 4 }));
      const post = norm(sum, p.at("norm2"));
      const stream = post.add(linear(post, p.at("fc2"), { outputs: 4 }));
      return stream.add(linear(norm(stream, p.at("norm3")), p.at("fc3"), { outputs: 4 }));
    },
  });
  assert.deepEqual(around(described).map(({ readers, writer }) => ({ readers, writer })), [
    { readers: ["fc1"], writer: null },
    { readers: ["fc2"], writer: ["fc1", "alone"] },
    { readers: ["fc3"], writer: ["fc2", "stream"] },
  ]);
});

Deno.test("of a normalization whose first row alone is read, that row is what counts", () => {
  const described = model({
    name: "token",
    ...subject,
    forward: ({ x }, p) =>
      linear(norm(x!, p.at("norm")).pick({ axis: 1, index: 0 }), p.at("head"), { outputs: 3 }),
  });
  const [{ readers, slices }] = around(described) as [ReturnType<typeof around>[number]];
  assert.deepEqual([readers, slices], [["head"], 1]);
});
