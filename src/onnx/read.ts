/**
 * The way into an ONNX file: what it says is checked whole and put in the form of `file.ts`, and no weight is
 * read. Nothing is executed.
 */
import { UnfoldError } from "../errors.ts";
import { quoted } from "../text.ts";
import { openForReading, readRange } from "../weights/file.ts";
import { describeForeign, isZip, SNIFF_BYTES } from "../weights/foreign.ts";
import { pathOf } from "../weights/open.ts";
import { AGAIN, decodeFile } from "./decode.ts";
import { domainOf, Expansion } from "./expand.ts";
import { openedFile } from "./external.ts";
import type { OnnxFile, OnnxValue } from "./file.ts";
import { inOrder, nodeOf } from "./order.ts";
import type { GraphProto, ModelProto, ValueInfoProto } from "./proto.ts";
import { Tensors, typeOf, unreadableType } from "./tensor.ts";

/** What the exporters of PyTorch 1.2 wrote; operators before it differ in more than their names. */
const OLDEST_OPSET = 11;
/** Of ONNX 1.23. */
const NEWEST_OPSET = 28;

/**
 * Reads an ONNX file: its graph, not its weights, each of which reads its range of the file, or of the one
 * beside it, when its bytes are asked for. Needs `--allow-read`.
 *
 * ```ts ignore
 * const { graph } = readOnnx("vit.onnx");
 * const weight = graph.initializers.get("blocks.0.attn.qkv.weight")!; // nothing is read yet
 * ```
 *
 * @throws UnfoldError where the file is damaged, no ONNX model, of an opset before 11, or has a loop, a
 * branch that is taken at run time, or external data that is missing, short or outside of its folder
 */
export function readOnnx(path: string | URL): OnnxFile {
  const name = pathOf(path);
  using file = openForReading(name);
  const opened = openedFile(name, file);
  refuseForeign(file, opened);
  const model = decodeFile<ModelProto>(file, opened, "ModelProto");
  const { graph, functions, producerName, producerVersion } = model;
  if (graph === null || model.irVersion === 0) {
    throw new UnfoldError(
      `${name} is not an ONNX model: it has no ${graph === null ? "graph" : "ir_version"}. ${AGAIN}`,
    );
  }
  const opsets = opsetsOf(model, name);
  const tensors = new Tensors(opened);
  const expansion = new Expansion(name, tensors, functions);
  refuseSparse(graph, name);
  expansion.graph(graph);
  // Tensors that are read are looked at here.
  const whole = graphOf(graph, expansion, { path: name, opsets });
  return {
    path: name,
    beside: tensors.beside,
    producer: [producerName, producerVersion].filter((part) => part !== "").join(" "),
    opsets,
    metadata: new Map(model.metadataProps.map(({ key, value }) => [key, value])),
    said: saidBy(model, graph),
    graph: whole,
  };
}

function saidBy({ domain, modelVersion, docString }: ModelProto, graph: GraphProto): OnnxFile["said"] {
  const { name, input, output } = graph;
  return {
    model: { domain, modelVersion, docString },
    graph: { name, docString: graph.docString },
    values: Object.fromEntries([...input, ...output].map(({ name, docString }) => [name, docString])),
  };
}

function refuseForeign(file: Deno.FsFile, { path, byteLength }: { path: string; byteLength: number }): void {
  const head = readRange(file, { origin: path, begin: 0, byteLength: Math.min(SNIFF_BYTES, byteLength) });
  const text = String.fromCharCode(...head);
  const isSafetensors = text[8] === "{" && head.subarray(4, 8).every((byte) => byte === 0);
  // By its bytes alone: all these are named .onnx.
  const foreign = isZip(head)
    ? `is a zip archive: ${/^[^/]+\/(?:data\.pkl|\.)/.test(text.slice(30)) ? CHECKPOINT : "unpack it first."}`
    : text.startsWith("ORTM", 4)
    ? "is a model in ONNX Runtime's own format: give the ONNX file that it was made of."
    : isSafetensors || head[0] === 0x80
    ? `is ${isSafetensors ? "a safetensors file" : "a pickle of Python"}: ${CHECKPOINT}`
    : describeForeign(head, "") ??
      (/^[\t\n\r -~]{8,}$/.test(text) ? "is text: give the file that onnx.save() writes." : null);
  if (foreign !== null && !foreign.startsWith("is an ONNX model")) {
    throw new UnfoldError(`${path} ${foreign}`);
  }
}

const CHECKPOINT =
  "give a checkpoint to build-engine, as --checkpoint or --weights, or the network that torch.onnx.export() wrote of it.";

