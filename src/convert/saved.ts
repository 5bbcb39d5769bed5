/**
 * What a conversion has done so far, beside its output, so that a run that was killed goes on behind the last
 * normalization it finished. Sums are taken in one order, so the bytes in the end are the same.
 */
import { join } from "node:path";
import { UnfoldError, writeFailure } from "../errors.ts";
import { openCheckpoint, writeSafetensors } from "../weights/mod.ts";
import type { Conversion, Step } from "./walk.ts";

export interface Done {
  readonly conversion: Conversion;
  readonly steps: readonly Step[];
}

const FILE = /^\.convert-\d+\.part\.safetensors$/;

/** The states of one conversion in its output folder, one for each number of normalizations taken out. */
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

  /** What was done towards so many taken out; null where nothing was. */
  of(removed: number): Done | null {
    try {
      const file = openCheckpoint(this.#path(removed));
      const { key, scopes, steps } = file.metadata;
      if (key !== this.#key) return null;
      return {
        conversion: {
          scopes: new Set(JSON.parse(scopes!)),
          changes: new Map(
            file.names().map((name) => {
              const data = file.tensor(name);
              const bytes = data.bytes(); // Held: the next step replaces the file.
              return [name, { ...data, dtype: data.dtype, shape: data.shape, bytes: () => bytes }];
            }),
          ),
        },
        steps: JSON.parse(steps!),
      };
    } catch (error) {
      // None, or one that was being written: from the start, then.
      if (error instanceof UnfoldError || error instanceof SyntaxError) return null;
      throw error;
    }
  }

  keep(removed: number, { conversion: { scopes, changes }, steps }: Done): void {
    writeSafetensors(this.#path(removed), changes, {
      key: this.#key,
      scopes: JSON.stringify([...scopes]),
      steps: JSON.stringify(steps),
    });
  }

  /** Removes all: the conversion is complete. */
  async remove(): Promise<void> {
    for await (const { name } of Deno.readDir(this.#folder)) {
      if (FILE.test(name)) await Deno.remove(join(this.#folder, name));
    }
  }

  #path(removed: number): string {
    return join(this.#folder, `.convert-${removed}.part.safetensors`);
  }
}
