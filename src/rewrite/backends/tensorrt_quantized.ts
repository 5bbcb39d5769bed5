/**
 * Which products of a network TensorRT is given quantized, and how: chosen by the kernels of the plans (RTX
 * 1.7.1; docs/quantization.md has them). A product whose input is quantized loses its epilogue to a kernel of
 * its own, so the cheapest are those that have none: what makes an attention's queries, keys and values,
 * which it reads in place; and in fp8 those in front of Layer Normalization, whose kernel is there anyway.
 * Behind a fold their input's rounding goes into the kernel that makes the residual stream, in fp8; in int8
 * it is one kernel.
 */
import type { Keep } from "../../dsl/model.ts";
import { UnfoldError } from "../../errors.ts";
import type { EngineQuantization } from "../../ir/dtype.ts";
import { type Graph, type Node, type Uses, usesOf } from "../../ir/graph.ts";
import { FP4_BLOCK } from "../../ops/dynamic_quantize.ts";
import { isOp, opOf } from "../../ops/table.ts";
import { quoted } from "../../text.ts";
import type { Pipeline } from "../pass.ts";
import { PASSES } from "../passes.ts";
import { isGroup } from "../precision/groups.ts";
import { generalized, naming } from "../precision/scopes.ts";
import { isPartOfChannels, quantizable, type Wanted } from "./quantize.ts";
import { TENSORRT } from "./tensorrt.ts";

/** Which products: those that cost no kernel or the fewest, all, or some by their names, with `*` in them. */
export type Placement = "free" | "all" | readonly string[];

/** Neighbours of a row that share a step in int4: the block that TensorRT has products for. */
const BLOCK = 128;
/** Channels that a product of bytes reads together. */
const BYTES_MULTIPLE = 16;

/** The form of a graph that products are quantized in. */
export function forQuantization(to: EngineQuantization): Pipeline {
  const { passes } = TENSORRT;
  return {
    ...TENSORRT,
    passes: to === "nvfp4"
      // In fp4 a one would not be one.
      ? passes.filter((pass) => pass !== PASSES.carryOne)
      : to === "int4w"
      // Blocks of 128 channels leave no room for a one. 111 kernels for GPT-2 with attention as products, 123
      // without: what follows an attention of its own layer is not moved into a product of int4.
      ? [...passes.filter((pass) => pass !== PASSES.carryOne), PASSES.writeAttention]
      : passes.map((pass) => pass === PASSES.carryOne ? PASSES.carryOneInBytes : pass),
  };
}

/**
 * @param graph in the form of `forQuantization`
 * @param options.perRow whether weights of every product have a step for each row: GPUs from compute
 * capability 12 on have no other fp8 product that an attention reads in place
 * @param options.keep what stays in a type of its own
 */
export function placed(
  graph: Graph,
  { to, placement, perRow, keep = [] }: {
    to: EngineQuantization;
    placement: Placement;
    perRow: boolean;
    keep?: Keep | undefined;
  },
): ReadonlyMap<Node, Wanted> {
  const uses = usesOf(graph);
  const isKept = ({ name }: Node) => keep.some(([, scopes]) => !isGroup(scopes) && naming(scopes)(name));
  const products = quantizable(graph).filter((node) => !isKept(node) && fits(node, to));
  const chosen = placement === "all"
    ? products
    : placement === "free"
    ? products.filter(isFree)
    : named(products, placement);
  if (chosen.length === 0) {
    throw new UnfoldError(
      `${graph.name} in ${to}: ${
        products.length === 0
          ? `it has no product that TensorRT has in it${keep.length > 0 ? " and that --keep leaves" : ""}`
          : `quantizing costs each of its ${products.length} products a kernel or more; give --quantize all, or some by ` +
            `name, such as '${generalized(products[0]!.name)}'`
      }`,
    );
  }
  return new Map(chosen.map((node) => [node, wanted(node)]));

  function isFree(node: Node): boolean {
    return (isReadInPlace(node, uses) && !isGatheredForSeveral(node.inputs[0]!, uses)) ||
      (to === "fp8" && isAddedBeforeNorm(node, uses));
  }

  function wanted(node: Node): Wanted {
    if (to === "int4w") {
      return { input: null, weight: { to: "int4", each: BLOCK, steps: "fp16" }, kernels: 1 };
    }
    if (to === "nvfp4") {
      return { input: "fp4", weight: { to: "fp4", each: FP4_BLOCK, steps: "fp8" }, kernels: 3 };
    }
    const inPlace = isReadInPlace(node, uses);
    const each = inPlace && !(perRow && to === "fp8") ? "weight" : "row";
    const isForNothing = to === "fp8" && isFree(node) && !(inPlace && perRow);
    return { input: to, weight: { to, each, steps: "fp16" }, kernels: isForNothing ? 0 : 1 };
  }
}

