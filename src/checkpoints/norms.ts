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
import type { CheckpointView } from "./define.ts";

export interface NormKindOptions {
  /** Scopes of the file's normalizations: each that is there must be of one kind. */
  readonly scopes: RegExp;
  readonly epsilon?: number | undefined;
  /** Groups of PowerNorm's GroupScaling, of which no tensor tells: the number of heads, in the reference code. */
  readonly groups: number;
}

/**
 * The one normalization of a file: PowerNorm by `running_phi`, Batch Normalization by `running_mean` (Batch
 * Renormalization by a `running_std` beside it), Unified Normalization by `running_var` alone, Dynamic Tanh by `alpha`, Layer
 * Normalization by a bias, RMSNorm by a gain.
 *
 * @throws {UnfoldError} two kinds in one file
 */
export function normOf(file: CheckpointView, { scopes, epsilon, groups }: NormKindOptions): Norm {
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
  const [kind = "ln"] = kinds.keys();
  const options = epsilon === undefined ? {} : { epsilon };
  return kind === "pngs" ? powerNormGroupScaling({ ...options, groups }) : MAKERS[kind](options);
}

const MAKERS = {
  un: unifiedNorm,
  bn: batchNorm,
  brn: (options: NormOptions) => batchRenorm({ ...options, running: "deviation" }),
  dyt: dynamicTanh,
  ln: layerNorm,
  rms: rmsNorm,
};
type Kind = keyof typeof MAKERS | "pngs";

function kindOf(has: ReadonlySet<string>): Kind {
  if (has.has("running_phi")) return "pngs";
  if (has.has("running_mean")) return has.has("running_std") ? "brn" : "bn";
  if (has.has("alpha")) return "dyt";
  if (has.has("running_var")) return "un";
  // "beta" is TensorFlow's word, in the oldest files of BERT.
  return has.has("bias") || has.has("beta") ? "ln" : "rms";
}
