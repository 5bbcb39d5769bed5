/** Weights in whatever file there is of them. */
import { readOnnx } from "../onnx/read.ts";
import { type Checkpoint, openCheckpoint, type OpenOptions } from "../weights/mod.ts";
import { weightsOf } from "./model.ts";
import { parametersOf } from "./parameters.ts";

/**
 * A checkpoint, or the parameters of an ONNX file under the names that its network has for them; the network
 * itself is not looked at.
 */
export function openWeights(path: string | URL, options: OpenOptions = {}): Checkpoint {
  if (!/\.onnx$/i.test(String(path))) return openCheckpoint(path, options);
  const file = readOnnx(path);
  const parameters = [...parametersOf(file.graph).values()];
  return weightsOf(file, new Map(parameters.map((parameter) => [parameter.name, parameter])));
}
