/** A model of which some open sizes are fixed, or have ranges, as `--dim` gives them. */
import { UnfoldError } from "../errors.ts";
import { shown } from "../ir/given.ts";
import { bindShape } from "../ir/shape.ts";
import type { DimRange, Model } from "./model.ts";
import type { InputSpec } from "./spec.ts";

/** TensorRT's sizes are 32 bits with a sign. */
const LARGEST_DIM = 2 ** 31 - 1;

/**
 * The same network with some of its open sizes fixed, whoever traces it, and ranges of others.
 *
 * @throws {UnfoldError} a size that the model does not have open, or a value outside of the range that it
 *   gives
 */
export function withDims<Inputs extends string>(
  model: Model<Inputs>,
  given: Readonly<Record<string, number | DimRange>>,
): Model<Inputs> {
  const { name, openDims, dims } = model;
  const fixed: Record<string, number> = {};
  const ranges: Record<string, DimRange> = { ...dims };
  for (const [dim, value] of Object.entries(given)) {
    if (!openDims.includes(dim)) {
      const open = openDims.length > 0 ? `open are ${openDims.join(", ")}` : "none is";
      throw new UnfoldError(`${name} has no open size ${shown(dim)}; ${open}`);
    }
    const { min = 1, max = LARGEST_DIM } = dims?.[dim] ?? {};
    const sizes = typeof value === "number" ? [value] : [value.min, value.max];
    const wrong = sizes.find((size) => !(Number.isInteger(size) && size >= min && size <= max));
    if (wrong !== undefined) {
      throw new UnfoldError(`${name} takes whole numbers from ${min} to ${max} for ${dim}, not ${wrong}`);
    }
    if (typeof value === "number") {
      fixed[dim] = value;
      delete ranges[dim];
    } else ranges[dim] = value;
  }
  const inputs = Object.entries<InputSpec>(model.inputs).map(([input, spec]) =>
    [input, { ...spec, shape: bindShape(spec.shape, fixed) }] as const
  );
  return {
    ...model,
    inputs: Object.fromEntries(inputs) as Model<Inputs>["inputs"],
    openDims: openDims.filter((dim) => !Object.hasOwn(fixed, dim)),
    fixedDims: { ...model.fixedDims, ...fixed },
    ...(fixed.B !== undefined && { batch: fixed.B }),
    ...((dims || Object.keys(ranges).length > 0) && { dims: ranges }),
    trace: ({ dims = {}, ...options }) => model.trace({ ...options, dims: { ...dims, ...fixed } }),
  };
}