/** Products of which a pattern is the name, each of which must be that of some. */
function named(products: readonly Node[], patterns: readonly string[]): readonly Node[] {
  const tests = patterns.map((pattern) => {
    const test = naming(pattern);
    if (products.some(({ name }) => test(name))) return test;
    const shown = [...new Set(products.map(({ name }) => generalized(name)))].slice(0, MOST_NAMED);
    throw new UnfoldError(
      `--quantize ${quoted(pattern)}: no product is called so; there are ${shown.join(", ")}`,
    );
  });
  return products.filter(({ name }) => tests.some((test) => test(name)));
}

/** Names that an error tells. */
const MOST_NAMED = 8;

function fits(node: Node, to: EngineQuantization): boolean {
  const [outputs, channels] = node.inputs[1]!.type.shape as [number, number];
  return to === "int4w"
    ? channels % BLOCK === 0
    : channels % BYTES_MULTIPLE === 0 && outputs % BYTES_MULTIPLE === 0;
}

/**
 * Whether an attention reads a product's queries, keys and values where TensorRT makes them, quantized too:
 * it does where they are as wide as each other, and nothing is added.
 */
function isReadInPlace(node: Node, uses: Uses): boolean {
  const readers = uses.get(node)!.flatMap((use) =>
    "user" in use && isPartOfChannels(use.user) ? use.user : []
  );
  const areThirds = new Set(readers.map(({ attrs }) => attrs.start)).size === 3 &&
    readers.every(({ attrs }) => 3 * (attrs.size as number) === node.type.shape.at(-1));
  return node.inputs.length === 2 && areThirds && readByAttentions(node, uses);
}

/** Whether rows are gathered for others than one: TensorRT gathers those that are quantized a second time. */
function isGatheredForSeveral(node: Node, uses: Uses): boolean {
  if (opOf(node).kind !== "move") return false;
  return isOp(node, "gather")
    ? uses.get(node)!.length > 1 && node.inputs[0].op !== "constant"
    : node.inputs.some((input) => isGatheredForSeveral(input, uses));
}

/**
 * Whether a normalization with statistics reads the sum that a product's result goes into: its kernel takes
 * the product's epilogue too, and in fp8 the product in front, or the kernel of an activation, the quantize.
 * 110 kernels for Swin-T with Layer Normalization, 111 with none quantized.
 */
function isAddedBeforeNorm(node: Node, uses: Uses): boolean {
  const reaches = (node: Node, test: (user: Node) => boolean): boolean =>
    uses.get(node)!.some((use) =>
      "user" in use && (test(use.user) || (opOf(use.user).kind === "move" && reaches(use.user, test)))
    );
  return reaches(node, (sum) => sum.op === "add" && reaches(sum, ({ op }) => op === "layer_norm"));
}

/** Whether a result goes as it is, moved or times a number, into attentions alone. */
function readByAttentions(node: Node, uses: Uses): boolean {
  return uses.get(node)!.every((use) => {
    if (!("user" in use)) return false;
    const { op, inputs: [, factor] } = use.user;
    return op === "attention" || op === "matmul" ||
      ((opOf(use.user).kind === "move" || (op === "mul" && isNumber(factor!))) &&
        readByAttentions(use.user, uses));
  });
}

const isNumber = ({ op, type }: Node) => op === "constant" && type.shape.every((size) => size === 1);
