/**
 * Invented weights: the same for the same seed and name, on every machine and in any order of asking, and of
 * the magnitudes a trained network has, so that a fold of them is exercised (gains other than one, biases
 * other than zero). The statistics of an offline normalization are invented too and normalize nothing, so
 * products halve what they read: kept at its size, it would double from block to block until the network
 * amplified every rounding. Nothing is held: values are made when they are read.
 */
import { quoted } from "../text.ts";
import { UnfoldError } from "../errors.ts";
import { elementCount, type TensorData } from "../ir/data.ts";
import type { WeightHint, WeightSource } from "./source.ts";

/**
 * Random fp32 weights. `linear` is N(0, 1 / (4 fanIn)), `embedding` N(0, 0.02^2), `gain` 1 + N(0, 0.1^2),
 * `bias` N(0, 0.02^2), `variance` exp(N(0, 0.3^2)).
 *
 * @throws UnfoldError if the seed is not a whole number below 2^53.
 */
export function randomWeights({ seed }: { seed: number }): WeightSource {
  if (!Number.isSafeInteger(seed)) throw new UnfoldError(`seed ${seed}: give a whole number below 2^53.`);
  return new RandomWeights(seed);
}

class RandomWeights implements WeightSource {
  readonly origin: string;
  readonly #seed: number;

  constructor(seed: number) {
    this.origin = `random weights (seed ${seed})`;
    this.#seed = seed;
  }

  take(name: string, shape: readonly number[], hint: WeightHint): TensorData {
    const origin = `tensor ${quoted(name)} of ${this.origin}`;
    if (!shape.every((size) => Number.isSafeInteger(size) && size >= 0)) {
      throw new UnfoldError(`${origin}: the shape [${shape.join(", ")}] is not of whole numbers from 0.`);
    }
    const seed = this.#seed;
    const bytes = () => new Uint8Array(invent({ seed, name, shape, hint }).buffer);
    return { dtype: "fp32", shape: [...shape], origin, bytes };
  }

  unused(): string[] {
    return [];
  }
}

interface Invention {
  readonly seed: number;
  readonly name: string;
  readonly shape: readonly number[];
  readonly hint: WeightHint;
}

function invent({ seed, name, shape, hint }: Invention): Float32Array<ArrayBuffer> {
  const values = new Float32Array(elementCount(shape));
  if (hint.init === "zeros") return values;
  if (hint.init === "ones") return values.fill(1);
  const { mean, deviation } = distribution(shape, hint);
  const normal = new Normal(stateOf(name, seed));
  for (let i = 0; i < values.length; i++) values[i] = mean + deviation * normal.next();
  if (hint.init === "variance") return values.map(Math.exp);
  return hint.nonNegative ? values.map(Math.abs) : values;
}

function distribution(
  shape: readonly number[],
  { init, fanIn }: WeightHint,
): { mean: number; deviation: number } {
  switch (init) {
    case "linear": {
      const inputs = fanIn ?? elementCount(shape.length > 1 ? shape.slice(1) : shape);
      return { mean: 0, deviation: 0.5 / Math.sqrt(Math.max(1, inputs)) };
    }
    case "gain":
      return { mean: 1, deviation: 0.1 };
    case "variance":
      return { mean: 0, deviation: 0.3 };
    case "embedding":
    case "bias":
      return { mean: 0, deviation: 0.02 };
    default:
      throw new Error(`${init} is not drawn`);
  }
}

type State = readonly [number, number, number, number];

/** Four words out of a name and a seed, every bit of both in every word. */
function stateOf(name: string, seed: number): State {
  const low = seed | 0;
  const high = Math.floor(seed / 2 ** 32) | 0;
  const words = [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344].map((start) => {
    let hash = mixed(mixed(start ^ low) ^ high);
    for (let i = 0; i < name.length; i++) hash = mixed(hash ^ name.charCodeAt(i));
    return hash;
  });
  return words as unknown as State;
}

/** A bijection of 32-bit words that spreads every bit (two rounds of xorshift and multiplication). */
function mixed(word: number): number {
  word = Math.imul(word ^ (word >>> 16), 0x21f0aaad);
  word = Math.imul(word ^ (word >>> 15), 0x735a2d97);
  return (word ^ (word >>> 15)) + 0x9e3779b9 | 0;
}

/** Marsaglia and Tsang's ziggurat for 128 layers: where the lowest one ends, and the area of each. */
const LAYERS = 128;
const TAIL = 3.442619855899;
const AREA = 9.91256303526217e-3;

/** Right edges of the layers, from the lowest up, whose rectangle has the area of itself and the tail. */
const EDGES = new Float64Array(LAYERS + 1);
/** The part of each layer that lies wholly under the curve. */
const INNER = new Float64Array(LAYERS);

EDGES[0] = AREA / density(TAIL);
EDGES[1] = TAIL;
for (let i = 2; i < LAYERS; i++) {
  EDGES[i] = Math.sqrt(-2 * Math.log(AREA / EDGES[i - 1]! + density(EDGES[i - 1]!)));
}
for (let i = 0; i < LAYERS; i++) INNER[i] = EDGES[i + 1]! / EDGES[i]!;

function density(x: number): number {
  return Math.exp(-0.5 * x * x);
}

/**
 * Standard normal numbers from xoshiro128** (Blackman and Vigna) by the ziggurat. V8 computes log and exp in
 * its own software, so the values do not depend on the machine.
 */
class Normal {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  constructor([a, b, c, d]: State) {
    this.#a = a;
    this.#b = b;
    this.#c = c;
    this.#d = d;
  }

  next(): number {
    for (;;) {
      const word = this.#word();
      const layer = word & (LAYERS - 1);
      // The other 25 bits, as a number strictly between -1 and 1.
      const part = ((word >> 7) + 0.5) * 2 ** -24;
      const edge = EDGES[layer]!;
      if (Math.abs(part) < INNER[layer]!) return part * edge;
      if (layer === 0) return part < 0 ? -this.#tail() : this.#tail();
      const x = part * edge;
      const low = density(edge);
      const high = density(EDGES[layer + 1]!);
      if (low + this.#uniform() * (high - low) < density(x)) return x;
    }
  }

  /** A number beyond `TAIL`, by Marsaglia's exponential rejection. */
  #tail(): number {
    for (;;) {
      const x = -Math.log(this.#uniform()) / TAIL;
      const y = -Math.log(this.#uniform());
      if (2 * y > x * x) return TAIL + x;
    }
  }

  /** Strictly between 0 and 1. */
  #uniform(): number {
    return ((this.#word() >>> 0) + 0.5) * 2 ** -32;
  }

  #word(): number {
    const scrambled = Math.imul(this.#b, 5);
    const result = Math.imul((scrambled << 7) | (scrambled >>> 25), 9);
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return result;
  }
}
