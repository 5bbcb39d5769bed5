/** Masks, positions and indices with open sizes, as both exporters compute them, and what comes near. */
import assert from "node:assert/strict";
import { bytesFromNumbers, heldData } from "../../../src/ir/data.ts";
import type { Node } from "../../../src/ir/graph.ts";
import type { Dim, Shape } from "../../../src/ir/shape.ts";
import { apply, constantNode } from "../../../src/ops/table.ts";
import { input, nodesOf, param, Random, theNode } from "../../support.ts";
import { add, becomes, mul, op, opsOf, recognised, staysPlain } from "./spellings.ts";
import { expand, matmul, reshape, slice, softmax, type Tensor, transpose } from "../../nodes.ts";

const [H, D, CONTEXT] = [2, 4, 8];
const dims = { B: 2, T: 3 };
const random = new Random(5);
const heads = (name: string) => input(name, ["B", H, "T", D]);
const [q, k, v] = [heads("q"), heads("k"), heads("v")];
const logits = matmul(mul(q, 0.5), transpose(k, [0, 1, 3, 2]));
const mixedBy = (mask: Tensor) => matmul(softmax(add(logits, mask)), v);
const present = input("present", ["B", "T"], "int64");
const LOWEST = -3.4028234663852886e38;

const whole = (values: readonly number[], shape: readonly number[] = []) => {
  const held = heldData(shape, Float64Array.from(values), "numbers");
  const data = {
    ...held,
    dtype: "int64" as const,
    bytes: () => bytesFromNumbers(Float64Array.from(values), "int64"),
  };
  return constantNode(data, { dtype: "int64", name: "numbers" });
};
const truth = constantNode({ dtype: "bool", shape: [], origin: "true", bytes: () => Uint8Array.of(1) }, {
  dtype: "bool",
  name: "true",
});
const range = (size: Dim) => apply("range", [], { attrs: { size } });
const size = (size: Dim) => apply("size", [], { attrs: { size } });
const cast = (x: Node, to: "bool" | "int64") => apply("cast", [x], { attrs: { to } });
const where = (condition: Node, a: Tensor | number, b: Tensor | number) => op("where", [condition, a, b]);

const batches = reshape(range("B"), ["B", 1, 1, 1]);
const [queries, keys] = [reshape(range("T"), [1, 1, "T", 1]), reshape(range("T"), [1, 1, 1, "T"])];
/** The indices of each key of each batch, as `torch.export` has them. */
const grid = (shape: Shape = ["B", 1, 1, "T"]) =>
  op("concat", [batches, keys].map((x) => reshape(expand(x, shape), [...shape, 1])), { axis: -1 });
/** Whether a key is no padding: by indices of both axes, and of the flattened ones. */
const padding: Readonly<Record<string, Node>> = {
  dynamo: op("gather_nd", [cast(present, "bool"), grid()]),
  torchscript: reshape(
    op("gather", [reshape(cast(present, "bool"), ["B*T", 1]), op("add", [keys, mul(batches, size("T"))])], {
      axis: 0,
    }),
    ["B", 1, 1, "T"],
  ),
};

Deno.test("padding by the places of its elements is the input's mask, of keys alone", () => {
  const everywhere = op("and", [truth, op("greater_or_equal", [queries, whole([0])])]);
  for (const [exporter, seen] of Object.entries(padding)) {
    const [graph] = becomes(["cast", "reshape", "where", "attention"], {
      [exporter]: mixedBy(where(op("and", [everywhere, seen]), 0, LOWEST)),
    }, { dims });
    assert.deepEqual(theNode(graph!, "attention").inputs[3]!.type.shape, ["B", 1, 1, "T"]);
  }
});

