/**
 * Ranges of a network's inputs on sample inputs, kept in a folder: `HASH.json` for each network with its
 * weights, samples, batch and way of looking, and how many samples were seen. So what was calibrated before
 * is read, and what was ended goes on. A file of another form is taken for none and replaced.
 */
import { join } from "node:path";
import { createHash } from "node:crypto";
import { z } from "npm:zod@4.6.7";
import { hashFile, replaceFile } from "../../emit/kept_file.ts";
import { systemReason, UnfoldError } from "../../errors.ts";
import type { Examples } from "../examples.ts";
import { Range } from "./range.ts";

const kept = z.object({
  /** Samples that were seen. */
  seen: z.int().nonnegative(),
  ranges: z.array(Range.STATE),
});
export type KeptRanges = z.infer<typeof kept>;

export class RangeCache {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /** @param of.model the ONNX file that is run; one with its weights beside it has them in `MODEL.data` */
  static async of(folder: string, { model, examples, how }: {
    readonly model: string;
    readonly examples: Examples;
    /** What else ranges depend on. */
    readonly how: unknown;
  }): Promise<RangeCache> {
    const hash = createHash("sha256").update(JSON.stringify(how));
    for (const path of [model, `${model}.data`]) {
      if (await exists(path)) hash.update((await hashFile(path)).sha256);
    }
    for (const [name, data] of Object.entries(examples.inputs)) {
      hash.update(JSON.stringify([name, data.dtype, data.shape])).update(data.bytes());
    }
    return new RangeCache(join(folder, `${hash.digest("hex").slice(0, 32)}.json`));
  }

  /** What is known of as many inputs; null where nothing is. */
  async read(count: number): Promise<KeptRanges | null> {
    const text = await Deno.readTextFile(this.#path).catch((error) => {
      if (error instanceof Deno.errors.NotFound) return "null";
      throw new UnfoldError(
        `--calibration-cache: ${this.#path} cannot be read: ${systemReason(error) ?? error}`,
      );
    });
    const parsed = kept.safeParse(parsedJson(text));
    return parsed.success && parsed.data.ranges.length === count ? parsed.data : null;
  }

  async write(state: KeptRanges): Promise<void> {
    await replaceFile(this.#path, JSON.stringify(state));
  }
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

const exists = (path: string) => Deno.stat(path).then(() => true, () => false);
