/** A program: builds an engine for two kinds of GPU with the library given, and prints how many bytes it has. */
import { loadTensorRt } from "../../../native/tensorrt/mod.ts";
import { describe, RANGES } from "./smallest.ts";

using trt = loadTensorRt(Deno.args[0]!);
using builder = trt.createBuilder();
using network = builder.createNetwork();
describe(network, "fp16");
using config = builder.createConfig();
config.addProfile(RANGES);
config.setComputeCapabilities(["8.9", "12.0"]);
using plan = await builder.build(network, config);
console.log(plan.bytes.length);
