/** The stand-in's own plan format (struct Plan in cpp/tensorrt.cpp): one linear layer, y = x W^T + b. */

export interface StandInPlan {
  /** W [outputs, inputs], row-major. */
  readonly weight?: readonly number[];
  readonly bias?: readonly number[];
  readonly inputs?: number;
  /** Sizes of the batch, per optimization profile; one with min = max makes an engine without open sizes. */
  readonly profiles?: readonly (readonly [min: number, opt: number, max: number])[];
  /** What the product and the sum take, in milliseconds. */
  readonly layerMs?: readonly [number, number];
  readonly refittable?: boolean;
  readonly notCapturable?: boolean;
  readonly streamable?: boolean;
  readonly suboptimal?: boolean;
  readonly otherGpu?: boolean;
}

const HEADER_BYTES = 16 + 4 * 4 + 4 * 3 * 4 + 4 * 2;

/** By default y [B, 2] from x [B, 3], B from 1 over 2 to 8. */
export function standInPlan({
  weight = [1, 2, 3, 4, 5, 6],
  bias = [0.5, -0.5],
  inputs = 3,
  profiles = [[1, 2, 8]],
  layerMs = [0.5, 0.25],
  ...flags
}: StandInPlan = {}): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(HEADER_BYTES + 4 * (weight.length + bias.length));
  const view = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode("UNFOLD STAND-IN\n"));
  const bits = [flags.refittable, flags.notCapturable, flags.streamable, flags.suboptimal, flags.otherGpu];
  view.setUint32(16, bits.reduce((all, isSet, bit) => all | Number(isSet === true) << bit, 0), true);
  [inputs, bias.length, profiles.length, ...profiles.flat()].forEach((value, i) =>
    view.setInt32(20 + 4 * i, value, true)
  );
  [...layerMs, ...weight, ...bias].forEach((value, i) => view.setFloat32(80 + 4 * i, value, true));
  return bytes;
}

/** The outputs of a plan with the default weights, for x counting from 0. */
export function expectedOutputs(batch: number): number[] {
  return Array.from({ length: batch }, (_, row) => {
    const [a, b, c] = [3 * row, 3 * row + 1, 3 * row + 2];
    return [a + 2 * b + 3 * c + 0.5, 4 * a + 5 * b + 6 * c - 0.5];
  }).flat();
}

/** x of `batch` rows, counting from 0. */
export function countingInput(batch: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: 3 * batch }, (_, i) => i);
}
