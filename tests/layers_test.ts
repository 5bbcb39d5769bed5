/**
 * The house as a plan: in which direction its rooms import each other, as `deno info` sees it, that no files
 * import each other in a circle, that foreign memory is reached lazily and from few files, and how large
 * rooms and files are. What is not checked is what a file does with what it imports.
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

const sources = (async () => [
  ...await Array.fromAsync(sourcesIn("src")),
  ...await Array.fromAsync(sourcesIn("native")),
])();

/** All imports of `src/` and `native/`, whether the public module reaches them or not. */
const everything = (async () => {
  const files = await sources;
  const entry = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    const lines = files.map((file) => `import ${JSON.stringify(new URL(file, `file://${root}`).href)};`);
    await Deno.writeTextFile(entry, lines.join("\n"));
    return (await importsOf(entry)).filter(({ from }) => files.includes(from));
  } finally {
    await Deno.remove(entry);
  }
})();

/** From the bottom up; a room may use its own row and those before it. */
const LAYERS: readonly (readonly string[])[] = [
  ["native/error.ts"],
  // Plain: bytes, names and downloads.
  ["native/system", "native/cpp", "native/zip"],
  ["native/wheel"],
  // Foreign: other people's libraries in this process's memory.
  ["native/memory"],
  ["native/cuda", "native/openvino"],
  ["native/nvml", "native/tensorrt"],
  ["src/text.ts", "src/leavings.ts", "src/pause.ts"],
  ["src/errors.ts"],
  ["src/ir"],
  ["src/weights"],
  ["src/onnx"],
  ["src/ops"],
  ["src/norms"],
  ["src/dsl"],
  ["src/models"],
  ["src/checkpoints"],
  ["src/rewrite"],
  ["src/script"],
  ["src/import"],
  ["src/emit"],
  ["src/run", "src/report"],
  // The whole line: a model to engines, and what is to be said of them.
  ["src/compile"],
  // Normalizations taken out of trained networks.
  ["src/convert"],
  // Measurements of whole lines, beside each other.
  ["src/bench"],
  // Builds compared with earlier ones.
  ["src/regress"],
  ["src/cli"],
];

const isIn = (file: string, room: string) => file === room || file.startsWith(`${room}/`);
const layerOf = (file: string) => LAYERS.findIndex((row) => row.some((room) => isIn(file, room)));

const FOREIGN = ["native/memory", "native/cuda", "native/nvml", "native/openvino", "native/tensorrt"];
const isForeign = (file: string) => FOREIGN.some((room) => isIn(file, room));

const show = ({ from, to, kind }: Import) => `${from} -> ${to} (${kind})`;

Deno.test("every file of src/ and native/ belongs to a layer", async () => {
  assert.deepEqual((await sources).filter((file) => layerOf(file) < 0), []);
});

Deno.test("each layer imports only those below it", async () => {
  const upward = (await everything).filter(({ from, to }) => layerOf(to) > layerOf(from));
  assert.deepEqual(upward.map(show), []);
});

Deno.test("no files import each other in a circle", async () => {
  assert.deepEqual(circlesOf(await everything).map((circle) => circle.join(" ")), []);
});

Deno.test("circlesOf() finds what reaches itself, through types and lazily too", () => {
  const imports = ["a b", "b c", "c a", "c d", "d e", "e d", "e f"].map((pair): Import => {
    const [from, to] = pair.split(" ") as [string, string];
    return { from, to, kind: "type" };
  });
  assert.deepEqual(circlesOf(imports), [["a", "b", "c"], ["d", "e"]]);
});

/** Files that reach themselves, those that reach each other together. */
function circlesOf(imports: readonly Import[]): string[][] {
  const targets = Map.groupBy(imports, ({ from }) => from);
  const reached = new Map([...targets.keys()].map((file) => {
    const seen = new Set<string>();
    const open = [file];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      for (const { to } of targets.get(next) ?? []) {
        if (!seen.has(to)) open.push(to);
        seen.add(to);
      }
    }
    return [file, seen] as const;
  }));
  const circular = [...reached.keys()].filter((file) => reached.get(file)!.has(file));
  return [
    ...Map.groupBy(
      circular,
      (file) => circular.find((other) => reached.get(file)!.has(other) && reached.get(other)!.has(file)),
    ).values(),
  ]
    .map((circle) => circle.toSorted());
}

