/**
 * An engine as a model of NVIDIA Triton Inference Server: the folder of a model repository, with its
 * configuration in protobuf's text format (`ModelConfig` of Triton's model_config.proto). Only what follows
 * from the engine is written; the server's defaults hold for all else. Left out: whether a server's TensorRT
 * can read the plan, which only that server knows.
 */
import { join } from "node:path";
import { UnfoldError } from "../errors.ts";
import { quoted } from "../text.ts";
import type { PortType } from "../ir/dtype.ts";
import type { Graph, TensorType } from "../ir/graph.ts";
import { showShape } from "../ir/shape.ts";
import { replaceBy, replaceFile } from "./kept_file.ts";
import type { Profile } from "./tensorrt.ts";

const DATA_TYPE: Readonly<Record<PortType, string>> = {
  fp32: "TYPE_FP32",
  fp16: "TYPE_FP16",
  bf16: "TYPE_BF16",
  int32: "TYPE_INT32",
  int64: "TYPE_INT64",
  int8: "TYPE_INT8",
  uint8: "TYPE_UINT8",
  bool: "TYPE_BOOL",
};

const PLAN = "model.plan";
/** How long a request may wait for others to be run with it: little beside the time of any batch. */
const MAX_DELAY_US = 100;

export interface TritonOptions {
  /** The model's name, and its folder's. */
  readonly name: string;
  /** The engine's optimization profiles, in order. */
  readonly profiles: readonly Profile[];
}

/** A named value or message of a text-format document; an enum's value is a bare word. */
type Value = string | number | { readonly word: string } | Message | readonly Value[];
interface Message {
  readonly fields: readonly (readonly [name: string, value: Value])[];
}

/**
 * The content of `config.pbtxt`. Where the batch is open and the first axis of every input and output, and
 * the profiles leave no size out from 1 on, the server batches requests, up to the largest and preferably to
 * the sizes that profiles are tuned for. Else it passes each request on as it is, and the engine refuses what
 * no profile has: the file says so, since Triton has no field for it.
 *
 * @throws {UnfoldError} a name that is no folder's
 */
export function tritonConfig(graph: Graph, { name, profiles }: TritonOptions): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) {
    throw new UnfoldError(
      `${quoted(name)} is no name for a model of Triton: letters, digits, ".", "-", "_"`,
    );
  }
  const ports = (list: readonly { name: string; type: TensorType }[], isBatched: boolean): Value =>
    list.map(({ name, type }) => port(name, type, isBatched));
  const outputs = graph.outputs.map(({ name, node }) => ({ name, type: node.type }));
  const ranges = profiles.flatMap(({ B }) => B ?? []);
  const isBatched = ranges.length > 0 && leavesNoneOut(ranges) &&
    [...graph.inputs, ...outputs].every(({ type: { shape } }) => shape[0] === "B");
  const maxBatch = isBatched ? Math.max(...ranges.map(({ max }) => max)) : 0;
  const preferred = [...new Set(ranges.map(({ opt }) => opt))].filter((size) => size > 1).sort((a, b) =>
    a - b
  );
  const message: Message = {
    fields: [
      ["name", name],
      ["platform", "tensorrt_plan"],
      ["default_model_filename", PLAN],
      ["max_batch_size", maxBatch],
      ["input", ports(graph.inputs, isBatched)],
      ["output", ports(outputs, isBatched)],
      [
        "instance_group",
        [{
          fields: [
            ["count", 1],
            ["kind", { word: "KIND_GPU" }],
            // Only named profiles are used; without names it is the first alone.
            ...profiles.length > 0 ? [["profile", profiles.map((_, i) => String(i))] as const] : [],
          ],
        }],
      ],
      ...maxBatch > 1
        ? [
          ["dynamic_batching", {
            fields: [
              ...preferred.length > 0 ? [["preferred_batch_size", preferred] as const] : [],
              ["max_queue_delay_microseconds", MAX_DELAY_US],
            ],
          }] as const,
        ]
        : [],
    ],
  };
  return [
    `# ${graph.name}, written by UNfold for NVIDIA Triton Inference Server.`,
    ...profiles.map((profile, i) => `# profile ${i}: ${describe(graph, profile)}`),
    ...profiles.some((profile) => Object.keys(profile).some((dim) => dim !== "B" || !isBatched))
      ? ["# The engine refuses a request whose sizes no profile has."]
      : [],
    ...fields(message, 0),
    "",
  ].join("\n");
}

