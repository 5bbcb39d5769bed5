/** Which normalization a file was trained with, told by the tensors that each leaves. */
import { UnfoldError } from "../errors.ts";
import { FAMILIES, layerNorm, type Norm, NORMS } from "../norms/families.ts";
import { provenFamily } from "../norms/keys.ts";
import { BATCH_NORM, EPSILON, NORMALIZATION } from "./common_settings.ts";
import type { CheckpointView, Settle } from "./define.ts";
import type { Evidence, Known, Setting } from "./settings.ts";

export interface NormKindOptions {
  /** Scopes of the file's normalizations. */
  readonly scopes: RegExp;
  /** Added to the variance in Layer Normalization and RMSNorm; 1e-5, as in the others, unless given. */
  readonly epsilon?: number;
  /** The setting of that epsilon, where configurations of the layout write it in another way. */
  readonly epsilonSetting?: Setting<number>;
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
  /** Groups of PowerNorm's GroupScaling, which no tensor tells: the heads, in the reference code. */
  readonly groups: number;
}

/** A scope's family, where tensors prove one; else a gain and a bias, or a gain alone. */
type Kind = NonNullable<ReturnType<typeof provenFamily>> | "ln" | "gain";

function kindOf(has: ReadonlySet<string>): Kind {
  // "beta" is TensorFlow's word, in the oldest files of BERT.
  return provenFamily(has) ?? (has.has("bias") || has.has("beta") ? "ln" : "gain");
}

const wordOf = (kind: Kind) => typeof kind === "string" ? kind : kind.family.word;

/**
 * The normalization of a file, by the tensors that prove a family, as its record has them. A gain and a bias
 * are Layer Normalization's where nothing says otherwise; a gain alone is RMSNorm's or that of a Layer
 * Normalization without bias, which is settled. Where there are several kinds and the layout allows it, each
 * scope has its own.
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
  const kindAt = new Map([...leaves].map(([scope, has]) => [scope, kindOf(has)]));
  for (const [scope, has] of leaves) {
    if (typeof kindAt.get(scope) !== "string") continue;
    const leftover = LEFT_BY_TRAINING.flatMap((key) => [...has].filter((leaf) => key.test(leaf)))[0];
    if (leftover === undefined) continue;
    throw new UnfoldError(
      `${file.path} has ${scope}.${leftover}, as training with running statistics leaves it, but none of these statistics ` +
        `(${[...STATISTICS].join(", ")}): the file lacks a part`,
    );
  }
  const kinds = new Map([...kindAt].map(([scope, kind]) => [kind, scope]));
  if (kinds.size <= 1) return normOfKind(settle, [...kinds.keys()][0] ?? "ln", options);
  if (!options.mixed) {
    const found = [...kinds].map(([kind, scope]) => `${wordOf(kind)} (${scope})`).join(" and ");
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

const TRAINED = FAMILIES.map((family) => ({ family, ignored: family().ignoredKeys }))
  .filter(({ ignored }) => ignored.length > 0);
/** What stands beside running statistics, in the papers' code and in PyTorch's. */
const LEFT_BY_TRAINING = TRAINED.flatMap(({ ignored }) => ignored).map((key) => new RegExp(`^(?:${key})$`));
const STATISTICS = new Set(
  TRAINED.flatMap(({ family: { proofs = [] } }) => proofs.map(({ tensors: [first] }) => first)),
);

/** The outermost normalization that a tensor lies in: PRepBN's parts are named as scopes are. */
function scopeOf(name: string, scopes: RegExp): string | undefined {
  for (let dot = name.indexOf("."); dot >= 0; dot = name.indexOf(".", dot + 1)) {
    const scope = name.slice(0, dot);
    if (scopes.test(scope)) return scope;
  }
  return undefined;
}

function normOfKind(
  settle: Settle,
  kind: Kind,
  { epsilon: libraries = EPSILON_USUAL, epsilonSetting = EPSILON, published = {}, ...of }: NormKindOptions,
): Norm {
  const { ofPrepbn, groups, batchNorm } = of;
  if (typeof kind !== "string") {
    const { family, proof: { options, called = family.label } } = kind;
    if (!("epsilon" in family.defaults)) return family(options);
    const assumed = family.word === "prepbn" ? ofPrepbn : undefined;
    const epsilon = settle(EPSILON, { assumed: assumed ?? usual(EPSILON_USUAL, called) });
    const form = family.word === "bn" && batchNorm
      ? { scaled: settle(BATCH_NORM, batchNorm) === "scaled" }
      : "groups" in family.defaults && { groups };
    return family({ ...options, ...form, epsilon });
  }
  // Weights and biases without statistics are also what is left of a BatchNorm that tracks none; whoever says
  // so is refused.
  const word = settle(NORMALIZATION, {
    published: published.normalization,
    ...(kind === "gain" ? { ask: "it has gains alone: RMSNorm, or Layer Normalization without bias" } : {
      assumed: { value: "ln", why: "weight and bias without statistics, nothing says otherwise" },
      fits: (value) => value === "ln" ? undefined : "its normalizations have biases, which RMSNorm has not",
    }),
  });
  // What libraries and architectures publish is of the normalization that they have.
  const epsilon = settle(epsilonSetting, {
    published: published.epsilon,
    assumed: usual(libraries, `${NORMS[word].label} here`),
  });
  return word === "ln" ? layerNorm({ epsilon, bias: kind === "ln" }) : NORMS[word]({ epsilon });
}

const EPSILON_USUAL = 1e-5;

const usual = (value: number, whose: string) => ({
  value,
  why: `the usual one of ${whose}, nothing in the file says`,
});

/** A normalization with another one in the scopes for which `other` gives it. */
export function scopedNorm(norm: Norm, other: (scope: string) => Norm | undefined): Norm {
  return { ...norm, apply: (x, scope) => (other(scope.path) ?? norm).apply(x, scope) };
}
