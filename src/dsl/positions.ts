/**
 * Positions that are computed rather than learned, as constants: sinusoids that are added to embeddings, and
 * rotations of queries and keys. Both are tables of a greatest length; a network takes a row for each of its
 * tokens.
 */
import { UnfoldError } from "../errors.ts";
import {
  argument,
  COUNT,
  DIM,
  EPSILON,
  given,
  type Kind,
  listOf,
  NUMBER,
  OBJECT,
  optional,
  partsOf,
  whole,
} from "../ir/given.ts";
import type { Dim } from "../ir/shape.ts";
import { concat, TENSOR, type Tensor, tensorOf } from "./tensor.ts";
import { tableOf } from "./values.ts";

const POSITIVE: Kind = { words: "a finite number above 0", is: (value) => EPSILON.is(value) && value !== 0 };
/** The most elements of a table that is computed in a description: 131072 positions of 128 channels. */
const MOST_COMPUTED = 2 ** 24;

/** What `sinusoids` are made from. */
export interface SinusoidOptions {
  /** Rows: positions. */
  readonly length: number;
  /** Columns, an even number of 4 or more. */
  readonly channels: number;
  /** The position of the first row: 0 in the paper; fairseq counts from its padding index + 1, which is 2. */
  readonly first?: number;
}

/**
 * Sinusoidal positions `[length, channels]` in the form of tensor2tensor and fairseq: the sines of all rates,
 * then their cosines; rates fall from 1 to 1/10000. (Vaswani et al. 2017, section 3.5, has them in turn: the
 * same up to an order of channels that the first layer learns, and the last rate is one step short of
 * 1/10000.)
 */
export function sinusoids(options: SinusoidOptions): Tensor {
  const { length, channels, first = 0 } = given("sinusoids", options, {
    length: COUNT,
    channels: COUNT,
    first: optional(whole(0)),
  });
  if (channels % 2 !== 0 || channels < 4) {
    throw new UnfoldError(`sinusoids: ${channels} channels are not two halves of two or more`);
  }
  const half = channels / 2;
  requireComputable(length, channels);
  const values = Float64Array.from({ length: length * channels }, (_, i) => {
    const channel = i % channels;
    const angle = (first + Math.floor(i / channels)) * 10000 ** -((channel % half) / (half - 1));
    return channel < half ? Math.sin(angle) : Math.cos(angle);
  });
  return tensorOf(tableOf(values, { shape: [length, channels], name: "positions" }));
}

/** Llama 3's slower rotation of low frequencies, for contexts longer than it was trained on at first. */
export interface RotaryScaling {
  /** How many times slower the longest waves turn. */
  readonly factor: number;
  /** Waves longer than the first training's context divided by this turn `factor` times slower. */
  readonly lowFrequencyFactor: number;
  /** Waves shorter than the first training's context divided by this are left as they are. */
  readonly highFrequencyFactor: number;
  /** Tokens of the first training. */
  readonly originalContext: number;
}

/** What a `rotaryTable` is made from. */
export interface RotaryOptions {
  /** The longest text, in tokens: the constant that is stored has so many rows. */
  readonly length: number;
  /** How many tokens there are, which may be open, as `"T"`; all of `length` unless said. */
  readonly tokens?: Dim;
  /** Channels of a head, D. */
  readonly size: number;
  /** The base of the rates, 10000 in the paper. */
  readonly theta: number;
  /** Slower rotations of low frequencies. */
  readonly scaling?: RotaryScaling | undefined;
}

/** Rotations of T positions, for `attention`: what queries and keys are multiplied with. */
export interface RotaryTable {
  /** `[T, D]`. */
  readonly cosines: Tensor;
  /** `[T, D]`, negative in the lower half. */
  readonly sines: Tensor;
}

const TABLE = { cosines: TENSOR, sines: TENSOR };

/**
 * Rotations of each position (Su et al. 2021, RoFormer), in the order of Hugging Face: channel i turns with
 * channel i + D/2, at the rate `theta^(-2i/D)`.
 *
 * @throws {UnfoldError} a head of an odd number of channels, a table of too many numbers
 */
export function rotaryTable(options: RotaryOptions): RotaryTable {
  const known = given("rotary positions", options, {
    length: COUNT,
    tokens: optional(DIM),
    size: COUNT,
    theta: POSITIVE,
    scaling: optional(OBJECT),
  });
  const { length, tokens, size, theta } = known;
  const scaling = known.scaling && partsOf("rotary positions: scaling", known.scaling, {
    factor: POSITIVE,
    lowFrequencyFactor: NUMBER,
    highFrequencyFactor: NUMBER,
    originalContext: COUNT,
  });
  if (size % 2 !== 0) throw new UnfoldError(`rotary positions: a head of ${size} channels has no two halves`);
  const half = size / 2;
  const rates = Array.from({ length: half }, (_, i) => scaledRate(theta ** -(i / half), scaling));
  const { cosines, sines } = rotations({ length, size }, (row, i) => row * rates[i]!);
  if (tokens === undefined) return { cosines, sines };
  const first = (rows: Tensor) => rows.slice({ axis: 0, size: tokens });
  return { cosines: first(cosines), sines: first(sines) };
}

