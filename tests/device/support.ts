/**
 * What the tests on a true GPU share. They run where `nvidia-smi` answers and TensorRT can use the GPU;
 * elsewhere they are ignored, with the reason in their names. What they cover is covered without a GPU by
 * `device_stand_in/`.
 */
import { loadTensorRt } from "../../native/tensorrt/mod.ts";
import { findGpu, type GpuOptions } from "../../src/run/tensorrt/engine.ts";
import { NO_LIBRARY, TENSORRT_LIBRARY } from "../tensorrt_library.ts";

/** The library of a GPU that it can use, or why there is none. */
const DEVICE: GpuOptions | string = await (async () => {
  if (!await answers("nvidia-smi")) return "skipped: nvidia-smi does not answer";
  if (TENSORRT_LIBRARY === undefined) return NO_LIBRARY;
  const options = { library: TENSORRT_LIBRARY };
  const gpu = await findGpu(options);
  return "unavailable" in gpu ? `skipped: ${gpu.unavailable}` : options;
})();

async function answers(program: string): Promise<boolean> {
  try {
    return (await new Deno.Command(program, { args: ["-L"] }).output()).success;
  } catch {
    return false; // It is not there.
  }
}

export function testWithDevice(name: string, run: (options: GpuOptions) => Promise<void>): void {
  if (typeof DEVICE === "string") Deno.test({ name: `${name} (${DEVICE})`, ignore: true, fn: () => {} });
  else {
    const options = DEVICE;
    Deno.test(name, () => run(options));
  }
}

const INPUTS = 64;
const OUTPUTS = 32;

export interface LinearPlan {
  readonly refit?: boolean;
  readonly weightStreaming?: boolean;
}

/** y [B, 32] = x [B, 64] w + b, B from 1 over 8 to 16, with w = 1 / 64 and b = 1: of x = 1, y = 2. */
export async function linearPlan(
  { library }: GpuOptions,
  { refit = false, weightStreaming = false }: LinearPlan = {},
): Promise<Uint8Array> {
  using trt = loadTensorRt(library);
  using builder = trt.createBuilder();
  using network = builder.createNetwork();
  using config = builder.createConfig();
  const x = network.input("x", "fp32", [-1, INPUTS]);
  const w = network.constant([INPUTS, OUTPUTS], "fp32", weights(1 / INPUTS), "fc.weight");
  const b = network.constant([1, OUTPUTS], "fp32", bias(1), "fc.bias");
  network.markOutput(network.elementwise("sum", network.matmul(x, w, {}, "fc/matmul"), b, "fc/sum"), "y");
  config.addProfile(new Map([["x", { min: [1, INPUTS], opt: [8, INPUTS], max: [16, INPUTS] }]]));
  config.setProfilingVerbosity("detailed");
  if (refit) config.setFlag("refit");
  if (weightStreaming) config.setWeightStreaming();
  using plan = await builder.build(network, config);
  return plan.bytes.slice();
}

export const weights = (value: number) => filled(INPUTS * OUTPUTS, value);
export const bias = (value: number) => filled(OUTPUTS, value);

/** `count` times `value`, as fp32. */
export function filled(count: number, value: number): Uint8Array {
  return new Uint8Array(new Float32Array(count).fill(value).buffer);
}
