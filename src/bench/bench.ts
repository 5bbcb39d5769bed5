/**
 * `deno task bench`: every contender of every network, checked against its meaning and then timed in turns
 * with all others of its case (a network and a batch). One case is one set of rounds: ratios are of
 * contenders that took turns.
 */
import { UnfoldError } from "../errors.ts";
import { environment } from "../run/environment.ts";
import { findOpenVino } from "../run/openvino.ts";
import { THIS_MACHINE } from "../run/machine.ts";
import { loadingNoise, type Open, timeLoadings, timesOf } from "../run/loadings.ts";
import type { PreparedCall } from "../run/session.ts";
import { median } from "../run/statistics.ts";
import { noiseWarning } from "../run/timing.ts";
import { Scratch } from "../leavings.ts";
import { type Contender, openContenders } from "./contenders.ts";
import type { BenchNetwork } from "./networks.ts";
import type { Bench, BenchOptions } from "./options.ts";
import { peakProducts } from "./peak.ts";
import { Peers, sitePackagesOf } from "./peers.ts";
import { fastestRate, ratiosOf, samplesOf } from "./ratios.ts";
import { structureOfPlans } from "./plans.ts";
import { type BenchCase, type BenchReport, BenchReportSchema, type BenchStructure } from "./schema.ts";

/**
 * Measures all cases, one after the other. @throws {UnfoldError} nothing to measure, or a peer that cannot be
 * started
 */
export async function runBench(options: BenchOptions): Promise<BenchReport> {
  const startedAt = new Date().toISOString();
  const { unfold, deno, ...machine } = environment();
  const { loadAverage } = THIS_MACHINE.state();
  const notes: string[] = [];
  await using stack = new AsyncDisposableStack();
  const { folder } = stack.use(await Scratch.open("bench"));
  const bench: Bench = {
    options,
    openvino: await openVinoOf(options, notes),
    // A Python for NVIDIA's parser need not have PyTorch.
    peers: options.python === undefined || !Object.values(options.networks).some(({ hasPeer }) => hasPeer)
      ? null
      : stack.use(await Peers.start(options.python, { threads: options.threads })),
    folder,
    versions: { unfold, deno },
    notes,
  };
  Object.assign(bench.versions, bench.peers?.versions);
  const cases: BenchCase[] = [];
  const structure: BenchStructure[] = [];
  for (const [name, network] of Object.entries(options.networks)) {
    for (const batch of options.batches) {
      options.signal?.throwIfAborted();
      if (options.plans.length > 0) {
        structure.push(...await structureOfPlans(name, network, { batch, bench }));
      }
      if (options.engines.length > 0) cases.push(await runCase(name, network, { batch, bench }));
    }
  }
  return BenchReportSchema.parse({
    schema: 1,
    command: options.command,
    startedAt,
    machine: {
      ...machine,
      threads: options.threads,
      loadAverage: loadAverage ?? null,
    },
    versions: bench.versions,
    cases,
    structure: options.plans.length > 0 ? structure : null,
    notes,
  });
}

async function openVinoOf(
  { engines, openvinoLib, python }: BenchOptions,
  notes: string[],
): Promise<string | null> {
  if (!engines.includes("openvino")) return null;
  const sitePackages = python === undefined ? [] : await sitePackagesOf(python);
  const found = await findOpenVino({ flag: openvinoLib, sitePackages });
  if ("library" in found) return found.library;
  notes.push(`OpenVINO is left out: ${found.unavailable}`);
  return null;
}

const LOADINGS = 10;
const FEWEST_ROUNDS = 2;

async function runCase(
  name: string,
  network: BenchNetwork,
  { batch, bench }: { batch: number; bench: Bench },
): Promise<BenchCase> {
  const { options } = bench;
  const title = `${name}, batch ${batch}`;
  const { contenders, skipped, ...opened } = await openContenders(name, network, { batch, bench });
  await using _opened = opened;
  const [baseline] = [...contenders].sort((a, b) => rank(a) - rank(b));
  if (baseline === undefined) {
    const why = skipped.map(({ id, why }) => `${id}: ${why}`).join("; ");
    throw new UnfoldError(`${title}: nothing can be timed${why === "" ? "" : ` (${why})`}`);
  }
  const products = await peakProducts(options.threads);
  await using sessions = new AsyncDisposableStack();
  for (const { session } of products) sessions.use(session);
  const inTurns = (open: Open): Open => async (opened, index) => turnOf(await open(opened, index));
  const entrants = [
    ...contenders.map(({ id, open }) => [id, inTurns(open)] as const),
    ...products.map(({ name, call }) => [name, inTurns(() => Promise.resolve(call))] as const),
  ];
  const timed = await timeLoadings({
    contenders: Object.fromEntries(entrants),
    baseline: baseline.id,
    rounds: Math.max(FEWEST_ROUNDS, Math.ceil(options.rounds / LOADINGS)),
    firstLook: LOADINGS,
    minMs: 0,
    deadlineMs: performance.now() + options.maxTimeMs,
    threads: () => options.threads,
    signal: options.signal,
    // Time of PyTorch's process is not another program's.
    ...(bench.peers !== null &&
      { machine: { ...THIS_MACHINE, state: () => ({ cores: THIS_MACHINE.state().cores }) } }),
    onProgress: (fraction) => options.onProgress?.(`${title}: taking turns`, fraction),
  });
  const { loadings } = timed;
  const band = loadingNoise(
    loadings.map(({ samplesMs, againMs }) => ({ firstMs: samplesMs[baseline.id]!, againMs })),
  );
  const { families } = network;
  const turns = { loadings, baseline: baseline.id, band, families };
  const [peak] = products
    .map(({ name, gflop }) => ({ product: name, gflop, samplesMs: samplesOf(turns, name) }))
    .sort((a, b) => fastestRate(b) - fastestRate(a));
  return {
    model: name,
    title: network.title,
    families,
    batch,
    rounds: samplesOf(turns, baseline.id).length,
    contenders: contenders.map(({ open: _, ...contender }) => {
      const { p95Ms: __, ...times } = timesOf(samplesOf(turns, contender.id));
      const utilization = fastestRate({ ...times, gflop: contender.gflop }) / fastestRate(peak!);
      return { ...contender, ...times, utilization };
    }),
    ratios: ratiosOf(contenders, turns),
    noise: { ...band, contender: baseline.id },
    peak: {
      product: peak!.product,
      gflopPerS: peak!.gflop / median(peak!.samplesMs) * 1e3,
      best: fastestRate(peak!),
      samplesMs: peak!.samplesMs,
    },
    skipped,
    warnings: [...timed.warnings, ...noiseWarning(baseline.id, band)],
  };
}

/** What the others are divided by: Layer Normalization at its best, where it takes part. */
const rank = ({ variant, precision, engine }: Contender): number =>
  (variant === "lnBest" ? 0 : 4) + (engine === "onnxruntime" ? 0 : 2) + (precision === "fp32" ? 0 : 1);

/**
 * A turn: one call that is not counted, after which caches and threads are the contender's own and no longer
 * those of the one before, then the one that is. It times itself, so that what another process measures can
 * be set beside it.
 */
function turnOf(call: PreparedCall): () => Promise<number> {
  return async () => {
    await call();
    const start = performance.now();
    const ownMs = await call();
    return ownMs ?? performance.now() - start;
  };
}
