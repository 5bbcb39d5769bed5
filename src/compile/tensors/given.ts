/**
 * PyTorch's own tensors from a file, as forward hooks or `save_for_unfold` wrote them, brought under the
 * names of a description. A module's output is the tensor whose scope has the module's weights: a linear's
 * `encoder.layer.0.output.dense` by whatever name the layout gives `encoder.layer.0.output.dense.weight`.
 * Outputs of modules that have no weights of their own are matched where they are called as the description
 * calls them.
 */
import type { RecognisedCheckpoint } from "../../checkpoints/recognised.ts";
import type { Model } from "../../dsl/model.ts";
import { UnfoldError } from "../../errors.ts";
import { elementCount, float64Of } from "../../ir/data.ts";
import { isFloat } from "../../ir/dtype.ts";
import type { Graph } from "../../ir/graph.ts";
import type { Norm } from "../../norms/families.ts";
import type { ReferenceTensor } from "../../ops/define.ts";
import { listed, quoted } from "../../text.ts";
import { type Checkpoint, openCheckpoint, RECORDED } from "../../weights/mod.ts";
import { type Examples, loadExamples, sampleInputs } from "../examples.ts";
import { expecting } from "../expected.ts";

export interface GivenTensors {
  /** What the tensors are of. */
  readonly examples: Examples;
  /** Whether the file has a tensor, by the description's name. */
  readonly has: (name: string) => boolean;
  /** Reads one that it has. */
  readonly tensor: (name: string) => ReferenceTensor;
  /** Tensors of the file that are none of the description's. */
  readonly unknown: readonly string[];
}

interface GivenOptions {
  readonly path: string;
  readonly norm: Norm;
  readonly recognised?: RecognisedCheckpoint | undefined;
}

/** Whether a checkpoint has tensors of a run beside its weights. */
export function hasTensors({ recorded }: Checkpoint): boolean {
  return recorded.some((name) => name.startsWith(RECORDED.tensors));
}

/**
 * @param described as traced, with its tensors followed
 * @throws {UnfoldError} no inputs, or no tensor that the description names
 */
export function givenTensors(model: Model, described: Graph, options: GivenOptions): GivenTensors {
  const { path, norm } = options;
  const file = openCheckpoint(path);
  const isRecorded = file.recorded.length > 0;
  const saved = isRecorded ? expecting(model, path, norm) : model;
  const stored = new Map<string, string>();
  const unknown: string[] = [];
  const tensors = tensorsOf(file, Object.keys(model.inputs));
  const known = new Map(
    [...described.followed!.keys()].flatMap((name) =>
      spellings(name, model, options).map((spelling) => [spelling, name] as const)
    ),
  );
  for (const { name, module } of tensors) {
    const tensor = known.get(module);
    if (tensor === undefined) unknown.push(module);
    else if (!stored.has(tensor)) stored.set(tensor, name);
  }
  const outputs = isRecorded ? saved.evaluation!.logits![norm.family]! : {};
  for (const [name, at] of Object.entries(outputs)) {
    const { node } = described.outputs.find((output) => output.name === name)!;
    const own = [...described.followed!].find(([, at]) => "node" in at && at.node === node)!;
    if (!stored.has(own[0])) stored.set(own[0], at);
  }
  if (stored.size === 0) {
    throw new UnfoldError(
      `${path} has no tensor that ${model.name} names: it has ${
        tensors.length === 0 ? "none beside inputs" : listed(tensors.map(({ module }) => module))
      }; ${model.name} names ${listed([...described.followed!.keys()])}`,
    );
  }
  return {
    examples: isRecorded ? loadExamples(saved, 1) : sampleInputs(model, path),
    has: (name) => stored.has(name),
    tensor: (name) => numbersIn(file, stored.get(name)!),
    unknown,
  };
}

/** A file's tensors that are no inputs and no outputs of the whole network, by the names of modules. */
function tensorsOf(file: Checkpoint, inputs: readonly string[]): { name: string; module: string }[] {
  if (file.recorded.length === 0) {
    return file.names().filter((name) => !inputs.includes(name)).map((name) => ({ name, module: name }));
  }
  return file.recorded.filter((name) => name.startsWith(RECORDED.tensors)).map((name) => ({
    name,
    module: name.slice(RECORDED.tensors.length),
  }));
}

/** What a tensor's module may be called in PyTorch. */
function spellings(name: string, { rename }: Model, { recognised }: GivenOptions): string[] {
  const weight = recognised?.nameOf(`${name}.weight`) ?? rename?.(`${name}.weight`);
  const module = weight?.endsWith(".weight") ? weight.slice(0, -".weight".length) : undefined;
  return [name, ...module === undefined ? [] : [module, `${recognised?.prefix ?? ""}${module}`]];
}

function numbersIn(file: Checkpoint, name: string): ReferenceTensor {
  const data = file.tensor(name);
  if (!isFloat(data.dtype) || elementCount(data.shape) === 0) {
    throw new UnfoldError(
      `${file.path} has ${quoted(name)} as ${data.dtype}; floating-point numbers are needed`,
    );
  }
  return { shape: data.shape, data: float64Of(data) };
}
