/**
 * The ways of one affine through a graph: forward to its readers, along the residual stream, and backward
 * into its producer. A planner changes nothing; it collects the constants that have to change, or says where
 * the affine can go no further. Each operator says what it does with an affine (`carry`, `absorb`, `give` in
 * `src/ops`).
 */
import type { Precision } from "../../ir/dtype.ts";
import type { Node, Use, Uses } from "../../ir/graph.ts";
import { carryOf, giveOf } from "../../ops/channels.ts";
import { dataOf } from "../../ops/constant.ts";
import { type Absorbed, type Affines, type ChannelAffine, inverse } from "../../ops/define.ts";
import { apply, type AttrsOf, constantNode, isOp, type OpName, opOf } from "../../ops/table.ts";
import { affineData } from "../../weights/derived/derive.ts";

/** What has to change for one normalization to go. */
export interface Plan {
  /** Constants to replace, by the node that reads them and the position. */
  readonly sites: ReadonlyMap<Node, ReadonlyMap<number, Node>>;
  readonly into: readonly string[];
  readonly through: readonly string[];
  /** Smallest and largest divisor of the residual stream. */
  readonly carried?: { readonly min: number; readonly max: number };
  /** The shift that stays behind, where only the scale goes. */
  readonly keptShift: Float64Array | null;
  /** What tensors were, of what they are with these constants; null where that cannot be undone. */
  readonly former: ReadonlyMap<Node, ChannelAffine | null>;
}

/** Where an affine can go no further, and why. */
export interface Refused {
  readonly consumer: string;
  readonly reason: string;
  /** Whether the algebra would allow it, and only the range of the element type does not. */
  readonly isRange?: boolean;
}

/** What a planner knows of the graph. */
export interface Surroundings {
  readonly uses: Uses;
  /** Places in topological order. */
  readonly places: ReadonlyMap<Node, number>;
}

/**
 * A normalized channel may reach this many times its deviation, and the stream that is divided by the scale
 * that much more.
 */
const LARGEST_NORMALIZED = 16;

/**
 * Where each type ends, and the divisor beyond which a deviation of 1 has fewer digits than the type keeps.
 * fp16's steps are 2^-24 at the smallest and 2^-11 of a value otherwise; the others' smallest numbers, below
 * 2^-126, many processors take for zero, which costs a deviation no more than its last digit (2^-24 of it in
 * fp32, 2^-9 in bf16) up to here.
 */
const RANGES = {
  fp16: { largest: 65504, divisor: 2 ** 13 },
  fp32: { largest: 2 ** 127, divisor: 2 ** 102 },
  bf16: { largest: 2 ** 127, divisor: 2 ** 117 },
} as const satisfies Readonly<Record<Precision, unknown>>;

/** Follows one affine through the graph and collects what has to change. */
export class Planner {
  readonly #around: Surroundings;
  readonly #sites = new Map<Node, Map<number, Node>>();
  readonly #through = new Set<string>();
  readonly #into = new Set<string>();
  #carried: { min: number; max: number } | undefined;
  /** Whether what others read may be changed too, and undone for them. */
  readonly #undo: boolean;
  /** Nodes with another result or another input than before, which must not be changed a second time. */
  readonly #changed = new Set<Node>();
  readonly #former = new Map<Node, ChannelAffine | null>();

  constructor(around: Surroundings, { undo = false } = {}) {
    this.#around = around;
    this.#undo = undo;
  }

  /** To all that read the normalized tensor. */
  forward(norm: Node, affine: ChannelAffine): Plan | Refused {
    return this.#send(this.#around.uses.get(norm)!, affine) ?? this.#plan();
  }

