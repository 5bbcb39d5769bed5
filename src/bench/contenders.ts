/**
 * The contenders of a case, opened: each network in each precision on each engine, and what PyTorch makes of it. Each runs
 * once and is compared with the meaning of its network before it may be timed; one that cannot run here is left out with
 * the reason, and one that runs and is wrong is kept, and said to be.
 */
import { join } from "node:path";
import { firstBatch, loadExamples, openSizes, ROUNDING } from "../compile/evaluate.ts";
import { writeOnnx } from "../emit/onnx.ts";
import { isRefusal } from "../errors.ts";
import { bytesAs, type TensorData } from "../ir/data.ts";
import type { Precision } from "../ir/dtype.ts";
import type { Graph } from "../ir/graph.ts";
import { compareOutputs } from "../run/compare.ts";
import { sessionFromOnnx } from "../run/onnxruntime.ts";
import { sessionFromOnnxByOpenVino } from "../run/openvino.ts";
import { type Feeds, numbersOf, type Outputs, type PreparedCall, type Session } from "../run/session.ts";
import { openCheckpoint, type WeightSource } from "../weights/mod.ts";
import { writeSafetensors } from "../weights/write.ts";
import type { Bench } from "./mod.ts";
import { benchGraph, type BenchNetwork, benchWeights } from "./networks.ts";
import type { BenchContender, Engine, PeerVariant, Variant } from "./schema.ts";
import { workOf } from "./work.ts";

/** One contender, ready to be timed. */
export interface Contender
  extends Pick<BenchContender, "id" | "variant" | "engine" | "precision" | "backend" | "gflop" | "parity"> {
  readonly call: PreparedCall;
}

export interface Opened extends AsyncDisposable {
  readonly contenders: readonly Contender[];
  readonly skipped: readonly { readonly id: string; readonly why: string }[];
}

