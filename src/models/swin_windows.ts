/** How a Swin Transformer cuts a scale's grid into windows: the paper's way, and later libraries' ways. */
import { eachAxis, type Grid, type PerAxis, type Windows } from "../dsl/mod.ts";
import { UnfoldError } from "../errors.ts";

/**
 * How a scale is cut where windows do not fill its grid, or where it is no larger than one:
 * - `"whole"`, the paper's code: windows have to fill it; where an axis is within a window, a window is a
 *   square of that axis and neither axis is shifted.
 * - `"padded"`, Hugging Face: the same, but the grid is padded and then shifted.
 * - `"axes"`, timm: each axis is cut and shifted by itself; the grid is shifted and then padded.
 * - `"always"`, detectors: windows are as large as they are said to be and always shifted, in a grid that is
 *   padded first.
 */
export type SwinCut = "whole" | "padded" | "axes" | "always";

/** Windows of M, every second time shifted by M / 2. */
export function windowsOf(
  grid: Grid,
  { window, isShifted, cut }: { window: PerAxis; isShifted: boolean; cut: SwinCut },
): Windows & { readonly window: Sides } {
  const sides = eachAxis(window);
  const half = sides.map((side) => isShifted ? Math.floor(side / 2) : 0) as unknown as Sides;
  if (cut === "always") return { window: sides, shift: half };
  const sizes = [grid.height, grid.width] as const;
  const isWithin = sizes.map((size, axis) => size <= sides[axis]!);
  if (cut === "axes") {
    return {
      window: sizes.map((size, axis) => Math.min(size, sides[axis]!)) as unknown as Sides,
      shift: half.map((shift, axis) => isWithin[axis] ? 0 : shift) as unknown as Sides,
      padding: "last",
    };
  }
  const side = Math.min(...sizes, ...sides);
  const square = [side, side] as const;
  if (cut === "whole" && sizes.some((size) => size % side !== 0)) {
    throw new UnfoldError(`${grid.height}x${grid.width} tokens are not whole windows of ${side}x${side}`);
  }
  return { window: square, shift: isWithin.includes(true) ? 0 : half };
}

/** In tokens. */
export type Sides = readonly [height: number, width: number];
