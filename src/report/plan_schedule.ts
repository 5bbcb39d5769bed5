/**
 * The kernel schedule inside a TensorRT plan, as text: what it says, which DSL layers each kernel can be traced to, and
 * which kernels take a normalization's statistics. The format is NVIDIA's and undocumented; everything here was observed
 * with TensorRT for RTX 1.7.1, and whatever was not observed ends in `ScheduleUnknown` rather than in a number. Leaves
 * out finding the text in the file (`plan.ts`), the memory plan and the kernels' code.
 *
 * Observed: a text is `header { ... }`, `descriptors { ... }`, `main { ... }` and, with open sizes or slices, `shape_main
 * { ... }`. The statements of `main` are started in this order; `shape_main` computes sizes on the host and is not
 * counted. A statement is `kind={ key=value ... }`, names in double quotes, lists as `{ "a" "b" }`. With open sizes,
 * `main` has `reshape` and `cast` statements too, on single numbers in host memory, which are no kernels.
 */

/** The schedule cannot be counted; `message` says why. Stays inside `report/`. */
export class ScheduleUnknown extends Error {
  override readonly name = "ScheduleUnknown";
}

/** Statements that start one kernel each: generated code, a product, a product with its epilogue, a convolution. */
export const KERNEL_KINDS: readonly string[] = ["function", "fully_connected", "runtime_fusion", "corrltn"];
/** Statements that start none: events between streams, and the call of `shape_main`. */
export const OTHER_KINDS: readonly string[] = ["signal", "wait", "shape_call"];

/** One statement of `main` that starts a kernel. */
export interface Kernel {
  readonly kind: string;
  /** The plan's own: `__myl_MeanSubMul...` where code was generated, a layer's name otherwise. */
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Names that each output is known by, its own and those of the fusions that read it. */
  readonly outputNames: readonly (readonly string[])[];
  /** Names inside a fusion's body. */
  readonly innerNames: readonly string[];
}

/** One text of the plan. */
export interface ScheduleText {
  /** The epilogue of one `runtime_fusion` statement rather than a schedule of its own. */
  readonly isFusionBody: boolean;
  /** The optimization profile it was compiled for. */
  readonly profile: number;
  readonly text: string;
}

