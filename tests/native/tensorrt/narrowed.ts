/**
 * A program: builds engines for all kinds of GPU, for two and for one at the same time, with the library
 * given, and prints what GPUs each plan says it is for.
 */
import { targetsOfPlan } from "../../../src/emit/targets.ts";
import { type ComputeCapability, loadTensorRt } from "../../../native/tensorrt/mod.ts";
import { describe, RANGES } from "./smallest.ts";

using trt = loadTensorRt(Deno.args[0]!);
async function build(capabilities?: readonly ComputeCapability[]): Promise<string> {
  using builder = trt.createBuilder();
  using network = builder.createNetwork();
  describe(network, "fp16");
  using config = builder.createConfig();
  config.addProfile(RANGES);
  if (capabilities !== undefined) config.setComputeCapabilities(capabilities);
  using plan = await builder.build(network, config);
  return targetsOfPlan(plan.bytes)!.join(" ");
}

const lists = [undefined, ["8.9", "12.0"], ["7.5"], undefined, ["8.9", "12.0"]] as const;
console.log(JSON.stringify(await Promise.all(lists.map((list) => build(list)))));