  /** Follows an affine from its first uses on. */
  #send(first: readonly Use[], affine: ChannelAffine): Refused | null {
    const { uses, places } = this.#around;
    const incoming = new Map<Node, (ChannelAffine | null)[]>();
    const open = new Set<Node>();
    const spread = (uses: readonly Use[], affine: ChannelAffine): Refused | null => {
      for (const use of uses) {
        if ("output" in use) return { consumer: use.output, reason: "it is an output of the network" };
        const affines = incoming.get(use.user) ?? new Array<null>(use.user.inputs.length).fill(null);
        affines[use.index] = affine;
        incoming.set(use.user, affines);
        open.add(use.user);
      }
      return null;
    };
    let refused = spread(first, affine);
    while (refused === null && open.size > 0) {
      // In topological order, so that all ways to a node have been gone before it is asked.
      const node = [...open].reduce((a, b) => places.get(a)! < places.get(b)! ? a : b);
      open.delete(node);
      const next = this.#pass(node, incoming.get(node)!);
      refused = next === null ? null : "reason" in next ? next : spread(uses.get(node)!, next);
    }
    return refused;
  }

  /** To what makes the tensor that is normalized. */
  backward(norm: Node, affine: ChannelAffine): Plan | Refused {
    const [x] = norm.inputs;
    if (x!.op === "constant") return { consumer: x!.name, reason: "it is a constant" };
    this.#changed.add(norm);
    return this.#want(norm, 0, affine) ?? this.#plan();
  }

  #plan(): Plan {
    const carried = this.#carried;
    return {
      sites: this.#sites,
      into: [...this.#into],
      through: [...this.#through],
      ...(carried && { carried }),
      keptShift: null,
      former: this.#former,
    };
  }

  /** The affine on a node's result; null where the node takes it in. */
  #pass(node: Node, affines: Affines): ChannelAffine | null | Refused {
    const op = opOf(node);
    const refuse = ({ refused: reason }: { refused: string }): Refused => ({ consumer: node.name, reason });
    if (op.absorb) {
      const index = affines.findLastIndex((affine) => affine !== null);
      const absorbed = op.absorb(affines[index]!, { node: this.#current(node), index });
      if ("refused" in absorbed) return refuse(absorbed);
      this.#into.add(node.name);
      this.#replace(node, absorbed);
      return null;
    }
    if (this.#changed.has(node)) return refuse({ refused: "it would have to be changed twice" });
    this.#changed.add(node);
    const carried = carryOf(affines, node);
    if ("refused" in carried) return refuse(carried);
    // The scale and shift of an output is part of the kernel that writes it. Undone for the patches that Swin
    // merges, it is a copy of the stream: 89 kernels against 86 (Swin-T's backbone, TensorRT for RTX 1.7.1,
    // fp16, 27 November 2026).
    if (this.#undo && isOp(node, "reshape") && affines[0]!.scale.length !== carried.affine.scale.length) {
      return refuse({ refused: "it joins rows of channels, where undoing a scale and shift gains nothing" });
    }
    this.#through.add(node.op);
    this.#former.set(node, carried.affine);
    for (const [index, wanted] of carried.required ?? []) {
      const refused = this.#want(node, index, wanted);
      if (refused !== null) return refused;
    }
    if (carried.required && isOp(node, "add")) {
      const overflow = this.#carry(node, carried.affine);
      if (overflow !== null) return overflow;
    }
    return carried.affine;
  }

  /** Records the scales on the residual stream; refuses those that overflow its type or lose digits. */
  #carry(node: Node, { scale }: ChannelAffine): Refused | null {
    const sizes = scale.map(Math.abs);
    const min = sizes.reduce((a, b) => Math.min(a, b), this.#carried?.min ?? Infinity);
    const max = sizes.reduce((a, b) => Math.max(a, b), this.#carried?.max ?? 0);
    this.#carried = { min, max };
    const dtype = node.type.dtype as Precision;
    const range = RANGES[dtype];
    const refuse = (divisor: number, consequence: string): Refused => ({
      consumer: node.name,
      reason: `the residual stream would be divided by ${divisor.toExponential(1)}, and ${consequence}${
        dtype === "fp16" ? "; use bf16 or fp32" : ""
      }`,
      isRange: true,
    });
    const largest = LARGEST_NORMALIZED / min;
    if (largest > range.largest) {
      return refuse(min, `values of ${largest.toExponential(1)} overflow ${dtype}`);
    }
    return max > range.divisor ? refuse(max, `what is left has fewer digits than ${dtype} keeps`) : null;
  }

  /** Has input `index` of a node give `affine` of itself. */
  #want(node: Node, index: number, affine: ChannelAffine): Refused | null {
    const producer = this.#current(node).inputs[index]!;
    if (isOp(producer, "constant")) {
      const { dtype } = producer.type;
      const data = affineData(dataOf(producer), affine);
      this.#into.add(producer.name);
      this.#replace(node, { constants: new Map([[index, { data, type: { dtype, shape: data.shape } }]]) });
      return null;
    }
    const refuse = (reason: string): Refused => ({ consumer: producer.name, reason });
    const others = this.#around.uses.get(producer)!.filter((use) =>
      !("user" in use && use.user === node && use.index === index)
    );
    const undone = this.#undo ? inverse(affine) : null;
    if (others.length > 0 && undone === null) return refuse("others read what would have to be changed");
    if (this.#changed.has(producer)) return refuse("it would have to be changed twice");
    this.#changed.add(producer);
    this.#former.set(producer, inverse(affine));
    const given = giveOf(affine, this.#current(producer));
    if ("refused" in given) return refuse(given.refused);
    if ("constants" in given) {
      this.#into.add(producer.name);
      this.#replace(producer, given);
    } else {
      this.#through.add(producer.op);
      for (const [input, wanted] of given.inputs) {
        const refused = this.#want(producer, input, wanted);
        if (refused !== null) return refused;
      }
    }
    if (undone === null || others.length === 0) return null;
    const overflow = isOp(producer, "add") ? this.#carry(producer, undone) : null;
    return overflow ?? this.#send(others, undone);
  }

  /** A node with the constants it has by now. */
  #current(node: Node): Node {
    const constants = this.#sites.get(node);
    return constants === undefined ? node : withConstants(node, node.inputs, constants);
  }

  #replace(node: Node, { constants }: Absorbed): void {
    const replaced = this.#sites.get(node) ?? new Map<number, Node>();
    this.#sites.set(node, replaced);
    for (const [index, { data, type }] of constants) {
      const name = node.inputs[index]?.name ?? `${node.name}.bias`;
      replaced.set(index, constantNode(data, { dtype: type.dtype, name }));
    }
  }
}

/** A node on other inputs, and with other constants. */
export function withConstants(
  node: Node,
  inputs: readonly Node[],
  constants: ReadonlyMap<number, Node>,
): Node {
  const next = [...inputs];
  for (const [index, constant] of constants) next[index] = constant;
  return apply(node.op as OpName, next, { attrs: node.attrs as AttrsOf<OpName>, name: node.name });
}