Deno.test("a causal mask of open tokens is the attention's own", () => {
  const buffer = (hidden: number, above: (row: number, column: number) => boolean) => {
    const values = Float32Array.from(
      { length: CONTEXT ** 2 },
      (_, i) => above(Math.floor(i / CONTEXT), i % CONTEXT) ? hidden : 0,
    );
    return constantNode(heldData([1, 1, CONTEXT, CONTEXT], values, "buffer"), {
      dtype: "fp32",
      name: "buffer",
    });
  };
  const taken = (x: Node, start = 0) =>
    slice(slice(x, { axis: 2, start, size: "T" }), { axis: 3, start: 0, size: "T" });
  const upper = buffer(-Infinity, (row, column) => column > row);
  const spelled: Readonly<Record<string, Tensor>> = {
    "key <= query": where(op("and", [truth, op("less_or_equal", [keys, queries])]), 0, LOWEST),
    "query >= key": where(op("greater_or_equal", [queries, keys]), 0, -Infinity),
    "key < query + 1": where(op("less", [keys, op("add", [queries, whole([1])])]), 0, LOWEST),
    "hidden where key > query": where(op("greater", [keys, queries]), LOWEST, 0),
    "not hidden": where(op("not", [op("less", [queries, keys])]), 0, -Infinity),
    "query - key >= 0": where(op("greater_or_equal", [op("sub", [queries, keys]), whole([0])]), 0, LOWEST),
    "a buffer's first rows": taken(upper),
  };
  const wanted = Object.fromEntries(Object.entries(spelled).map(([name, mask]) => [name, mixedBy(mask)]));
  for (const graph of becomes(["attention"], wanted, { dims })) {
    const { attrs, inputs } = theNode(graph, "attention");
    assert.deepEqual([attrs.causal, inputs.length], [true, 3]);
  }
  const near: Readonly<Record<string, Tensor>> = {
    "key < query or the first": where(op("less", [keys, op("add", [queries, whole([2])])]), 0, LOWEST),
    "key >= query": where(op("greater_or_equal", [keys, queries]), 0, LOWEST),
    "the same key": where(op("equal", [keys, queries]), 0, LOWEST),
    "all but the next key": where(op("equal", [keys, op("add", [queries, whole([1])])]), LOWEST, 0),
    "-100": where(op("less_or_equal", [keys, queries]), 0, -100),
    "1 for what is seen": where(op("less_or_equal", [keys, queries]), 1, LOWEST),
    "later rows": taken(buffer(-Infinity, (row, column) => column > row), 1),
    "a lower triangle": taken(buffer(-Infinity, (row, column) => column < row)),
    "every second": where(op("less_or_equal", [mul(keys, whole([2])), queries]), 0, LOWEST),
  };
  for (const [name, mask] of Object.entries(near)) {
    const { attrs, inputs } = theNode(recognised(mixedBy(mask), { dims }), "attention");
    assert.deepEqual([attrs.causal, inputs.length], [false, 4], name);
  }
});

Deno.test("whether positions count on, which transformers asks for packed texts, is known of a range", () => {
  const places = expand(reshape(range("T"), [1, "T"]), ["B", "T"]);
  const part = (x: Node, start: number, size: Dim) => slice(x, { axis: 1, start, size });
  const packedBy = (ids: Node) => {
    const before = op("sub", [part(ids, 0, 1), whole([1])]);
    const all = op("concat", [before, ids], { axis: 1 });
    const jumps = op("not", [op("equal", [op("sub", [part(all, 1, "T"), part(all, 0, "T")]), whole([1])])]);
    const text = op("cumulative_sum", [cast(jumps, "int64")], { axis: 1 });
    const same = op("equal", [reshape(text, ["B", 1, "T", 1]), reshape(text, ["B", 1, 1, "T"])]);
    const at = (shape: Shape) => reshape(ids, shape);
    const causal = op("less_or_equal", [at(["B", 1, 1, "T"]), at(["B", 1, "T", 1])]);
    return mixedBy(where(op("and", [causal, same]), 0, LOWEST));
  };
  const [graph] = becomes(["attention"], { "a range": packedBy(places) }, { dims });
  assert.equal(theNode(graph!, "attention").attrs.causal, true);
  const given = cast(op("greater", [input("x", ["B", "T"]), 0]), "int64");
  assert.equal(
    theNode(recognised(packedBy(given), { dims }), "attention").inputs.length,
    4,
    "ids that are given",
  );
});

