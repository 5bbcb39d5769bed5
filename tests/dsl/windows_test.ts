/** Attention within windows and convolutions, as layers, against the same written out. */
import assert from "node:assert/strict";
import { attention, concat, convolution, float, model, type Scope, type Tensor } from "../../src/dsl/mod.ts";
import { noNorm } from "../../src/norms/families.ts";
import { randomWeights } from "../../src/weights/mod.ts";
import { EXACT, meaningDifference, refuses, theNode } from "../support.ts";

const traced = (shape: readonly number[], forward: (x: Tensor, p: Scope) => Tensor) =>
  model({ name: "net", inputs: { x: float(shape) }, norm: noNorm(), forward: ({ x }, p) => forward(x, p) })
    .trace({ weights: randomWeights({ seed: 1 }) });

Deno.test("attention() within windows attends to each run of tokens by itself", () => {
  const options = { heads: 2 };
  const windows = traced([2, 6, 8], (x, p) => attention(x, p, { ...options, window: 3 }));
  const apart = traced([2, 6, 8], (x, p) => {
    const part = (start: number) => attention(x.slice({ axis: 1, start, end: start + 3 }), p, options);
    return concat([part(0), part(3)], { axis: 1 });
  });
  assert.ok(meaningDifference(windows, apart, 1) <= EXACT);
});

Deno.test("attention() gives each window of an image its mask, and every image the same ones", () => {
  const options = { heads: 2 };
  const masks = (p: Scope) => p.param("masks", [2, 2, 3, 3], { init: "gain" });
  const windows = traced([2, 6, 8], (x, p) => attention(x, p, { ...options, window: 3, mask: masks(p) }));
  const apart = traced([2, 6, 8], (x, p) => {
    const part = (i: number) => {
      const mask = masks(p).slice({ axis: 0, start: i, end: i + 1 });
      return attention(x.slice({ axis: 1, start: 3 * i, end: 3 * i + 3 }), p, { ...options, mask });
    };
    return concat([part(0), part(1)], { axis: 1 });
  });
  assert.ok(meaningDifference(windows, apart, 2) <= EXACT);
  refuses(
    () =>
      traced(
        [2, 6, 8],
        (x, p) => attention(x, p, { ...options, window: 3, mask: p.param("m", [3, 2, 3, 3]) }),
      ),
    "the mask does not broadcast to [4, 2, 3, 3]",
  );
});

Deno.test("convolution() reads a kernel for each group and keeps the grid where it is padded", () => {
  const graph = traced(
    [2, 6, 5, 4],
    (x, p) => convolution(x, p.at("dwc"), { outputs: 6, kernel: 5, padding: 2, groups: 6 }),
  );
  const conv = theNode(graph, "conv");
  assert.deepEqual(conv.type.shape, [2, 6, 5, 4]);
  assert.deepEqual(conv.inputs.slice(1).map(({ name, type }) => [name, type.shape]), [
    ["dwc.weight", [6, 1, 5, 5]],
    ["dwc.bias", [6]],
  ]);
  refuses(
    () => traced([2, 6, 5, 4], (x, p) => convolution(x, p.at("c"), { outputs: 4, kernel: 1, groups: 4 })),
    "c: 6 channels do not divide into 4 groups",
  );
});
