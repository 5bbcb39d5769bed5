/** Windows, rolls and merged patches as one order of tokens, and orders that go along a residual stream. */
import assert from "node:assert/strict";
import type { Dim } from "../../../src/ir/shape.ts";
import { gelu, mean, relu, reshape, slice, type Tensor, transpose } from "../../nodes.ts";
import { affine, input, linear, nodesOf, Random } from "../../support.ts";
import { add, becomes, op, opsOf, recognised, staysPlain } from "./spellings.ts";

const [H, W, C, M] = [4, 6, 3, 2];
const random = new Random(11);

const concat = (parts: readonly Tensor[], axis: number) => op("concat", parts, { axis });
function roll(x: Tensor, by: number): Tensor {
  for (const axis of by === 0 ? [] : [1, 2]) {
    const size = x.type.shape[axis] as number;
    const at = (by + size) % size;
    x = concat([slice(x, { axis, start: at }), slice(x, { axis, end: at })], axis);
  }
  return x;
}

const times = (batch: Dim, count: number): Dim =>
  typeof batch === "number" ? batch * count : `${count}*${batch}`;
/** `[B, H, W, C]` to `[B windows, M M, C]`. */
function partition(x: Tensor, batch: Dim): Tensor {
  const cut = transpose(reshape(x, [batch, H / M, M, W / M, M, C]), [0, 1, 3, 2, 4, 5]);
  return reshape(cut, [times(batch, H * W / M ** 2), M * M, C]);
}
function reversed(windows: Tensor, batch: Dim): Tensor {
  const cut = reshape(windows, [batch, H / M, W / M, M, M, C]);
  return reshape(transpose(cut, [0, 1, 3, 2, 4, 5]), [batch, H, W, C]);
}

for (const batch of ["B", 2, 1] as const) {
  Deno.test(`a partition, a roll and both are one gather, at a batch of ${batch}`, () => {
    const x = input("x", [batch, H, W, C]);
    const dims = { dims: { B: 2 } };
    const one = ["reshape", "gather", "reshape"];
    becomes(
      one,
      { partition: partition(x, batch), roll: roll(x, 1), both: partition(roll(x, -1), batch) },
      dims,
    );
    const back = roll(reversed(partition(roll(x, 1), batch), batch), -1);
    const graph = recognised(relu(back), dims);
    assert.deepEqual(
      opsOf(graph),
      ["reshape", "reshape", "relu"].slice(graph ? -1 : 0),
      "there and back is nothing",
    );
  });
}

Deno.test("merged patches are a gather, whichever way they are taken", () => {
  const x = input("x", ["B", H, W, C]);
  const strided = [[0, 0], [1, 0], [0, 1], [1, 1]].map(([top, left]) =>
    slice(slice(x, { axis: 1, start: top!, step: 2 }), { axis: 2, start: left!, step: 2 })
  );
  const cut = transpose(reshape(x, ["B", H / 2, 2, W / 2, 2, C]), [0, 1, 3, 4, 2, 5]);
  becomes(["reshape", "gather", "reshape"], {
    "strided slices": concat(strided, -1),
    "a transpose of six axes": reshape(cut, ["B", H / 2, W / 2, 4 * C]),
  }, { dims: { B: 2 } });
});

Deno.test("what breaks up channels, or joins several tensors, stays", () => {
  const x = input("x", ["B", H, W, C]);
  const other = input("other", ["B", H, W, C]);
  const heads = input("heads", ["B", 4, 2, 6]);
  const half = (y: Tensor, start: number) => slice(y, { axis: 1, start, size: 2 });
  const dims = { dims: { B: 2 } };
  staysPlain(["gather"], {
    "heads that are joined": transpose(heads, [0, 2, 1, 3]),
    "halves of two tensors": concat([half(x, 2), half(other, 0)], 1),
    "a part of the channels": concat([slice(x, { axis: 3, start: 1 }), slice(x, { axis: 3, end: 1 })], 3),
    "channels in front": transpose(reshape(x, ["B", H / 2, 2, W / 2, 2, C]), [0, 5, 1, 3, 2, 4]),
    "some tokens twice": concat([half(x, 2), half(x, 2)], 1),
    "a class token and what comes behind others": concat([
      slice(x, { axis: 1, size: 1 }),
      slice(x, { axis: 1, start: 2 }),
    ], 1),
    "windows across images": transpose(reshape(x, ["B", H / 2, 2, W / 2, 2, C]), [1, 0, 3, 2, 4, 5]),
  }, dims);
});

/** A block as the exporters of Swin write it: into windows, something in each, and back. */
function block(x: Tensor, batch: Dim, { shift, name }: { shift: number; name: string }): Tensor {
  const scope = { random, name: `${name}.norm1` };
  const windows = partition(roll(affine(x, scope), shift), batch);
  const [count] = windows.type.shape as [Dim];
  // Tokens of a window see each other, as in attention.
  const mixed = add(
    mean(linear(windows, C, { random, name: `${name}.qkv` }), { axes: [1], keepDims: true }),
    linear(windows, C, { random, name: `${name}.v` }),
  );
  const out = linear(reshape(mixed, [count, M * M, C]), C, { random, name: `${name}.proj` });
  x = add(x, roll(reversed(out, batch), -shift));
  const tokens = reshape(x, [batch, H * W, C]);
  const hidden = gelu(
    linear(affine(tokens, { random, name: `${name}.norm2` }), 5, { random, name: `${name}.fc1` }),
  );
  return reshape(add(tokens, linear(hidden, C, { random, name: `${name}.fc2` })), [batch, H, W, C]);
}

Deno.test("tokens stay in the order of their windows: one gather between two blocks", () => {
  const images = input("x", ["B", H, W, C]);
  let x: Tensor = relu(images);
  for (let i = 0; i < 4; i++) x = block(x, "B", { shift: i % 2, name: `blocks.${i}` });
  const pooled = mean(x, { axes: [1, 2] });
  const graph = recognised(pooled, { dims: { B: 2 } });
  assert.equal(nodesOf(graph, "gather").length, 4);
  const whole = recognised(x, { dims: { B: 2 } });
  assert.equal(nodesOf(whole, "gather").length, 5, "the order of the image is asked for at the end");
});
