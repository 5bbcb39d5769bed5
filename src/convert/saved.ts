/**
 * What a conversion has done so far, beside its output, so that a run that was killed goes on behind the last
 * normalization it finished. Sums are taken in one order, so the bytes in the end are the same.
 */
import { join } from "node:path";
import { UnfoldError, writeFailure } from "../errors.ts";
import { openCheckpoint, writeSafetensors } from "../weights/mod.ts";
import type { Verdict } from "./judge.ts";
import type { Conversion, Step } from "./walk.ts";

export interface Done {
  readonly conversion: Conversion;
  readonly steps: readonly Step[];
  /** What was judged behind each. */
  readonly verdicts?: readonly Verdict[];
}

/** The curve, or the walk with so many normalizations taken out. */
export type Part = "curve" | number;

const FILE = /^\.convert-(?:\d+|curve)\.part\.safetensors$/;

/** The states of one conversion in its output folder. */
export class Saved {
  readonly #folder: string;
  readonly #key: string;

  private constructor(folder: string, key: string) {
    this.#folder = folder;
    this.#key = key;
  }

  /**
   * @param key of what is converted and how; what another conversion left is not looked at
   * @throws {UnfoldError} the folder cannot be made
   */
  static async open(folder: string, key: string): Promise<Saved> {
    await Deno.mkdir(folder, { recursive: true }).catch((error) => {
      throw writeFailure(folder, error);
    });
    return new Saved(folder, key);
  }

  /** What was done of a part; null where nothing was. */
  of(part: Part): Done | null {
    try {
      const file = openCheckpoint(this.#path(part));
      const { key, scopes, steps, verdicts } = file.metadata;
      if (key !== this.#key) return null;
      return {
        conversion: {
          scopes: new Set(JSON.parse(scopes!)),
          changes: new Map(
            file.names().map((name) => {
              const { dtype, shape, origin, bytes } = file.tensor(name);
              const held = bytes(); // The next step replaces the file.
              return [name, { dtype, shape, origin, bytes: () => held }];
            }),
          ),
        },
        steps: JSON.parse(steps!),
        verdicts: JSON.parse(verdicts!),
      };
    } catch (error) {
      // None, or one that was being written: from the start, then.
      if (error instanceof UnfoldError || error instanceof SyntaxError) return null;
      throw error;
    }
  }

  keep(part: Part, { conversion: { scopes, changes }, steps, verdicts = [] }: Done): void {
    writeSafetensors(this.#path(part), changes, {
      key: this.#key,
      scopes: JSON.stringify([...scopes]),
      steps: JSON.stringify(steps),
      verdicts: JSON.stringify(verdicts),
    });
  }

  /** Removes all: the conversion is complete. */
  async remove(): Promise<void> {
    for await (const { name } of Deno.readDir(this.#folder)) {
      if (FILE.test(name)) await Deno.remove(join(this.#folder, name));
    }
  }

  #path(part: Part): string {
    return join(this.#folder, `.convert-${part}.part.safetensors`);
  }
}
