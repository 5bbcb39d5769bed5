/** Functions of single numbers that have no method of their own, by name. */
import { given, type Kind, NUMBER } from "../../ir/given.ts";

/** A function of single numbers: an activation, or a plain one. */
export type Elementary =
  | "abs"
  | "cos"
  | "elu"
  | "erf"
  | "floor"
  | "hard_sigmoid"
  | "hard_swish"
  | "leaky_relu"
  | "log"
  | "mish"
  | "neg"
  | "sigmoid"
  | "sin"
  | "softplus";

/** Numbers that a function is told: the slope below zero of `leaky_relu`, for example. */
export interface ElementaryOptions {
  /** Of `elu`, `leaky_relu` and, the slope, `hard_sigmoid`. */
  readonly alpha?: number;
  /** Of `hard_sigmoid`: its value at 0. */
  readonly beta?: number;
}

/** The numbers that each is told. */
const PARAMETERS: Readonly<Record<Elementary, readonly (keyof ElementaryOptions)[]>> = {
  abs: [],
  cos: [],
  elu: ["alpha"],
  erf: [],
  floor: [],
  hard_sigmoid: ["alpha", "beta"],
  hard_swish: [],
  leaky_relu: ["alpha"],
  log: [],
  mish: [],
  neg: [],
  sigmoid: [],
  sin: [],
  softplus: [],
};

export const ELEMENTARY = Object.keys(PARAMETERS) as readonly Elementary[];

/** The attributes of the operator of that name. */
export function parametersOf(name: Elementary, options: ElementaryOptions): ElementaryOptions {
  const kinds = Object.fromEntries(PARAMETERS[name].map((key): [string, Kind] => [key, NUMBER]));
  return given(`map: ${name}`, options, kinds as Record<keyof ElementaryOptions, Kind>);
}
