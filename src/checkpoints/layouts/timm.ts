/**
 * What timm says of a network: the architecture that a configuration or a trainer's arguments name, with what
 * is published of it, and whether that can be the file's. The table is written by
 * `tests/python/timm_architectures.py`.
 */
import type { Activation } from "../../dsl/activations.ts";
import { UnfoldError } from "../../errors.ts";
import type { Pool } from "../common_settings.ts";
import type { CheckpointView } from "../define.ts";
import { type Evidence, valueAt } from "../settings.ts";
import { requireLibrary } from "../sizes.ts";
import table from "./timm_architectures.json" with { type: "json" };

interface Facts {
  readonly channels: number;
  readonly depth: number;
  readonly image: readonly number[];
  readonly heads?: number;
  readonly epsilon?: number;
  /** Where it is not by the class token. */
  readonly pool?: string;
  /** Where it is not exact GELU. */
  readonly activation?: string;
  readonly normalization?: string;
  /** The class of its blocks, where it is not the plain one. */
  readonly block?: string;
  readonly poolsPrefix?: boolean;
  /** Where they are not learned. */
  readonly positions?: string;
}

/** The arguments of timm's constructor, where a configuration has them. */
export function argumentsOf(file: CheckpointView): CheckpointView["config"] {
  const values = valueAt(file.config ?? {}, "model_args");
  return typeof values === "object" ? values as CheckpointView["config"] : null;
}

const ARCHITECTURES: Readonly<Record<string, Facts>> = table;

/** A named architecture, with each published value as evidence. */
export interface Architecture {
  readonly name: string;
  readonly facts: Facts;
  readonly heads?: Evidence<number>;
  readonly epsilon?: Evidence<number>;
  readonly activation: Evidence<Activation>;
  readonly pool: Evidence<Pool>;
  readonly normalization: Evidence<"ln" | "rms">;
  readonly image: Evidence<readonly number[]>;
  readonly placement: Evidence<"pre" | "res-post">;
  readonly poolsPrefix: Evidence<boolean>;
  readonly gate: Evidence<"first" | "last">;
  readonly positions: Evidence<"learned" | "dinov3">;
}

/**
 * The architecture that the file's configuration or arguments name; undefined where none is named that is
 * known.
 *
 * @throws {UnfoldError} its sizes, as changed by `model_args`, are not the tensors'
 */
export function architectureOf(
  file: CheckpointView,
  { channels, depth }: { channels: number; depth: number },
): Architecture | undefined {
  requireLibrary(file, "timm");
  for (const { origin, values } of file.statements) {
    for (const key of ["architecture", "model", "arch"]) {
      const name = values[key];
      if (typeof name !== "string" || !Object.hasOwn(ARCHITECTURES, name)) continue;
      const facts = ARCHITECTURES[name]!;
      const depths = valueAt(values, "model_args.depths");
      const changed = {
        channels: valueAt(values, "model_args.embed_dim"),
        depth: Array.isArray(depths)
          ? depths.reduce((sum: number, blocks) => sum + Number(blocks), 0)
          : valueAt(values, "model_args.depth"),
      };
      for (const [what, size] of Object.entries({ channels, depth })) {
        const expected = changed[what as keyof typeof changed] ?? facts[what as "channels" | "depth"];
        if (expected === size) continue;
        const unit = what === "channels" ? "channels" : "blocks";
        throw new UnfoldError(
          `${file.path}: ${origin} names ${name}, of ${expected} ${unit}, but the tensors have ${size}: it is of another ` +
            "model, or lacks the model_args this one was made with. Correct it, or move it away",
        );
      }
      const from = `${origin} names ${name}`;
      return {
        name,
        facts,
        ...(facts.heads !== undefined && { heads: { value: facts.heads, why: from } }),
        ...(facts.epsilon !== undefined && { epsilon: { value: facts.epsilon, why: from } }),
        activation: { value: (facts.activation ?? "gelu") as Activation, why: from },
        pool: { value: (facts.pool ?? "token") as Pool, why: from },
        normalization: { value: (facts.normalization ?? "ln") as "ln" | "rms", why: from },
        image: { value: facts.image, why: from },
        placement: { value: facts.block === "ResPostBlock" ? "res-post" : "pre", why: from },
        poolsPrefix: { value: facts.poolsPrefix ?? false, why: from },
        gate: { value: "first", why: from },
        positions: { value: facts.positions === "dinov3" ? "dinov3" : "learned", why: from },
      };
    }
    // A name that timm does not have in these modules is another network's, whose sizes nothing here can
    // compare.
    if (typeof values.architecture === "string") {
      throw new UnfoldError(
        `${file.path}: ${origin} is of the architecture ${
          JSON.stringify(values.architecture)
        }, which is none of timm's ` +
          "ViT, DeiT and Swin modules, nor a DINOv3: another model's, or a network that UNfold does not have",
      );
    }
  }
  return undefined;
}
