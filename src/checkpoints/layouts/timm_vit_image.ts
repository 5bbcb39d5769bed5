/**
 * The tokens of a ViT in timm's names and the size of its images, with positions that were learned at another
 * size.
 */
import type { TensorData } from "../../ir/data.ts";
import { IMAGE_SIZE, TRAINED_SIZE } from "../common_settings.ts";
import type { CheckpointView, Settle, Source } from "../define.ts";
import { type GridSize, resampledPositions } from "../positions.ts";
import { saidOf } from "../settings.ts";
import type { Architecture } from "./timm.ts";

/** Tokens in front of the patches. */
export interface Tokens {
  readonly classTokens: 0 | 1 | 2;
  readonly registers: number;
}

export function tokensOf(file: CheckpointView): Tokens {
  const register = ["reg_token", "register_tokens"].find((name) => file.has(name));
  return {
    classTokens: file.has("cls_token") ? file.has("dist_token") ? 2 : 1 : 0,
    registers: register === undefined ? 0 : file.shapeOf(register)[1]!,
  };
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
  { classTokens, registers, patch, architecture }: Tokens & {
    patch: number;
    architecture: Architecture | undefined;
  },
): ImageIn {
  if (!file.has("pos_embed")) {
    const ask = "no learned positions tell it";
    const image = settle(IMAGE_SIZE, { published: architecture?.image, ask, chosen: true }) as GridSize;
    return { image, placed: 0, positions: undefined };
  }
  const positions = file.shapeOf("pos_embed")[1]!;
  const cells = [...new Set([0, classTokens, classTokens + registers])].map((placed) => positions - placed);
  const gridOf = (size: readonly number[]) =>
    size.map((side) => Math.floor(side / patch)) as unknown as GridSize;
  const count = (size: readonly number[]) => gridOf(size)[0] * gridOf(size)[1];
  const fits = (size: readonly number[] | undefined) => size !== undefined && cells.includes(count(size));
  const squares = cells.filter((cell) => cell > 0 && Number.isInteger(Math.sqrt(cell)));
  const square = squares.length === 1 ? squares[0] : undefined;
  const side = square === undefined ? 0 : Math.sqrt(square) * patch;
  // What is published of the architecture counts only where the positions are as many: it may be fine-tuned
  // at another size.
  const published = fits(architecture?.image.value) ? architecture!.image : undefined;
  const assumed = square === undefined
    ? undefined
    : { value: [side, side], why: `${square} patches, taken as a square` };
  const ask = squares.length > 1
    ? `pos_embed has ${positions} positions, which are those of ${
      squares.map((cell) => `${cell} patches`).join(" and of ")
    }, by whether the ${classTokens + registers} other tokens have one`
    : `pos_embed has ${positions} positions, which are not those of a square`;
  const image = settle(IMAGE_SIZE, { published, assumed, ask, chosen: true }) as GridSize;
  const said = saidOf(file, IMAGE_SIZE);
  if (fits(image) && (said === undefined || String(gridOf(said.value)) === String(gridOf(image)))) {
    return { image, placed: positions - count(image), positions: undefined };
  }
  const trained = settle(TRAINED_SIZE, {
    published: said !== undefined && fits(said.value) ? said : published,
    assumed: assumed && {
      ...assumed,
      why: `${assumed.why}; positions are interpolated to ${gridOf(image).join("x")} patches`,
    },
    ask,
    fits: (size) =>
      fits(size)
        ? undefined
        : `pos_embed has ${positions} positions, but an image of ${size.join("x")} has ${
          count(size)
        } patches of ` +
          `${patch}x${patch}`,
  });
  const placed = positions - count(trained);
  const [from, to] = [gridOf(trained), gridOf(image)];
  if (String(from) === String(to)) return { image, placed, positions: undefined };
  const make = ([data]: readonly TensorData[]) => resampledPositions(data!, { prefix: placed, from, to });
  return { image, placed, positions: { from: ["pos_embed"], make } };
}
