/**
 * The pages in a real Chromium: nothing is requested, nothing is complained of, axe finds nothing, and
 * nothing is wider than the screen, in light and dark, on a phone and on a desk. Ignored where there is no
 * Chromium.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { benchPage } from "../../../src/bench/page.ts";
import { buildPage, type History } from "../../../src/report/html/mod.ts";
import { comparisonPage } from "../../../src/compile/tensors/page.ts";
import { conversionPage } from "../../../src/convert/page.ts";
import { sampleComparison } from "./sample_comparison.ts";
import { sampleConversion } from "./sample_conversion.ts";
import { sampleBench } from "../../bench/sample_bench.ts";
import { withFolder } from "../../support.ts";
import type { Sightings } from "./in_chromium.ts";
import { sampleBuild } from "./sample_build.ts";

/** What it is called by Debian, by Fedora and Alpine, and by Google. */
const NAMES = ["chromium", "chromium-browser", "google-chrome"];
const CHROMIUM = NAMES.flatMap((name) =>
  (Deno.env.get("PATH") ?? "").split(delimiter).map((folder) => join(folder, name))
).find((path) => existsSync(path));
const ignore = CHROMIUM === undefined;
if (ignore) {
  console.error(
    `pages are not seen in a browser: there is no ${NAMES.join(", ")} on the PATH (apt-get install chromium)`,
  );
}

const HISTORY: History = [{
  model: "tiny",
  metric: "kernels",
  unit: "",
  points: Array.from({ length: 20 }, (_, i) => ({
    time: "2026-01-02T03:04:05Z",
    commit: `${i}`.padStart(40, "0"),
    dirty: i % 7 === 3,
    value: i < 12 ? 28 : 32,
  })),
  changes: [{ index: 12, commit: null, from: 28, to: 32, isWorse: true, pValue: null }],
}];

async function see(files: readonly string[]): Promise<Sightings> {
  const script = fileURLToPath(new URL("in_chromium.ts", import.meta.url));
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", "--no-check", script, CHROMIUM!, ...files],
  }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}

Deno.test({
  name: "pages are quiet, accessible and fit in Chromium, light and dark, on a phone, a desk and paper",
  ignore,
  fn: () =>
    withFolder(async (folder) => {
      const name = "a_long_name.without_any_place_to_break.".repeat(4);
      const several = [
        sampleBuild({ blocks: 2, rounds: 20 }),
        sampleBuild({ name, blocks: 2, rounds: 20, seed: 2 }),
      ];
      const undecided = sampleBuild({ blocks: 6, rounds: 50 });
      const pages = {
        "undecided.html": buildPage([{
          ...undecided,
          report: {
            ...undecided.report,
            latency: { ...undecided.report.latency!, verdict: "no difference shown" },
          },
        }, sampleBuild()]),
        "one.html": buildPage([sampleBuild({ blocks: 6, rounds: 50 })], { history: HISTORY }),
        "several.html": buildPage(several),
        "bench.html": benchPage(sampleBench(name)),
        "compare.html": comparisonPage(sampleComparison(name)),
        "convert.html": conversionPage(sampleConversion(name)),
      };
      const files = Object.keys(pages).map((file) => `${folder}/${file}`);
      for (const [file, text] of Object.entries(pages)) await Deno.writeTextFile(`${folder}/${file}`, text);
      const { visits, layouts, keyboard, paper } = await see(files);
      assert.equal(visits.length, 24);
      assert.equal(layouts.length, 72);
      for (const { file, width, faults } of layouts) {
        const where = `${file.slice(folder.length + 1)}, ${width} px`;
        assert.deepEqual({ where, faults }, { where, faults: [] });
      }
      for (const { file, scheme, width, scrollWidth, requests, complaints, violations, drawings } of visits) {
        const where = `${file.slice(folder.length + 1)}, ${scheme}, ${width} px`;
        assert.deepEqual({ where, scrollWidth, requests, complaints, violations }, {
          where,
          scrollWidth: width,
          requests: [],
          complaints: [],
          violations: [],
        });
        assert.ok(drawings.length >= (where.startsWith("compare") ? 1 : 2), where);
        assert.ok(
          drawings.every((own) => own > 300 && own <= width),
          `${where}: drawings ${drawings.join()} px wide`,
        );
      }
      assert.equal(keyboard.first, "skip");
      assert.ok(keyboard.left >= 0, "the skip link stays out of sight when it has the focus");
      assert.equal(keyboard.then, "main");
      assert.deepEqual(paper, { narrow: false, wide: true, contents: false, back: "rgb(255, 255, 255)" });
    }),
});