/** What the header of a text says it is. */
export function classifyText(text: string): ScheduleText {
  const end = text.indexOf("\n}\n");
  const header = end < 0 ? text : text.slice(0, end);
  // The bodies of runtime fusions have a region of their own, the engine's schedules the engine's.
  const isFusionBody = header.includes("name=runtime-fusion-consts ");
  // Profile 0 has no mark; the names of profile n end in ` [profile n]`, those of inputs and outputs included.
  const mark = /^ *(?:inputs|outputs)=\{[^\n]* \[profile (\d+)\]/m.exec(header);
  return { isFusionBody, profile: mark ? Number(mark[1]) : 0, text };
}

/**
 * The kernels of a schedule in the order they are started, with the names its fusions' bodies give them.
 *
 * @throws {ScheduleUnknown} a statement that was never observed, a text that is cut off
 */
export function parseSchedule(text: string, bodies: readonly string[]): readonly Kernel[] {
  const isOnHost = hostTensors(text);
  const kernels = mainStatements(text).filter(({ kind, body }) => {
    if (KERNEL_KINDS.includes(kind)) return true;
    if (OTHER_KINDS.includes(kind)) return false;
    const operands = [...listOf(body, "inputs"), ...listOf(body, "outputs")];
    if (operands.length > 0 && operands.every(isOnHost)) return false;
    throw new ScheduleUnknown(
      `the kernel schedule has a \`${kind}\` statement, which TensorRT for RTX 1.7.1 was not seen to write: it may be a kernel or not`,
    );
  });
  const fusions = kernels.filter(({ kind }) => kind === "runtime_fusion");
  // The body of a fusion lies `binary=` places behind its schedule; its inputs and outputs are the statement's
  // arguments under their own names, in the same order. Anything else means that names cannot be trusted: none are used.
  const aliases = new Map<string, string[]>();
  const inside = new Map<Statement, readonly string[]>();
  if (fusions.length === bodies.length) {
    for (const fusion of fusions) {
      const body = bodies[Number(/\bbinary ?= ?(\d+)/.exec(fusion.body)?.[1] ?? -1)];
      if (body === undefined) continue;
      inside.set(fusion, bodyNames(body));
      for (const key of ["inputs", "outputs"] as const) {
        const [here, there] = [listOf(fusion.body, key), headerList(body, key)];
        if (here.length !== there.length) continue;
        here.forEach((name, i) => aliases.set(name, [...aliases.get(name) ?? [], there[i]!]));
      }
    }
  }
  const baseOf = baseNames(text);
  for (const [name, others] of [...aliases]) {
    const base = baseOf(name);
    if (base !== name) aliases.set(base, [...aliases.get(base) ?? [], ...others]);
  }
  return kernels.map((statement) => {
    const outputs = listOf(statement.body, "outputs").map(baseOf);
    return {
      kind: statement.kind,
      name: statement.name.replace(PROFILE_MARK, ""),
      inputs: listOf(statement.body, "inputs").map(baseOf),
      outputs,
      outputNames: outputs.map((output) => [output, ...aliases.get(output) ?? []]),
      innerNames: inside.get(statement) ?? [],
    };
  });
}

interface Statement {
  readonly kind: string;
  readonly name: string;
  readonly body: string;
}

/** The statements of `main`, every one of them understood as far as its kind and its end. */
function mainStatements(text: string): Statement[] {
  const start = text.search(/^main \{$/m);
  if (start < 0) throw new ScheduleUnknown("a kernel schedule has no `main` section");
  const statements: Statement[] = [];
  let labels = 0;
  const item = /\s*(?:(\})|label [^\s:]+:|([A-Za-z_]\w*)=\{)/y;
  item.lastIndex = start + "main {".length;
  for (;;) {
    const at = item.lastIndex;
    const match = item.exec(text);
    if (!match) {
      const rest = text.slice(at).trim();
      const what = rest === ""
        ? "ends in the middle"
        : `is not understood at \`${rest.slice(0, 40).split("\n")[0]}\``;
      throw new ScheduleUnknown(`the kernel schedule ${what}`);
    }
    if (match[1]) return statements;
    const kind = match[2];
    if (kind === undefined) {
      // A second label would be a branch or a loop: statements that run never, or often.
      if (++labels > 1) {
        throw new ScheduleUnknown("the kernel schedule has branches, which cannot be counted");
      }
      continue;
    }
    const end = closingBrace(text, item.lastIndex);
    if (end < 0) throw new ScheduleUnknown("the kernel schedule ends in the middle of a statement");
    const body = text.slice(item.lastIndex, end);
    const name = /(?:^|\s)name=(?:"([^"]*)"|([^\s{}"]+))/.exec(body);
    statements.push({ kind, name: name?.[1] ?? name?.[2] ?? "", body });
    item.lastIndex = end + 1;
  }
}

/** Where the brace that is open at `from` closes; names in quotes may hold braces (`{ForeignNode[...]}`). */
function closingBrace(text: string, from: number): number {
  const token = /"[^"]*"|[{}]/g;
  token.lastIndex = from;
  let depth = 1;
  for (let match = token.exec(text); match; match = token.exec(text)) {
    if (match[0] === "{") depth++;
    if (match[0] === "}" && --depth === 0) return match.index;
  }
  return -1;
}

