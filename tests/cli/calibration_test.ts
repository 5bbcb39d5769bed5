/** Kept ranges as a user meets them: `build-engine --calibration-cache`, again, with other samples, killed. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { heldData } from "../../src/ir/data.ts";
import { writeSafetensors } from "../../src/weights/mod.ts";
import { withFolder } from "../support.ts";
import { processOf } from "./process.ts";
import { MODEL } from "./tiny.ts";

const { command, run } = processOf("build-engine");
const ARGS =
  "model.ts --no-engine --no-time --batch 1 --precision int8 --calibrate samples --calibration max --max-output-error 1"
    .split(" ");
const KEPT = [...ARGS, "--calibration-cache", "kept"];

interface KeptFile {
  readonly seen: number;
  readonly ranges: { high: number }[];
}

/** A folder with the model and samples for it. */
function withSamples(count: number, test: (folder: string) => Promise<void>): Promise<void> {
  return withFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "model.ts"), MODEL);
    writeSamples(folder, count, 0);
    await test(folder);
  });
}

function writeSamples(folder: string, count: number, phase: number): void {
  const values = Float32Array.from({ length: count * 32 }, (_, i) => Math.sin(i + phase));
  writeSafetensors(join(folder, "samples"), [["tokens", heldData([count, 4, 8], values, "tokens")]]);
}

async function build(folder: string, args: readonly string[]): Promise<void> {
  const { code, stderr } = await run(args, folder);
  assert.equal(code, 0, stderr);
}

const namesIn = (folder: string) =>
  [...Deno.readDirSync(join(folder, "kept"))].map(({ name }) => name).filter((name) =>
    name.endsWith(".json")
  );

const readKept = async (path: string): Promise<KeptFile> => JSON.parse(await Deno.readTextFile(path));

Deno.test("build-engine --calibration-cache runs nothing again for the same samples, and does for others", () =>
  withSamples(40, async (folder) => {
    await build(folder, KEPT);
    const [name] = namesIn(folder);
    const path = join(folder, "kept", name!);
    assert.equal((await readKept(path)).seen, 40);
    const int8 = await Deno.readFile(join(folder, "build", "tiny", "un.int8.onnx"));

    const before = await Deno.stat(path);
    await build(folder, KEPT);
    // A run writes what it saw, in a new file.
    assert.deepEqual(namesIn(folder), [name]);
    assert.deepEqual((await Deno.stat(path)).mtime, before.mtime);
    assert.deepEqual(await Deno.readFile(join(folder, "build", "tiny", "un.int8.onnx")), int8);

    writeSamples(folder, 40, 1e-3);
    await build(folder, KEPT);
    const [other, ...more] = namesIn(folder).filter((known) => known !== name);
    assert.deepEqual(more, []);
    const [old, changed] = await Promise.all([readKept(path), readKept(join(folder, "kept", other!))]);
    assert.equal(changed.seen, 40);
    assert.notDeepEqual(changed.ranges, old.ranges);
    // As found with nothing kept.
    const found = await Deno.readFile(join(folder, "build", "tiny", "un.int8.onnx"));
    await build(folder, ARGS);
    assert.deepEqual(await Deno.readFile(join(folder, "build", "tiny", "un.int8.onnx")), found);
    assert.notDeepEqual(found, int8);
  }));

Deno.test({
  name: "build-engine --calibration-cache goes on where a process was killed",
  ignore: Deno.build.os === "windows",
  fn: () =>
    // Far more than are looked at before the process is gone.
    withSamples(20_000, async (folder) => {
      const child = command(KEPT, { cwd: folder, stdout: "null", stderr: "null" }).spawn();
      let ended = false;
      child.status.then(() => ended = true);
      const isKept = () => {
        try {
          return namesIn(folder).length > 0;
        } catch (error) {
          if (error instanceof Deno.errors.NotFound) return false;
          throw error;
        }
      };
      while (!ended && !isKept()) await delay(5);
      child.kill("SIGKILL");
      const { signal } = await child.status;
      assert.equal(signal, "SIGKILL");

      const [name] = namesIn(folder);
      const path = join(folder, "kept", name!);
      const kept = await readKept(path);
      assert.ok(kept.seen > 0 && kept.seen < 20_000, `${kept.seen}`);
      // What no sample reaches, so that a run that begins anew would not have it.
      kept.ranges[0]!.high = 1000;
      await Deno.writeTextFile(path, JSON.stringify(kept));
      await build(folder, KEPT);
      assert.deepEqual(namesIn(folder), [name]);
      const { seen, ranges } = await readKept(path);
      assert.deepEqual([seen, ranges[0]!.high], [20_000, 1000]);
    }),
});
