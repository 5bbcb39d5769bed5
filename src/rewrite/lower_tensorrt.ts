import type { Graph } from "../ir/graph.ts";
import { applyRules } from "./driver.ts";
import { packHeads } from "./pack_heads.ts";
import { SIMPLIFY } from "./simplify.ts";
import { splitProducts } from "./split_qkv.ts";
import { TOKENS_2D } from "./tokens_2d.ts";
import { verifyGraph } from "./verify.ts";

export function lowerForTensorRt(graph: Graph): Graph {
  const on = (Deno.env.get("LOWER") ?? "pack,split,2d").split(",");
  let g = graph;
  if (on.includes("pack")) g = packHeads(g);
  if (on.includes("split")) g = splitProducts(g, { withBias: on.includes("splitbias") }).graph;
  if (on.includes("2d")) g = applyRules(g, [...TOKENS_2D, ...SIMPLIFY]).graph;
  verifyGraph(g, "lower");
  return g;
}
