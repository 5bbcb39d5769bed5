/**
 * What a compiled TensorRT plan will start on the device: kernels by kind, how many of them take a
 * normalization's statistics, how many each block needs. Read from the kernel schedule inside the file,
 * without a library or a GPU, and meant for diagnosis: the format is undocumented, so a plan that does not
 * read as expected gives null and the reason, never a guess. Leaves out times, and everything but the
 * schedule: weights and code are only searched through, and what runs outside of schedules (plugins; none
 * were seen) is not counted.
 *
 * Observed with TensorRT for RTX 1.7.1, little-endian: byte 0 `vtrt`; byte 16 u64, the file's length; bytes
 * 24 to 26 the library's version; byte 32 u64, the GPUs it is for (`emit/targets.ts`). Anywhere behind,
 * texts: `NLYM`, u32, u64 length, `header {` and so on. A plan has one schedule per optimization profile, in
 * order, each followed by one more text per `runtime_fusion` statement (its epilogue, as a tiny schedule of
 * its own with a `main {` that must not be counted).
 */
import { Buffer } from "node:buffer";
import { targetsOfPlan } from "../emit/targets.ts";
import { UnfoldError } from "../errors.ts";
import { blocksOf, isProduct, layerOf, namesOf, normalizationKernels } from "./plan_kernels.ts";
import { classifyText, type Kernel, parseSchedule, ScheduleUnknown } from "./plan_schedule.ts";

/** One kernel start. */
export interface PlanKernel {
  /** The plan's word: `function`, `fully_connected`, `runtime_fusion`, `corrltn` (convolution), `avgpool`. */
  readonly kind: string;
  /** The plan's name for it; generated kernels are called after the operations they fuse. */
  readonly name: string;
  /** DSL layers it can be traced to, in the order the plan names them. */
  readonly layers: readonly string[];
  /** `blocks.3`; null outside of blocks and where it cannot be traced. */
  readonly block: string | null;
  /** Takes a normalization's statistics; one kernel for each normalization. */
  readonly isNormalization: boolean;
  /** No product, and writes numbers of 8 bits or 4: what quantizes, whatever else it does. */
  readonly isQuantization: boolean;
}

/** Kernels of one block of the model. */
export interface PlanBlock {
  /** `blocks.3`. */
  readonly scope: string;
  /** Kernels that can be traced to it. */
  readonly kernels: number;
  /** Of them, those that take statistics; null where kernels cannot be told apart. */
  readonly normalizationKernels: number | null;
}

/** What one optimization profile starts per inference. */
export interface PlanSchedule {
  /** The optimization profile, from 0. */
  readonly profile: number;
  /** Null where the schedule cannot be read. */
  readonly kernels: number | null;
  /** Kernels by the plan's word for them. */
  readonly kinds: Readonly<Record<string, number>>;
  /** Null where kernels cannot be told apart. */
  readonly normalizationKernels: number | null;
  /** Null where too few kernels are traced; a residual sum with the next norm counts for the next block. */
  readonly blocks: readonly PlanBlock[] | null;
  /** In the order in which they start. */
  readonly kernelList: readonly PlanKernel[];
  /** Why something is null. */
  readonly unknown: string | null;
}

/** A plan: its first profile's numbers, and every profile's under `schedules`. */
export interface PlanReport extends Omit<PlanSchedule, "profile"> {
  /** Of the plan. */
  readonly byteLength: number;
  /** The TensorRT (for RTX) version that wrote the file, such as `1.7.1`. */
  readonly libraryVersion: string;
  /** Compute capabilities it has code for; null where it does not say. */
  readonly targets: readonly string[] | null;
  /** One per optimization profile; empty where none was found. */
  readonly schedules: readonly PlanSchedule[];
}

/**
 * Reads a plan in memory.
 *
 * @throws {UnfoldError} not a TensorRT plan; says what it looks like instead
 */
export function inspectPlan(bytes: Uint8Array, { name = "the plan" }: { name?: string } = {}): PlanReport {
  const reading = readPlan(bytes.byteLength, name);
  let step = reading.next();
  while (!step.done) {
    step = reading.next(bytes.subarray(step.value.offset, step.value.offset + step.value.byteLength));
  }
  return step.value;
}

/**
 * Reads a plan file of any size with a few megabytes of memory.
 *
 * @example
 * ```ts ignore
 * const { kernels, normalizationKernels } = await inspectPlanFile("un.plan");
 * ```
 * @throws {UnfoldError} a file that cannot be read or is not a TensorRT plan
 */
