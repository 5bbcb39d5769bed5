/**
 * The size of a ViT's images, with positions that were learned at another size. timm and transformers differ
 * in what their configurations mean by it, and in how they interpolate.
 */
import type { TensorData } from "../../ir/data.ts";
import { UnfoldError } from "../../errors.ts";
import { IMAGE_SIZE, TRAINED_SIZE } from "../common_settings.ts";
import type { CheckpointView, Settle, Source } from "../define.ts";
import { type GridSize, resampledPositions } from "../positions.ts";
import { type Evidence, statedValue } from "../settings.ts";

/** Learned positions in a file, and what is known of them. */
export interface Positions {
  /** Of the tensor `[1, P, C]`; null where there is none, and images may be of any size. */
  readonly name: string | null;
  /** How many of them may be those of other tokens, in front of the patches. */
  readonly extraTokens: readonly number[];
  /** Side of a patch in pixels. */
  readonly patch: number;
  readonly published?: Evidence<readonly number[]> | undefined;
  /**
   * Whether configurations say what the positions were learned at, as transformers' do. timm's say what the
   * images are, and timm interpolates as it loads.
   */
  readonly saysTrained?: boolean;
  /** Whether positions are always those of a square, however many an image has. */
  readonly square?: boolean;
  /** Of the interpolation. */
  readonly antialias: boolean;
}

export interface ImageIn {
  readonly image: GridSize;
  /** Positions of tokens in front of the patches. */
  readonly placed: number;
  /** Where the file's are of another grid. */
  readonly positions: Source | undefined;
}

/** The size of images; where positions were learned at another one, they are interpolated. */
export function imageIn(
  file: CheckpointView,
  settle: Settle,
  { name, extraTokens, patch, published: of, saysTrained, square: isSquare, antialias }: Positions,
): ImageIn {
  if (name === null) {
    const ask = "no learned positions tell it";
    const image = settle(IMAGE_SIZE, { published: of, ask, chosen: true }) as GridSize;
    return { image, placed: 0, positions: undefined };
  }
  const positions = file.shapeOf(name)[1]!;
  const cells = [...new Set(extraTokens)].map((placed) => positions - placed);
  const gridOf = (size: readonly number[]) =>
    size.map((side) => Math.floor(side / patch)) as unknown as GridSize;
  const count = (size: readonly number[]) => gridOf(size)[0] * gridOf(size)[1];
  const fits = (size: readonly number[] | undefined) => size !== undefined && cells.includes(count(size));
  const misfit = (size: readonly number[]) =>
    fits(size)
      ? undefined
      : `${name} has ${positions} positions, but an image of ${size.join("x")} has ${
        count(size)
      } patches of ${patch}x${patch}`;
  const squares = cells.filter((cell) => cell > 0 && Number.isInteger(Math.sqrt(cell)));
  const square = squares.length === 1 ? squares[0] : undefined;
  const side = square === undefined ? 0 : Math.sqrt(square) * patch;
  // What is published of the architecture counts only where the positions are as many: it may be fine-tuned
  // at another size.
  const published = fits(of?.value) ? of : undefined;
  const assumed = square === undefined
    ? undefined
    : { value: [side, side], why: `${square} patches, taken as a square` };
  const ask = squares.length > 1
    ? `${name} has ${positions} positions, which are those of ${
      squares.map((cell) => `${cell} patches`).join(" and of ")
    }, by whether the ${Math.max(...extraTokens)} other tokens have one`
    : `${name} has ${positions} positions, which are not those of a square`;
  const stated = statedValue(file, IMAGE_SIZE);
  const contradiction = stated && saysTrained ? misfit(stated.value) : undefined;
  if (contradiction !== undefined) throw new UnfoldError(`${file.path}: ${contradiction} (${stated!.why})`);
  const image = settle(IMAGE_SIZE, { published, assumed, ask, chosen: true }) as GridSize;
  const learnedAt = stated?.value ?? (isSquare ? assumed?.value : undefined);
  if (fits(image) && (learnedAt === undefined || String(gridOf(learnedAt)) === String(gridOf(image)))) {
    return { image, placed: positions - count(image), positions: undefined };
  }
  const learned = stated !== undefined && fits(stated.value) ? stated : published ?? assumed;
  const trained = settle(TRAINED_SIZE, {
    // Listed with what is assumed, so that it is shown whatever it rests on.
    assumed: learned && {
      ...learned,
      why: `${learned.why}; positions are interpolated to ${gridOf(image).join("x")} patches`,
    },
    ask,
    fits: misfit,
  });
  const placed = positions - count(trained);
  const [from, to] = [gridOf(trained), gridOf(image)];
  if (String(from) === String(to)) return { image, placed, positions: undefined };
  const make = ([data]: readonly TensorData[]) =>
    resampledPositions(data!, { prefix: placed, from, to, antialias });
  return { image, placed, positions: { from: [name], make } };
}
