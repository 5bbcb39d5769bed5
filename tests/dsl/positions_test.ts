/** Tests of computed positions: the tables' values by other formulas, and rotation as what it is. */
import assert from "node:assert/strict";
import { gridRotaryTable, rotaryTable, rotate, sinusoids } from "../../src/dsl/mod.ts";
import { evaluateGraph } from "../../src/run/reference.ts";
import { nodeOf } from "../../src/dsl/tensor.ts";
import { EXACT, Random, refuses, valuesOf } from "../support.ts";
import { graphOf, input } from "./support.ts";

Deno.test("sinusoids() is fairseq's table from the position given", () => {
  const table = valuesOf(nodeOf(sinusoids({ length: 3, channels: 8, first: 2 })));
  assert.equal(table.length, 24);
  for (let row = 0; row < 3; row++) {
    for (let rate = 0; rate < 4; rate++) {
      const angle = (row + 2) / 10000 ** (rate / 3);
      assert.ok(Math.abs(table[row * 8 + rate]! - Math.sin(angle)) < EXACT);
      assert.ok(Math.abs(table[row * 8 + 4 + rate]! - Math.cos(angle)) < EXACT);
    }
  }
  refuses(() => sinusoids({ length: 3, channels: 7 }), "7 channels");
});

Deno.test("rotate() turns pairs of channels, so that products depend on the distance alone", () => {
  const random = new Random(1);
  const [tokens, size] = [6, 8];
  const table = rotaryTable({ length: 16, tokens, size, theta: 100 });
  const x = input("x", [1, 1, tokens, size]);
  const row = Float64Array.from(random.normals([size]));
  const data = Float64Array.from({ length: tokens * size }, (_, i) => row[i % size]!);
  const graph = graphOf(rotate(x, table));
  const turned = evaluateGraph(graph, { x: { shape: [1, 1, tokens, size], data } }).y!.data;
  const dot = (a: number, b: number) =>
    Array.from({ length: size }, (_, i) => turned[a * size + i]! * turned[b * size + i]!).reduce((s, v) =>
      s + v
    );
  // One vector everywhere: equal distances give equal products, and a rotation keeps lengths.
  assert.ok(Math.abs(dot(0, 2) - dot(3, 5)) < EXACT);
  assert.ok(Math.abs(dot(1, 1) - dot(4, 4)) < EXACT);
  assert.ok(Math.abs(dot(0, 1) - dot(0, 2)) > 1e-2);
  assert.deepEqual([...turned.slice(0, size)], [...row]);
});

Deno.test("rotaryTable() leaves fast rates, slows slow ones by the factor, and mixes between", () => {
  const scaling = { factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 64 };
  const angles = (options: { scaling?: typeof scaling }) => {
    const { sines } = rotaryTable({ length: 2, size: 8, theta: 1e4, ...options });
    return [...valuesOf(nodeOf(sines)).slice(12, 16)].map(Math.asin);
  };
  const [plain, scaled] = [angles({}), angles({ scaling })];
  const ratios = plain.map((angle, i) => angle / scaled[i]!);
  // Rates 1, 0.1, 0.01 and 0.001 turn 10, 1.02, 0.1 and 0.01 times in 64 tokens.
  assert.ok(Math.abs(ratios[0]! - 1) < EXACT);
  assert.ok(ratios[1]! > 7 && ratios[1]! < 8, `${ratios[1]}`);
  assert.ok(Math.abs(ratios[2]! - 8) < 1e-9 && Math.abs(ratios[3]! - 8) < 1e-9);
  refuses(() => rotaryTable({ length: 2, size: 7, theta: 1e4 }), "no two halves");
});

Deno.test("gridRotaryTable() turns by row and column from -1 to 1, and leaves tokens in front as they are", () => {
  const [height, width, prefix, size, theta] = [2, 3, 2, 8, 100];
  const table = gridRotaryTable({ grid: [height, width], prefix, size, theta });
  const [cosines, sines] = [table.cosines, table.sines].map((part) => valuesOf(nodeOf(part)));
  assert.deepEqual(table.cosines.shape, [prefix + height * width, size]);
  for (let token = 0; token < prefix; token++) {
    for (let i = 0; i < size; i++) {
      assert.deepEqual([cosines![token * size + i], Math.abs(sines![token * size + i]!)], [1, 0]);
    }
  }
  // DINOv3: centres of the cells between -1 and 1, periods of theta ** (4 j / D), rows first.
  const rates = [1, 10];
  for (let cell = 0; cell < height * width; cell++) {
    const row = [-0.5, 0.5][Math.floor(cell / width)]!;
    const column = [-2 / 3, 0, 2 / 3][cell % width]!;
    [row, row, column, column].forEach((place, i) => {
      const angle = 2 * Math.PI * place / rates[i % 2]!;
      const at = (prefix + cell) * size + i;
      for (const [half, sign] of [[0, -1], [4, 1]] as const) {
        assert.ok(Math.abs(cosines![at + half]! - Math.cos(angle)) < EXACT);
        assert.ok(Math.abs(sines![at + half]! - sign * Math.sin(angle)) < EXACT);
      }
    });
  }
  refuses(() => gridRotaryTable({ grid: [2, 2], size: 6, theta: 100 }), "no four parts");
  refuses(() => gridRotaryTable({ grid: [2, 0], size: 8, theta: 100 }), "grid");
});
