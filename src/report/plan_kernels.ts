/**
 * What the kernels of a TensorRT plan are for: which DSL layers and blocks each can be traced to, and which
 * take a normalization's statistics. Everything is read from names and the flow of values, as observed with
 * TensorRT for RTX 1.7.1; what cannot be told is said to be so. Leaves out reading the schedule, which is
 * `plan_schedule.ts`.
 */
import { type Kernel, withoutProfile } from "./plan_schedule.ts";

/** Every name of a layer or tensor that a kernel's work is known by, as the plan spells it. */
export const namesOf = ({ name, outputNames, innerNames }: Kernel): string[] => [
  name,
  ...outputNames.flat(),
  ...innerNames,
];

/**
 * The DSL's name in a plan's: emitted layers are called `<node>/<kind>`, to which TensorRT adds endings of
 * its own. `b.0.norm1/normalization_normalizationBiased.1` gives `b.0.norm1`; names that TensorRT made up
 * give `undefined`.
 */
export function layerOf(name: string): string | undefined {
  const path = withoutProfile(name).replace(/^\/+/, "");
  if (/^(__|proxy_|\{)/.test(path)) return undefined;
  const cut = path.lastIndexOf("/");
  return cut > 0 ? path.slice(0, cut) : undefined;
}

/**
 * The block a layer belongs to: up to its first `name.<number>.`, and the numbers nested in it where
 * something follows. `blocks.3.mlp.fc1` is in `blocks.3`, `layers.0.blocks.1.attn` in `layers.0.blocks.1`,
 * `blocks.3.mlp.0` in `blocks.3`.
 */
export function blockOf(layer: string): string | undefined {
  const scope = layer.split("/")[0]!;
  return /^(?:[^.]+\.)*?[^.\d][^.]*\.\d+(?=\.)(?:(?:\.[^.\d][^.]*)?\.\d+(?=\.))*/.exec(scope)?.[0];
}

/**
 * Which kernels take the statistics of a normalization, and why that cannot be said where it cannot.
 *
 * Generated kernels are named after the operations they fuse. A normalization is the one thing with a square
 * root of a mean: `... Mean [Add] Sqrt Div ...` (LayerNorm `MeanSubMulMeanAddSqrtDivMulMulAdd`, RMSNorm
 * `MulMeanAddSqrtDivMul`); a softmax (`MaxrSubExpSumDivMul`) has no mean, a mean over tokens no root, and the
 * length of a vector, by which an embedding is divided, is the root of a sum (`MulSumSqrtMaxDiv`). Some
 * normalizations, the last one mostly, are split in two: a kernel with the mean of squares and, as the flow
 * of values says, a reader that starts at the root. The first of the two counts. So there is one such kernel
 * for each normalization, split or not. Layer names are the second witness: `addNormalization` layers are
 * called `<node>/normalization`, and finding more of them than kernels means that this reading is wrong.
 */
export function normalizationKernels(
  kernels: readonly Kernel[],
): { readonly flags: readonly boolean[]; readonly doubt: string | null } {
  const flags = kernels.map(() => false);
  let doubt: string | null = null;
  kernels.forEach((kernel, i) => {
    const operations = operationsOf(kernel);
    if (operations === undefined) {
      doubt ??= `nothing is known about what the kernel ${kernel.name} does`;
      return;
    }
    for (const root of operations.flatMap((operation, at) => isRoot(operation) ? [at] : [])) {
      let before = root - 1;
      while (before >= 0 && /^(Add|Cast|Move|Resh|Repl)$/.test(operations[before]!)) before--;
      if (operations[before] === "Mean") {
        flags[i] = true;
      } else if (isLength(operations, root)) {
        continue;
      } else if (before < 0) {
        const sources = kernels.flatMap((other, j) =>
          j < i && other.outputs.some((output) => kernel.inputs.includes(output)) &&
            hasSquaresLeft(operationsOf(other))
            ? [j]
            : []
        );
        // Values come from the nearest one; a second can only be the source of the residual.
        if (sources.length > 0) flags[sources.at(-1)!] = true;
        else doubt ??= `the kernel ${kernel.name} takes a root of something that is not a mean`;
      } else {
        doubt ??= `the kernel ${kernel.name} takes a root of something that is not a mean`;
      }
    }
  });
  const named = new Set(
    kernels.flatMap(namesOf).filter((name) => name.includes("/normalization")).map(layerOf),
  );
  const count = flags.filter(Boolean).length;
  if (named.size > count) {
    doubt ??= `${named.size} normalization layers are named in it, but ${count} kernels look like one`;
  }
  return { flags, doubt };
}

const isRoot = (operation: string) => /^(Sqrt|Rsq)/.test(operation);

/** A root of a sum of squares: nothing is added in between, as every normalization adds its epsilon. */
function isLength(operations: readonly string[], root: number): boolean {
  const before = operations.slice(0, root).filter((operation) => !/^(Cast|Move|Resh)$/.test(operation));
  return before.at(-2) === "Mul" && before.at(-1) === "Sum";
}

/** A mean of squares that the kernel takes no root of. */
function hasSquaresLeft(operations: readonly string[] | undefined): boolean {
  const last = operations?.lastIndexOf("Mean") ?? -1;
  if (last < 1 || operations!.slice(last).some(isRoot)) return false;
  const before = operations!.slice(0, last).filter((operation) => operation !== "Cast").at(-1);
  return before === "Mul";
}

/** Kinds that are one operation of a library and nothing besides. */
const SINGLE: readonly string[] = ["fully_connected", "corrltn", "avgpool", "maxpool"];

/** Products, convolutions and attention, with their epilogues. */
export const isProduct = ({ kind, name }: Pick<Kernel, "kind" | "name">): boolean =>
  kind === "fully_connected" || kind === "runtime_fusion" || kind === "corrltn" || isAttention(name);

/** Of many queries, and of one. */
export const isAttention = (name: string): boolean => /^_gem[mv]_mha/.test(name);

/** A generated kernel's operations; none for what is one by itself, and attention; undefined if not known. */
function operationsOf({ kind, name }: Kernel): readonly string[] | undefined {
  if (SINGLE.includes(kind)) return [];
  const fused = /^__myl_(\w+)$/.exec(name)?.[1];
  if (fused !== undefined) return fused.match(/[A-Z][a-z0-9]*/g) ?? [];
  return isAttention(name) ? [] : undefined;
}

/**
 * Where each kernel belongs: a block's scope, null for what is traced to layers outside of blocks, undefined
 * for what cannot be traced. A normalization belongs to what reads it first, which is the next product, so
 * the residual sum or the embedding it is fused with counts there too.
 */
export function blocksOf(
  kernels: readonly Kernel[],
  isNormalization: readonly boolean[],
): readonly (string | null | undefined)[] {
  const blockOfLayers = (names: readonly string[]) => {
    const layers = names.flatMap((name) => layerOf(name) ?? []);
    return layers.length === 0 ? undefined : layers.flatMap((layer) => blockOf(layer) ?? []).at(-1) ?? null;
  };
  const blocks: (string | null | undefined)[] = kernels.map(() => undefined);
  // Backwards, so that answers travel up the flow to kernels without names.
  for (let i = kernels.length - 1; i >= 0; i--) {
    const { name, outputs, outputNames, innerNames } = kernels[i]!;
    const uses = outputs.map((output, at) => {
      const reader = kernels.findIndex((other, j) => j > i && other.inputs.includes(output));
      return { reader, own: blockOfLayers(outputNames[at]!), flow: reader < 0 ? undefined : blocks[reader] };
    });
    uses.sort((a, b) => (a.reader < 0 ? Infinity : a.reader) - (b.reader < 0 ? Infinity : b.reader));
    const first = isNormalization[i] ? uses[0] : uses.find(({ own }) => own !== undefined);
    const answers = [first?.own, blockOfLayers([name, ...innerNames]), ...uses.map(({ flow }) => flow)];
    blocks[i] = answers.find((answer) => answer !== undefined);
  }
  return blocks;
}
