/** The largest element of each window. `max(s x + t) = s max(x) + t` where no s is below zero. */
import type { ChannelAffine, Refusal } from "../define.ts";
import { defineOp } from "../define.ts";
import { emitPool, everyPlane, type PoolAttrs, pooled, pooledType } from "./pool.ts";

export const maxPool = defineOp({
  name: "max_pool",
  doc: "the largest element of each window of x [B, C, H, W], inside the image",
  operands: ["x"],
  infer: (inputs, attrs: PoolAttrs) => pooledType(inputs, attrs),
  kind: "other",
  ahead: everyPlane,
  carry: ([affine]) => refusal(affine!) ?? { affine: affine! },
  give: (affine) => refusal(affine) ?? { inputs: new Map([[0, affine]]) },
  evaluate: ([x], attrs) => pooled(x, attrs, (elements) => Math.max(...elements)),
  tensorrt: (net, [x], attrs) => net.pool("max", x, attrs),
  onnx: (g, [x], attrs, node) => emitPool(g, "MaxPool", { x, attrs, node }),
});

function refusal({ axis, scale, centred }: ChannelAffine): Refusal | null {
  if (axis > 1) return { refused: `it takes the largest along axis ${axis}` };
  if (centred) return { refused: "the largest without the mean is another one" };
  return scale.some((s) => s < 0)
    ? { refused: "a channel is scaled below zero, which makes its largest element the least" }
    : null;
}
