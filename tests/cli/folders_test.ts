/**
 * Output folders of every sort that containers and shared machines have: mount points, a writable folder in
 * one that is not, a full and a read-only disk, no home. Each build runs in a mount namespace of its own, so
 * that nothing of it is left.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { withFolder } from "../support.ts";
import { processOf } from "./process.ts";

const NAMESPACE = ["--map-root-user", "--mount"];
/** Not every machine lets a process have namespaces, or is Linux. */
const isPossible = await new Deno.Command("unshare", {
  args: [...NAMESPACE, "mount", "-t", "tmpfs", "none", "/mnt"],
})
  .output().then(({ success }) => success, () => false);

/** After the shell's `setup`, runs a task into `parent/out`; the names in it then come last on stdout. */
async function into(
  setup: string,
  task: "build-engine" | "convert",
  args: readonly string[],
): Promise<{ code: number; files: string; stderr: string }> {
  let result = { code: -1, files: "", stderr: "" };
  await withFolder(async (folder) => {
    const run = processOf(task).denoArgs([...args, "--out", "parent/out"]);
    const { code, stdout, stderr } = await new Deno.Command("unshare", {
      args: [
        ...NAMESPACE,
        "sh",
        "-c",
        `mkdir -p parent/out && ${setup} && { "$@" > said; code=$?; LC_ALL=C ls -A parent/out | xargs; exit $code; }`,
        "sh",
        Deno.execPath(),
        ...run,
      ],
      cwd: folder,
      env: { NO_COLOR: "1", DENO_DIR: await denoFolder() },
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trim();
    result = { code, files: text(stdout), stderr: text(stderr) };
  });
  return result;
}

/** Where Deno keeps what it has downloaded, which without HOME it would not find. */
async function denoFolder(): Promise<string> {
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"] }).output();
  return JSON.parse(new TextDecoder().decode(stdout)).denoDir;
}

const MADE = "ln.onnx report.json un.onnx";
const CASES: Readonly<Record<string, { setup: string; files: string; error?: RegExp }>> = {
  "a mount point": { setup: "mount -t tmpfs none parent/out", files: MADE },
  "a folder of another place": { setup: "mkdir other && mount --bind other parent/out", files: MADE },
  "a writable folder in one that is not": {
    setup:
      "mkdir parent2 && mount -t tmpfs none parent && mkdir parent/out && mount --bind parent2 parent/out && " +
      "mount -o remount,ro parent",
    files: MADE,
  },
  "no home": { setup: "unset HOME XDG_CACHE_HOME", files: MADE },
  "a full disk": {
    setup: "mount -t tmpfs -o size=64k none parent/out",
    files: "",
    error: /^error: \S+\/parent\/out\/un\.onnx cannot be written: No space left on device$/,
  },
  "a read-only folder": {
    setup: "mount -t tmpfs -o ro none parent/out",
    files: "",
    error: /^error: cannot write to parent\/out: Read-only file system; give another folder with --out$/,
  },
};

for (const [what, { setup, files, error }] of Object.entries(CASES)) {
  Deno.test({
    name: `build-engine --out ${what}${isPossible ? "" : " (no mount namespaces here)"}`,
    ignore: !isPossible,
    fn: async () => {
      const built = await into(setup, "build-engine", ["--no-engine", "--no-time", "--no-check"]);
      assert.equal(built.code, error === undefined ? 0 : 1, built.stderr);
      assert.equal(built.files, files);
      if (error !== undefined) assert.match(built.stderr, error);
    },
  });
}

Deno.test({
  name: `convert --out a full disk${isPossible ? "" : " (no mount namespaces here)"}`,
  ignore: !isPossible,
  fn: async () => {
    const digits = (file: string) => fileURLToPath(new URL(`../../examples/digits/${file}`, import.meta.url));
    const { code, files, stderr } = await into(CASES["a full disk"]!.setup, "convert", [
      digits("digits.ts"),
      "--norm",
      "ln",
      "--samples",
      digits("train_images.safetensors"),
      "--leave",
      "8",
      "--refit",
      "none",
    ]);
    assert.equal(code, 1, stderr);
    // Finished steps, from which the same command goes on; nothing that looks like a result.
    assert.equal(files, ".convert-1.part.safetensors .convert-curve.part.safetensors");
    assert.match(
      stderr,
      /^error: parent\/out\/model\.safetensors cannot be written: No space left on device$/m,
    );
  },
});
