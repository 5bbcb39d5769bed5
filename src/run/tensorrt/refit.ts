/**
 * New weights for a built engine: a checkpoint is folded as for a build, and the folded weights replace those
 * in the plan, layer by layer, without building again. Needs a GPU, and an engine built with `refit`. The
 * network must be described and folded as then: names of layers tell what belongs where, and a difference is
 * refused rather than guessed at.
 */
import { describeNetwork } from "../../emit/tensorrt.ts";
import type { LayerWeights } from "../../emit/layer_weights.ts";
import { UnfoldError } from "../../errors.ts";
import { isFloat } from "../../ir/dtype.ts";
import type { Graph } from "../../ir/graph.ts";
import { TENSORRT } from "../../rewrite/backends/tensorrt.ts";
import { runPipeline } from "../../rewrite/pass.ts";
import { listed } from "../../text.ts";
import { type GpuOptions, loadPlan } from "./engine.ts";

/**
 * Every weight of the network that `graph` is built as. Needs the library, and no GPU.
 *
 * @param library path of the TensorRT library
 */
export async function layerWeights(graph: Graph, library: string): Promise<readonly LayerWeights[]> {
  const { loadTensorRt } = await import("../../../native/tensorrt/mod.ts");
  using trt = loadTensorRt(library);
  using builder = trt.createBuilder();
  using network = builder.createNetwork();
  const weights: LayerWeights[] = [];
  await describeNetwork(network, runPipeline(graph, TENSORRT).graph, {
    onWeights: (entry) => void weights.push(entry),
  });
  return weights;
}

/** An engine with new weights. */
export interface RefittedPlan {
  /** Its bytes, for a file. */
  readonly plan: Uint8Array;
  /** How many weights were replaced. */
  readonly replaced: number;
}

/**
 * Replaces the weights of an engine.
 *
 * @param plan the bytes of an engine file, or its path; it is not changed
 * @param weights of the network it was built from (`layerWeights`)
 * @throws {UnfoldError} no GPU that runs it, an engine that was not built for it, or from another network, or
 *   one that names not all of the weights that were folded
 * @throws {NativeError} TensorRT refuses; its words are quoted
 *
 * @example
 * ```ts ignore
 * const { graph } = compile(encoder, { weights: checkpointWeights("finetuned.safetensors") });
 * const { plan } = await refitPlan("un.plan", await layerWeights(graph, library), { library });
 * ```
 */
export async function refitPlan(
  plan: Uint8Array | string | URL,
  weights: readonly LayerWeights[],
  options: GpuOptions,
): Promise<RefittedPlan> {
  const loaded = await loadPlan(plan, options);
  await using _owned = loaded.owned;
  const { engine } = loaded;
  if (!engine.isRefittable) {
    throw new UnfoldError(
      "the engine's weights cannot be replaced: build it with `deno task build-engine --refit`",
    );
  }
  const keyOf = ({ layer, role }: { layer: string; role: string }) => `${layer} (${role})`;
  const byKey = new Map(weights.map((entry) => [keyOf(entry), entry]));
  await using refitter = engine.createRefitter();
  const places = refitter.all();
  const unknown = places.filter((place) => !byKey.has(keyOf(place)));
  if (unknown.length > 0) {
    throw new UnfoldError(
      `the engine was built from another network: it has ${unknown.length} weights that this one has not: ` +
        `${listed(unknown.map(keyOf), 3)}; describe and fold it as it was then`,
    );
  }
  const named = new Set(places.map(keyOf));
  // Whole numbers are shapes and indices, which the description fixes; TensorRT has no weights of them.
  const stale = weights.filter((entry) => isFloat(entry.dtype) && !named.has(keyOf(entry)));
  if (stale.length > 0) {
    throw new UnfoldError(
      `the engine does not name ${stale.length} of the weights that were folded, which would stay as they were: ` +
        `${listed(stale.map(keyOf), 3)}; build it again`,
    );
  }
  for (const place of places) refitter.set({ ...byKey.get(keyOf(place))!, role: place.role });
  await refitter.refit();
  await refitter[Symbol.asyncDispose]();
  using refitted = engine.serialize();
  return { plan: refitted.bytes.slice(), replaced: places.length };
}