function opsetsOf({ opsetImport }: ModelProto, path: string): ReadonlyMap<string, number> {
  const opsets = new Map<string, number>();
  for (const { domain, version } of opsetImport) {
    const before = opsets.get(domainOf(domain));
    if (before !== undefined && before !== Number(version)) {
      throw new UnfoldError(
        `${path} is of two versions of the operators ${
          quoted(domain)
        }, ${before} and ${version}. Export it again.`,
      );
    }
    opsets.set(domainOf(domain), Number(version));
  }
  const standard = opsets.get("");
  if (standard !== undefined && !(standard >= OLDEST_OPSET && standard <= NEWEST_OPSET)) {
    throw new UnfoldError(
      `${path} is of opset ${standard}; UNfold reads ${OLDEST_OPSET} to ${NEWEST_OPSET}. Export it again with ` +
        "opset_version=18, or convert it with onnx.version_converter.convert_version(model, 18).",
    );
  }
  return opsets;
}

function refuseSparse({ sparseInitializer }: GraphProto, path: string): void {
  if (sparseInitializer.length === 0) return;
  throw new UnfoldError(
    `${path}: its initializer ${
      quoted(sparseInitializer[0]!.values?.name ?? "")
    } is sparse: make it dense before the export.`,
  );
}

function graphOf(
  { name, input, output, valueInfo, initializer }: GraphProto,
  { nodes, initializers }: Expansion,
  { path, opsets }: Pick<OnnxFile, "path" | "opsets">,
): OnnxFile["graph"] {
  if (output.length === 0) {
    throw new UnfoldError(`${path}: its graph has no outputs. Export the model again.`);
  }
  const stranger = nodes.find(({ domain }) => !opsets.has(domain));
  if (stranger !== undefined) {
    throw new UnfoldError(
      `${path}: ${nodeOf(stranger)} is of the operators ${
        quoted(stranger.domain)
      }, of which the model does not ` +
        "say the version. Export it again.",
    );
  }
  const initial = new Set(initializer.map(({ name }) => name));
  const inputs = input.filter(({ name }) => !initial.has(name)).map((each) =>
    portOf(each, { path, what: "input" })
  );
  const outputs = output.map((each) => portOf(each, { path, what: "output" }));
  const given = new Set([...initializers.keys(), ...inputs.map(({ name }) => name)]);
  const ordered = inOrder(nodes, { path, given });
  const made = new Set([...given, ...ordered.flatMap(({ outputs }) => outputs)]);
  const names = outputs.map(({ name }) => name);
  const odd = names.find((name, i) => !made.has(name) || names.indexOf(name) !== i);
  if (odd !== undefined) {
    throw new UnfoldError(
      `${path}: its output ${quoted(odd)} ${
        made.has(odd) ? "is there twice" : "is made by nothing"
      }. Export the model again.`,
    );
  }
  const read = new Set([...names, ...ordered.flatMap(({ inputs }) => inputs)]);
  return {
    name,
    inputs,
    outputs,
    values: new Map(
      valueInfo.flatMap((info) => valueOf(info, path) ?? []).map((value) => [value.name, value]),
    ),
    initializers: new Map(
      [...initializers].filter(([name]) => read.has(name)).map(([name, data]) => [name, data()]),
    ),
    nodes: ordered,
  };
}

function portOf(
  info: ValueInfoProto,
  { path, what }: { readonly path: string; readonly what: "input" | "output" },
): OnnxValue {
  const value = valueOf(info, path);
  const origin = `${path}: its ${what} ${quoted(info.name)}`;
  // A record of names has its prototype under that one.
  if (info.name === "__proto__") {
    throw new UnfoldError(`${origin} has a name that records cannot have: export the model with another.`);
  }
  if (value !== null) return value;
  const tensor = info.type?.tensorType;
  if (tensor && tensor.elemType !== 0) throw unreadableType(origin, tensor.elemType);
  throw new UnfoldError(
    `${origin} is ${
      info.type === null || tensor ? "of no type" : "no tensor, but a sequence, a map or the like"
    }: ` +
      "export the model with tensors alone.",
  );
}

/** Null where it is no tensor of a type that UNfold has. */
function valueOf({ name, type }: ValueInfoProto, path: string): OnnxValue | null {
  const tensor = type?.tensorType ?? null;
  const dtype = tensor === null ? null : typeOf(tensor.elemType);
  if (tensor === null || dtype === null) return null;
  const shape = tensor.shape?.dim.map(({ dimValue, dimParam }) => {
    if (dimValue === undefined) return dimParam || null;
    // What some converters write for an open size, and ONNX Runtime takes for one.
    if (dimValue === -1) return null;
    if (typeof dimValue === "number" && dimValue >= 0) return dimValue;
    throw new UnfoldError(`${path}: ${quoted(name)} has the size ${dimValue}. Export the model again.`);
  });
  return { name, dtype, shape: shape ?? null };
}