/** Whether every batch from 1 to the largest lies in one of the ranges. */
function leavesNoneOut(ranges: readonly Profile[string][]): boolean {
  const reached = ranges.toSorted((a, b) => a.min - b.min).reduce(
    (reached, { min, max }) => min > reached + 1 ? reached : Math.max(reached, max),
    0,
  );
  return reached === Math.max(...ranges.map(({ max }) => max));
}

/** Dimensions without the batch where the server adds it; open ones are -1. */
function port(name: string, { dtype, shape }: TensorType, isBatched: boolean): Message {
  const dims = shape.slice(isBatched ? 1 : 0).map((dim) => typeof dim === "number" ? dim : -1);
  return {
    fields: [
      ["name", name],
      ["data_type", { word: DATA_TYPE[dtype as PortType] }],
      ["dims", dims.length > 0 ? dims : [1]],
      // A request's tensor has at least one dimension; the engine's then has none but the batch.
      ...dims.length > 0 ? [] : [["reshape", { fields: [["shape", []]] }] as const],
    ],
  };
}

/** "images [B, 1, 8, 8] with B 1 to 64, tuned for 8". */
function describe(graph: Graph, profile: Profile): string {
  const sizes = Object.entries(profile).map(([dim, { min, opt, max }]) =>
    min === max ? `${dim} ${min}` : `${dim} ${min} to ${max}, tuned for ${opt}`
  );
  const inputs = graph.inputs.map(({ name, type }) => `${name} ${showShape(type.shape)}`);
  return `${inputs.join(", ")} with ${sizes.join("; ")}`;
}

function fields({ fields: list }: Message, depth: number): string[] {
  return list.flatMap(([name, value]) => field(name, value, depth));
}

function field(name: string, value: Value, depth: number): string[] {
  const indent = "  ".repeat(depth);
  if (isMessage(value)) return [`${indent}${name} {`, ...fields(value, depth + 1), `${indent}}`];
  if (!isList(value)) return [`${indent}${name}: ${scalar(value)}`];
  if (value.some(isMessage)) return value.flatMap((item) => field(name, item, depth));
  return [`${indent}${name}: [${value.map((item) => scalar(item as string | number)).join(", ")}]`];
}

const isList = (value: Value): value is readonly Value[] => Array.isArray(value);
const isMessage = (value: Value): value is Message => typeof value === "object" && "fields" in value;

function scalar(value: string | number | { readonly word: string }): string {
  if (typeof value === "number") return String(value);
  return typeof value === "string" ? JSON.stringify(value) : value.word;
}

/**
 * Writes `FOLDER/NAME/config.pbtxt` and a copy of the plan as `FOLDER/NAME/1/model.plan`, each beside it
 * first and then renamed, so that a server that watches the folder reads whole files.
 *
 * @returns the model's folder
 * @throws {UnfoldError} a folder that cannot be written
 */
export async function writeTritonModel(
  graph: Graph,
  folder: string,
  { plan, ...options }: TritonOptions & { readonly plan: string },
): Promise<string> {
  const model = join(folder, options.name);
  const config = tritonConfig(graph, options);
  await replaceBy(join(model, "1", PLAN), (partial) => Deno.copyFile(plan, partial));
  await replaceFile(join(model, "config.pbtxt"), config);
  return model;
}