Deno.test("causal and padding at once are one mask: a query that sees nothing weighs all keys", () => {
  const causal = op("less_or_equal", [keys, queries]);
  for (const [exporter, seen] of Object.entries(padding)) {
    const graph = recognised(mixedBy(where(op("and", [causal, seen]), 0, LOWEST)), { dims });
    const { attrs, inputs } = theNode(graph, "attention");
    assert.deepEqual([attrs.causal, inputs[3]!.type.shape], [false, ["B", 1, "T", "T"]], exporter);
    assert.deepEqual(opsOf(graph).filter((op) => op.startsWith("gather")), [], exporter);
  }
});

Deno.test("rows of a table by their places are its first, whatever says the places", () => {
  const table = param("positions", [CONTEXT, D], { random });
  const rows = (indices: Node) => op("gather", [table, indices], { axis: 0 });
  const wide = whole(Array.from({ length: CONTEXT }, (_, i) => i), [1, CONTEXT]);
  const first = slice(wide, { axis: 1, start: 0, size: "T" });
  becomes(["slice", "reshape"], {
    "a range": rows(reshape(range("T"), [1, "T"])),
    "a buffer of ids": rows(first),
    "two behind": rows(op("add", [reshape(range("T"), [1, "T"]), whole([2])])),
  }, { dims });
  const types = param("types", [2, D], { random });
  const zeros = whole(new Array<number>(CONTEXT).fill(0), [1, CONTEXT]);
  const x = input("x", ["B", "T", D]);
  const typed = (indices: Node) => add(x, op("gather", [types, expand(indices, ["B", "T"])], { axis: 0 }));
  becomes(["expand", "gather", "add"], {
    "zeros by their places": typed(op("gather_elements", [zeros, first], { axis: 1 })),
  }, { dims });
  // A lone row stays one of its table, which is a weight by its name.
  becomes(["slice", "expand", "gather", "add"], {
    "a part of zeros": typed(slice(zeros, { axis: 1, start: 0, size: "T" })),
  }, { dims });
  staysPlain(["slice"], {
    "ids of the text": rows(cast(op("greater", [input("x", ["B", "T"]), 0]), "int64")),
    "every second": rows(mul(range(3), whole([2]))),
    "of eight bits": rows(cast(op("cast", [range(3)], { to: "uint8" }), "int64")),
    "from the back": rows(op("sub", [whole([4]), range(3)])),
    "of two axes": rows(op("add", [reshape(range(2), [2, 1]), reshape(range(3), [1, 3])])),
  }, { dims });
});

Deno.test("elements by places are those of the tensor in its own order alone", () => {
  const flat = reshape(present, ["B*T", 1]);
  const at = (indices: Node) => op("gather", [flat, indices], { axis: 0 });
  const square = input("square", [3, 3], "int64");
  const columns = op(
    "concat",
    [reshape(range(3), [1, 3, 1]), reshape(range(3), [3, 1, 1])].map((x) => expand(x, [3, 3, 1])),
    { axis: 2 },
  );
  const near: Readonly<Record<string, Node>> = {
    "rows of another length": at(
      op("add", [reshape(range("T"), [1, "T"]), mul(reshape(range("B"), ["B", 1]), whole([2]))]),
    ),
    "columns first": op("gather_nd", [square, columns]),
    "a diagonal": op("gather_nd", [
      square,
      op("concat", [reshape(range(3), [3, 1]), reshape(range(3), [3, 1])], { axis: 1 }),
    ]),
  };
  for (const [name, node] of Object.entries(near)) {
    assert.ok(opsOf(recognised(node, { dims })).some((op) => op.startsWith("gather")), name);
  }
});

Deno.test("indices that are doubled forty times are looked at once each, not a trillion times", () => {
  let places: Node = range("T");
  for (let i = 0; i < 40; i++) places = op("sub", [op("add", [places, places]), places]);
  becomes(["slice"], {
    doubled: op("gather", [param("rows", [CONTEXT, D], { random }), places], { axis: 0 }),
  }, { dims });
});