const LIST = /(?:^|\s)KEY=\{((?:\s*"[^"]*")*)\s*\}/.source;
// `function` and `runtime_fusion` say `input_args`, the others `input`.
const LISTS = {
  inputs: new RegExp(LIST.replace("KEY", "input(?:_args)?")),
  outputs: new RegExp(LIST.replace("KEY", "output(?:_args)?")),
};
const HEADER_LISTS = {
  inputs: new RegExp(LIST.replace("KEY", "inputs")),
  outputs: new RegExp(LIST.replace("KEY", "outputs")),
};
const quoted = (list: string | undefined) =>
  [...(list ?? "").matchAll(/"([^"]*)"/g)].map((match) => match[1]!);
const listOf = (body: string, key: "inputs" | "outputs") => quoted(LISTS[key].exec(body)?.[1]);
const headerList = (text: string, key: "inputs" | "outputs") => quoted(HEADER_LISTS[key].exec(text)?.[1]);

/** Whether a tensor lies in memory of the host: `region = { name=... place=host ... }`, `tensor={ name=... region=... }`. */
function hostTensors(text: string): (name: string) => boolean {
  const regions = new Set<string>();
  for (const [, name] of text.matchAll(/^ *region = \{ name=(\S+) [^\n]*\bplace=host /gm)) regions.add(name!);
  const tensors = new Set<string>();
  for (
    const [, name, region] of text.matchAll(/^ *tensor=\{[^\n]*? name="([^"]*)"[^\n]*? region="?([^"\s]*)/gm)
  ) {
    if (regions.has(region!)) tensors.add(name!);
  }
  return (name) => tensors.has(name);
}

/** `sub_tensor` is a view of `base`: for the flow of values they are one. */
function baseNames(text: string): (name: string) => string {
  const bases = new Map<string, string>();
  for (const [, base, name] of text.matchAll(/^ *sub_tensor=\{ base="([^"]*)"[^\n]*? name="([^"]*)"/gm)) {
    bases.set(name!, base!);
  }
  return (name) => {
    for (let hops = 0; hops < 8 && bases.has(name); hops++) name = bases.get(name)!;
    return name;
  };
}

/** Names in a fusion's body, which lists single operations instead of kernels: any kind may occur. */
function bodyNames(body: string): string[] {
  try {
    return mainStatements(body).flatMap((
      operation,
    ) => [operation.name, ...listOf(operation.body, "outputs")]);
  } catch (error) {
    if (error instanceof ScheduleUnknown) return [];
    throw error;
  }
}

/** Every name of a layer or tensor that a kernel's work is known by, as the plan spells it. */
export const namesOf = ({ name, outputNames, innerNames }: Kernel): string[] => [
  name,
  ...outputNames.flat(),
  ...innerNames,
];

const PROFILE_MARK = / \[profile \d+\]/g;

/**
 * The DSL's name in a plan's: emitted layers are called `<node>/<kind>`, to which TensorRT adds endings of its own.
 * `b.0.norm1/normalization_normalizationBiased.1` gives `b.0.norm1`; names that TensorRT made up give `undefined`.
 */
export function layerOf(name: string): string | undefined {
  const own = name.replace(PROFILE_MARK, "").replace(/^\/+/, "");
  if (/^(__|proxy_|\{)/.test(own)) return undefined;
  const cut = own.lastIndexOf("/");
  return cut > 0 ? own.slice(0, cut) : undefined;
}

/**
 * The block a layer belongs to: up to its first `name.<number>.`, and the numbers nested in it where something follows.
 * `blocks.3.mlp.fc1` is in `blocks.3`, `layers.0.blocks.1.attn` in `layers.0.blocks.1`, `blocks.3.mlp.0` in `blocks.3`.
 */
export function blockOf(layer: string): string | undefined {
  const scope = layer.split("/")[0]!;
  return /^(?:[^.]+\.)*?[^.\d][^.]*\.\d+(?=\.)(?:(?:\.[^.\d][^.]*)?\.\d+(?=\.))*/.exec(scope)?.[0];
}

/**
 * Which kernels take the statistics of a normalization, and why that cannot be said where it cannot.
 *
 * Generated kernels are named after the operations they fuse. A normalization is the one thing with a square root of a
 * mean: `... Mean [Add] Sqrt Div ...` (LayerNorm `MeanSubMulMeanAddSqrtDivMulMulAdd`, RMSNorm `MulMeanAddSqrtDivMul`);
 * a softmax (`MaxrSubExpSumDivMul`) has no mean and a mean over tokens no root. Some normalizations, the last one mostly,
 * are split in two: a kernel with the mean of squares and, as the flow of values says, a reader that starts at the root.
 * The first of the two counts. So there is one such kernel for each normalization, split or not. Layer names are the second witness:
 * `addNormalization` layers are called `<node>/normalization`, and finding more of them than kernels means that this
 * reading is wrong.
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
      while (before >= 0 && /^(Add|Cast|Move|Resh)$/.test(operations[before]!)) before--;
      if (operations[before] === "Mean") {
        flags[i] = true;
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

/** A mean of squares that the kernel takes no root of. */
function hasSquaresLeft(operations: readonly string[] | undefined): boolean {
  const last = operations?.lastIndexOf("Mean") ?? -1;
  if (last < 1 || operations!.slice(last).some(isRoot)) return false;
  const before = operations!.slice(0, last).filter((operation) => operation !== "Cast").at(-1);
  return before === "Mul";
}

/** Operations of a generated kernel; none for products, convolutions and attention; undefined for what is not known. */
function operationsOf({ kind, name }: Kernel): readonly string[] | undefined {
  if (kind === "fully_connected" || kind === "corrltn") return [];
  const fused = /^__myl_(\w+)$/.exec(name)?.[1];
  if (fused !== undefined) return fused.match(/[A-Z][a-z0-9]*/g) ?? [];
  return name.startsWith("_gemm_mha") ? [] : undefined;
}

/**
 * Where each kernel belongs: a block's scope, null for what is traced to layers outside of blocks, undefined for what
 * cannot be traced. A normalization belongs to what reads it first, which is the next product, so the residual sum or
 * the embedding it is fused with counts there too.
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