export async function inspectPlanFile(path: string): Promise<PlanReport> {
  try {
    using file = await Deno.open(path, { read: true });
    const { size, isDirectory } = await file.stat();
    if (isDirectory) throw new UnfoldError(`${path} is a folder; give the .plan file in it`);
    const reading = readPlan(size, path);
    let step = reading.next();
    while (!step.done) step = reading.next(await readAt(file, step.value));
    return step.value;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) throw new UnfoldError(`${path}: there is no such file`);
    if (error instanceof Deno.errors.PermissionDenied) {
      throw new UnfoldError(`${path}: no permission to read it`);
    }
    throw error;
  }
}

/** A part of the plan that the reading asks its driver for; fewer bytes come back at the file's end. */
interface Range {
  readonly offset: number;
  readonly byteLength: number;
}

async function readAt(file: Deno.FsFile, { offset, byteLength }: Range): Promise<Uint8Array> {
  const bytes = new Uint8Array(byteLength);
  await file.seek(offset, Deno.SeekMode.Start);
  let filled = 0;
  while (filled < byteLength) {
    const count = await file.read(bytes.subarray(filled));
    if (count === null) break;
    filled += count;
  }
  return bytes.subarray(0, filled);
}

const WINDOW_BYTES = 4 * 1024 * 1024;
const MARK = "NLYM";
/** Mark, u32, u64 length. */
const MARK_BYTES = 16;
const TEXT_START = "header {";
/** A schedule is some kilobytes per kernel: more than this is not one. */
const TEXT_BYTES_MAX = 256 * 1024 * 1024;

/** Asks for the parts it needs, one at a time, so that memory and files are read by the same code. */
function* readPlan(byteLength: number, name: string): Generator<Range, PlanReport, Uint8Array> {
  const head = bufferOver(yield { offset: 0, byteLength: 64 });
  checkMagic(head, name);
  const libraryVersion = [...head.subarray(24, 27)].join(".");
  const targets = targetsOfPlan(head);
  const ends = (unknown: string): PlanReport => ({
    byteLength,
    libraryVersion,
    targets,
    ...unreadable(unknown),
    schedules: [],
  });
  const declared = head.length >= 24 ? Number(head.readBigUInt64LE(16)) : Infinity;
  if (head.toString("latin1", 0, 4) === "vtrt" && declared > byteLength) {
    return ends(`the file is cut short: ${byteLength} of ${declared} bytes; copy or build it again`);
  }

  const texts: string[] = [];
  for (let offset = 0; offset < byteLength;) {
    const window = bufferOver(yield { offset, byteLength: WINDOW_BYTES });
    if (window.length === 0) return ends("the file became shorter while it was read");
    // Decoding and searching a string are native in Deno; Buffer.indexOf is not: three times as long.
    const searched = window.toString("latin1");
    // A mark may lie across two windows: windows overlap by less than one mark and its text's first word.
    let next = offset + Math.max(1, window.length - (MARK_BYTES + TEXT_START.length - 1));
    for (let at = searched.indexOf(MARK); at >= 0; at = searched.indexOf(MARK, at + 1)) {
      const start = at + MARK_BYTES;
      if (!searched.startsWith(TEXT_START, start)) continue;
      const length = Number(window.readBigUInt64LE(at + 8));
      if (length > TEXT_BYTES_MAX || offset + start + length > byteLength) {
        return ends(`a kernel schedule at byte ${offset + at} is cut off`);
      }
      const text = bufferOver(yield { offset: offset + start, byteLength: length });
      texts.push(text.toString("utf8"));
      next = Math.max(next, offset + start + length);
      // What the text itself says is no mark.
      at = start + length - 1;
    }
    offset = offset + window.length >= byteLength ? byteLength : next;
  }
  if (texts.length === 0) {
    return ends(
      `no kernel schedule was found; this reading knows TensorRT for RTX 1.7.1, the plan was written by ${libraryVersion}`,
    );
  }
  const schedules = schedulesOf(texts);
  if (typeof schedules === "string") return ends(schedules);
  const { profile: _, ...first } = schedules[0]!;
  return { byteLength, libraryVersion, targets, ...first, schedules };
}

/** A view: `Buffer.from` copies what it is given unless that is an `ArrayBuffer`. */
const bufferOver = ({ buffer, byteOffset, byteLength }: Uint8Array) =>
  Buffer.from(buffer, byteOffset, byteLength);