Deno.test("what holds of all places, or of none, is no condition", () => {
  const chosen = (condition: Node) => where(condition, input("x", ["B", "T"]), 0);
  const places = reshape(range("T"), [1, "T"]);
  becomes([], {
    "range >= 0": chosen(op("greater_or_equal", [places, whole([0])])),
    "-1 < range": chosen(op("less", [whole([-1]), places])),
    "true": chosen(op("or", [truth, op("greater", [places, whole([2])])])),
  }, { dims });
  for (const [a, b] of [[places, whole([1])], [whole([2]), places]] as const) {
    assert.ok(opsOf(recognised(chosen(op("greater", [a, b])), { dims })).includes("greater"));
  }
  const never = recognised(chosen(op("less", [places, whole([0])])), { dims });
  assert.equal(nodesOf(never, "where").length, 0);
});

Deno.test("a guard against queries that see nothing goes where each sees a key, else it is a choice behind", () => {
  const guarded = (mask: Tensor) => {
    const weights = softmax(add(logits, mask));
    return matmul(where(op("is_nan", [weights]), 0, weights), v);
  };
  const causal = op("less_or_equal", [keys, queries]);
  becomes(["attention"], {
    "-infinity, each query seeing a key": guarded(where(causal, 0, -Infinity)),
    "numbers": guarded(where(causal, 0, LOWEST)),
  }, { dims });
  for (const [exporter, seen] of Object.entries(padding)) {
    const mixed = guarded(where(seen, 0, -Infinity));
    const joined = reshape(transpose(mixed, [0, 2, 1, 3]), ["B", "T", H * D]);
    const graph = recognised(joined, { dims });
    assert.equal(nodesOf(graph, "is_nan").length, 0, exporter);
    // The choice is one of tokens, behind the joined heads.
    const last = graph.outputs[0]!.node;
    assert.equal(last.op, "where", exporter);
    assert.equal(last.inputs[1]!.op, "reshape", exporter);
    assert.equal(theNode(graph, "attention").inputs[3]!.type.shape[2], 1, exporter);
  }
  const added = recognised(guarded(input("mask", ["B", 1, 1, "T"])), { dims });
  assert.equal(nodesOf(added, "is_nan").length, 1, "a mask that is an input may hide rows");
});

Deno.test("a guard stays where masks that show a key each may hide all of them together", () => {
  const [a, b, c] = ["a", "b", "c"].map((name) => input(name, [2, H, 3, D]));
  const scores = matmul(mul(a!, 0.5), transpose(b!, [0, 1, 3, 2]));
  const guarded = (mask: Tensor) => {
    const weights = softmax(add(scores, mask));
    return matmul(where(op("is_nan", [weights]), 0, weights), c!);
  };
  const row = (hidden: readonly boolean[]) =>
    constantNode(heldData([1, 1, 1, 3], Float32Array.from(hidden, (is) => is ? -Infinity : 0), "row"), {
      dtype: "fp32",
      name: "row",
    });
  const [first, others] = [row([false, true, true]), row([true, false, false])];
  becomes(["attention"], { "a key in each row": guarded(first) });
  const both: Readonly<Record<string, Node>> = {
    "added": guarded(add(first, others)),
    "chosen": guarded(where(input("which", [1, 1, 3, 3], "bool"), first, others)),
    "cut off": guarded(expand(slice(first, { axis: 3, start: 1, size: 1 }), [1, 1, 3, 3])),
  };
  for (const [name, node] of Object.entries(both)) {
    assert.equal(nodesOf(recognised(node), "is_nan").length, 1, name);
  }
  const zero = constantNode(heldData([1, 1, 1, 1], Float32Array.of(0), "zero"), {
    dtype: "fp32",
    name: "zero",
  });
  const chosen = where(input("sees", [2, 1, 3, 1], "bool"), matmul(softmax(scores), c!), zero);
  recognised(reshape(transpose(chosen, [0, 2, 1, 3]), [2, 3, H * D]));
});
