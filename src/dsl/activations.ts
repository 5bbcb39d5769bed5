/** The activations of published MLPs, by name. */
import { argument, either, FUNCTION, type Kind, oneOf } from "../ir/given.ts";
import { TENSOR, type Tensor } from "./tensor.ts";

/**
 * An activation by name: GELU, exact or by a hyperbolic tangent as GPT-2 has it; `quick_gelu`,
 * `x sigmoid(1.702 x)` of OpenAI's CLIP; ReLU; SiLU, `x sigmoid(x)`.
 */
export type Activation = "gelu" | "gelu_tanh" | "quick_gelu" | "relu" | "silu";

const BY_NAME: Readonly<Record<Activation, (x: Tensor) => Tensor>> = {
  gelu: (x) => x.gelu(),
  gelu_tanh: (x) => x.gelu({ approximate: "tanh" }),
  quick_gelu: (x) => x.mul(1.702).silu().mul(1 / 1.702),
  relu: (x) => x.relu(),
  silu: (x) => x.silu(),
};

/** The names of activations, in the order of help and messages. */
export const ACTIVATIONS = Object.keys(BY_NAME) as readonly Activation[];
/** A name or a function. */
export const ACTIVATION: Kind = either(oneOf(...ACTIVATIONS), FUNCTION);

/** `activation(x)`. */
export function activated(
  x: Tensor,
  activation: Activation | ((x: Tensor) => Tensor),
  { what }: { what: string },
): Tensor {
  if (typeof activation === "string") return BY_NAME[activation](x);
  const y = activation(x);
  argument(`${what}: what the activation returns`, y, TENSOR);
  return y;
}
