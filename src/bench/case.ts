/**
 * One case's networks: their graphs from one set of weights, the files in the forms that engines take, and
 * what each is compared with. Everything is made on demand, once.
 */
import { join } from "node:path";
import { firstBatch, ROUNDING } from "../compile/evaluate.ts";
import { type Examples, loadExamples, sampleInputs } from "../compile/examples.ts";
import { quantize } from "../compile/quantize/int8.ts";
import { writeOnnx } from "../emit/onnx.ts";
import { UnfoldError } from "../errors.ts";
import { bytesAs, type TensorData } from "../ir/data.ts";
import type { Precision } from "../ir/dtype.ts";
import type { Graph } from "../ir/graph.ts";
import { asOnnx } from "../rewrite/backends/onnx_forms.ts";
import { compareOutputs } from "../run/compare.ts";
import { sessionFromOnnx } from "../run/onnxruntime.ts";
import { sessionFromOnnxByOpenVino } from "../run/openvino.ts";
import { type Feeds, numbersOf, type Outputs, type Session } from "../run/session.ts";
import type { WeightSource } from "../weights/mod.ts";
import { writeSafetensors } from "../weights/write.ts";
import { benchGraph, type BenchNetwork, benchWeights } from "./networks.ts";
import type { Bench } from "./options.ts";
import { type BenchContender, type BenchPrecision, type Engine, shortName, type Variant } from "./schema.ts";

export interface CaseOptions {
  readonly batch: number;
  readonly bench: Bench;
}

/** The largest difference that is rounding. Int8's is not rounding: the gate judges what it may cost. */
const BOUNDS: Readonly<Record<BenchPrecision, number>> = { ...ROUNDING, int8: 0.5 };

/** The variant whose description says what is to be computed. */
type Meaning = "un" | "lnBest" | "none";

/** The files, graphs and expected outputs of one case. */
export class Case {
  readonly #name: string;
  readonly #network: BenchNetwork;
  readonly #batch: number;
  readonly #bench: Bench;
  readonly #folder: string;
  #weights = benchWeights();
  #files = 0;
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

  graph(variant: Variant, precision: BenchPrecision): Graph {
    return this.#graphed(variant, precision === "int8" ? "fp32" : precision).graph;
  }

  #graphed(variant: Variant, precision: Precision, weights: WeightSource = this.#weights) {
    const key = `${variant}.${precision}`;
    const known = this.#graphs.get(key) ??
      benchGraph(this.#network, variant, { batch: this.#batch, precision, weights });
    this.#graphs.set(key, known);
    return known;
  }

  /** What says what a variant is to compute; always a form that the network has. */
  meaningOf(variant: BenchContender["variant"]): Meaning {
    if (variant === "un" || variant === "none") return variant;
    const { own, reference } = this.#network.families;
    return variant === "ownFile" && own !== reference ? "un" : "lnBest";
  }

  /**
   * The variant's ONNX file in the form that is best for an engine; as exported, it is what it is.
   *
   * @throws {UnfoldError} int8 of what is not to be quantized, or would lose too much
   */
  async file(variant: Variant, precision: BenchPrecision, engine: Engine): Promise<string> {
    const graph = this.graph(variant, precision);
    if (precision === "int8") return await this.#inInt8(graph, { variant, engine });
    return await this.#written(asOnnx(graph, variant === "lnExported" ? "standard" : engine));
  }

  async #inInt8(graph: Graph, { variant, engine }: { variant: Variant; engine: Engine }): Promise<string> {
    if (engine !== "onnxruntime" || variant === "lnExported") {
      throw new UnfoldError("UNfold's int8 is for ONNX Runtime, from the best form of a network");
    }
    const { int8For, quantize: { int8 }, signal } = this.#bench.options;
    const { calibrate, ...allowed } = int8!;
    const { graph: quantized } = await quantize(graph, {
      ...allowed,
      target: int8For,
      samples: calibrate === undefined ? this.#examples() : sampleInputs(this.#network.model, calibrate),
      labelled: null,
      batch: this.#batch,
      onnx: (graph) => this.#written(graph),
      signal,
    });
    return await this.#written(quantized);
  }

  async #written(graph: Graph): Promise<string> {
    const path = join(this.#folder, `${this.#files++}.onnx`);
    await writeOnnx(graph, path);
    return path;
  }

  async open(path: string, engine: Engine): Promise<Session> {
    const { threads } = this.#bench.options;
    return engine === "onnxruntime"
      ? await sessionFromOnnx(path, { threads })
      : await sessionFromOnnxByOpenVino(path, { library: this.#bench.openvino!, threads });
  }

  #examples(): Examples {
    return loadExamples(this.#network.model, this.#batch);
  }

  feeds(session: Session): Feeds {
    const examples = this.#examples();
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
  expected(variant: BenchContender["variant"]): Promise<Outputs> {
    const meaning = this.meaningOf(variant);
    const known = this.#expected.get(meaning);
    if (known !== undefined) return known;
    const outputs = (async () => {
      const path = await this.#written(this.#graphed(meaning, "fp32").meaning);
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
    variant: BenchContender["variant"],
    outputs: Outputs,
    precision: BenchPrecision,
  ): Promise<BenchContender["parity"]> {
    const expected = await this.expected(variant);
    const { own, reference } = this.#network.families;
    const described =
      { un: shortName(own), lnBest: shortName(reference), none: "NONE" }[this.meaningOf(variant)];
    const names = Object.keys(expected);
    const values = Object.values(outputs);
    const named = names.length === 1 && values.length === 1 ? { [names[0]!]: values[0]! } : outputs;
    const { maxRelError } = compareOutputs(numbered(named), numbered(expected));
    const bound = BOUNDS[precision];
    return {
      maxRelError: Number.isFinite(maxRelError) ? maxRelError : null,
      against: `${described} as described, fp32`,
      agrees: maxRelError <= bound,
      bound,
    };
  }

  async openPeer(peers: NonNullable<Bench["peers"]>) {
    const files = peerFiles(this.#network, {
      batch: this.#batch,
      folder: this.#folder,
      weights: this.#weights,
    });
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

/** A network's weights, under the names of its scopes, and its inputs as files for PyTorch. */
export function peerFiles(
  network: BenchNetwork,
  { batch, folder, weights: source }: { batch: number; folder: string; weights: WeightSource },
) {
  const recorded = new Map<string, TensorData>();
  const weights: WeightSource = {
    ...source,
    take: (name, shape, hint) => {
      const data = source.take(name, shape, hint);
      recorded.set(name, data);
      return data;
    },
  };
  benchGraph(network, "lnExported", { batch, precision: "fp32", weights });
  const files = {
    weights: join(folder, "weights.safetensors"),
    inputs: join(folder, "inputs.safetensors"),
  };
  writeSafetensors(files.weights, recorded);
  writeSafetensors(files.inputs, Object.entries(loadExamples(network.model, batch).inputs));
  return files;
}

/** The same values as plain numbers. */
function numbered(outputs: Outputs) {
  return Object.fromEntries(
    Object.entries(outputs).map(([name, value]) => [name, { shape: value.shape, data: numbersOf(value) }]),
  );
}
