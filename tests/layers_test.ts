/**
 * The direction of imports, as `deno info` sees them: each folder of `src/` uses only those below it, `native/` uses
 * nothing of `src/`, and foreign memory is reached lazily and from few files. What is not checked is what a file does
 * with what it imports.
 */
import assert from "node:assert/strict";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));

interface Import {
  readonly from: string;
  readonly to: string;
  /** A type that is gone when the program runs, an import at run time, or one made when it is called for. */
  readonly kind: "type" | "static" | "dynamic";
}

interface ModuleInfo {
  readonly specifier: string;
  readonly error?: string;
  readonly dependencies?: readonly {
    readonly specifier: string;
    readonly isDynamic?: boolean;
    readonly code?: { readonly specifier?: string; readonly error?: string };
    readonly type?: { readonly specifier?: string };
  }[];
}

/** Every import of the program that starts at `entry`, files relative to the repository. */
async function importsOf(entry: string): Promise<Import[]> {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", "--no-lock", "--config", `${root}deno.json`, entry],
    stdout: "piped",
    stderr: "piped",
  });
  const { success, stdout, stderr } = await command.output();
  assert.ok(success, new TextDecoder().decode(stderr));
  const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as { modules: readonly ModuleInfo[] };
  const local = (specifier: string) =>
    specifier.startsWith("file:")
      ? relative(root, fileURLToPath(specifier)).replaceAll("\\", "/")
      : specifier;
  return modules.flatMap(({ specifier, dependencies = [] }) =>
    dependencies.flatMap(({ code, type, isDynamic = false }): Import[] => {
      const to = code?.specifier ?? type?.specifier;
      if (to === undefined) return [];
      const kind = code === undefined ? "type" : isDynamic ? "dynamic" : "static";
      return [{ from: local(specifier), to: local(to), kind }];
    })
  );
}

async function* sourcesIn(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(`${root}${folder}`)) {
    if (isDirectory) yield* sourcesIn(`${folder}/${name}`);
    else if (name.endsWith(".ts")) yield `${folder}/${name}`;
  }
}

/** All imports of `src/` and `native/`, whether the public module reaches them or not. */
const everything = (async () => {
  const files = [...await Array.fromAsync(sourcesIn("src")), ...await Array.fromAsync(sourcesIn("native"))];
  const entry = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    const lines = files.map((file) => `import ${JSON.stringify(new URL(file, `file://${root}`).href)};`);
    await Deno.writeTextFile(entry, lines.join("\n"));
    return (await importsOf(entry)).filter(({ from }) => files.includes(from));
  } finally {
    await Deno.remove(entry);
  }
})();

/** From the bottom up; a folder may use its own row and those before it. */
const LAYERS: readonly (readonly string[])[] = [
  ["src/text.ts", "src/leavings.ts"],
  ["src/errors.ts"],
  ["src/ir"],
  ["src/weights"],
  ["src/ops"],
  ["src/norms"],
  ["src/dsl"],
  ["src/models"],
  ["src/checkpoints"],
  ["src/rewrite"],
  ["src/emit"],
  ["src/run", "src/report"],
  // The whole line: a model to engines, and what is to be said of them.
  ["src/compile"],
  // Measurements of whole lines, beside each other.
  ["src/bench"],
  // Builds compared with earlier ones.
  ["src/regress"],
  ["src/cli"],
];

const layerOf = (file: string) =>
  LAYERS.findIndex((row) => row.some((folder) => file === folder || file.startsWith(`${folder}/`)));

const show = ({ from, to, kind }: Import) => `${from} -> ${to} (${kind})`;

Deno.test("every file of src/ belongs to a layer", async () => {
  for await (const file of sourcesIn("src")) {
    assert.ok(layerOf(file) >= 0, `${file} is in no layer of this test`);
  }
});

Deno.test("each layer of src/ imports only those below it", async () => {
  const upward = (await everything).filter(({ from, to }) =>
    from.startsWith("src/") && to.startsWith("src/") && layerOf(to) > layerOf(from)
  );
  assert.deepEqual(upward.map(show), []);
});

Deno.test("native/ imports nothing of src/", async () => {
  const imports = (await everything).filter(({ from, to }) =>
    from.startsWith("native/") && !to.startsWith("native/")
  );
  assert.deepEqual(imports.filter(({ to }) => !/^(node|npm):/.test(to)).map(show), []);
});

/**
 * A zip archive's directory as arithmetic on bytes: wheels are read with it and so are PyTorch's checkpoints. It lies in
 * `native/`, which may import nothing of `src/`, and touches no foreign memory itself: `src/weights` may load it.
 */
const ZIP_DIRECTORY = "native/wheel/zip_directory.ts";

Deno.test("the one file of native/ that src/weights shares imports nothing", async () => {
  const imports = await everything;
  assert.deepEqual(imports.filter(({ from }) => from === ZIP_DIRECTORY).map(show), []);
  const users = imports.filter(({ from, to }) => to === ZIP_DIRECTORY && from.startsWith("src/"));
  assert.deepEqual(users.map(({ from }) => from), ["src/weights/pytorch/archive.ts"]);
});

Deno.test("native/ is imported lazily, by the files that drive TensorRT or OpenVINO and the one that fetches wheels", async () => {
  const imports = (await everything).filter(({ from, to }) =>
    from.startsWith("src/") && to.startsWith("native/") && to !== ZIP_DIRECTORY
  );
  // Weights come the way TensorRT comes: a pinned wheel, the cache, pip's settings.
  const allowed = /^src\/(emit\/tensorrt\w*|run\/(tensorrt\/\w+|openvino)|weights\/wheel|cli\/\w+)\.ts$/;
  assert.deepEqual(
    imports.filter(({ from, kind }) => !allowed.test(from) || kind === "static").map(show),
    [],
  );
});

Deno.test("mod.ts loads neither native/ nor ONNX Runtime before it is asked to run something", async () => {
  const imports = await importsOf(`${root}mod.ts`);
  const loaded = new Set(["mod.ts"]);
  for (const file of loaded) {
    for (const { from, to, kind } of imports) if (from === file && kind === "static") loaded.add(to);
  }
  assert.ok(loaded.size > 20, [...loaded].join(" "));
  const early = [...loaded].filter((file) =>
    file.startsWith("native/") && file !== ZIP_DIRECTORY || file.includes("onnxruntime-node")
  );
  assert.deepEqual(early, []);
});
