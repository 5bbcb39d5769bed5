/** Attributes of nodes as values. */
import { UnfoldError } from "../errors.ts";
import { heldData, shortest, type TensorData } from "../ir/data.ts";
import { quoted } from "../text.ts";
import type { OnnxAttribute } from "./file.ts";
import type { AttributeProto } from "./proto.ts";
import { ATTRIBUTE } from "./schema.ts";
import type { Tensors } from "./tensor.ts";

export interface Owner {
  /** The node, for messages: file, name and operator. */
  readonly origin: string;
  readonly tensors: Tensors;
}

export function attributeOf(attribute: AttributeProto, { origin, tensors }: Owner): OnnxAttribute {
  switch (attribute.type) {
    case ATTRIBUTE.float:
      return shortest(attribute.f);
    case ATTRIBUTE.int:
      return attribute.i;
    case ATTRIBUTE.string:
      return attribute.s;
    case ATTRIBUTE.floats:
      return attribute.floats.map(shortest);
    case ATTRIBUTE.ints:
      return attribute.ints.map(Number);
    case ATTRIBUTE.strings:
      return attribute.strings;
    case ATTRIBUTE.tensor:
      if (attribute.t !== null) return tensors.data(attribute.t, `${attribute.name} of ${origin}`);
  }
  throw new UnfoldError(
    `${origin}: its attribute ${quoted(attribute.name)} ${
      attribute.type === ATTRIBUTE.graph ? "is a graph" : `is of kind ${attribute.type}`
    }, which UNfold does not read: numbers, texts and tensors.`,
  );
}

/** What a `Constant` node gives. */
export function constantOf(
  attributes: readonly AttributeProto[],
  { name, origin, tensors }: Owner & { readonly name: string },
): TensorData {
  const [attribute, ...more] = attributes;
  if (attribute === undefined || more.length > 0) {
    throw new UnfoldError(
      `${origin} has ${attributes.length} values; a Constant has one. Export the model again.`,
    );
  }
  const { i, ints, f, floats, t } = attribute;
  switch (attribute.name) {
    case "value":
      if (t !== null) return tensors.data(t, name);
      break;
    case "value_float":
      return heldData([], Float32Array.of(f), origin);
    case "value_floats":
      return heldData([floats.length], Float32Array.from(floats), origin);
    case "value_int":
      return heldData([], BigInt64Array.of(BigInt(i)), origin);
    case "value_ints":
      return heldData([ints.length], BigInt64Array.from(ints, BigInt), origin);
  }
  throw new UnfoldError(
    `${origin} is a Constant with ${quoted(attribute.name)}, which UNfold does not read: ` +
      "value, value_float, value_floats, value_int, value_ints.",
  );
}
