/** Change points of seeded series, and which commit they are laid to. */
import assert from "node:assert/strict";
import { changePoints, historyOf } from "../../src/regress/history.ts";
import { Random } from "../support.ts";
import { runOf } from "./support.ts";

const noisy = (random: Random, count: number, level: number) =>
  Array.from({ length: count }, () => level * Math.exp(0.02 * random.normal()));

Deno.test("changePoints() finds where a level changes, and the next change as well", () => {
  const random = new Random(1);
  const values = [...noisy(random, 20, 1), ...noisy(random, 15, 1.1), ...noisy(random, 20, 1)];
  const found = changePoints(values);
  // A neighbour whose noise looks like the other level may be counted with it.
  assert.equal(found.length, 2);
  for (const [i, place] of [20, 35].entries()) {
    assert.ok(Math.abs(found[i]!.index - place) <= 1, `${found[i]!.index}`);
  }
  assert.ok(found.every(({ pValue }) => pValue < 0.002));
});

Deno.test("changePoints() finds none in noise, in a single outlier and in too few runs", () => {
  for (let seed = 0; seed < 20; seed++) {
    const random = new Random(seed);
    const values = noisy(random, 30, 1);
    values[random.integer(0, 29)]! *= 5;
    assert.deepEqual(changePoints(values), [], `seed ${seed}`);
  }
  assert.deepEqual(changePoints([1, 1, 1, 2, 2, 2]), []);
  assert.deepEqual(changePoints(Array(20).fill(1)), []);
});

Deno.test("historyOf() names the commit that a change starts at, and the one before", () => {
  const random = new Random(3);
  const ratios = [...noisy(random, 10, 1), ...noisy(random, 10, 1.2)];
  const runs = ratios.map((ratio, i) =>
    runOf({
      time: `2026-02-${String(i + 1).padStart(2, "0")}T00:00:00.000Z`,
      commit: `${i}`.padStart(2, "0").repeat(8),
      ratio,
      nodes: i < 15 ? 2 : 3,
    })
  );
  const [latency, nodes] = historyOf(runs);
  const [slower] = latency!.changes;
  assert.equal(latency!.changes.length, 1);
  assert.deepEqual([slower!.commit, slower!.after, slower!.isWorse], ["10".repeat(8), "09".repeat(8), true]);
  assert.ok(Math.abs(slower!.to / slower!.from - 1.2) < 0.03);
  assert.deepEqual(
    nodes!.changes.map(({ commit, from, to, pValue }) => ({ commit, from, to, pValue })),
    [{ commit: "15".repeat(8), from: 2, to: 3, pValue: null }],
  );
});

Deno.test("historyOf() sets no ratio to one save of a baseline beside a ratio to another", () => {
  const run = (i: number, baseline: string) =>
    runOf({ time: `2026-02-0${i}T00:00:00.000Z`, commit: `${i}`, ratio: i, nodes: 2, baseline });
  const [latency, nodes] = historyOf([run(1, "a"), run(2, "a"), run(3, "b")]);
  assert.deepEqual(latency!.points.map(({ value }) => value), [3]);
  assert.equal(nodes!.points.length, 3);
});
