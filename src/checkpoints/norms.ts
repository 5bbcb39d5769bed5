/** Which normalization a file was trained with, told by the tensors that each leaves. */
import { UnfoldError } from "../errors.ts";
import {
  batchNorm,
  batchRenorm,
  dynamicTanh,
  layerNorm,
  type Norm,
  type NormOptions,
  powerNormGroupScaling,
  rmsNorm,
  unifiedNorm,
} from "../norms/mod.ts";
import { EPSILON, NORMALIZATION } from "./common_settings.ts";
import type { CheckpointView, Settle } from "./define.ts";
import type { Evidence } from "./settings.ts";

export interface NormKindOptions {
  /** Scopes of the file's normalizations: each that is there must be of one kind. */
  readonly scopes: RegExp;
  /** What a library adds to the variance in Layer Normalization and RMSNorm; 1e-5 unless said, as to the others. */
  readonly epsilon?: number;
  /** What is published of the architecture that the file names. */
  readonly published?: {
    readonly epsilon?: Evidence<number>;
    readonly normalization?: Evidence<"ln" | "rms">;
  };
  /** Groups of PowerNorm's GroupScaling, of which no tensor tells: the number of heads, in the reference code. */
  readonly groups: number;
}

/**
 * The one normalization of a file: PowerNorm by `running_phi`, Batch Normalization by `running_mean` (Batch
 * Renormalization by a `running_std` beside it), Unified Normalization by `running_var` alone, Dynamic Tanh by `alpha`, Layer
 * Normalization by a bias. A gain alone is RMSNorm's or that of a Layer Normalization without bias, which is settled.
 *
 * @throws {UnfoldError} two kinds in one file, or nothing tells which a gain is of
 */
export function normOf(
  file: CheckpointView,
  settle: Settle,
  { scopes, epsilon = EPSILON_USUAL, groups, published = {} }: NormKindOptions,
): Norm {
  const leaves = new Map<string, Set<string>>();
  for (const name of file.names()) {
    const dot = name.lastIndexOf(".");
    const scope = name.slice(0, dot);
    if (scopes.test(scope)) leaves.set(scope, (leaves.get(scope) ?? new Set()).add(name.slice(dot + 1)));
  }
  const kinds = new Map([...leaves].map(([scope, has]) => [kindOf(has), scope]));
  if (kinds.size > 1) {
    const found = [...kinds].map(([kind, scope]) => `${kind} (${scope})`).join(" and ");
    throw new UnfoldError(
      `${file.path} has normalizations of two kinds, ${found}; UNfold reads files of one`,
    );
  }
  const [found = "ln"] = kinds.keys();
  if (found === "dyt") return dynamicTanh();
  // Weights and biases without statistics are also what is left of a BatchNorm that tracks none; whoever says so is refused.
  const kind = found === "gain"
    ? settle(NORMALIZATION, {
      published: published.normalization,
      ask: "it has gains alone: RMSNorm, or Layer Normalization without bias",
    })
    : found === "ln"
    ? settle(NORMALIZATION, {
      published: published.normalization,
      assumed: { value: "ln", why: "weight and bias without statistics, nothing says otherwise" },
      fits: (value) => value === "ln" ? undefined : "its normalizations have biases, which RMSNorm has not",
    })
    : found;
  const usual = kind === "ln" || kind === "rms" ? epsilon : EPSILON_USUAL;
  const options = {
    epsilon: settle(EPSILON, {
      published: published.epsilon,
      assumed: { value: usual, why: `the usual one of ${LABELS[kind]}, nothing in the file says` },
    }),
  };
  if (kind === "pngs") return powerNormGroupScaling({ ...options, groups });
  return found === "gain" && kind === "ln" ? layerNorm({ ...options, bias: false }) : MAKERS[kind](options);
}

/** A normalization with another one in the scopes for which `other` gives it. */
export function scopedNorm(norm: Norm, other: (scope: string) => Norm | undefined): Norm {
  return { ...norm, apply: (x, scope) => (other(scope.path) ?? norm).apply(x, scope) };
}

const EPSILON_USUAL = 1e-5;

const MAKERS = {
  un: unifiedNorm,
  bn: batchNorm,
  brn: (options: NormOptions) => batchRenorm({ ...options, running: "deviation" }),
  ln: layerNorm,
  rms: rmsNorm,
};
const LABELS = {
  un: "Unified Normalization",
  bn: "Batch Normalization",
  brn: "Batch Renormalization",
  ln: "Layer Normalization here",
  rms: "RMSNorm here",
  pngs: "PowerNorm",
};
type Kind = "un" | "bn" | "brn" | "dyt" | "ln" | "pngs" | "gain";

function kindOf(has: ReadonlySet<string>): Kind {
  if (has.has("running_phi")) return "pngs";
  if (has.has("running_mean")) return has.has("running_std") ? "brn" : "bn";
  if (has.has("alpha")) return "dyt";
  if (has.has("running_var")) return "un";
  // "beta" is TensorFlow's word, in the oldest files of BERT.
  return has.has("bias") || has.has("beta") ? "ln" : "gain";
}
