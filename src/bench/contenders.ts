/**
 * The contenders of a case: each network in each precision on each engine, and what PyTorch makes of it. Each
 * runs once and is compared with the meaning of its network; then it is timed, loaded again and again. A
 * contender that cannot run here is left out with the reason; one that runs and is wrong is kept and reported
 * as wrong.
 */
import { isRefusal, UnfoldError } from "../errors.ts";
import { bytesAs } from "../ir/data.ts";
import { averageEarly } from "../rewrite/channels/average_early.ts";
import type { Open } from "../run/loadings.ts";
import { openCheckpoint } from "../weights/mod.ts";
import { Case, type CaseOptions } from "./case.ts";
import type { BenchNetwork } from "./networks.ts";
import {
  type BenchContender,
  type BenchPrecision,
  type Engine,
  FILE_VARIANTS,
  type Variant,
} from "./schema.ts";
import { workOf } from "./work.ts";

/** One contender that works here. */
export interface Contender
  extends Pick<BenchContender, "id" | "variant" | "engine" | "precision" | "backend" | "gflop" | "parity"> {
  /** Loads it anew; PyTorch's networks are loaded once, and stay. */
  readonly open: Open;
}

export interface Opened extends AsyncDisposable {
  readonly contenders: readonly Contender[];
  readonly skipped: readonly { readonly id: string; readonly why: string }[];
}

/** Opens everything that a case compares. */
export async function openContenders(
  name: string,
  network: BenchNetwork,
  { batch, bench }: CaseOptions,
): Promise<Opened> {
  const contenders: Contender[] = [];
  const skipped: { id: string; why: string }[] = [];
  await using opened = new AsyncDisposableStack();
  const folder = await Deno.makeTempDir({ dir: bench.folder });
  opened.defer(() => Deno.remove(folder, { recursive: true }));
  const work = new Case(name, network, { batch, bench, folder });
  const add = async (
    { variant, engine, precision, gflop }: Pick<Contender, "variant" | "precision" | "gflop"> & {
      engine: Engine;
    },
    file: () => Promise<string>,
  ) => {
    const id = `${variant}/${engine}/${precision}`;
    bench.options.signal?.throwIfAborted();
    bench.options.onProgress?.(`${name}, batch ${batch}: opening ${id}`, null);
    try {
      const path = await file();
      await using session = await work.open(path, engine);
      const feeds = work.feeds(session);
      const parity = await work.parity(variant, await session.run(feeds), precision);
      bench.versions[engine] = session.backend.split(/[ ,]/)[1]!;
      const open: Open = async (opened) => await opened.use(await work.open(path, engine)).prepare(feeds);
      contenders.push({ id, variant, engine, precision, gflop, backend: session.backend, parity, open });
    } catch (error) {
      if (!isRefusal(error)) throw error;
      skipped.push({ id, why: error.message });
    }
  };
  const engines = bench.options.engines.filter((engine) => engine !== "openvino" || bench.openvino !== null);
  const gflopOf = (variant: Variant, precision: BenchPrecision) => {
    const graph = work.graph(variant, precision);
    // What a lowering saves is not counted; channels that it adds for the caches' sake are not, either.
    return workOf(variant === "lnExported" ? graph : averageEarly(graph).graph).gflop;
  };
  const variants = bench.options.variants.filter((variant) => network.variants.includes(variant));
  const made = variants.filter((variant) => {
    try {
      return network.form(variant);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      skipped.push({ id: variant, why: error.message });
      return false;
    }
  });
  for (const precision of bench.options.precisions) {
    for (const variant of made) {
      const gflop = gflopOf(variant, precision);
      for (const engine of engines) {
        await add({ variant, engine, precision, gflop }, () => work.file(variant, precision, engine));
      }
    }
  }
  for (const variant of FILE_VARIANTS) {
    const file = network.files[variant];
    if (file === undefined) continue;
    const { path, precision, hasItsWeights } = file;
    const gflop = gflopOf(work.meaningOf(variant), "fp32");
    for (const engine of engines) {
      await add({ variant, engine, precision, gflop }, () => {
        if (hasItsWeights) return Promise.resolve(path);
        throw new UnfoldError(`${path} has other weights than --weights`);
      });
    }
  }
  if (bench.peers !== null && network.hasPeer) {
    bench.options.onProgress?.(`${name}, batch ${batch}: opening PyTorch's`, null);
    const { peers } = bench;
    const { gflop } = workOf(work.graph("lnExported", "fp32"));
    const peer = await work.openPeer(peers);
    opened.defer(() => peers.close());
    const outputs = openCheckpoint(peer.outputs);
    const version = peers.versions.torch ?? "?";
    for (const variant of peer.variants) {
      const precision = "fp32";
      const data = outputs.tensor(variant);
      const [output] = Object.keys(await work.expected(variant));
      const value = { dtype: "fp32" as const, shape: data.shape, bytes: bytesAs(data, "fp32") };
      contenders.push({
        id: `${variant}/pytorch/${precision}`,
        variant,
        engine: "pytorch",
        precision,
        backend: `pytorch ${version}, CPU, ${bench.options.threads} threads`,
        gflop,
        parity: await work.parity(variant, { [output!]: value }, precision),
        open: () => Promise.resolve(peers.call(variant)),
      });
    }
    for (const [variant, why] of Object.entries(peer.skipped)) {
      skipped.push({ id: `${variant}/pytorch/fp32`, why: why! });
    }
    const path = peer.export;
    if (path !== null) {
      for (const engine of engines) {
        const about = { variant: "lnTorchExport", engine, precision: "fp32", gflop } as const;
        await add(about, () => Promise.resolve(path));
      }
    }
  }
  work.forget();
  const kept = opened.move();
  return { contenders, skipped, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}
