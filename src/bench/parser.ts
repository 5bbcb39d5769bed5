/**
 * The plan that NVIDIA's own parser makes of an ONNX file, by the Python that the user names
 * (`onnx_plan.py`). No GPU is needed.
 */
import { fileURLToPath } from "node:url";
import type { Target } from "../emit/targets.ts";
import { UnfoldError } from "../errors.ts";
import type { Precision } from "../ir/dtype.ts";
import { quoted } from "../text.ts";
import { startPython } from "./python.ts";

const SCRIPT = fileURLToPath(new URL("onnx_plan.py", import.meta.url));

export interface ParserJob {
  readonly python: string;
  readonly onnx: string;
  /** Where the plan goes; what the file's floats are cast to lies beside it. */
  readonly plan: string;
  /** What the file's floats are cast to; undefined where they are that. */
  readonly floats?: Exclude<Precision, "bf16"> | undefined;
  /** Of the inputs by name, without open sizes. */
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  readonly targets?: readonly Target[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Builds the plan. Returns the version of NVIDIA's bindings.
 *
 * @throws {UnfoldError} the Python cannot be run or lacks the bindings, or the parser refuses the file
 */
export async function planByParser(
  { python, onnx, plan, floats, shapes, targets = [], signal }: ParserJob,
): Promise<string> {
  const args = [
    SCRIPT,
    onnx,
    plan,
    ...targets,
    ...(floats === undefined ? [] : [`--floats=${floats}`]),
    ...Object.entries(shapes).map(([name, shape]) => `--shape=${name}=${shape.join("x")}`),
  ];
  const { success, stdout, stderr } = await startPython(python, {
    args,
    stdout: "piped",
    stderr: "piped",
    ...(signal && { signal }),
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trim();
  signal?.throwIfAborted();
  if (success) return text(stdout);
  const last = text(stderr).split("\n").at(-1)!.replace(/^error: /, "");
  throw new UnfoldError(
    /No module named/.test(last)
      ? `--python ${python}: ${last}; NVIDIA's parser needs tensorrt-rtx, and onnx to cast a file's floats`
      : quoted(last),
  );
}