/** What a `gridRotaryTable` is made from. */
export interface GridRotaryOptions {
  /** Rows and columns of patches. */
  readonly grid: readonly [height: number, width: number];
  /** Tokens in front of the patches, which are not turned; none unless said. */
  readonly prefix?: number;
  /** Channels of a head, D. */
  readonly size: number;
  /** The base of the rates, 100 in DINOv3. */
  readonly theta: number;
}

/**
 * Rotations of the patches of an image (Siméoni et al. 2025, DINOv3): channel i turns with channel i + D/2,
 * the first D/4 by the row and the next by the column, each from -1 to 1 across the image, at
 * `2 pi theta^(-4j/D)`.
 *
 * @throws {UnfoldError} a head whose channels are no four parts, a table of too many numbers
 */
export function gridRotaryTable(options: GridRotaryOptions): RotaryTable {
  const { grid, prefix = 0, size, theta } = given("rotary positions", options, {
    grid: listOf(COUNT, 2),
    prefix: optional(whole(0)),
    size: COUNT,
    theta: POSITIVE,
  });
  if (size % 4 !== 0) throw new UnfoldError(`rotary positions: a head of ${size} channels has no four parts`);
  const [height, width] = grid;
  const quarter = size / 4;
  return rotations({ length: prefix + height * width, size }, (row, i) => {
    const cell = row - prefix;
    if (cell < 0) return 0;
    const [place, places] = i < quarter ? [Math.floor(cell / width), height] : [cell % width, width];
    return 2 * Math.PI * ((2 * place + 1) / places - 1) * theta ** -((i % quarter) / quarter);
  });
}

/** Both tables of the angles that row and channel, up to D/2, turn by. */
function rotations(
  { length, size }: { length: number; size: number },
  angle: (row: number, channel: number) => number,
): RotaryTable {
  requireComputable(length, size);
  const half = size / 2;
  const [cosines, sines] = [new Float64Array(length * size), new Float64Array(length * size)];
  for (let row = 0; row < length; row++) {
    for (let channel = 0; channel < half; channel++) {
      const turned = angle(row, channel);
      const at = row * size + channel;
      cosines[at] = cosines[at + half] = Math.cos(turned);
      sines[at + half] = Math.sin(turned);
      sines[at] = -sines[at + half]!;
    }
  }
  const shape = [length, size];
  return {
    cosines: tensorOf(tableOf(cosines, { shape, name: "rotary.cosines" })),
    sines: tensorOf(tableOf(sines, { shape, name: "rotary.sines" })),
  };
}

/** `[-upper, lower]` of the two halves of the last axis, as Hugging Face's rotations have it. */
export function rotateHalf(x: Tensor): Tensor {
  argument("rotateHalf: x", x, TENSOR);
  const [lower, upper] = x.split(2);
  return concat([upper.map("neg"), lower], { axis: -1 });
}

/** Turns queries or keys `[B, H, T, D]` by their positions: a rotation of the pairs (i, i + D/2). */
export function rotate(x: Tensor, table: RotaryTable): Tensor {
  argument("rotate: x", x, TENSOR);
  const { cosines, sines } = partsOf("rotate", table, TABLE);
  const size = x.shape.at(-1);
  if (typeof size !== "number" || size % 2 !== 0) {
    throw new UnfoldError(`${x.name}: a head of ${size} channels has no two halves to rotate`);
  }
  const [lower, upper] = x.split(2);
  // The sign of the rotation is in the table of sines.
  return x.mul(cosines).add(concat([upper, lower], { axis: -1 }).mul(sines));
}

/** Waves longer than the first training's context turn `factor` times slower; between two lengths, partly. */
function scaledRate(rate: number, scaling: RotaryScaling | undefined): number {
  if (scaling === undefined) return rate;
  const { factor, lowFrequencyFactor, highFrequencyFactor, originalContext } = scaling;
  const turns = originalContext * rate / (2 * Math.PI);
  const kept = (turns - lowFrequencyFactor) / (highFrequencyFactor - lowFrequencyFactor);
  const share = Math.min(1, Math.max(0, kept));
  return (1 - share) * rate / factor + share * rate;
}

function requireComputable(rows: number, columns: number): void {
  if (rows * columns <= MOST_COMPUTED) return;
  throw new UnfoldError(
    `positions: a table of ${rows} by ${columns} has more than ${MOST_COMPUTED} numbers; describe fewer positions`,
  );
}
