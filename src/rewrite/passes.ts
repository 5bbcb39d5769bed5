/**
 * Every pass as a record, by its name: the law in one line and the function that does it, whose file says
 * more. Which pass runs when is told by the pipelines: `pipeline.ts` for every backend, `backends/` for each.
 */
import type { Node } from "../ir/graph.ts";
import { moveAttentionBiases } from "./attention/attention_bias.ts";
import { fuseAttention } from "./attention/fuse_attention.ts";
import { mergeQkv } from "./attention/merge_qkv.ts";
import { packHeads } from "./attention/pack_heads.ts";
import { scaleQueries } from "./attention/scale_queries.ts";
import { writeAttention } from "./attention/write_attention.ts";
import { biasGelu } from "./backends/bias_gelu.ts";
import { TOKENS_2D } from "./backends/tokens_2d.ts";
import { averageEarly } from "./channels/average_early.ts";
import { carryOne } from "./channels/carry_one.ts";
import { deferBiases } from "./channels/defer_biases.ts";
import { padHidden } from "./channels/pad_hidden.ts";
import { foldNorm } from "./fold/fold_norm.ts";
import { centreStream, compressStream } from "./fold/recentre.ts";
import { REJOIN_NORM } from "./fold/rejoin_norm.ts";
import { shiftStream } from "./fold/shift_stream.ts";
import { type Pass, rulesPass } from "./pass.ts";
import { TIMES_ONE } from "./recognise/arithmetic.ts";
import { ATTENTION } from "./recognise/attention.ts";
import { carryOrders } from "./recognise/carry_orders.ts";
import { CHANNEL_VECTORS, PRODUCT_WITH_BIAS } from "./recognise/channel_vectors.ts";
import { GELUS } from "./recognise/gelu.ts";
import { GROUPS } from "./recognise/groups.ts";
import { HARD_SWISH } from "./recognise/hard_swish.ts";
import { FUNCTION_OF_ROWS, HEADS } from "./recognise/heads.ts";
import { MASKS } from "./recognise/masks/masks.ts";
import { MOVES } from "./recognise/moves.ts";
import { POSITIONS } from "./recognise/masks/positions.ts";
import { regroupRows } from "./recognise/regroup_rows.ts";
import { RELU } from "./recognise/relu.ts";
import { ROTARY } from "./recognise/rotary.ts";
import { SILUS } from "./recognise/silu.ts";
import { SELECT } from "./recognise/masks/select.ts";
import { STANDARDIZE } from "./recognise/standardize.ts";
import { TOKEN_ORDER } from "./recognise/token_order.ts";
import { UNSEEN } from "./recognise/masks/unseen.ts";
import { foldConstants } from "./tidy/fold_constants.ts";
import { LINEAR_OF_MATMUL } from "./tidy/linear_of_matmul.ts";
import { mergeLinears } from "./tidy/merge_linears.ts";
import { narrow } from "./tidy/narrow.ts";
import { shareConstants } from "./tidy/share_constants.ts";
import { shareNodes } from "./tidy/share_nodes.ts";
import { SIMPLIFY } from "./tidy/simplify.ts";

