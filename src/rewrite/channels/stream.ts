/**
 * A stream: tensors that are made of one another by sums over the same channels and by moves of tokens, such
 * as the residual stream of a network and the tables and tokens it starts from. They become wider together or
 * not at all. A product or convolution with constant weights that writes or reads a stream has its weights
 * padded; any other writer's result is concatenated with constants, and any other reader gets a slice.
 */
import type { Node, Uses } from "../../ir/graph.ts";
import type { Joined } from "../../ops/define.ts";
import { isOp } from "../../ops/table.ts";
import { isConstantLinear } from "../tidy/constants.ts";
import { ahead, behind, follow, isReading } from "./walk.ts";

export interface Stream {
  readonly channels: number;
  /** Every tensor of it but constants, with the axis of its channels. */
  readonly axes: ReadonlyMap<Node, number>;
  /** Reshapes that join rows of channels into one row, for products only: Swin's merging of patches. */
  readonly joined: ReadonlyMap<Node, Joined>;
  /** Products that read channels of it. */
  readonly readers: ReadonlyMap<Node, Joined>;
}

const PLAIN: Joined = { outer: 1, inner: 1 };

/** The stream that a tensor's last axis belongs to; null where a tensor has its channels along two axes. */
export function streamOf(start: Node, uses: Uses): Stream | null {
  const last = start.type.shape.length - 1;
  const channels = start.type.shape[last];
  if (typeof channels !== "number") return null;
  const [joined, readers] = [new Map<Node, Joined>(), new Map<Node, Joined>()];
  const axes = follow({ node: start, axis: last }, (place) => {
    const places = (behind(place) ?? []).flatMap((source) =>
      source === null || source.node.op === "constant" ? [] : [source]
    );
    for (const use of uses.get(place.node)!) {
      const next = ahead(use, place.axis);
      if (isReading(use, place)) readers.set(use.user, PLAIN);
      else if (next !== null && next.elements === undefined) places.push(next);
      else if (next !== null && "inner" in next.elements!) {
        const reading = uses.get(next.node)!.filter((use) => isReading(use, next));
        if (reading.length < uses.get(next.node)!.length) continue;
        joined.set(next.node, next.elements);
        for (const { user } of reading) readers.set(user, next.elements);
      }
    }
    return places;
  });
  return axes && { channels, axes, joined, readers };
}

/** Whether a node makes its channels with constant weights, which can make more of them. */
export function isWriter(node: Node, axis: number): boolean {
  if (isConstantLinear(node)) return axis === node.type.shape.length - 1;
  return isOp(node, "conv") && axis === 1 && (node.attrs.groups ?? 1) === 1 &&
    node.inputs.slice(1).every(({ op }) => op === "constant");
}