interface CaseOptions {
  readonly batch: number;
  readonly bench: Bench;
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
    about: Pick<Contender, "variant" | "engine" | "precision" | "gflop">,
    open: () => Promise<Session>,
  ) => {
    const id = `${about.variant}/${about.engine}/${about.precision}`;
    bench.options.signal?.throwIfAborted();
    bench.options.onProgress?.(`${name}, batch ${batch}: opening ${id}`, null);
    try {
      const session = opened.use(await open());
      const feeds = work.feeds(session);
      const parity = await work.parity(about.variant, await session.run(feeds), about.precision);
      const call = await session.prepare(feeds);
      bench.versions[about.engine] = session.backend.split(/[ ,]/)[1]!;
      contenders.push({ id, ...about, backend: session.backend, parity, call });
    } catch (error) {
      if (!isRefusal(error)) throw error;
      skipped.push({ id, why: error.message });
    }
  };
  for (const precision of bench.options.precisions) {
    for (const variant of bench.options.variants) {
      for (const engine of bench.options.engines) {
        if (engine === "openvino" && bench.openvino === null) continue;
        const graph = work.graph(variant, precision);
        await add(
          { variant, engine, precision, gflop: workOf(graph).gflop },
          async () => work.open(await work.file(variant, precision, engine), engine),
        );
      }
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
      const [output] = Object.keys(await work.expected("ln"));
      const value = { dtype: "fp32" as const, shape: data.shape, bytes: bytesAs(data, "fp32") };
      contenders.push({
        id: `${variant}/pytorch/${precision}`,
        variant,
        engine: "pytorch",
        precision,
        backend: `pytorch ${version}, CPU, ${bench.options.threads} threads`,
        gflop,
        parity: await work.parity(variant, { [output!]: value }, precision),
        call: peers.call(variant),
      });
    }
    for (const [variant, why] of Object.entries(peer.skipped)) {
      skipped.push({ id: `${variant}/pytorch/fp32`, why: why! });
    }
    const path = peer.export;
    if (path !== null) {
      for (const engine of bench.options.engines) {
        if (engine === "openvino" && bench.openvino === null) continue;
        const about = { variant: "lnTorchExport", engine, precision: "fp32", gflop } as const;
        await add(about, () => work.open(path, engine));
      }
    }
  }
  work.forget();
  const kept = opened.move();
  return { contenders, skipped, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

type Meaning = "un" | "ln" | "none";
const meaningOf = (variant: Variant | PeerVariant): Meaning =>
  variant === "un" || variant === "none" ? variant : "ln";

/** The files, graphs and expected outputs of one case. */
class Case {
  readonly #name: string;
  readonly #network: BenchNetwork;
  readonly #batch: number;
  readonly #bench: Bench;
  readonly #folder: string;
  #weights = benchWeights();
  readonly #graphs = new Map<string, ReturnType<typeof benchGraph>>();
  readonly #expected = new Map<Meaning, Promise<Outputs>>();

  constructor(
    name: string,
    network: BenchNetwork,
    { batch, bench, folder }: CaseOptions & { folder: string },
  ) {
    this.#name = name;
    this.#network = network;
    this.#batch = batch;
    this.#bench = bench;
    this.#folder = folder;
  }

  graph(variant: Variant, precision: Precision): Graph {
    return this.#graphed(variant, precision).graph;
  }

  #graphed(variant: Variant, precision: Precision, weights: WeightSource = this.#weights) {
    const key = `${variant}.${precision}`;
    const known = this.#graphs.get(key) ??
      benchGraph(this.#network, variant, { batch: this.#batch, precision, weights });
    this.#graphs.set(key, known);
    return known;
  }

  /** The variant's ONNX file in the form that is best for an engine; as exported, it is what it is. */
  async file(variant: Variant, precision: Precision, engine: Engine): Promise<string> {
    const path = join(this.#folder, `${variant}.${precision}.${engine}.onnx`);
    const graph = this.graph(variant, precision);
    await writeOnnx(
      engine === "onnxruntime" && variant !== "lnExported" ? formForOnnxRuntime(graph) : graph,
      path,
    );
    return path;
  }

  async open(path: string, engine: Engine): Promise<Session> {
    const { threads } = this.#bench.options;
    return engine === "onnxruntime"
      ? await sessionFromOnnx(path, { threads })
      : await sessionFromOnnxByOpenVino(path, { library: this.#bench.openvino!, threads });
  }

  feeds(session: Session): Feeds {
    const model = this.#network.model();
    const examples = loadExamples(model, { count: this.#batch, dims: openSizes(model) });
    // An exporter names inputs by itself; there is one.
    const known = Object.keys(examples.inputs);
    const [port] = session.inputs;
    if (session.inputs.length === 1 && known.length === 1 && port!.name !== known[0]) {
      const input = examples.inputs[known[0]!]!;
      return { [port!.name]: { dtype: port!.dtype, shape: input.shape, bytes: bytesAs(input, port!.dtype) } };
    }
    return firstBatch(session, examples, this.#batch);
  }

  /** What the description itself computes, in fp32 by ONNX Runtime, from its graph with nothing rewritten. */
  expected(meaning: Meaning): Promise<Outputs> {
    const known = this.#expected.get(meaning);
    if (known !== undefined) return known;
    const outputs = (async () => {
      const path = join(this.#folder, `meaning.${meaning}.onnx`);
      const variant = meaning === "ln" ? "lnExported" : meaning;
      await writeOnnx(this.#graphed(variant, "fp32").meaning, path);
      await using session = await sessionFromOnnx(path, { threads: this.#bench.options.threads });
      const values = await session.run(this.feeds(session));
      await Deno.remove(path);
      return values;
    })();
    this.#expected.set(meaning, outputs);
    return outputs;
  }

  /** @param outputs in any order and under any name where there is one */
  async parity(
    variant: Variant | PeerVariant,
    outputs: Outputs,
    precision: string,
  ): Promise<BenchContender["parity"]> {
    const meaning = meaningOf(variant);
    const expected = await this.expected(meaning);
    const names = Object.keys(expected);
    const values = Object.values(outputs);
    const named = names.length === 1 && values.length === 1 ? { [names[0]!]: values[0]! } : outputs;
    const { maxRelError } = compareOutputs(numbered(named), numbered(expected));
    const bound = ROUNDING[precision as Precision];
    return {
      maxRelError: Number.isFinite(maxRelError) ? maxRelError : null,
      against: `${meaning.toUpperCase()} as described, fp32`,
      agrees: maxRelError <= bound,
      bound,
    };
  }

  async openPeer(peers: NonNullable<Bench["peers"]>) {
    const recorded = new Map<string, TensorData>();
    const weights: WeightSource = {
      ...this.#weights,
      take: (name, shape, hint) => {
        const data = this.#weights.take(name, shape, hint);
        recorded.set(name, data);
        return data;
      },
    };
    benchGraph(this.#network, "lnExported", { batch: this.#batch, precision: "fp32", weights });
    const files = {
      weights: join(this.#folder, "weights.safetensors"),
      inputs: join(this.#folder, "inputs.safetensors"),
    };
    writeSafetensors(files.weights, recorded);
    const model = this.#network.model();
    const { inputs } = loadExamples(model, { count: this.#batch, dims: openSizes(model) });
    writeSafetensors(files.inputs, Object.entries(inputs));
    return await peers.open({
      network: this.#name,
      ...files,
      folder: this.#folder,
      compile: this.#bench.options.torchCompile,
    });
  }

  /** Lets go of weights and graphs once every session has its own copy. */
  forget(): void {
    this.#weights = benchWeights();
    this.#graphs.clear();
    this.#expected.clear();
  }
}

/** The same values as plain numbers. */
function numbered(outputs: Outputs) {
  return Object.fromEntries(
    Object.entries(outputs).map(([name, value]) => [name, { shape: value.shape, data: numbersOf(value) }]),
  );
}

/** The form of an optimized graph that ONNX Runtime runs fastest. */
function formForOnnxRuntime(graph: Graph): Graph {
  return graph;
}
