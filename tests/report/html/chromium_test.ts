/**
 * The pages in a real Chromium: nothing is requested, nothing is complained of, axe finds nothing, and nothing is wider
 * than the screen, in light and dark, on a phone and on a desk. Ignored where there is no Chromium.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { buildPage } from "../../../src/report/html/mod.ts";
import { withFolder } from "../../support.ts";
import type { Sightings } from "./in_chromium.ts";
import { sampleBuild } from "./sample_build.ts";

/** Debian's. */
const CHROMIUM = "/usr/bin/chromium";
const ignore = await Deno.stat(CHROMIUM).then(() => false, () => true);
if (ignore) {
  console.error(`pages are not seen in a browser: there is no ${CHROMIUM} (apt-get install chromium)`);
}

async function see(files: readonly string[]): Promise<Sightings> {
  const script = fileURLToPath(new URL("in_chromium.ts", import.meta.url));
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", "--no-check", script, CHROMIUM, ...files],
  }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}

Deno.test({
  name: "buildPage() is quiet, accessible and fits in Chromium, light and dark, on a phone, a desk and paper",
  ignore,
  fn: () =>
    withFolder(async (folder) => {
      const name = "a_long_name.without_any_place_to_break.".repeat(4);
      const pages = {
        "one.html": [sampleBuild()],
        "several.html": [
          sampleBuild({ blocks: 30 }),
          sampleBuild({ name, seed: 2 }),
          sampleBuild({ seed: 3 }),
        ],
      };
      const files = Object.keys(pages).map((file) => `${folder}/${file}`);
      for (const [file, builds] of Object.entries(pages)) {
        await Deno.writeTextFile(`${folder}/${file}`, buildPage(builds));
      }
      const { visits, keyboard, paper } = await see(files);
      assert.equal(visits.length, 8);
      for (const { file, scheme, width, scrollWidth, requests, complaints, violations, drawings } of visits) {
        const where = `${file.slice(folder.length + 1)}, ${scheme}, ${width} px`;
        assert.deepEqual({ where, scrollWidth, requests, complaints, violations }, {
          where,
          scrollWidth: width,
          requests: [],
          complaints: [],
          violations: [],
        });
        assert.ok(drawings.length >= 3, where);
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