export const PASSES = named({
  foldConstants: { law: "op(constants) = their value, computed once", run: foldConstants },
  linearOfMatmul: rulesPass(LINEAR_OF_MATMUL.law, [LINEAR_OF_MATMUL]),
  shareNodes: { law: "the same operator on the same inputs is computed once", run: shareNodes },
  recogniseParts: rulesPass("what exporters write out is one operator", [
    LINEAR_OF_MATMUL,
    PRODUCT_WITH_BIAS,
    TIMES_ONE,
    RELU,
    ...GELUS,
    ...SILUS,
    HARD_SWISH,
    ...STANDARDIZE,
    SELECT,
    GROUPS,
    ...POSITIONS,
    ...HEADS,
    ROTARY,
    MOVES,
    ...SIMPLIFY,
  ]),
  regroupRows: { law: "slices of each head of W x = heads of slices of W' x", run: regroupRows },
  recogniseAttention: rulesPass(ATTENTION.law, [ATTENTION, ...MASKS, ...UNSEEN, MOVES, ...SIMPLIFY]),
  recogniseOrders: rulesPass(TOKEN_ORDER.law, [TOKEN_ORDER, ...SIMPLIFY]),
  carryOrders: { law: "a + gather(b; p) = gather(gather(a; p^-1) + b; p)", run: carryOrders },
  recogniseAffines: rulesPass("g x + b = channel_affine(x; g, b)", [
    ...CHANNEL_VECTORS,
    FUNCTION_OF_ROWS,
    MOVES,
    ...SIMPLIFY,
  ]),
  centreStream: {
    law: "layer_norm(x) = rms_norm(x) where mean x = 0",
    run: centreStream,
    when: (_, { layerNorm = "layer" }) => layerNorm !== "layer",
  },
  shiftStream: { law: "s x + t = s (x + t / s)", run: shiftStream },
  foldNorm: {
    law: "linear(s x + t; W, b) = linear(x; W diag(s), b + W t)",
    run: (graph) => {
      const { graph: folded, norms } = foldNorm(graph);
      const whole = norms.filter(({ folded }) => folded).length;
      const partly = norms.filter(({ folded, into }) => !folded && into.length > 0).length;
      return { graph: folded, norms, found: norms.length, folded: whole, partly };
    },
  },
  compressStream: {
    law: "W n = (W_1..C-1 - W_C 1^T) n_1..C-1 where sum n = 0",
    run: compressStream,
    when: (_, { layerNorm }) => layerNorm === "crms",
  },
  rejoinNorm: rulesPass("g norm(x) + b = norm(x; g, b)", REJOIN_NORM),
  moveAttentionBiases: {
    law: "softmax(q (k + b)^T) = softmax(q k^T); softmax(...) (v + b) = softmax(...) v + b",
    run: moveAttentionBiases,
  },
  narrow: { law: "part(op(x)) = op(part(x))", run: narrow },
  mergeLinears: { law: "linear(linear(x; A, a); B, b) = linear(x; B A, B a + b)", run: mergeLinears },
  mergeQkv: {
    law: "[linear(x; Wq), linear(x; Wk), linear(x; Wv)] = slices of linear(x; [Wq; Wk; Wv])",
    run: mergeQkv,
  },
  simplify: rulesPass("what moves or converts nothing is not there", SIMPLIFY),
  shareConstants: { law: "constants over the same data are one", run: shareConstants },
  carryOne: {
    law: "W x + b = [W b 0] [x; 1; 0]",
    run: (graph) => carryOne(graph, { pays: isFused }),
  },
  carryOneInBytes: {
    law: "W x + b = [W b 0] [x; 1; 0]",
    run: (graph) => carryOne(graph, { multiple: 16, pays: isFused }),
  },
  packHeads: {
    law: "transpose(reshape(slice_i(y))) = slice_i(transpose(reshape(y)))",
    run: packHeads,
  },
  tokens2d: rulesPass("f([B, T, C]) = reshape(f([B T, C])), f of each token", [...TOKENS_2D, ...SIMPLIFY]),
  writeAttention: { law: "attention(q, k, v) = softmax(a q k^T + m) v", run: writeAttention },
  averageEarly: { law: "mean(x + W h + b) = mean(x) + W mean(h) + b", run: averageEarly },
  deferBiases: { law: "x + (W h + b) = (x + W h) + b; V (y + b) + c = V y + (c + V b)", run: deferBiases },
  padHidden: { law: "W2 f(W1 x + b1) = [W2 0] f([W1; 0] x + [b1; 0]) where f(0) = 0", run: padHidden },
  scaleQueries: { law: "softmax(a (W x + b) k^T) = softmax(((a W) x + a b) k^T)", run: scaleQueries },
  fuseHeads: {
    law: "attention(heads q, heads k, heads v) = heads token_attention(q, k, v)",
    run: (graph) => fuseAttention(graph, { products: false }),
  },
  fuseAttention: {
    law: "attention(heads of thirds of linear(x; W, b)) = heads self_attention(x; W, b)",
    run: (graph) => fuseAttention(graph, { products: true }),
  },
  biasGelu: { law: "gelu(linear(x; W, b)) = bias_gelu(linear(x; W), b)", run: biasGelu },
});

/** TensorRT has no fused attention for fp32, which is what a product without a bias is for. */
function isFused({ type }: Node): boolean {
  return type.dtype !== "fp32";
}

/** Records by name with that name in them. */
function named<Name extends string>(table: Record<Name, Omit<Pass, "name">>): Readonly<Record<Name, Pass>> {
  const entries = Object.entries<Omit<Pass, "name">>(table).map(([name, pass]) => [name, { name, ...pass }]);
  return Object.fromEntries(entries);
}
