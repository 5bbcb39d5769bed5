/**
 * The GPUs that engines of TensorRT for RTX are built for, by compute capability: the list that may be asked
 * for, and what a plan says of itself. Enterprise TensorRT builds for the GPU of its machine alone, and its
 * plans say nothing here.
 */
import { UnfoldError } from "../errors.ts";

/** A GPU by compute capability. */
export type Target = "7.5" | "8.0" | "8.6" | "8.9" | "12.0" | "12.1";
/** In the order of their bits in a plan. */
export const TARGETS = ["7.5", "8.0", "8.6", "8.9", "12.0", "12.1"] as const satisfies readonly Target[];

/** Those that have products in fp8; a plan for any other cannot have them. */
export const FP8_TARGETS: readonly Target[] = ["8.9", "12.0", "12.1"];

/** Those that have products in blocks of fp4. */
export const FP4_TARGETS: readonly Target[] = ["12.0", "12.1"];

/** Of a plan's file: its magic, and where the bits of `TARGETS` are. */
const MAGIC = "vtrt";
const MAGIC_AT = 28;
const BITS_AT = 32;

/**
 * Reads "8.6,12.0".
 *
 * @throws {UnfoldError} a GPU that is not on TensorRT for RTX's list, or one twice
 */
export function parseTargets(text: string): readonly Target[] {
  const asked = text.split(",").map((part) => part.trim());
  const unknown = asked.find((part) => !(TARGETS as readonly string[]).includes(part));
  if (unknown !== undefined) {
    throw new UnfoldError(
      `--target ${text}: "${unknown}" is no compute capability that TensorRT for RTX builds for; give some of ` +
        TARGETS.join(","),
    );
  }
  const found = TARGETS.filter((target) => asked.includes(target));
  if (found.length < asked.length) {
    throw new UnfoldError(`--target ${text}: give each compute capability once`);
  }
  return found;
}

/** Targets of the plan that begins with `head` (40 bytes); null where it is not of 1.7.1's form. */
export function targetsOfPlan(head: Uint8Array): readonly Target[] | null {
  if (head.byteLength < BITS_AT + 8) return null;
  const start = String.fromCharCode(...head.subarray(0, 4));
  if (start !== MAGIC || String.fromCharCode(...head.subarray(MAGIC_AT, MAGIC_AT + 4)) !== MAGIC) return null;
  const bits = new DataView(head.buffer, head.byteOffset).getBigUint64(BITS_AT, true);
  // Higher bits stand for GPUs that NVIDIA does not name: a default plan has one.
  return TARGETS.filter((_, bit) => (bits >> BigInt(bit) & 1n) === 1n);
}
