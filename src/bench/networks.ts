/**
 * What `deno task bench` compares: for each network its variants as graphs, a built-in network's from the
 * same invented weights, a given one's from its own. Layer Normalization comes twice: as PyTorch's exporter
 * writes it, and with every rewrite and lowering that is valid for it, so that what folding gains is not
 * mixed up with what a better form of the graph gains.
 */
import { chooseWeights, compile, type WeightChoice, type WeightOptions } from "../compile/networks.ts";
import { usualSizes } from "../compile/examples.ts";
import type { Subject } from "../compile/order.ts";
import type { Model } from "../dsl/model.ts";
import { UnfoldError } from "../errors.ts";
import type { Precision } from "../ir/dtype.ts";
import type { Graph } from "../ir/graph.ts";
import { MODELS } from "../models/table.ts";
import { swin, SWIN_T } from "../models/swin.ts";
import { DEIT_S, vit } from "../models/vit.ts";
import { GPT2, gpt2 } from "../models/gpt2.ts";
import { noNorm, type Norm, type NormFamily, NORMS } from "../norms/families.ts";
import { applyRules } from "../rewrite/driver.ts";
import { REJOIN_NORM } from "../rewrite/fold/rejoin_norm.ts";
import type { LayerNormForm } from "../rewrite/fold/recentre.ts";
import { nearestNames } from "../weights/names.ts";
import { randomWeights, type WeightSource } from "../weights/mod.ts";
import { ENCODER, encoder } from "./encoder.ts";
import { type Families, type FileVariant, type Variant, VARIANTS } from "./schema.ts";
import { swinAsExported } from "./swin_exported.ts";

/** A variant of a network, not yet compiled. */
export interface BenchForm {
  readonly model: Model;
  readonly norm: Norm;
  readonly layerNorm?: LayerNormForm;
  /** The same function as an exporter writes it, where that differs from the description itself. */
  readonly exported?: Model;
  /** Its own weights, in place of those that all variants share. */
  readonly weights?: WeightChoice;
}

/** An ONNX file that a network came from. */
export interface ExportedFile {
  readonly path: string;
  /** The type that its floats are stored in. */
  readonly precision: Precision;
  /** Whether the network has the file's own weights. */
  readonly hasItsWeights: boolean;
}

export interface BenchNetwork {
  readonly title: string;
  /** Its inputs and examples, which all variants share. */
  readonly model: Model;
  readonly families: Families;
  /** Those that it may have. */
  readonly variants: readonly Variant[];
  /** @throws {UnfoldError} it has no such form, and why */
  form(variant: Variant): BenchForm;
  /** Whether `peers.py` has it too. */
  readonly hasPeer: boolean;
  /** What exporters wrote; empty of a description. */
  readonly files: Readonly<Partial<Record<FileVariant, ExportedFile>>>;
}

/** A network that is described with any normalization, from invented weights. */
export function describedNetwork(
  { title, model, exported, hasPeer = false }: {
    readonly title: string;
    /** With the norm it is given in place of its own. */
    readonly model: (norm?: Norm) => Model;
    readonly exported?: (norm: Norm) => Model;
    readonly hasPeer?: boolean;
  },
): BenchNetwork {
  const own = model();
  // A network's own reference keeps its epsilon.
  const { reference } = own;
  const normOf = (family: NormFamily) => reference.family === family ? reference : NORMS[family]();
  return {
    title,
    model: own,
    families: { own: "un", reference: "ln" },
    variants: VARIANTS,
    form: (variant) => {
      const norm = normOf(NORM_OF[variant]);
      return { model: model(norm), norm, ...(exported && { exported: exported(norm) }) };
    },
    hasPeer,
    files: {},
  };
}

/** The norm that a variant is compiled with. */
const NORM_OF: Readonly<Record<Variant, "un" | "ln" | "none">> = {
  un: "un",
  lnBest: "ln",
  lnExported: "ln",
  none: "none",
};

