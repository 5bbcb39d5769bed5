/**
 * Where two forms of one network part: every tensor of the description that survives in both, in the order in
 * which it is computed, with its error, the first that leaves the tolerance, and the one where the error
 * grows most. What is compared with is another form or PyTorch's own tensors.
 */
import type { Model } from "../../dsl/model.ts";
import { UnfoldError } from "../../errors.ts";
import type { Precision } from "../../ir/dtype.ts";
import { type Followed, type Graph, type Node, topological } from "../../ir/graph.ts";
import { showShape } from "../../ir/shape.ts";
import type { Norm } from "../../norms/families.ts";
import type { ReferenceTensor } from "../../ops/define.ts";
import type { OptimizeOptions } from "../../rewrite/pipeline.ts";
import { compareTensors, type Difference } from "../../run/compare.ts";
import { ROUNDING } from "../evaluate.ts";
import { type Examples, loadExamples, neededShape, originOf } from "../examples.ts";
import { chooseWeights, type WeightOptions } from "../networks.ts";
import { bisect, type Region } from "./bisect.ts";
import { type Form, type FormChoice, formOf, type Libraries } from "./forms.ts";
import { givenTensors } from "./given.ts";
import { type Recovered, recovered } from "./recover.ts";

/** One tensor of the description in both forms. */
export interface ComparedTensor {
  /** Its name in the description. */
  readonly tensor: string;
  /** The operator that makes it. */
  readonly op: string;
  readonly shape: readonly number[];
  /** max |a - b|, and over max |b|; null where a value is NaN or infinite in one of the two alone. */
  readonly maxAbsError: number | null;
  readonly maxRelError: number | null;
  /** Elements that are NaN or infinite where they are not in what is compared with. */
  readonly notFinite: number;
  /**
   * Its relative error over the largest of those that it is computed from, or over the last place of the
   * number type where that is more; null where one of them is not finite.
   */
  readonly growth: number | null;
  readonly isBad: boolean;
  /** What is to be known of the figures; null where there is nothing. */
  readonly note: string | null;
}

export interface TensorsComparison {
  readonly model: string;
  /** The normalization's family. */
  readonly family: string;
  readonly weights: string;
  /** In words: what is looked at, and what it is compared with. */
  readonly form: string;
  readonly against: string;
  readonly samples: { readonly origin: string; readonly count: number };
  /** The largest relative error that is accepted. */
  readonly tolerance: number;
  /** In the order in which the description computes them. */
  readonly tensors: readonly ComparedTensor[];
  /** Names of the first tensors: not finite, beyond the tolerance; and of that whose error grows most. */
  readonly firstNotFinite: string | null;
  readonly firstBad: string | null;
  readonly growsMost: string | null;
  /** Where the fault is in the network with its operators fused; null where that was not asked for. */
  readonly region: Region | null;
  /** Tensors of the description that cannot be compared, and why. */
  readonly left: readonly { readonly tensor: string; readonly reason: string }[];
  /** Tensors of the file that the description does not have. */
  readonly unknown: readonly string[];
  /** What was not executed as it will be. */
  readonly notExecuted: readonly string[];
}

