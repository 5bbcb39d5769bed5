/**
 * Converted files of several layouts, read back by themselves: some normalizations kept, the others folded,
 * and the same outputs as the network that was judged. Weights are random, so nothing is said of quality.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { convertedIn } from "../../src/checkpoints/converted.ts";
import { recogniseCheckpoint } from "../../src/checkpoints/recognise.ts";
import { loadExamples } from "../../src/compile/examples.ts";
import { chooseWeights, compile } from "../../src/compile/networks.ts";
import { convert } from "../../src/convert/convert.ts";
import { Runner } from "../../src/convert/gather.ts";
import { outputsOf } from "../../src/convert/judge.ts";
import { Samples } from "../../src/convert/samples.ts";
import { compareTensors } from "../../src/run/compare.ts";
import { openCheckpoint } from "../../src/weights/mod.ts";
import { fixtureFile } from "../checkpoints/view.ts";
import { withFolder } from "../support.ts";

/**
 * Layouts whose files hold products as they are, transposed, apart and under other names; what they do not
 * tell.
 */
const FIXTURES: Readonly<Record<string, Record<string, number>>> = {
  timm_vit_ln: { heads: 2 },
  bert_hf: {},
  gpt2: {},
  hf_distilbert: {},
  timm_vit_swiglu_rms: { heads: 2 },
  timm_swin_ln: {},
};

for (const [name, settings] of Object.entries(FIXTURES)) {
  Deno.test(`a converted ${name} keeps one normalization, is read back by itself, and folds`, () =>
    withFolder(async (folder) => {
      const path = fixturePath(name);
      const recognised = recogniseCheckpoint(path, { settings });
      const { model } = recognised;
      const weights = { recognised };
      const subject = { model, norm: model.norm, weights: chooseWeights(model, model.norm, weights) };
      const samples = new Samples(model, loadExamples(model, 24));
      const report = await convert(subject, {
        samples,
        judge: null,
        leave: 1,
        refit: "all",
        batch: 4,
        out: folder,
        key: "test",
        original: { path, opening: {}, model, recognised },
      });
      const removed = report.normalizations.length - 1;
      assert.equal(report.chosen?.removed, removed);
      assert.ok(report.steps.some(({ refitted }) => refitted.length > 0));
      const file = join(folder, "model.safetensors");
      assert.equal(convertedIn(openCheckpoint(file))!.scopes.length, removed);

      const again = recogniseCheckpoint(file);
      const read = chooseWeights(again.model, again.model.norm, { recognised: again });
      const { norms } = compile(again.model, { weights: read.open(), norm: again.model.norm });
      const kept = norms.filter(({ folded }) => !folded).map(({ norm }) => norm);
      const stayed = report.normalizations.find(({ scope }) => !report.order.includes(scope))!;
      assert.ok(kept.includes(stayed.scope), `${kept}`);

      await using runner = await Runner.open();
      const judging = { runner, samples, start: 18, batch: 4 };
      const nothing = { scopes: new Set<string>(), changes: new Map() };
      const outputs = await outputsOf(
        { model: again.model, norm: again.model.norm, weights: read },
        nothing,
        judging,
      );
      const original = await outputsOf(subject, nothing, judging);
      const { channels, values } = outputs;
      const tensor = (data: Float64Array) => ({ shape: [data.length / channels, channels], data });
      const { rmsError } = compareTensors(tensor(values), tensor(original.values));
      const size = Math.sqrt(original.values.reduce((sum, value) => sum + value * value, 0) / values.length);
      // What was judged is what was written: the same figure, but for the last digits of float32.
      assert.ok(Math.abs(rmsError / size - report.chosen!.outputError) < 1e-4, `${rmsError / size}`);
    }));
}

function fixturePath(name: string): string {
  for (const file of ["model.safetensors", "model.pt", "checkpoint.pt"]) {
    const path = fixtureFile(name, file);
    try {
      Deno.statSync(path);
      return path;
    } catch {
      // Another name, then.
    }
  }
  throw new Error(`${name} has no weights`);
}
