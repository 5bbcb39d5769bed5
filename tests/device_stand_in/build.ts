/**
 * Compiles the stand-ins with g++, once per state of their sources: libraries with the binary interface of
 * CUDA, TensorRT and NVML that compute in host memory. The virtual tables of the TensorRT one are generated
 * from UNfold's own layouts; a method that the C++ source does not write is a function that stops the process
 * with the method's name.
 */
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { FIRST_SLOT, type Layout } from "../../native/tensorrt/abi/layout.ts";
import { LAYOUTS } from "../../native/tensorrt/abi/layouts.ts";

const SOURCES = new URL("cpp/", import.meta.url);
const BUILT = new URL("../../build/device_stand_in/", import.meta.url);

/** Set by the test that runs the others under g++'s address sanitizer. */
export const IS_SANITIZED = Deno.env.get("UNFOLD_STAND_IN_SANITIZER") === "address";

export interface StandIns {
  /** By layout, "rtx 1.7". */
  readonly tensorrt: Readonly<Record<StandInLayout, string>>;
  readonly cudart: string;
  readonly nvml: string;
  /** The RTX one under the names NVIDIA's have where they are installed; for what looks for them by name. */
  readonly installed: string;
}

/** A layout of each form: RTX, the oldest with its unversioned interfaces, the newest. */
export type StandInLayout = "rtx 1.7" | "enterprise 10.0" | "enterprise 11.1";
/** Under the sanitizer, which takes long to compile, only the one that has everything. */
export const STAND_IN_LAYOUTS: readonly StandInLayout[] = IS_SANITIZED
  ? ["rtx 1.7"]
  : ["rtx 1.7", "enterprise 10.0", "enterprise 11.1"];

/** A folder with the names that UNfold looks for; of the driver it asks no more than that it opens. */
const INSTALLED = [
  ["libtensorrt_rtx.so.1.7.0", "tensorrt"],
  ["libcudart.so.13", "cudart"],
  ["libcuda.so.1", "cudart"],
] as const;

/** The libraries' paths, or why there are none. */
export const STAND_INS: StandIns | string = await build();

