/**
 * An ONNX file to a folded one: the short form of a build, for whoever wants nothing else. The new file has
 * the old one's inputs, outputs, dynamic axes and metadata, and ONNX Runtime runs both on the same inputs.
 */
import { quantizationOf } from "../checkpoints/recognised.ts";
import type { OnnxForm } from "../rewrite/backends/onnx_form_names.ts";
import { asOnnx } from "../rewrite/backends/onnx_forms.ts";
import { writeOnnx } from "../emit/onnx.ts";
import { HIGHEST_OPSET, lowestOpset } from "../emit/opset.ts";
import { RequestError, UnfoldError } from "../errors.ts";
import { importOnnx } from "../import/model.ts";
import type { Precision } from "../ir/dtype.ts";
import type { DimValues } from "../ir/shape.ts";
import { realPath } from "../onnx/external.ts";
import type { NormFold } from "../rewrite/fold/fold_norm.ts";
import { remainingNorms } from "../rewrite/pipeline.ts";
import { compareOutputs } from "../run/compare.ts";
import { sessionFromOnnx } from "../run/onnxruntime.ts";
import { ROUNDING, runExamples } from "./evaluate.ts";
import { loadExamples } from "./examples.ts";
import type { Watch } from "./line.ts";
import { aboutNetwork, compile } from "./networks.ts";

/** How a file is optimized. */
export interface OptimizeFileOptions {
  /** Where the folded file goes; nothing is written unless given. */
  readonly out?: string | undefined;
  readonly dims?: DimValues;
  /** The type of its floats; that of the file unless given. */
  readonly precision?: Precision | undefined;
  readonly form?: OnnxForm;
  readonly opset?: number | undefined;
  /** Whether both files are run and compared. */
  readonly check?: boolean;
  readonly keepGoing?: boolean;
  readonly allowNonFinite?: boolean;
  readonly onEvent?: Watch["onEvent"];
}

/** What was made of a file. */
export interface OptimizedFile {
  readonly schema: 1;
  readonly model: string;
  readonly precision: Precision;
  readonly dims: DimValues;
  readonly input: {
    readonly path: string;
    readonly format: string;
    readonly opset: number;
    readonly nodes: number;
  };
  /** Null where nothing was written. */
  readonly output:
    | { readonly paths: readonly string[]; readonly bytes: number; readonly nodes: number }
    | null;
  readonly found: number;
  readonly folded: number;
  readonly remaining: number;
  readonly norms: readonly NormFold[];
  /** What was taken for granted of the file, in sentences. */
  readonly assumed: readonly string[];
  /** What the file has in few bits, in sentences. */
  readonly quantized: readonly string[];
  /** Operators that are not known, with their nodes; none of a file that was written. */
  readonly unknown: readonly { readonly operator: string; readonly nodes: readonly string[] }[];
  /** The new file's outputs beside the old one's, by ONNX Runtime; null where they were not run. */
  readonly agreement: Agreement | null;
}

export interface Agreement {
  readonly maxAbsError: number;
  /** Of the largest value of an output. */
  readonly maxRelError: number;
  /** Whether that is rounding. */
  readonly agrees: boolean;
  /** The sizes that were open: `{ B: 2, sequence: 8 }`. */
  readonly sizes: DimValues;
}

/** Sizes of what is run where they are open: more than one of a batch, and few tokens. */
const RUN = { batch: 2, other: 8 };

/**
 * Folds what can be folded of an ONNX file and writes the rest as it was.
 *
 * @throws {UnfoldError} the file cannot be read, has operators that are not known, or a written one cannot be
 * run
 */
export async function optimizeFile(
  path: string,
  { out, dims = {}, form = "standard", opset, check = true, keepGoing = false, ...options }:
    OptimizeFileOptions,
): Promise<OptimizedFile> {
  const { onEvent, allowNonFinite = false } = options;
  const onStep = (text: string) => onEvent?.({ kind: "step", text });
  onStep("reading the network");
  const imported = importOnnx(path, { dims, keepGoing });
  const { model, unknown, format, nodes } = imported;
  const { precision = imported.precision } = options;
  const { norm } = model;
  if (out !== undefined) refuseOwnData(out, path, imported.beside);
  onStep("folding");
  const network = compile(model, { weights: imported.open({ allowNonFinite }), precision, norm });
  const { norms } = network;
  const isWritten = out !== undefined && unknown.length === 0;
  let output: OptimizedFile["output"] = null;
  if (isWritten) {
    onStep(`writing ${out}`);
    const graph = asOnnx(network.graph, form);
    const written = await writeOnnx(graph, out, {
      ...aboutNetwork({ model, norm, network, precision }),
      onBytes: (done, total) => onEvent?.({ kind: "progress", text: `writing ${out}`, done, total }),
      opset: opset ?? Math.min(Math.max(imported.opset, lowestOpset(graph)), HIGHEST_OPSET),
    });
    output = { paths: written.paths, bytes: written.byteLength, nodes: written.nodes };
  }
  if (isWritten && check) onStep("running both files");
  return {
    schema: 1,
    model: model.name,
    precision,
    dims,
    input: { path, format, opset: imported.opset, nodes },
    output,
    found: norms.length,
    folded: norms.filter(({ folded }) => folded).length,
    remaining: remainingNorms(network.graph),
    norms,
    assumed: imported.settled.map(({ why }) => why),
    quantized: quantizationOf(imported),
    unknown,
    agreement: isWritten && check ? await agreementOf(path, out, { model, precision }) : null,
  };
}

/** @throws {RequestError} the new file, or the one for its weights, is one that has weights of the old */
function refuseOwnData(out: string, path: string, beside: readonly string[]): void {
  const own = new Set(beside.map(realPath));
  const taken = [out, `${out}.data`].find((file) => own.has(realPath(file)));
  if (taken === undefined || realPath(taken) === null) return;
  throw new RequestError(`${taken} has weights of ${path}; give another name for the new file`);
}

/** The outputs of both files on the same random inputs. */
async function agreementOf(
  before: string,
  after: string,
  { model, precision }: { model: ReturnType<typeof importOnnx>["model"]; precision: Precision },
): Promise<Agreement> {
  const { batch, other: opt } = RUN;
  const open = model.openDims.filter((dim) => dim !== "B");
  const ranges = Object.fromEntries(open.map((dim) => [dim, { min: opt, opt, max: opt }]));
  const uncompared = (why: string) =>
    new UnfoldError(`${after} was written, but not compared with ${before} (--no-check): ${why}`);
  const outputsOf = async (file: string) => {
    try {
      const examples = loadExamples({ ...model, dims: ranges }, batch);
      // As files say: a product with weights in eight bits is one of whole numbers where it is optimized.
      await using session = await sessionFromOnnx(file, { optimized: false });
      return await runExamples(session, examples, batch);
    } catch (error) {
      throw error instanceof UnfoldError ? uncompared(error.message) : error;
    }
  };
  const [wanted, found] = [await outputsOf(before), await outputsOf(after)];
  const { maxAbsError, maxRelError, failure } = compareOutputs(found, wanted);
  if (failure !== null) throw uncompared(failure);
  const sizes = Object.fromEntries(model.openDims.map((dim) => [dim, dim === "B" ? batch : opt]));
  return { maxAbsError, maxRelError, agrees: maxRelError <= ROUNDING[precision], sizes };
}
