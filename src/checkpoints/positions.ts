/**
 * Learned positions of a grid of patches at another size, in float64: bicubic as PyTorch has it, with
 * antialiasing (timm, DINOv2 with registers) or without (transformers' other ViTs). Tokens in front of the
 * grid keep theirs.
 */
import { float64Of, heldData, type TensorData } from "../ir/data.ts";

export type GridSize = readonly [height: number, width: number];

/** Positions `[1, prefix + cells, channels]` of the grid `from` as those of the grid `to`. */
export function resampledPositions(
  data: TensorData,
  { prefix, from, to, antialias }: { prefix: number; from: GridSize; to: GridSize; antialias: boolean },
): TensorData {
  const channels = data.shape[2]!;
  const values = float64Of(data);
  const [fromHeight, fromWidth] = from;
  const [toHeight, toWidth] = to;
  const result = new Float64Array((prefix + toHeight * toWidth) * channels);
  result.set(values.subarray(0, prefix * channels));
  const tapsOf = antialias ? wideTaps : fourTaps;
  const rows = tapsOf(fromHeight, toHeight);
  const columns = tapsOf(fromWidth, toWidth);
  for (let y = 0; y < toHeight; y++) {
    for (let x = 0; x < toWidth; x++) {
      const target = (prefix + y * toWidth + x) * channels;
      for (const { at: row, weight: vertical } of rows[y]!) {
        for (const { at: column, weight: horizontal } of columns[x]!) {
          const source = (prefix + row * fromWidth + column) * channels;
          const weight = vertical * horizontal;
          for (let c = 0; c < channels; c++) result[target + c]! += weight * values[source + c]!;
        }
      }
    }
  }
  return heldData([1, prefix + toHeight * toWidth, channels], result, `${data.origin}, interpolated`);
}

interface Tap {
  readonly at: number;
  readonly weight: number;
}

/** What each entry reads: a cubic with a = -1/2, made wider where there are fewer than before. */
function wideTaps(from: number, to: number): readonly (readonly Tap[])[] {
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  return Array.from({ length: to }, (_, i) => {
    const center = scale * (i + 0.5);
    const start = Math.max(Math.trunc(center - 2 * stretch + 0.5), 0);
    const end = Math.min(Math.trunc(center + 2 * stretch + 0.5), from);
    const taps = Array.from({ length: end - start }, (_, k) => ({
      at: start + k,
      weight: cubic((start + k - center + 0.5) / stretch, -0.5),
    }));
    const sum = taps.reduce((total, { weight }) => total + weight, 0);
    return taps.map(({ at, weight }) => ({ at, weight: weight / sum }));
  });
}

/** The same without antialiasing: the nearest four with a = -3/4; beyond an edge stands the edge again. */
function fourTaps(from: number, to: number): readonly (readonly Tap[])[] {
  return Array.from({ length: to }, (_, i) => {
    const center = (from / to) * (i + 0.5) - 0.5;
    return [-1, 0, 1, 2].map((k) => Math.floor(center) + k).map((place) => ({
      at: Math.min(Math.max(place, 0), from - 1),
      weight: cubic(place - center, -0.75),
    }));
  });
}

/** Keys' kernel (1981). */
function cubic(x: number, a: number): number {
  const distance = Math.abs(x);
  if (distance < 1) return ((a + 2) * distance - (a + 3)) * distance ** 2 + 1;
  if (distance < 2) return (((distance - 5) * distance + 8) * distance - 4) * a;
  return 0;
}
