import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { reportCommand } from "../../src/cli/report.ts";
import { UsageError } from "../../src/cli/terminal.ts";
import { UnfoldError } from "../../src/errors.ts";
import { sampleBuild, samplePlan } from "../report/html/sample_build.ts";
import { withFolder } from "../support.ts";

/** What a call of the command writes to stdout. */
async function run(...args: string[]): Promise<{ code: number; out: string }> {
  const write = Deno.stdout.write;
  let out = "";
  Deno.stdout.write = (bytes) => {
    out += new TextDecoder().decode(bytes);
    return Promise.resolve(bytes.length);
  };
  try {
    return { code: await reportCommand(args), out };
  } finally {
    Deno.stdout.write = write;
  }
}

/** A build's folder, as `build-engine` leaves it. */
async function writeBuild(folder: string): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(`${folder}/report.json`, JSON.stringify(sampleBuild().report));
  await Deno.writeFile(`${folder}/un.plan`, samplePlan({ blocks: 4, norms: false }));
  await Deno.writeFile(`${folder}/ln.plan`, samplePlan({ blocks: 4, norms: true }));
}

const namesIn = async (folder: string) =>
  (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();

const refusal = (message: RegExp, kind: typeof UnfoldError = UnfoldError) => (error: unknown) => {
  assert.ok(error instanceof kind, String(error));
  assert.match(error.message, message);
  return true;
};

Deno.test("report writes one page from a build's folder, and nothing beside it", () =>
  withFolder(async (folder) => {
    await writeBuild(`${folder}/tiny`);
    const { code, out } = await run(`${folder}/tiny`, "--out", `${folder}/pages/tiny.html`);
    assert.equal(code, 0);
    assert.match(out, /pages\/tiny\.html {2}\d+\.\d+ kB\n$/);
    assert.deepEqual(await namesIn(`${folder}/pages`), ["tiny.html"]);
    const text = await Deno.readTextFile(`${folder}/pages/tiny.html`);
    assert.match(text, /UN: 13 kernels, 0 of them normalizations/);
  }));

Deno.test("report without a file takes every build in build/", () =>
  withFolder(async (folder) => {
    await writeBuild(`${folder}/build/a`);
    await writeBuild(`${folder}/build/b`);
    // As the task does it: with its permissions, in a process of its own that has a folder of its own.
    const script = fileURLToPath(new URL("../../src/cli/report.ts", import.meta.url));
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-check", "--no-prompt", "--allow-read", "--allow-write", script, "--cwd", folder],
    }).output();
    assert.equal(code, 0, new TextDecoder().decode(stderr));
    assert.match(await Deno.readTextFile(`${folder}/build/report.html`), /<title>2 builds<\/title>/);
  }));

Deno.test("report does not show another build's plan under this one's name", () =>
  withFolder(async (folder) => {
    await writeBuild(folder);
    await Deno.writeFile(`${folder}/un.plan`, samplePlan({ blocks: 9, norms: false }));
    await Deno.remove(`${folder}/ln.plan`);
    await run(folder, "--out", `${folder}/page.html`);
    const text = await Deno.readTextFile(`${folder}/page.html`);
    assert.match(
      text,
      /UN: \S+un\.plan has \d+ bytes, the report&#39;s plan had \d+: it is of another build/,
    );
    assert.match(text, /LN: \S+ln\.plan is not there/);
    assert.ok(!text.includes("kernels-schedule"));
  }));

Deno.test("report shows builds without engines, and says so", () =>
  withFolder(async (folder) => {
    const { report } = sampleBuild();
    const engines = Object.fromEntries(
      Object.entries(report.engines).map(([family, engine]) => [family, {
        ...engine,
        path: null,
        bytes: null,
        layers: null,
        kernels: null,
        unknown: null,
        normalizationKernels: null,
        buildMs: null,
      }]),
    );
    await Deno.writeTextFile(`${folder}/report.json`, JSON.stringify({ ...report, engines }));
    assert.equal((await run(folder, "--out", `${folder}/page.html`)).code, 0);
    assert.match(await Deno.readTextFile(`${folder}/page.html`), /UN: no engine was built \(--no-engine\)/);
  }));

