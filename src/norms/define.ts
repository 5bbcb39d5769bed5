/**
 * A normalization family, said once: its record holds the words for it, what of it stays at inference and
 * why, the tensors that prove it and what it computes. `families.ts` lists the records, and help, schemas,
 * recognition of files and reasons of the fold derive from them. Every family ends in one gain and shift per
 * channel, which the fold moves into the products around it. Of an offline family that is all; an online one
 * has an operator in front of it, which stays.
 */
import { EPSILON, given, type Kind, optional } from "../ir/given.ts";
import type { Node } from "../ir/graph.ts";
import type { DynamicTanhAttrs } from "../ops/activations/dynamic_tanh.ts";
import type { GroupNormAttrs } from "../ops/group_norm.ts";
import type { NormAttrs } from "../ops/layer_norm.ts";
import type { RmsNormAttrs } from "../ops/rms_norm.ts";
import type { WeightHint } from "../weights/source.ts";

/** What a normalization may ask of the parameter scope it is applied in; the DSL's `Scope` is one. */
export interface NormScope {
  /** A vector of the checkpoint as float64; axes of size 1 around it do not count. */
  vector(name: string, length: number, hint: WeightHint): Float64Array;
  /** A normalization's input-dependent part, an operator of its own; gain and shift come behind it. */
  statistics<Op extends StatisticsOp>(op: Op, x: Node, attrs: Omit<StatisticsAttrs[Op], "norm">): Node;
  /** `scale * x + shift` over the last axis, named after this scope; `centred`: of `x - mean x`. */
  affine(x: Node, options: AffineOptions): Node;
  /** The scope's own path: "blocks.0.norm1". */
  readonly path: string;
}

/** Operators with statistics at run time, or a nonlinearity in their place, with their attributes. */
export interface StatisticsAttrs {
  readonly layer_norm: NormAttrs;
  readonly rms_norm: RmsNormAttrs;
  readonly group_norm: GroupNormAttrs;
  readonly dynamic_tanh: DynamicTanhAttrs;
}
export type StatisticsOp = keyof StatisticsAttrs;

/** A gain and a shift, `[C]` each; `centred`: of `x - mean x`. */
export interface Vectors {
  readonly scale: Float64Array;
  readonly shift: Float64Array;
  readonly centred?: boolean;
}

export interface AffineOptions extends Vectors {
  /** The word of a family, or "layerscale". */
  readonly family: string;
}

/** A normalization of one family. */
export interface FamilyNorm<Word extends string = string> {
  /** The word of `--norm` and of file names: "un". */
  readonly family: Word;
  /** The name in full, for people. */
  readonly label: string;
  /** Whether inference needs no statistics of the input, so that the fold can remove it. */
  readonly offline: boolean;
  /** Keys that training leaves beside the parameters and inference does not read. */
  readonly ignoredKeys: readonly string[];
  /**
   * Normalizes the last axis of `x`, `[..., C]`.
   *
   * @internal
   */
  apply(x: Node, scope: NormScope): Node;
}

/** What every normalization takes. */
export interface NormOptions {
  /** Added under the square root; checkpoints do not carry it. */
  readonly epsilon?: number;
}

/** Why something of an online family stays. */
export interface Online {
  /** In words that fit behind "stays: ". */
  readonly why: string;
  /** The operator that means this family where no gain and shift tells it; families may share one. */
  readonly operator?: StatisticsOp;
}

/** Tensors that no other family leaves in a scope: they prove this family, made with these options. */
export interface Proof<Options> {
  readonly tensors: readonly string[];
  readonly options?: Options;
  /** What has the epsilon of such a file, where that is not the label. */
  readonly called?: string;
}

/** A normalization family: makes a normalization of it, and says what there is to know of the family. */
export interface NormMaker<Word extends string = string, Options extends NormOptions = NormOptions> {
  /** A normalization of this family. */
  (options?: Options): FamilyNorm<Word>;
  /** The word of `--norm`: "un". */
  readonly word: Word;
  /** The name in full, for people. */
  readonly label: string;
  /** What holds unless an option says otherwise. */
  readonly defaults: Options;
  /**
   * What stays of an online family; an offline one has none.
   *
   * @internal
   */
  readonly online?: Online;
  /**
   * What the fold does to it, for the README, where that is not "completely" or "gain, shift; statistics
   * stay".
   *
   * @internal
   */
  readonly folds?: string;
  /**
   * A commoner family with the same tensors, as which messages know a file.
   *
   * @internal
   */
  readonly alike?: string;
  /**
   * How the tensors of a scope prove this family.
   *
   * @internal
   */
  readonly proofs?: readonly Proof<Options>[];
}

/** All of a family. */
type FamilyRecord<Word extends string, Options extends NormOptions> =
  & { readonly [fact in keyof NormMaker<Word, Options>]: NormMaker<Word, Options>[fact] }
  & {
    readonly defaults: Required<Options>;
    /** The name of what makes it, for messages: "unifiedNorm". */
    readonly maker: string;
    readonly ignoredKeys?: readonly string[];
    /** Its options' kinds, epsilon's aside. */
    readonly takes?: { readonly [option in Exclude<keyof Options, "epsilon">]-?: Kind };
    /** What an option changes of what is said of the family's normalizations. */
    form?(options: Required<Options>): Partial<Pick<FamilyNorm, "label" | "offline">>;
    /** The gain and shift, of `of` where they come behind something else than `x`; null of the identity. */
    apply(x: Node, scope: NormScope, options: Required<Options>): (Vectors & { readonly of?: Node }) | null;
  };

/** Makes the maker of a family's normalizations from the family's record. */
export function normMaker<const Word extends string, Options extends NormOptions>(
  { maker, ignoredKeys = [], takes, form, apply, ...facts }: FamilyRecord<Word, NoInfer<Options>>,
): NormMaker<Word, Options> {
  const { word: family, label, defaults, online } = facts;
  const kinds = { epsilon: optional(EPSILON), ...takes } as { [option in keyof Required<Options>]: Kind };
  const make = (options: Options = {} as Options): FamilyNorm<Word> => {
    const chosen = { ...defaults, ...given(maker, options, kinds) };
    return {
      family,
      label,
      offline: online === undefined,
      ignoredKeys,
      ...form?.(chosen),
      apply: (x, scope) => {
        const affine = apply(x, scope, chosen);
        if (affine === null) return x;
        const { of = x, ...vectors } = affine;
        return scope.affine(of, { ...vectors, family });
      },
    };
  };
  return Object.assign(make, facts);
}
