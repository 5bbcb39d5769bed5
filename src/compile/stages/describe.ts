/** The networks of a build, traced and optimized, and the examples they are run on. No matrix is read. */
import { networkPrecision, type Precision } from "../../ir/dtype.ts";
import type { Norm } from "../../norms/families.ts";
import { loadExamples } from "../examples.ts";
import type { Line, Stage } from "../line.ts";
import type { Compiled, Emitted, Has } from "../known.ts";
import { chooseWeights, compile } from "../networks.ts";
import type { Order } from "../order.ts";

export const describe: Stage<Has<"order">, Has<"networks" | "examples">> = {
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

/** A line of one network's stages, for each of them in turn. */
export function eachNetwork<Given>(
  stages: Line<Given & Has<"network">, Emitted>,
): Stage<Given & Has<"networks">, Has<"emitted">> {
  return {
    name: "each network",
    run: async (made, context) => {
      const emitted: Emitted[] = [];
      for (const network of made.networks) {
        const within = { ...context, network: network.norm.family };
        emitted.push(await stages.within({ ...made, network }, within));
      }
      return { emitted: emitted as [Emitted, ...Emitted[]] };
    },
  };
}