Deno.test("report never overwrites what it reads, by whatever name", () =>
  withFolder(async (folder) => {
    await writeBuild(`${folder}/tiny`);
    const before = await Deno.readTextFile(`${folder}/tiny/report.json`);
    await Deno.symlink(`${folder}/tiny`, `${folder}/link`);
    for (const out of ["tiny/report.json", "tiny/../tiny/report.json", "link/report.json"]) {
      await assert.rejects(
        run(`${folder}/tiny`, "--out", `${folder}/${out}`),
        refusal(/--out \S+: this would overwrite another file of this command; give another/, UsageError),
      );
    }
    assert.equal(await Deno.readTextFile(`${folder}/tiny/report.json`), before);
  }));

Deno.test("report adds a history, or makes a page of it alone", () =>
  withFolder(async (folder) => {
    const points = Array.from({ length: 16 }, (_, i) => ({
      time: `2026-01-${10 + i}T00:00:00Z`,
      commit: `${i}`.padStart(2, "0").repeat(20),
      dirty: false,
      value: i < 8 ? 1 : 1.1 + i / 1000,
    }));
    const change = {
      index: 8,
      time: "",
      commit: null,
      after: null,
      from: 1,
      to: 1.11,
      isWorse: true,
      pValue: 0.0005,
    };
    const series = [
      {
        model: "tiny",
        metric: "latency p50",
        unit: "of the stored engine's time",
        points,
        changes: [change],
      },
      {
        model: "tiny",
        metric: "kernels",
        unit: "",
        points: points.map((point) => ({ ...point, value: 32 })),
        changes: [],
      },
    ];
    await Deno.writeTextFile(`${folder}/history.json`, JSON.stringify(series));
    await run("--history", `${folder}/history.json`, "--out", `${folder}/page.html`);
    const text = await Deno.readTextFile(`${folder}/page.html`);
    assert.match(text, /<title>History<\/title>/);
    assert.match(text, />0808080808, [0-9-]{10}: worse</);
    assert.match(text, /0808080808, 2026-01-18.*1 to 1\.110.*p = 0\.0005/s);
    assert.match(text, /1 figure that did not change/);
  }));

Deno.test("report refuses what it cannot show in one sentence, and leaves the old page", () =>
  withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/page.html`, "old");
    await Deno.writeTextFile(`${folder}/text.json`, "no JSON");
    await Deno.writeTextFile(`${folder}/bench.json`, '{ "cases": [] }');
    await Deno.writeTextFile(`${folder}/odd.json`, JSON.stringify({ ...sampleBuild().report, norms: null }));
    const out = ["--out", `${folder}/page.html`];
    await assert.rejects(run(`${folder}/none.json`, ...out), refusal(/none\.json: there is no such file/));
    await assert.rejects(run(`${folder}/text.json`, ...out), refusal(/text\.json is not JSON/));
    await assert.rejects(
      run(`${folder}/odd.json`, ...out),
      refusal(/odd\.json: .*\(norms\); it is not a build's report\.json/),
    );
    await assert.rejects(run(folder, ...out), refusal(/bench\.json: .*it is not a benchmark's bench\.json/));
    await assert.rejects(run(folder, `${folder}/odd.json`, ...out), refusal(/give it alone/, UsageError));
    await assert.rejects(
      run("--history", `${folder}/odd.json`, ...out),
      refusal(/it is not what `deno task history/),
    );
    await assert.rejects(run("--nonsense"), refusal(/unknown flag --nonsense/, UsageError));
    assert.equal(await Deno.readTextFile(`${folder}/page.html`), "old");
  }));
