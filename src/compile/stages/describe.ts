/** The networks of a build, traced and optimized, and the examples that they are run on. No matrix is read. */
import { networkPrecision, type Precision } from "../../ir/dtype.ts";
import type { Norm } from "../../norms/families.ts";
import { type Examples, loadExamples } from "../examples.ts";
import type { Line, Stage } from "../line.ts";
import { chooseWeights, compile, type Network, type WeightChoice } from "../networks.ts";
import type { Order, Ordered } from "../order.ts";

/** The networks of one normalization, from one choice of weights. */
export interface Compiled {
  readonly norm: Norm;
  readonly weights: WeightChoice;
  /** In the precision of the engine. */
  readonly network: Network;
  /** In fp32, for the algebra and for CPUs, made when it is asked for; the same network where that is the precision. */
  readonly wide: Network;
}

export interface Described extends Ordered {
  /** The folded network and, unless it is the same one or not wanted, the reference. */
  readonly networks: readonly [folded: Compiled, ...reference: Compiled[]];
  readonly examples: Examples;
}

export const describe: Stage<Ordered, Pick<Described, "networks" | "examples">> = {
  name: "describe",
  says: () => "describing the networks",
  run: ({ order }) => {
    const { model, norm, batch, skip = [] } = order;
    const isAlone = norm.family === model.reference.family || skip.includes("reference");
    return {
      networks: [
        compiled(order, norm),
        ...isAlone ? [] : [compiled(order, model.reference, { isReference: true })],
      ],
      examples: loadExamples(model, batch.timed),
    };
  },
};

function compiled(
  { model, precision, layerNorm, batch, weights: options }: Order,
  norm: Norm,
  { isReference = false } = {},
): Compiled {
  const weights = chooseWeights(model, norm, { ...options, isReference });
  const dims = batch.fixed === null ? {} : { B: batch.fixed };
  const at = (precision: Precision) =>
    compile(model, { weights: weights.open(), precision, norm, dims, layerNorm });
  const network = at(networkPrecision(precision));
  let wide = networkPrecision(precision) === "fp32" ? network : null;
  return {
    norm,
    weights,
    network,
    get wide() {
      return wide ??= at("fp32");
    },
  };
}

/** A line of one network's stages, for each of them in turn; what they make is in `emitted`, in the same order. */
export function eachNetwork<Given extends Described, Made extends object>(
  stages: Line<Given & { readonly network: Compiled }, Made>,
): Stage<Given, { readonly emitted: readonly [folded: Made, ...reference: Made[]] }> {
  return {
    name: "each network",
    run: async (made, context) => {
      const through = (network: Compiled) =>
        stages.within({ ...made, network }, { ...context, network: network.norm.family });
      const [folded, ...others] = made.networks;
      const emitted: [Made, ...Made[]] = [await through(folded)];
      for (const network of others) emitted.push(await through(network));
      return { emitted };
    },
  };
}
