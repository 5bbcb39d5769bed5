/**
 * What the stand-in's tests share: opened libraries, and the promise that a test leaves no object of theirs
 * alive.
 */
import assert from "node:assert/strict";
import { type Cuda, loadCuda } from "../../native/cuda/mod.ts";
import { loadTensorRt, type TensorRt } from "../../native/tensorrt/mod.ts";
import { stringAt } from "../../native/memory/memory.ts";
import { STAND_IN_LAYOUTS, STAND_INS, type StandInLayout, type StandIns } from "./build.ts";

const SYMBOLS = {
  stand_in_live: { parameters: ["buffer", "usize"], result: "i32" },
  stand_in_fail_call: { parameters: ["buffer", "i32", "i32"], result: "void" },
  unfold_stand_in_version: { parameters: [], result: "pointer" },
} as const satisfies Deno.ForeignLibraryInterface;

export interface StandIn {
  readonly trt: TensorRt;
  readonly cuda: Cuda;
  readonly paths: StandIns;
  /** The `call`th call of a CUDA function from now on answers `error`, once. */
  failCall(cudaFunction: string, call: number, error: number): void;
  /** "2 Stream, 1 Event", "" when nothing is alive. */
  live(): string;
  readonly version: string;
}

/**
 * Registers a test on the stand-ins, which must leave nothing alive; ignored, with the reason, where there is
 * no g++.
 */
export function testWithStandIn(
  name: string,
  run: (standIn: StandIn) => void | Promise<void>,
  layout: StandInLayout = "rtx 1.7",
): void {
  const title = `stand-in: ${name}${layout === "rtx 1.7" ? "" : ` (${layout})`}`;
  const paths = STAND_INS;
  if (!STAND_IN_LAYOUTS.includes(layout)) return;
  if (typeof paths === "string") {
    Deno.test({ name: `${title} (skipped: ${paths})`, ignore: true, fn: () => {} });
    return;
  }
  Deno.test(title, async () => {
    const { symbols } = Deno.dlopen(paths.cudart, SYMBOLS);
    const live = () => {
      const text = new Uint8Array(new ArrayBuffer(512));
      const total = symbols.stand_in_live(text, BigInt(text.length));
      const which = stringAt(Deno.UnsafePointer.of(text));
      assert.equal(which === "", total === 0);
      return which;
    };
    const failCall = (cudaFunction: string, call: number, error: number) =>
      symbols.stand_in_fail_call(new TextEncoder().encode(`${cudaFunction}\0`), call, error);
    const version = stringAt(symbols.unfold_stand_in_version());
    {
      await using cuda = loadCuda({ path: paths.cudart });
      await using trt = loadTensorRt(paths.tensorrt[layout]);
      await run({ trt, cuda, paths, failCall, live, version });
    }
    assert.equal(live(), "", "objects that are still alive");
  });
}
