/**
 * A Worker: builds engines for the GPUs of each list in its name, all at the same time, and answers with what
 * GPUs each plan says it is for, or what went wrong.
 */
import { targetsOfPlan } from "../../../src/emit/targets.ts";
import { type ComputeCapability, loadTensorRt, type TensorRt } from "../../../native/tensorrt/mod.ts";
import { describe, RANGES } from "./smallest.ts";

/** Of each build its GPUs; null: all that the library builds for by default. */
export type Lists = readonly (readonly ComputeCapability[] | null)[];

async function build(trt: TensorRt, capabilities: Lists[number]): Promise<string> {
  using builder = trt.createBuilder();
  using network = builder.createNetwork();
  describe(network, "fp16");
  using config = builder.createConfig();
  config.addProfile(RANGES);
  if (capabilities !== null) config.setComputeCapabilities(capabilities);
  using plan = await builder.build(network, config);
  return targetsOfPlan(plan.bytes)!.join(" ");
}

// What it is asked is its name: a message would come before the imports are there.
const { name, postMessage } = self as unknown as {
  name: string;
  postMessage(built: readonly string[]): void;
};
const { library, lists } = JSON.parse(name) as { library: string; lists: Lists };
using trt = loadTensorRt(library);
postMessage(await Promise.all(lists.map((list) => build(trt, list).catch(String))));
