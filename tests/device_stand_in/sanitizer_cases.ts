/**
 * The stand-in's tests once more under g++'s address sanitizer, in a process that loads it first, and proof
 * that mistakes are noticed: by the sanitizer, by the stand-in's own bounds checks, and by tables that name
 * what a wrong slot calls.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { IS_SANITIZED, STAND_INS } from "./build.ts";

const ENTRY = fileURLToPath(new URL("stand_in_test.ts", import.meta.url));

/** Where g++ has its address sanitizer; why not, where it has none. */
const SANITIZER: { readonly path: string } | string = await (async () => {
  if (typeof STAND_INS === "string") return STAND_INS;
  const { stdout } = await new Deno.Command("g++", { args: ["-print-file-name=libasan.so"] }).output();
  const path = new TextDecoder().decode(stdout).trim();
  return path.startsWith("/") ? { path } : "g++ has no address sanitizer";
})();

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function deno(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  const command = new Deno.Command(Deno.execPath(), { args: [...args], env: { NO_COLOR: "1", ...env } });
  const { code, stdout, stderr } = await command.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

/** Leaks are counted by the stand-ins; the sanitizer would count the JavaScript engine's own. */
const underSanitizer = (path: string) => ({
  LD_PRELOAD: path,
  UNFOLD_STAND_IN_SANITIZER: "address",
  UNFOLD_STAND_IN_REPORT: "1",
  ASAN_OPTIONS: "detect_leaks=0",
});

function testWithSanitizer(name: string, run: (path: string) => Promise<void>): void {
  // The tests of this file do not run themselves again.
  if (IS_SANITIZED) return;
  if (typeof SANITIZER === "string") {
    Deno.test({ name: `${name} (skipped: ${SANITIZER})`, ignore: true, fn: () => {} });
  } else {
    const { path } = SANITIZER;
    Deno.test(name, () => run(path));
  }
}

/** Runs `program` with the stand-ins opened; `trt`, `cuda`, `standInPlan` are in its scope. */
function mistake(program: string, env: Record<string, string> = {}): Promise<Ended> {
  const file = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);
  const source = `
    const { STAND_INS } = await import(${file("build.ts")});
    const { standInPlan } = await import(${file("plan.ts")});
    const { loadCuda } = await import(${file("../../native/cuda/mod.ts")});
    const { loadTensorRt } = await import(${file("../../native/tensorrt/mod.ts")});
    const cuda = loadCuda({ path: STAND_INS.cudart });
    const trt = loadTensorRt(STAND_INS.tensorrt["rtx 1.7"]);
    ${program}
    console.log("went on");`;
  return deno(["eval", "--no-lock", source], env);
}

testWithSanitizer(
  "stand-in: its tests pass under the address sanitizer, and leave nothing alive",
  async (path) => {
    const args = ["test", "-A", "--no-check", "--no-lock", ENTRY];
    const { code, stdout, stderr } = await deno(args, underSanitizer(path));
    assert.equal(code, 0, `${stdout}\n${stderr}`);
    assert.match(stdout, /ok \| (3\d|4\d|5\d) passed \| 0 failed/);
    assert.doesNotMatch(stderr, /AddressSanitizer/);
    assert.match(stderr, /stand-in: 0 live objects at unload/);
  },
);

testWithSanitizer("stand-in: the sanitizer notices a context that ends before its run", async (path) => {
  const { code, stdout, stderr } = await mistake(
    `
    const engine = await trt.createRuntime().deserialize(standInPlan({ profiles: [[1, 1, 1]] }));
    const context = await engine.createContext();
    const stream = cuda.createStream();
    for (const name of ["x", "y"]) context.setTensorAddress(name, cuda.allocate(64).pointer);
    context.enqueueV3(stream.pointer);
    await context[Symbol.asyncDispose]();
    stream.synchronizeNow();`,
    underSanitizer(path),
  );
  assert.notEqual(code, 0);
  assert.doesNotMatch(stdout, /went on/);
  assert.match(stderr, /AddressSanitizer: heap-use-after-free/);
});

const own = (name: string, program: string, said: RegExp) => {
  if (IS_SANITIZED) return;
  const title = `stand-in: it notices ${name}`;
  if (typeof STAND_INS === "string") {
    Deno.test({ name: `${title} (skipped: ${STAND_INS})`, ignore: true, fn: () => {} });
    return;
  }
  Deno.test(title, async () => {
    const { code, stdout, stderr } = await mistake(program);
    assert.notEqual(code, 0, stdout);
    assert.doesNotMatch(stdout, /went on/);
    assert.match(stderr, said);
  });
};

own(
  "a method at a wrong slot, by its name",
  `
  const runtime = trt.createRuntime();
  const implementation = new Deno.UnsafePointerView(runtime.pointer).getPointer(8);
  const table = new Deno.UnsafePointerView(implementation).getPointer();
  const slot = new Deno.UnsafePointerView(table).getPointer(8 * 4);
  new Deno.UnsafeFnPointer(slot, { parameters: ["pointer"], result: "void" }).call(implementation);`,
  /stand-in: IRuntime::setDLACore \(slot 4\) was called/,
);

own(
  "memory written past an allocation's end",
  `
  const buffer = cuda.allocate(8);
  const view = new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(buffer.pointer, 12));
  view[9] = 1;
  buffer[Symbol.dispose]();`,
  /stand-in: memory was written outside an allocation of 8 bytes/,
);

own(
  "an object that is destroyed twice",
  `
  const runtime = trt.createRuntime();
  const { pointer } = runtime;
  const destructor = new Deno.UnsafePointerView(new Deno.UnsafePointerView(pointer).getPointer()).getPointer(0);
  const call = new Deno.UnsafeFnPointer(destructor, { parameters: ["pointer"], result: "void" });
  call.call(pointer);
  call.call(pointer);`,
  /stand-in: an object was destroyed twice/,
);

own(
  "a parent that ends before what it made",
  `
  const runtime = trt.createRuntime();
  const engine = await runtime.deserialize(standInPlan());
  const { pointer } = runtime;
  const destructor = new Deno.UnsafePointerView(new Deno.UnsafePointerView(pointer).getPointer()).getPointer(8);
  new Deno.UnsafeFnPointer(destructor, { parameters: ["pointer"], result: "void" }).call(pointer);`,
  /stand-in: IRuntime was destroyed before what it made/,
);

if (!IS_SANITIZED && typeof STAND_INS !== "string") {
  Deno.test("stand-in: it reports what is left alive at unload", async () => {
    const { code, stderr } = await mistake("cuda.createStream(); trt.createRuntime();");
    assert.equal(code, 0, stderr);
    assert.match(stderr, /stand-in: 2 live objects at unload: 1 IRuntime, 1 Stream/);
  });
}
