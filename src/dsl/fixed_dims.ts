/** A model of which some open sizes are fixed, as `--dim` does it. */
import { UnfoldError } from "../errors.ts";
import { shown } from "../ir/given.ts";
import { bindShape } from "../ir/shape.ts";
import type { Model } from "./model.ts";
import type { InputSpec } from "./spec.ts";

/** TensorRT's sizes are 32 bits with a sign. */
const LARGEST_DIM = 2 ** 31 - 1;

/**
 * The same network with some of its open sizes fixed, whoever traces it.
 *
 * @throws {UnfoldError} a size that the model does not have open, or a value outside of the range that it
 *   gives
 */
export function withDims<Inputs extends string>(
  model: Model<Inputs>,
  fixed: Readonly<Record<string, number>>,
): Model<Inputs> {
  const { name, openDims, dims } = model;
  for (const [dim, value] of Object.entries(fixed)) {
    if (!openDims.includes(dim)) {
      const open = openDims.length > 0 ? `open are ${openDims.join(", ")}` : "none is";
      throw new UnfoldError(`${name} has no open size ${shown(dim)}; ${open}`);
    }
    const { min = 1, max = LARGEST_DIM } = dims?.[dim] ?? {};
    if (Number.isInteger(value) && value >= min && value <= max) continue;
    throw new UnfoldError(`${name} takes whole numbers from ${min} to ${max} for ${dim}, not ${value}`);
  }
  const isOpen = (dim: string) => !Object.hasOwn(fixed, dim);
  const inputs = Object.entries<InputSpec>(model.inputs).map(([input, spec]) =>
    [input, { ...spec, shape: bindShape(spec.shape, fixed) }] as const
  );
  return {
    ...model,
    inputs: Object.fromEntries(inputs) as Model<Inputs>["inputs"],
    openDims: openDims.filter(isOpen),
    fixedDims: { ...model.fixedDims, ...fixed },
    ...(fixed.B !== undefined && { batch: fixed.B }),
    ...(dims && { dims: Object.fromEntries(Object.entries(dims).filter(([dim]) => isOpen(dim))) }),
    trace: ({ dims = {}, ...options }) => model.trace({ ...options, dims: { ...dims, ...fixed } }),
  };
}