function schedulesOf(texts: readonly string[]): readonly PlanSchedule[] | string {
  const found: { profile: number; text: string; bodies: string[] }[] = [];
  for (const { isFusionBody, profile, text } of texts.map(classifyText)) {
    if (!isFusionBody) found.push({ profile, text, bodies: [] });
    else if (found.length > 0) found.at(-1)!.bodies.push(text);
    else return "the epilogue of a fused kernel stands before the first kernel schedule";
  }
  // Plans with one schedule per profile are all that was seen; two could be parts, or versions of one.
  if (found.some(({ profile }, i) => profile !== i)) {
    const profiles = found.map(({ profile }) => profile).join(", ");
    return `the kernel schedules are not one per optimization profile (they are for ${profiles})`;
  }
  return found.map(({ profile, text, bodies }) => {
    try {
      return { profile, ...summary(parseSchedule(text, bodies)) };
    } catch (error) {
      if (error instanceof ScheduleUnknown) return { profile, ...unreadable(error.message) };
      throw error;
    }
  });
}

function summary(kernels: readonly Kernel[]): Omit<PlanSchedule, "profile"> {
  const { flags, doubt } = normalizationKernels(kernels);
  const scopes = blocksOf(kernels, flags);
  const kinds: Record<string, number> = {};
  for (const { kind } of kernels) kinds[kind] = (kinds[kind] ?? 0) + 1;
  const kernelList = kernels.map((kernel, i) => ({
    kind: kernel.kind,
    name: kernel.name,
    layers: [...new Set(namesOf(kernel).flatMap((name) => layerOf(name) ?? []))],
    block: scopes[i] ?? null,
    isNormalization: flags[i]!,
    isQuantization: kernel.writesFewBits && !isProduct(kernel),
  }));
  const count = (list: readonly PlanKernel[]) =>
    doubt ? null : list.filter((one) => one.isNormalization).length;
  const found = [...new Set(scopes.filter((scope) => typeof scope === "string"))].sort(byNumber);
  const inside = scopes.map((scope) => typeof scope === "string");
  const between = scopes.slice(inside.indexOf(true), inside.lastIndexOf(true) + 1);
  const untraced = between.filter((scope) => scope === undefined).length;
  const blocks = found.map((scope) => {
    const inBlock = kernelList.filter(({ block }) => block === scope);
    return { scope, kernels: inBlock.length, normalizationKernels: count(inBlock) };
  });
  return {
    kernels: kernels.length,
    kinds,
    normalizationKernels: count(kernelList),
    // What lies before and after the blocks need not be traced; counts that leave out more would mislead.
    blocks: blocks.length > 0 && untraced * 10 <= between.length ? blocks : null,
    kernelList,
    unknown: doubt,
  };
}

function byNumber(a: string, b: string): number {
  return a.localeCompare(b, "en", { numeric: true });
}

function unreadable(unknown: string): Omit<PlanSchedule, "profile"> {
  return { kernels: null, kinds: {}, normalizationKernels: null, blocks: null, kernelList: [], unknown };
}

/** `vtrt`: TensorRT for RTX 1.7.1. `ptrt`, `ftrt`: TensorRT, whose plans hold no readable schedule. */
function checkMagic(head: Buffer, name: string): void {
  const start = head.toString("latin1", 0, 4);
  if (/^[vpf]trt$/.test(start)) return;
  const what = head.length === 0
    ? "is empty"
    : start.startsWith("PK")
    ? "is a zip archive (a PyTorch checkpoint or an .npz?)"
    : start === "\x7fELF"
    ? "is a program or shared library"
    : head[8] === 0x7b && head.length > 8 && head.readBigUInt64LE(0) < 2n ** 32n
    ? "holds weights (safetensors)"
    // The ONNX protobuf starts with field 1, the IR version; field 2, 3 (the producer), 7 or 8 follows.
    : head[0] === 0x08 && head.length > 2 && [0x12, 0x1a, 0x22, 0x3a, 0x42].includes(head[2]!)
    ? "is an ONNX model"
    : /^[\s]*[{[]/.test(start)
    ? "is JSON"
    : "is not a TensorRT plan";
  const not = what === "is not a TensorRT plan" ? "" : ", not a TensorRT plan";
  throw new UnfoldError(`${name} ${what}${not}; give a .plan file, as \`deno task build-engine\` writes it`);
}
