/**
 * The kernel schedule inside a TensorRT plan, as text: which kernels it starts, in which order, on which
 * values. The format is NVIDIA's and undocumented; everything here was observed with TensorRT for RTX 1.7.1,
 * and whatever was not observed ends in `ScheduleUnknown` rather than in a number. Leaves out finding the
 * text in the file (`plan.ts`), what kernels do and which layers they come from (`plan_kernels.ts`), the
 * memory plan and the kernels' code.
 *
 * Observed: a text is `header { ... }`, `descriptors { ... }`, `main { ... }` and, with open sizes or slices,
 * `shape_main { ... }`. The statements of `main` are started in this order; `shape_main` computes sizes on
 * the host and is not counted. A statement is `kind={ key=value ... }`, names in double quotes, lists as
 * `{ "a" "b" }`. With open sizes, `main` has `reshape` and `cast` statements too, on single numbers in host
 * memory, which are no kernels.
 */

/** The schedule cannot be counted; `message` says why. Stays inside `report/`. */
export class ScheduleUnknown extends Error {
  override readonly name = "ScheduleUnknown";
}

/**
 * Statements that start one kernel each: generated code, the same compiled when the plan is loaded (it has a
 * grid and blocks like the former), a product, a product with its epilogue, a convolution, and pooling by a
 * kernel of the library that convolutions are of.
 */
const KERNEL_KINDS: readonly string[] = [
  "function",
  "runtime_function",
  "fully_connected",
  "runtime_fusion",
  "corrltn",
  "avgpool",
  "maxpool",
];
/** Statements that start none: events between streams, and the call of `shape_main`. */
const OTHER_KINDS: readonly string[] = ["signal", "wait", "shape_call"];

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
  /** Whether one of its outputs is of 8 bits or 4. */
  readonly writesFewBits: boolean;
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
  // Profile 0 has no mark; names of profile n end in ` [profile n]`, inputs and outputs included.
  const mark = /^ *(?:inputs|outputs)=\{[^\n]* \[profile (\d+)\]/m.exec(header);
  return { isFusionBody, profile: mark ? Number(mark[1]) : 0, text };
}

/** A name as it is under profile 0. */
export function withoutProfile(name: string): string {
  return name.replace(/ \[profile \d+\]/g, "");
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
  // The body of a fusion lies `binary=` places behind its schedule; its inputs and outputs are the
  // statement's arguments under their own names, in the same order. Anything else means that names cannot be
  // trusted: none are used.
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
  const isOfFewBits = tensorsOfFewBits(text);
  for (const [name, others] of [...aliases]) {
    const base = baseOf(name);
    if (base !== name) aliases.set(base, [...aliases.get(base) ?? [], ...others]);
  }
  return kernels.map((statement) => {
    const written = listOf(statement.body, "outputs");
    const outputs = written.map(baseOf);
    return {
      kind: statement.kind,
      name: withoutProfile(statement.name),
      inputs: listOf(statement.body, "inputs").map(baseOf),
      outputs,
      outputNames: outputs.map((output) => [output, ...aliases.get(output) ?? []]),
      innerNames: inside.get(statement) ?? [],
      writesFewBits: written.some(isOfFewBits),
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

/** Whether a tensor is in host memory: `region = { name=... place=host }`, `tensor={ ... region=... }`. */
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

/** Whether a tensor's numbers are what is quantized to: `tensor={ ... name="..." ... type=int8 }`. */
function tensorsOfFewBits(text: string): (name: string) => boolean {
  const all = text.matchAll(
    /^ *(?:sub_)?tensor=\{[^\n]*? name="([^"]*)"[^\n]*? type=(?:int8|uint8|int4|fp8_e4m3|fp4_e2m1)\b/gm,
  );
  const tensors = new Set([...all].map(([, name]) => name!));
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
    return mainStatements(body).flatMap(({ name, body }) => [name, ...listOf(body, "outputs")]);
  } catch (error) {
    if (error instanceof ScheduleUnknown) return [];
    throw error;
  }
}