Deno.test("src/ reaches foreign memory lazily, from what drives TensorRT or OpenVINO", async () => {
  const drivers = /^src\/(emit\/tensorrt\w*|run\/(tensorrt\/\w+|openvino)|cli\/\w+)\.ts$/;
  const imports = (await everything).filter(({ from, to }) => from.startsWith("src/") && isForeign(to));
  assert.deepEqual(
    imports.filter(({ from, kind }) => !drivers.test(from) || kind === "static").map(show),
    [],
  );
});

Deno.test("only the foreign rooms touch foreign memory", async () => {
  for (const file of await sources) {
    if (isForeign(file)) continue;
    assert.doesNotMatch(await Deno.readTextFile(`${root}${file}`), /\bDeno\.(dlopen|Unsafe\w+)\(/, file);
  }
});

/** Folders of like things, one file each, beside a table that names them all. */
const TABLES = { "src/ops": "operators" };
const MOST_FILES = 20;

Deno.test("a room has at most 20 files, unless they are rows of a table", async () => {
  const rooms = Map.groupBy(await sources, (file) => file.slice(0, file.lastIndexOf("/")));
  const crowded = [...rooms].filter(([room, files]) =>
    files.length > MOST_FILES && !Object.hasOwn(TABLES, room)
  );
  assert.deepEqual(crowded.map(([room, files]) => `${room}: ${files.length}`), []);
});

/** Longer than this, a file is two things. */
const MOST_LINES = 320;

Deno.test("a file has at most 320 lines, and names in its comments only files that are there", async () => {
  const texts = await Promise.all(
    (await sources).map(async (file) => [file, await Deno.readTextFile(`${root}${file}`)] as const),
  );
  const long = texts.filter(([, text]) => text.split("\n").length - 1 > MOST_LINES);
  assert.deepEqual(long.map(([file]) => file), []);
  const isThere = (name: string) =>
    texts.some(([file]) => `/${file}`.endsWith(`/${name}`)) || name === "mod.ts";
  const stale = texts.flatMap(([file, text]) =>
    [...text.matchAll(/^ *(?:\/?\*|\/\/).*$/gm)].flatMap(([line]) =>
      [...line.matchAll(/`((?:[a-z]\w*\/)*[a-z]\w*\.ts)`/g)].map(([, name]) => name!)
    ).filter((name) => !isThere(name)).map((name) => `${file}: ${name}`)
  );
  assert.deepEqual(stale, []);
});

/** As wide as `deno fmt` lets code be; it leaves comments as they are. */
const MOST_COLUMNS = 110;

Deno.test("a line of comment has at most 110 columns", async () => {
  const wide = await Promise.all((await sources).map(async (file) => {
    const lines = (await Deno.readTextFile(`${root}${file}`)).split("\n");
    return lines.flatMap((line, at) =>
      line.length > MOST_COLUMNS && /^ *(?:\/?\*|\/\/)/.test(line) ? [`${file}:${at + 1}`] : []
    );
  }));
  assert.deepEqual(wide.flat(), []);
});

Deno.test("mod.ts loads neither foreign memory nor ONNX Runtime before it is asked to run something", async () => {
  const imports = await importsOf(`${root}mod.ts`);
  const loaded = new Set(["mod.ts"]);
  for (const file of loaded) {
    for (const { from, to, kind } of imports) if (from === file && kind === "static") loaded.add(to);
  }
  assert.ok(loaded.size > 20, [...loaded].join(" "));
  const early = [...loaded].filter((file) => isForeign(file) || file.includes("onnxruntime-node"));
  assert.deepEqual(early, []);
});
