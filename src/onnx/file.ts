/**
 * An ONNX file as the rest of UNfold sees it. What the format leaves to its readers is done: local functions
 * are written out where they are called, `Constant` nodes are initializers, an `If` whose condition is known
 * is the branch that is taken, nodes stand in order of execution, and every name that is read has one maker.
 * No weight has been read. Leaves out what the operators mean: a node is what the file says of it.
 */
import type { TensorData } from "../ir/data.ts";
import type { StorageType } from "../ir/dtype.ts";

/** What `readOnnx` gives. */
export interface OnnxFile {
  readonly path: string;
  /** Files that have weights of it. */
  readonly beside: readonly string[];
  /** Who wrote it: "pytorch 2.14.1"; "" where it does not say. */
  readonly producer: string;
  /** Versions of operators by domain; "" is ai.onnx. */
  readonly opsets: ReadonlyMap<string, number>;
  /** `metadata_props` of the model. */
  readonly metadata: ReadonlyMap<string, string>;
  readonly said: OnnxSaid;
  readonly graph: OnnxGraph;
}

/** What a file says to people, in the fields of the messages that say it. */
export interface OnnxSaid {
  readonly model: {
    readonly domain: string;
    readonly modelVersion: number | bigint;
    readonly docString: string;
  };
  readonly graph: { readonly name: string; readonly docString: string };
  /** Documentation of inputs and outputs by their names. */
  readonly values: Readonly<Record<string, string>>;
}

export interface OnnxGraph {
  readonly name: string;
  /** Without those that are initializers. */
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  /** What `value_info` says of values in between, as far as UNfold has their element type. */
  readonly values: ReadonlyMap<string, OnnxValue>;
  /** Each reads its range of the file at every call of its `bytes()`. */
  readonly initializers: ReadonlyMap<string, TensorData>;
  /** In order of execution. */
  readonly nodes: readonly OnnxNode[];
}

export interface OnnxValue {
  readonly name: string;
  readonly dtype: StorageType;
  /** A size, the name of an open one, or null where nothing is known of it; null for an unknown rank. */
  readonly shape: readonly (number | string | null)[] | null;
}

export interface OnnxNode {
  /** As the file has it, else made of the operator and the first output. */
  readonly name: string;
  readonly op: string;
  /** "" is ai.onnx; others stay as they are: "com.microsoft". */
  readonly domain: string;
  /** "" where an optional one is left out. */
  readonly inputs: readonly string[];
  /** "" where an optional one is left out. */
  readonly outputs: readonly string[];
  readonly attributes: ReadonlyMap<string, OnnxAttribute>;
  /**
   * The module that the exporter says it comes from, "blocks.0.attn": of `torch.export`'s node metadata
   * `pkg.torch.onnx.name_scopes`, else of TorchScript's node name "/blocks.0/attn/MatMul"; "" where neither
   * is.
   */
  readonly scope: string;
  /** Of a node in a branch: the conditions under which it is computed, from outside in. */
  readonly when?: readonly Condition[];
}

/** What an `If` that is not decided by the file itself decides by; sizes may tell it. */
export interface Condition {
  readonly value: string;
  readonly is: boolean;
  /** For messages: the file and the node that decides. */
  readonly origin: string;
}

/**
 * An `i` as a number (beyond 2^53 as a bigint), an `f` (the shortest decimal that is the float32), an `s`;
 * `ints` and `floats`, `strings`; a `t`. Other kinds are refused.
 */
export type OnnxAttribute = number | bigint | string | readonly number[] | readonly string[] | TensorData;

/** An operator as people call it, "LayerNormalization" or "com.microsoft.FastGelu". */
export function operatorName({ domain, op }: Pick<OnnxNode, "domain" | "op">): string {
  return domain === "" || domain === "ai.onnx" ? op : `${domain}.${op}`;
}
