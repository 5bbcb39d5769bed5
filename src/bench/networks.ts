/**
 * What `deno task bench` compares: for each network its contenders as graphs, from the same invented weights.
 * Layer Normalization comes twice: as PyTorch's exporter writes it, and with every rewrite and lowering that
 * is valid for it, so that what folding gains is not mixed up with what a better form of the graph gains.
 */
import { compile } from "../compile/networks.ts";
import { usualSizes } from "../compile/examples.ts";
import type { Model } from "../dsl/model.ts";
import { UnfoldError } from "../errors.ts";
import type { Precision } from "../ir/dtype.ts";
import type { Graph } from "../ir/graph.ts";
import { MODELS } from "../models/table.ts";
import { swin, SWIN_T } from "../models/swin.ts";
import { DEIT_S, vit } from "../models/vit.ts";
import { GPT2, gpt2 } from "../models/gpt2.ts";
import { type Norm, NORMS } from "../norms/families.ts";
import { applyRules } from "../rewrite/driver.ts";
import { REJOIN_NORM } from "../rewrite/fold/rejoin_norm.ts";
import { nearestNames } from "../weights/names.ts";
import { randomWeights, type WeightSource } from "../weights/mod.ts";
import { ENCODER, encoder } from "./encoder.ts";
import type { Variant } from "./schema.ts";
import { swinAsExported } from "./swin_exported.ts";

export interface BenchNetwork {
  readonly title: string;
  /** With the norm it is given in place of its own. */
  readonly model: (norm?: Norm) => Model;
  /** The same function as an exporter writes it, where that differs from the description itself. */
  readonly exported?: (norm: Norm) => Model;
  /** Whether `peers.py` has it too. */
  readonly hasPeer: boolean;
}

const NAMED: Readonly<Record<string, BenchNetwork>> = {
  encoder: {
    title: "encoder, 6 blocks of 512 channels, 128 tokens",
    model: (norm) => encoder(ENCODER, norm && { norm }),
    hasPeer: true,
  },
  vit: {
    title: "DeiT-S, 12 blocks of 384 channels, 197 tokens",
    model: (norm) => vit(DEIT_S, norm && { norm }),
    hasPeer: true,
  },
  swin: {
    title: "Swin-T, 12 blocks of 96 to 768 channels, windows of 49 tokens",
    model: (norm) => swin(SWIN_T, norm && { norm }),
    exported: (norm) => swinAsExported(SWIN_T, { norm }),
    hasPeer: true,
  },
  gpt2: {
    title: "GPT-2, 12 blocks of 768 channels, 128 tokens, all logits",
    model: (norm) => gpt2(GPT2, norm && { norm }),
    hasPeer: true,
  },
};

/** Names that `--models` takes. */
const BENCH_NAMES: readonly string[] = [...new Set([...Object.keys(NAMED), ...Object.keys(MODELS)])];

/** The network of a name: one of the four above, or any of the papers'. */
export function benchNetwork(name: string): BenchNetwork {
  const named = Object.hasOwn(NAMED, name) ? NAMED[name] : undefined;
  if (named !== undefined) return named;
  if (!Object.hasOwn(MODELS, name)) {
    const near = nearestNames(name, BENCH_NAMES);
    throw new UnfoldError(
      `there is no network called ${name}${near.length > 0 ? `; did you mean ${near.join(" or ")}?` : ""} ` +
        "(deno task models lists them)",
    );
  }
  const { title, build } = MODELS[name]!;
  return { title, model: () => build(), hasPeer: false };
}

/** A contender's network. */
export interface BenchGraph {
  /** As it is emitted, before a backend's own lowering. */
  readonly graph: Graph;
  /** Its meaning: the description as it was traced, with nothing rewritten. */
  readonly meaning: Graph;
}

export interface GraphOptions {
  readonly batch: number;
  readonly precision: Precision;
  readonly weights: WeightSource;
}

const SEED = 0;

/** Invented weights, the same for all variants and made once: GPT-2's take seconds. */
export function benchWeights(): WeightSource {
  const random = randomWeights({ seed: SEED });
  const made = new Map<string, Uint8Array>();
  return {
    origin: random.origin,
    take: (name, shape, hint) => {
      const data = random.take(name, shape, hint);
      const key = `${name} ${shape}`;
      const bytes = () => {
        const known = made.get(key) ?? data.bytes();
        made.set(key, known);
        return known;
      };
      return { ...data, bytes };
    },
    unused: () => [],
  };
}

/** The norm that a variant is compiled with. */
const NORM_OF: Readonly<Record<Variant, "un" | "ln" | "none">> = {
  un: "un",
  lnBest: "ln",
  lnExported: "ln",
  none: "none",
};

/** The graph of one variant, all sizes fixed. */
export function benchGraph(
  network: BenchNetwork,
  variant: Variant,
  { batch, precision, weights }: GraphOptions,
): BenchGraph {
  const norm = normOf(network, variant);
  const model = network.model(norm);
  const options = { precision, norm, dims: usualSizes(model, batch) };
  if (variant === "lnExported") {
    const meaning = model.trace({ ...options, weights });
    const exported = network.exported?.(norm).trace({ ...options, weights }) ?? meaning;
    // PyTorch writes a Layer Normalization with its gain and bias as one operator.
    return { graph: applyRules(exported, REJOIN_NORM).graph, meaning };
  }
  const { graph, traced } = compile(model, { ...options, weights });
  return { graph, meaning: traced };
}

/** A network's own reference keeps its epsilon. */
function normOf(network: BenchNetwork, variant: Variant): Norm {
  const family = NORM_OF[variant];
  const { reference } = network.model();
  return reference.family === family ? reference : NORMS[family]();
}
