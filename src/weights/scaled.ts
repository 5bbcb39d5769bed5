/**
 * Weights that a quantizer left in eight bits with a scale beside each, as the numbers that they stand for:
 * every value times the scale of its tensor or of its row. The product is taken in float64, where it is
 * exact, and rounded once to fp32, which is what `weight.float() * scale` gives in PyTorch. What is scaled in
 * another way is refused by name, since without its scale it is another number. Leaves out blocks, groups,
 * zero points, and the quantization of activations.
 */
import { UnfoldError } from "../errors.ts";
import { bytesAs, elementCount, type TensorData } from "../ir/data.ts";
import { isFloat } from "../ir/dtype.ts";
import { listed, quoted } from "../text.ts";
import { type Checkpoint, noSuchTensor } from "./checkpoint.ts";
import { affineData, computedData } from "./derived/derive.ts";
import { FLOAT8 } from "../ir/float8.ts";

/** Types of eight bits, in the words of safetensors and of PyTorch. */
export const EIGHT_BITS: ReadonlySet<string> = new Set([...FLOAT8.keys(), "I8", "U8", "int8", "uint8"]);

/** Names of `a.weight`'s scale where it multiplies: by vLLM, compressed-tensors and ModelOpt; by ComfyUI. */
const scalesOf = ({ scope, last }: Name) => [`${scope}${last}_scale`, `${scope}scale_${last}`];

/** What else quantizers put beside it, of which the meaning is another one or differs between them. */
const othersOf = ({ scope, last }: Name) => [
  ...["_scale_inv", "_scale_2", "_scales", "_zero_point", ".scale", "_scb"].flatMap((ending) =>
    [ending, ending.toUpperCase()].map((ending) => scope + last + ending)
  ),
  ...["scale", "SCB"].map((name) => scope + name),
];

/** Scales of activations, and marks of the format: of no use where products are not in eight bits. */
const besides = ({ scope }: Name) => [`${scope}input_scale`, `${scope}scale_input`, "scaled_fp8"];

interface Name {
  /** "blocks.0.attn.qkv." */
  readonly scope: string;
  /** "weight" */
  readonly last: string;
}

function partsOf(name: string): Name {
  const end = name.lastIndexOf(".") + 1;
  return { scope: name.slice(0, end), last: name.slice(end) };
}

/** The same checkpoint with scaled weights in fp32 and without their scales; itself where there are none. */
export function withoutScales(checkpoint: Checkpoint): Checkpoint {
  const scales = new Map<string, readonly string[]>();
  const refused = new Map<string, string>();
  const hidden = new Set<string>();
  for (const name of checkpoint.names()) {
    const parts = partsOf(name);
    const found = scalesOf(parts).filter((other) => checkpoint.has(other));
    const other = othersOf(parts).find((other) => checkpoint.has(other));
    // What a type is may be in a file of its own, which is opened for those alone that have a scale.
    if ((found.length === 0 && other === undefined) || !EIGHT_BITS.has(checkpoint.typeOf(name))) continue;
    if (other !== undefined) refused.set(name, other);
    else scales.set(name, found);
    for (const beside of [...found, ...besides(parts)]) hidden.add(beside);
  }
  if (scales.size === 0 && refused.size === 0) return checkpoint;
  const known = (name: string) => {
    if (hidden.has(name)) throw noSuchTensor(result, name);
    return name;
  };
  const result: Checkpoint = {
    ...checkpoint,
    names: () => checkpoint.names().filter((name) => !hidden.has(name)),
    has: (name) => checkpoint.has(name) && !hidden.has(name),
    typeOf: (name) => checkpoint.typeOf(known(name)),
    isScaled: (name) => scales.has(name),
    shapeOf: (name) => checkpoint.shapeOf(known(name)),
    tensor: (name) => {
      const data = checkpoint.tensor(known(name));
      const other = refused.get(name);
      if (other !== undefined) throw unknownScale(data, `its values are scaled by ${quoted(other)}`);
      const found = scales.get(name);
      return found === undefined ? data : scaled(data, found, { checkpoint, scales });
    },
  };
  return result;
}

/** Refuses scales that are neither one of all nor one of each row. */
function checkScale(data: TensorData, scale: TensorData, file: Scaled): void {
  const [rows = 1, ...inner] = data.shape;
  if (elementCount(scale.shape) === 1) return;
  const isColumn = scale.shape.length === data.shape.length && scale.shape[0] === rows &&
    elementCount(scale.shape) === rows;
  if (isColumn) return;
  if (scale.shape.length !== 1 || scale.shape[0] !== rows) {
    throw unknownScale(
      data,
      `${scale.origin} is of the shape [${scale.shape.join(", ")}], which for [${data.shape.join(", ")}] ` +
        "is neither one scale of all nor one of each row",
    );
  }
  // PyTorch would repeat it along the other axis; of a square matrix both are possible.
  if (inner.length === 1 && inner[0] === rows && !rowsElsewhere(file)) {
    throw unknownScale(
      data,
      `${scale.origin} may be of its rows or of its columns: save it in the shape [${rows}, 1]`,
    );
  }
}

interface Scaled {
  readonly checkpoint: Checkpoint;
  readonly scales: ReadonlyMap<string, readonly string[]>;
}

/** Whether a non-square matrix of the file has a vector of scales for its rows: then the others have, too. */
function rowsElsewhere({ checkpoint, scales }: Scaled): boolean {
  return [...scales].some(([name, [scale]]) => {
    const [rows, columns] = checkpoint.shapeOf(name);
    const shape = checkpoint.shapeOf(scale!);
    return shape.length === 1 && shape[0] === rows && columns !== undefined && rows !== columns;
  });
}

function scaled(data: TensorData, found: readonly string[], file: Scaled): TensorData {
  const [name, second] = found as [string, string?];
  if (second !== undefined) {
    throw unknownScale(data, `${listed(found)} are both there, and one of them alone is its scale`);
  }
  const scale = file.checkpoint.tensor(name);
  if (!isFloat(scale.dtype)) throw unknownScale(data, `${scale.origin}, its scale, is ${scale.dtype}`);
  checkScale(data, scale, file);
  const { shape, origin } = data;
  const rows = shape[0] ?? 1;
  const factors = computedData([scale], {
    name: scale.origin,
    shape: [rows],
    compute: ([one]) => one!.data.length === 1 ? new Float64Array(rows).fill(one!.data[0]!) : one!.data,
  });
  const product = affineData(data, { axis: 0, scale: factors });
  return { dtype: "fp32", shape, origin: `${origin} times its scale`, bytes: () => bytesAs(product, "fp32") };
}

function unknownScale({ origin }: TensorData, why: string): UnfoldError {
  return new UnfoldError(
    `${origin} is quantized, and ${why}. UNfold multiplies with one scale of a tensor or one of each row, ` +
      "weight_scale or scale_weight. Save the weights as they were before, or dequantized, in fp16, bf16 or fp32.",
  );
}
