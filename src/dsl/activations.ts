/** The activations of published MLPs, by name. */
import { argument } from "../ir/given.ts";
import { TENSOR } from "./given.ts";
import { constant, gelu, mul, relu, silu, type Tensor } from "./tensor.ts";

export const ACTIVATIONS = ["gelu", "gelu_tanh", "quick_gelu", "relu", "silu"] as const;
export type Activation = (typeof ACTIVATIONS)[number];

/** `x sigmoid(1.702 x)`, which OpenAI's CLIP has for a GELU: as `silu(1.702 x) / 1.702`. */
export function quickGelu(x: Tensor): Tensor {
  argument("quickGelu: x", x, TENSOR);
  const { dtype } = x.type;
  const times = (y: Tensor, factor: number) => mul(y, constant([factor], { shape: [1], dtype }));
  return times(silu(times(x, 1.702)), 1 / 1.702);
}

export const ACTIVATION: Readonly<Record<Activation, (x: Tensor) => Tensor>> = {
  gelu: (x) => gelu(x),
  gelu_tanh: (x) => gelu(x, { approximate: "tanh" }),
  quick_gelu: quickGelu,
  relu,
  silu,
};