async function build(): Promise<StandIns | string> {
  if (Deno.build.os !== "linux") return "the stand-ins are laid out for Linux";
  const names = ["stand_in.h", "cudart.cpp", "nvml.cpp", "tensorrt_objects.h", "tensorrt.cpp"];
  const texts = new Map(names.map((name) => [name, Deno.readTextFileSync(new URL(name, SOURCES))]));
  const layouts = STAND_IN_LAYOUTS.map((name) => ({
    name,
    ...headersFor(name, texts.get("tensorrt_objects.h")! + texts.get("tensorrt.cpp")!),
  }));
  const flags = ["-std=c++17", "-O0", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread", "-Wall"];
  flags.push("-Wno-unused-function", ...IS_SANITIZED ? ["-fsanitize=address", "-g"] : []);
  const hash = createHash("sha256").update(JSON.stringify([...texts, layouts, flags, INSTALLED])).digest(
    "hex",
  );
  const folder = fileURLToPath(new URL(`${hash.slice(0, 16)}/`, BUILT));
  // The library's own name is what loads it again; CUDA's is what UNfold looks for beside TensorRT.
  const cudart = `${folder}libcudart.so.13-stand-in`;
  const nvml = `${folder}libnvidia-ml-stand-in.so`;
  const tensorrt = Object.fromEntries(
    STAND_IN_LAYOUTS.map((name) => [name, `${folder}libtensorrt-stand-in-${name.replace(" ", "-")}.so`]),
  ) as Record<StandInLayout, string>;
  const installed = `${folder}stand-in-installed/libtensorrt_rtx.so.1.7.0`;
  const standIns = { tensorrt, cudart, nvml, installed };
  if (exists(folder)) return standIns;

  const part = `${folder.slice(0, -1)}.${crypto.randomUUID()}.part/`;
  Deno.mkdirSync(part, { recursive: true });
  try {
    const inPart = (path: string) => path.replace(folder, part);
    const compile = (source: string, output: string, ...more: string[]) =>
      run([...flags, "-o", inPart(output), fileURLToPath(new URL(source, SOURCES)), ...more]);
    const links = [inPart(cudart), "-Wl,-rpath,$ORIGIN"];
    await compile("cudart.cpp", cudart, `-Wl,-soname,${cudart.slice(folder.length)}`);
    await Promise.all([
      compile("nvml.cpp", nvml, ...links),
      ...layouts.map(async ({ name, layoutInc, slotsInc }) => {
        const include = `${part}${name.replace(" ", "-")}/`;
        await Deno.mkdir(include);
        await Deno.writeTextFile(`${include}layout.inc`, layoutInc);
        await Deno.writeTextFile(`${include}slots.inc`, slotsInc);
        await compile("tensorrt.cpp", tensorrt[name], "-I", include, ...links);
      }),
    ]);
    await Deno.mkdir(`${part}stand-in-installed`);
    const paths = { tensorrt: tensorrt["rtx 1.7"], cudart };
    for (const [name, library] of INSTALLED) {
      await Deno.symlink(`../${paths[library].slice(folder.length)}`, `${part}stand-in-installed/${name}`);
    }
    try {
      Deno.renameSync(part, folder);
    } catch (error) {
      if (!exists(folder)) throw error; // Another process was faster.
    }
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "there is no g++";
    throw error;
  } finally {
    await Deno.remove(part, { recursive: true }).catch(() => {});
  }
  return standIns;
}

/** What the C++ source includes: declarations at its head, the tables at its end. */
function headersFor(name: StandInLayout, source: string): { layoutInc: string; slotsInc: string } {
  const layout = LAYOUTS.find(({ flavour, version }) => `${flavour} ${version}` === name) as Layout;
  const written = new Set(
    [...source.matchAll(/^METHOD\(.+?, (I\w+), (\w+)\)/gm)].map(([, owner, method]) => `${owner}_${method}`),
  );
  const interfaces = [...new Set([...source.matchAll(/\btable_(I\w+)/g)].map(([, owner]) => owner!))];
  const missing: string[] = [];
  const tables = interfaces.map((owner) => {
    const methods = layout.interfaces[owner];
    if (methods === undefined) return `void const* const table_${owner}[] = {nullptr};`;
    const destructors = new Array<string>(FIRST_SLOT).fill("its own destructor");
    const slots = [...destructors, ...methods].map((method, slot) => {
      const first = slot < FIRST_SLOT ? -1 : FIRST_SLOT + methods.indexOf(method);
      // Of two methods of one name the first is the one that is written.
      if (method !== null && written.has(`${owner}_${method}`) && first === slot) return `${owner}_${method}`;
      missing.push(
        `static void ${owner}_slot_${slot}() { stand_in_die("${owner}::${method} (slot ${slot}) was called"); }`,
      );
      return `${owner}_slot_${slot}`;
    });
    const entries = slots.map((slot) => `(void const*)${slot}`).join(", ");
    return `void const* const table_${owner}[] = {${entries}};`;
  });
  const layoutInc = [
    `#define LAYOUT_NAME "${name}"`,
    `#define LIB_VERSION ${layout.libVersions[0]}`,
    `#define IS_VERSIONED ${layout.loggerSlot === 4 ? 1 : 0}`,
    ...interfaces.map((owner) => `extern void const* const table_${owner}[];`),
  ];
  return { layoutInc: layoutInc.join("\n") + "\n", slotsInc: [...missing, ...tables].join("\n") + "\n" };
}

async function run(args: readonly string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command("g++", { args: [...args] }).output();
  if (!success) throw new Error(`g++ ${args.join(" ")}\n${new TextDecoder().decode(stderr)}`);
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}