export interface CompareOptions extends WeightOptions, OptimizeOptions {
  readonly norm: Norm;
  readonly form: FormChoice;
  /** What it is compared with: another form, or a file of PyTorch's tensors. */
  readonly against: FormChoice | { readonly file: string };
  /** Of the relative error; the usual one of the form's precision unless given. */
  readonly tolerance?: number | undefined;
  readonly libraries?: Libraries;
  /** Whether to look for the fault with one tensor at a time as an output, and all else fused. */
  readonly bisect?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Examples of a run at most; all their tensors are in memory at once. */
const MOST_EXAMPLES = 4;

/** A unit in the last place of 1. */
const LAST_PLACE: Readonly<Record<Precision, number>> = { fp32: 2 ** -23, fp16: 2 ** -10, bf16: 2 ** -7 };

/** @throws {UnfoldError} weights, inputs or tensors that do not fit, a form that does not run here */
export async function compareNetworks(
  model: Model,
  {
    norm,
    form: choice,
    against,
    tolerance,
    libraries = {},
    bisect: isBisected = false,
    layerNorm = "layer",
    signal,
    ...weightOptions
  }: CompareOptions,
): Promise<TensorsComparison> {
  const file = "file" in against ? against.file : null;
  const weights = chooseWeights(model, norm, weightOptions);
  const own = loadExamples(model, MOST_EXAMPLES);
  const limited = { ...own, count: Math.min(own.count, MOST_EXAMPLES) };
  const makeForm = (choice: FormChoice, examples: Examples) =>
    formOf(model, choice, {
      norm,
      weights: weights.open(),
      layerNorm,
      examples,
      sizes: sizesOf(model, examples),
      libraries,
      signal,
    });
  const given = "file" in against
    ? givenTensors(model, makeForm(choice, limited).described, {
      path: against.file,
      norm,
      recognised: weightOptions.recognised,
    })
    : null;
  const examples = given?.examples ?? limited;
  const form = makeForm(choice, examples);
  const other = "file" in against ? null : makeForm(against, examples);
  const names = [...form.described.followed!.keys()];
  const lacks = (name: string): string | null => {
    const places = [form, ...other === null ? [] : [other]].map(({ followed }) => followed.get(name)!);
    const gone = places.find((place) => "gone" in place);
    if (gone !== undefined) return gone.gone;
    return given !== null && !given.has(name) ? "is not in the file" : null;
  };
  const left = names.flatMap((tensor) => {
    const reason = lacks(tensor);
    return reason === null ? [] : [{ tensor, reason }];
  });
  const compared = names.filter((name) => !left.some(({ tensor }) => tensor === name));
  if (compared.length === 0) throw new UnfoldError(`no tensor of ${model.name} is in both forms`);
  const sizes = sizesOf(model, examples);
  const actual = await valuesOf(form, compared, sizes);
  const expected = other === null
    ? (name: string): Recovered => ({ ...given!.tensor(name), known: null })
    : await valuesOf(other, compared, sizes);
  const precisions = [choice.precision, ..."file" in against ? [] : [against.precision]];
  const limit = tolerance ?? Math.max(...precisions.map((precision) => ROUNDING[precision]));
  const measure = (name: string, actual: (name: string) => Recovered) =>
    differenceOf(name, { actual: actual(name), expected: expected(name), tolerance: limit, file });
  const differences = new Map(compared.map((name) => [name, measure(name, actual)]));
  const lastPlace = Math.max(...precisions.map((precision) => LAST_PLACE[precision]));
  const tensors = withGrowth(form.described, differences, lastPlace);
  const region = isBisected
    ? await bisect(
      tensors.map(({ tensor }) => tensor),
      async (name) => measure(name, await valuesOf(form, [name], sizes)).isBad,
    )
    : null;
  const first = (is: (one: ComparedTensor) => boolean) => tensors.find(is)?.tensor ?? null;
  const most = tensors.reduce((most, { growth }) => Math.max(most, growth ?? 0), 1);
  return {
    model: model.name,
    family: norm.family,
    weights: weights.origin,
    form: form.title,
    against: other?.title ?? `PyTorch's tensors in ${file}`,
    samples: { origin: file ?? originOf(model), count: examples.count },
    tolerance: limit,
    tensors,
    firstNotFinite: first(({ notFinite }) => notFinite > 0),
    firstBad: first(({ isBad }) => isBad),
    growsMost: first(({ growth }) => growth === most),
    region,
    left,
    unknown: given?.unknown ?? [],
    notExecuted: [form, ...other === null ? [] : [other]].flatMap(({ notExecuted }) => notExecuted ?? []),
  };
}

/** The sizes that a model's open dimensions have in examples. */
function sizesOf(model: Model, { inputs, batched, count }: Examples): Record<string, number> {
  const sizes: Record<string, number> = {};
  for (const [name, { shape }] of Object.entries(model.inputs)) {
    const data = inputs[name]!;
    const [, ...rest] = data.shape;
    neededShape(batched.has(name) ? { shape: [count, ...rest] } : data, shape, sizes);
  }
  return sizes;
}

/** The values of tensors in a form, as the description has them; each is recovered when it is asked for. */
async function valuesOf(
  form: Form,
  names: readonly string[],
  sizes: Readonly<Record<string, number>>,
): Promise<(name: string) => Recovered> {
  type Place = Extract<Followed, { node: Node }>;
  const places = new Map(names.map((name) => [name, form.followed.get(name) as Place]));
  const nodes = [...places.values()].map(({ node }) => node);
  const values = await form.run(nodes);
  const byNode = new Map(nodes.map((node, i) => [node, values[i]!]));
  return (name) => {
    const { node, undo } = places.get(name)!;
    return recovered(byNode.get(node)!, undo, sizes);
  };
}

type Measured = Omit<ComparedTensor, "op" | "growth">;

function differenceOf(
  tensor: string,
  { actual, expected, tolerance, file }: {
    readonly actual: Recovered;
    readonly expected: Recovered;
    readonly tolerance: number;
    readonly file: string | null;
  },
): Measured {
  const { shape } = expected;
  if (actual.data.length !== expected.data.length) {
    throw new UnfoldError(
      `${file ?? "the other form"} has ${tensor} as ${showShape(shape)}, and ${
        showShape(actual.shape)
      } is computed of its inputs`,
    );
  }
  const { a, b, notFinite } = comparable(actual, expected);
  const base = { tensor, shape, notFinite };
  if (notFinite > 0) return { ...base, maxAbsError: null, maxRelError: null, isBad: true, note: null };
  const inPlace = compareTensors(a, b);
  // PyTorch may have tokens in rows that are in windows here.
  const sorted = file !== null && !(inPlace.maxRelError <= tolerance) ? sortedDifference(a, b) : inPlace;
  const isMoved = sorted !== inPlace && sorted.maxRelError <= tolerance;
  const { maxAbsError, maxRelError } = isMoved ? sorted : inPlace;
  const parts = `${a.data.length} of ${actual.data.length} elements are computed`;
  return {
    ...base,
    maxAbsError,
    maxRelError: Number.isFinite(maxRelError) ? maxRelError : null,
    isBad: !(maxRelError <= tolerance),
    note: isMoved
      ? "the same numbers in another order"
      : a.data.length < actual.data.length
      ? parts
      : file !== null && shape.join() !== actual.shape.join()
      ? `${showShape(shape)} in the file, ${showShape(actual.shape)} here`
      : null,
  };
}

/** The elements that both have; infinities that are in both, as a mask's, are no error. */
function comparable(actual: Recovered, expected: Recovered) {
  const has = (i: number) => (actual.known?.[i] ?? 1) === 1 && (expected.known?.[i] ?? 1) === 1;
  const [a, b]: [number[], number[]] = [[], []];
  let notFinite = 0;
  actual.data.forEach((value, i) => {
    const wanted = expected.data[i]!;
    if (!has(i)) return;
    const isSame = Object.is(value, wanted);
    if (!isSame && !(Number.isFinite(value) && Number.isFinite(wanted))) notFinite++;
    const isInfinite = isSame && !Number.isFinite(value);
    a.push(isInfinite ? 0 : value);
    b.push(isInfinite ? 0 : wanted);
  });
  const held = (data: number[]): ReferenceTensor => ({
    shape: [data.length],
    data: Float64Array.from(data),
  });
  return { a: held(a), b: held(b), notFinite };
}

/** How far the numbers of two tensors are apart, wherever they are. */
function sortedDifference(a: ReferenceTensor, b: ReferenceTensor): Difference {
  const sorted = ({ shape, data }: ReferenceTensor) => ({ shape, data: data.toSorted() });
  return compareTensors(sorted(a), sorted(b));
}

/** How much the error grew in each tensor, over those that it is computed from. */
function withGrowth(
  described: Graph,
  measured: ReadonlyMap<string, Measured>,
  lastPlace: number,
): ComparedTensor[] {
  const nameOf = new Map(
    [...described.followed!].flatMap(([name, at]) => "node" in at ? [[at.node, name] as const] : []),
  );
  // Of each node the error that what reads it begins with; null where that is not finite.
  const errors = new Map<Node, number | null>();
  const tensors: ComparedTensor[] = [];
  for (const node of topological(described)) {
    const before = node.inputs.map((input) => errors.get(input)!);
    const largest = before.some((error) => error === null)
      ? null
      : Math.max(lastPlace, ...before as number[]);
    const own = measured.get(nameOf.get(node) ?? "");
    if (own === undefined) {
      errors.set(node, largest);
      continue;
    }
    const { maxRelError } = own;
    errors.set(node, maxRelError);
    const growth = largest === null || maxRelError === null ? null : maxRelError / largest;
    tensors.push({ ...own, op: node.op, growth });
  }
  return tensors;
}
