/**
 * Plans made by hand, in the grammar that TensorRT for RTX 1.7.1 was seen to write, with as few bytes as the
 * reading needs.
 */
import { Buffer } from "node:buffer";

const list = (names: readonly string[]) => `{ ${names.map((name) => `"${name}" `).join("")}}`;
const lines = (statements: readonly string[]) => statements.map((statement) => `  ${statement}\n`).join("");

/** The text of an engine's schedule. */
export function schedule(
  statements: readonly string[],
  descriptors: readonly string[] = [],
  outputs: readonly string[] = ["output.1"],
): string {
  return "header {\n  version = 5\n" +
    "  region = { name=devmem size=64 alignment=128 instance=0 type=user place=accelerator unified=false }\n" +
    "  region = { name=host0 size=64 alignment=128 instance=0 type=user place=host unified=false }\n" +
    `  inputs={ "tokens.1" }\n  outputs=${list(outputs)}\n}\n` +
    `descriptors {\n${lines(descriptors)}}\nmain {\n label bb1: \n${lines(statements)}}\n`;
}

/** The text of a runtime fusion's body. */
export function fusionBody(
  { inputs = [], outputs = [], statements = [] }: {
    inputs?: readonly string[];
    outputs?: readonly string[];
    statements?: readonly string[];
  },
): string {
  return "header {\n  version = 4\n" +
    "  region = { name=runtime-fusion-consts size=8 alignment=128 instance=0 type=system place=accelerator }\n" +
    `  inputs=${list(inputs)}\n  outputs=${list(outputs)}\n}\ndescriptors {\n}\nmain {\n label bb1: \n${
      lines(statements)
    }}\n`;
}

/** A file with these texts behind the bytes of `before`. */
export function planBytes(
  texts: readonly string[],
  { before = [] }: { before?: readonly Uint8Array[] } = {},
): Uint8Array<ArrayBuffer> {
  const head = Buffer.alloc(64);
  head.write("vtrt");
  head.set([1, 7, 1], 24);
  const parts: Uint8Array[] = [head, ...before];
  for (const text of texts) {
    const mark = Buffer.alloc(16);
    mark.write("NLYM");
    mark.writeBigUInt64LE(BigInt(Buffer.byteLength(text)), 8);
    parts.push(mark, Buffer.from(text), new Uint8Array(9));
  }
  head.writeBigUInt64LE(BigInt(parts.reduce((sum, part) => sum + part.length, 0)), 16);
  return new Uint8Array(Buffer.concat(parts));
}

/** A statement that starts generated code; operands are quoted names. */
export const kernel = (name: string, inputs: string, outputs: string) =>
  `function={ name=${name} fqn=${name}_0x1 args={ "x" } input_args={ ${inputs} } output_args={ ${outputs} } binary = 0 }`;