/**
 * A network as the command line names one: its own normalization beside its reference, its own weights where
 * it has some.
 *
 * @param files of MODEL.onnx and its reference, by path
 */
export function givenNetwork(
  { model, norm, layerNorm, weights }: Pick<Subject, "model" | "norm" | "layerNorm" | "weights">,
  files: { readonly own?: string | undefined; readonly reference?: string | undefined } = {},
): BenchNetwork {
  const { reference } = model;
  const { recognised } = weights;
  const isReference = norm.family === reference.family;
  const isImported = files.own !== undefined;
  const formOf = (norm: Norm, options: WeightOptions & { readonly isReference?: boolean }): BenchForm => ({
    model,
    norm,
    layerNorm,
    weights: chooseWeights(model, norm, options),
  });
  const asReference = (): BenchForm => {
    if (isReference) return formOf(norm, weights);
    if (isImported && files.reference === undefined) {
      throw new UnfoldError(
        `no form with ${reference.label} is given (--reference FILE.onnx)`,
      );
    }
    return formOf(reference, { ...weights, isReference: true });
  };
  const fileOf = (path: string | undefined, precision: Precision = "fp32") =>
    path === undefined ? undefined : { path, precision, hasItsWeights: recognised !== undefined };
  const [ownFile, referenceFile] = [
    fileOf(files.own, recognised?.precision),
    fileOf(files.reference, recognised?.reference?.precision),
  ];
  return {
    title: `${model.name}, ${norm.label}`,
    model,
    families: { own: norm.family, reference: reference.family },
    // What an exporter makes of an imported one is in its files.
    variants: isImported ? VARIANTS.filter((variant) => variant !== "lnExported") : VARIANTS,
    form: (variant) => {
      switch (variant) {
        case "un":
          if (!isReference) return formOf(norm, weights);
          throw new UnfoldError(`${model.name} has ${norm.label} itself, and no other that could fold`);
        case "none": {
          const { reference: _, ...own } = recognised ?? {};
          const alone = recognised && { ...weights, recognised: own as typeof recognised };
          return formOf(noNorm(), { ...alone ?? weights, isReference: true });
        }
        default:
          return asReference();
      }
    },
    hasPeer: false,
    files: { ...(ownFile && { ownFile }), ...(referenceFile && { referenceFile }) },
  };
}

const NAMED: Readonly<Record<string, Parameters<typeof describedNetwork>[0]>> = {
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
  if (named !== undefined) return describedNetwork(named);
  if (!Object.hasOwn(MODELS, name)) {
    const near = nearestNames(name, BENCH_NAMES);
    throw new UnfoldError(
      `there is no network called ${name}${near.length > 0 ? `; did you mean ${near.join(" or ")}?` : ""} ` +
        "(deno task models lists them)",
    );
  }
  const { title, build } = MODELS[name]!;
  return describedNetwork({ title, model: () => build() });
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
  /** Of a network without its own. */
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

/**
 * The graph of one variant, all sizes fixed.
 *
 * @throws {UnfoldError} the network has no such variant, and why
 */
export function benchGraph(
  network: BenchNetwork,
  variant: Variant,
  { batch, precision, weights }: GraphOptions,
): BenchGraph {
  const { model, norm, layerNorm, exported, weights: own } = network.form(variant);
  const open = () => own?.open() ?? weights;
  const options = { precision, norm, dims: usualSizes(model, batch) };
  if (variant === "lnExported") {
    const meaning = model.trace({ ...options, weights: open() });
    const written = exported?.trace({ ...options, weights: open() }) ?? meaning;
    // PyTorch writes a Layer Normalization with its gain and bias as one operator.
    return { graph: applyRules(written, REJOIN_NORM).graph, meaning };
  }
  const { graph, traced } = compile(model, {
    ...options,
    ...(layerNorm && { layerNorm }),
    weights: open(),
  });
  return { graph, meaning: traced };
}
