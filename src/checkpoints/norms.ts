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
  repBatchNorm,
  rmsNorm,
  unifiedNorm,
} from "../norms/families.ts";
import { BATCH_NORM, EPSILON, NORMALIZATION } from "./common_settings.ts";
import type { CheckpointView, Settle } from "./define.ts";
import type { Evidence, Known } from "./settings.ts";

export interface NormKindOptions {
  /** Scopes of the file's normalizations. */
  readonly scopes: RegExp;
  /**
   * What a library adds to the variance in Layer Normalization and RMSNorm; 1e-5 unless said, as to the
   * others.
   */
  readonly epsilon?: number;
  /** What is left to assume of the epsilon in PRepBN and RepBN where it is not PyTorch's 1e-5. */
  readonly ofPrepbn?: Evidence<number>;
  /** What is published of the architecture that the file names. */
  readonly published?: {
    readonly epsilon?: Evidence<number>;
    readonly normalization?: Evidence<"ln" | "rms">;
  };
  /** Of a layout in which Batch Normalization is published in two forms of the same tensors. */
  readonly batchNorm?: Known<"plain" | "scaled">;
  /** Whether scopes may be of different kinds; those of the model then have the file's names. */
  readonly mixed?: boolean;
  /**
   * Groups of PowerNorm's GroupScaling, of which no tensor tells: the number of heads, in the reference code.
   */
  readonly groups: number;
}

/**
 * The normalization of a file: PRepBN and RepBN by the Batch Normalization within, PowerNorm by
 * `running_phi`, Batch Normalization by `running_mean` (Batch Renormalization by a `running_std` beside it),
 * Unified Normalization by `running_var` alone, Dynamic Tanh by `alpha`, Layer Normalization by a bias. A
 * gain alone is RMSNorm's or that of a Layer Normalization without bias, which is settled. Where there are
 * several kinds and the layout allows it, each scope has its own.
 *
 * @throws {UnfoldError} running statistics that are missing, kinds that the layout does not allow side by
 *   side, or nothing tells which a gain is of
 */
export function normOf(file: CheckpointView, settle: Settle, options: NormKindOptions): Norm {
  const leaves = new Map<string, Set<string>>();
  for (const name of file.names()) {
    const scope = scopeOf(name, options.scopes);
    if (scope === undefined) continue;
    leaves.set(scope, (leaves.get(scope) ?? new Set()).add(name.slice(scope.length + 1)));
  }
  for (const [scope, has] of leaves) {
    const left = LEFT_BY_TRAINING.find((leaf) => has.has(leaf));
    if (left === undefined || !["ln", "gain"].includes(kindOf(has))) continue;
    throw new UnfoldError(
      `${file.path} has ${scope}.${left}, as training with running statistics leaves it, but none of these statistics ` +
        "(running_phi, running_mean, running_var): the file lacks a part",
    );
  }
  const kindAt = new Map([...leaves].map(([scope, has]) => [scope, kindOf(has)]));
  const kinds = new Map([...kindAt].map(([scope, kind]) => [kind, scope]));
  if (kinds.size <= 1) return normOfKind(settle, [...kinds.keys()][0] ?? "ln", options);
  if (!options.mixed) {
    const found = [...kinds].map(([kind, scope]) => `${kind} (${scope})`).join(" and ");
    throw new UnfoldError(
      `${file.path} has normalizations of two kinds, ${found}; UNfold reads files of one`,
    );
  }
  const norms = new Map([...kinds.keys()].map((kind) => [kind, normOfKind(settle, kind, options)]));
  const all = [...norms.values()];
  const first = all.find(({ family }) => family !== "ln") ?? all[0]!;
  return {
    ...scopedNorm(first, (scope) => norms.get(kindAt.get(scope)!)),
    label: all.map(({ label }) => label).join(" and "),
    offline: all.every(({ offline }) => offline),
    ignoredKeys: [...new Set(all.flatMap(({ ignoredKeys }) => ignoredKeys))],
  };
}

/** What stands beside running statistics, in the papers' code and in PyTorch's. */
const LEFT_BY_TRAINING = ["ema_gz", "iters", "num_batches_tracked"];

/** The outermost normalization that a tensor lies in: PRepBN has scopes within its own, of the same names. */
function scopeOf(name: string, scopes: RegExp): string | undefined {
  for (let dot = name.indexOf("."); dot >= 0; dot = name.indexOf(".", dot + 1)) {
    const scope = name.slice(0, dot);
    if (scopes.test(scope)) return scope;
  }
  return undefined;
}

function normOfKind(
  settle: Settle,
  found: Kind,
  { epsilon = EPSILON_USUAL, ofPrepbn, groups, published = {}, batchNorm: ofBatch }: NormKindOptions,
): Norm {
  if (found === "dyt") return dynamicTanh();
  // Weights and biases without statistics are also what is left of a BatchNorm that tracks none; whoever says
  // so is refused.
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
  // What libraries and architectures publish is of the normalization that they have.
  const isTheirs = kind === "ln" || kind === "rms";
  const options = {
    epsilon: settle(EPSILON, {
      published: isTheirs ? published.epsilon : undefined,
      assumed: (kind === "prepbn" || kind === "repbn" ? ofPrepbn : undefined) ?? {
        value: isTheirs ? epsilon : EPSILON_USUAL,
        why: `the usual one of ${LABELS[kind]}, nothing in the file says`,
      },
    }),
  };
  if (kind === "pngs") return powerNormGroupScaling({ ...options, groups });
  if (kind === "bn" && ofBatch !== undefined) {
    return batchNorm({ ...options, scaled: settle(BATCH_NORM, ofBatch) === "scaled" });
  }
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
  prepbn: repBatchNorm,
  repbn: (options: NormOptions) => repBatchNorm({ ...options, within: "" }),
};
const LABELS = {
  un: "Unified Normalization",
  bn: "Batch Normalization",
  brn: "Batch Renormalization",
  ln: "Layer Normalization here",
  rms: "RMSNorm here",
  pngs: "PowerNorm",
  prepbn: "the Batch Normalization in PRepBN",
  repbn: "the Batch Normalization in RepBN",
};
type Kind = "prepbn" | "repbn" | "un" | "bn" | "brn" | "dyt" | "ln" | "pngs" | "gain";

function kindOf(has: ReadonlySet<string>): Kind {
  if (has.has("norm2.bn.running_mean")) return "prepbn";
  if (has.has("bn.running_mean") && has.has("alpha")) return "repbn";
  if (has.has("running_phi")) return "pngs";
  if (has.has("running_mean")) return has.has("running_std") ? "brn" : "bn";
  if (has.has("alpha")) return "dyt";
  if (has.has("running_var")) return "un";
  // "beta" is TensorFlow's word, in the oldest files of BERT.
  return has.has("bias") || has.has("beta") ? "ln" : "gain";
}
