/**
 * Every way a safetensors file can be wrong, and that each is answered by one message: file, tensor, byte,
 * remedy.
 */
import { join } from "node:path";
import { openCheckpoint } from "../../src/weights/open.ts";
import { rawFile, refuses, withFolder } from "./fixtures.ts";

interface Case {
  readonly name: string;
  readonly file: Uint8Array;
  readonly says: readonly string[];
}

const AGAIN = "download or export it again";

function entry(dtype: string, shape: string, offsets: string): string {
  return `{"dtype":${dtype},"shape":${shape},"data_offsets":${offsets}}`;
}

/** A file whose one tensor `w` has that entry, with 8 bytes of data. */
function one(text: string): Uint8Array {
  return rawFile(`{"w":${text}}`, { data: new Uint8Array(8) });
}

const GOOD = entry('"F32"', "[2]", "[0,8]");

const CASES: readonly Case[] = [
  { name: "an empty file", file: new Uint8Array(0), says: ["has 0 bytes", "begins with 8"] },
  { name: "a file of 7 bytes", file: new Uint8Array(7), says: ["has 7 bytes", AGAIN] },
  {
    name: "a header that ends beyond the file",
    file: rawFile('{"w"', { headerByteLength: 100n }),
    says: ["header ends at byte 108", "the file has 12 bytes", "96 bytes are missing", "truncated"],
  },
  {
    name: "a header of absurd length",
    file: rawFile("{}", { headerByteLength: 100_000_001n }),
    says: ["bytes 0 to 7", "100000001 bytes", "allows 100000000", AGAIN],
  },
  {
    name: "a header length of 2^64 - 1",
    file: rawFile("abc", { headerByteLength: 2n ** 64n - 1n }),
    says: ["18446744073709551615 bytes", "not a safetensors file"],
  },
  {
    name: "a header of no bytes",
    file: rawFile(""),
    says: ["header is not JSON", "its end", "byte 8", AGAIN],
  },
  {
    name: "a header that is not UTF-8",
    file: rawFile(Uint8Array.of(0x7b, 0x22, 0xc3, 0xa9, 0xc3, 0x28, 0x22, 0x7d)),
    says: ["header is not UTF-8 at byte 13", AGAIN],
  },
  {
    name: "a header that ends within a character",
    file: rawFile(Uint8Array.of(0x7b, 0x22, 0xc3)),
    says: ["header is not UTF-8 at byte 11"],
  },
  {
    name: "a header that is not JSON",
    file: rawFile('{"w":x}'),
    says: ["not JSON", '"x"', "byte 13", AGAIN],
  },
  { name: "a byte order mark", file: rawFile("\ufeff{}"), says: ["not JSON", "byte 8"] },
  {
    name: "a header that stops early",
    file: rawFile('{"w":{'),
    says: ["not JSON: its end where a quoted name belongs, at byte 14"],
  },
  { name: "text after the header", file: rawFile("{}{}"), says: ['"{" where the end belongs, at byte 10'] },
  {
    name: "a trailing comma",
    file: rawFile('{"w":1,}'),
    says: ['"}" where a quoted name belongs, at byte 15'],
  },
  { name: "a missing colon", file: rawFile('{"w" 1}'), says: ['where ":" belongs, at byte 13'] },
  { name: "an open list", file: rawFile('{"w":[1 2]}'), says: ['where "," or "]" belongs, at byte 16'] },
  { name: "an open string", file: rawFile('{"w'), says: ["string without an end", "byte 9"] },
  { name: "a wrong escape", file: rawFile('{"\\x":1}'), says: ["wrong escape", "byte 9"] },
  { name: "a control character", file: rawFile('{"a\tb":1}'), says: ["control character", "byte 11"] },
  { name: "a misspelt word", file: rawFile('{"w":nul}'), says: ["not JSON", "byte 13"] },
  {
    name: "bottomless nesting",
    file: rawFile(`{"w":${"[".repeat(100_000)}`),
    says: ["nested more than 64 deep"],
  },
  { name: "a header that is a list", file: rawFile("[1]"), says: ["is [1] and not a JSON object"] },
  { name: "a header that is a word", file: rawFile("null"), says: ["is null and not a JSON object"] },
  {
    name: "a name that comes twice",
    file: rawFile(`{"é":1,"w":${GOOD},"w":${GOOD}}`, { data: new Uint8Array(8) }),
    // Byte, not character: 8 + `{"é":1,"w":...,` with é as two bytes.
    says: ['has "w" twice', `byte ${8 + 8 + 4 + GOOD.length + 1}`, AGAIN],
  },
  {
    name: "a name that comes twice, once escaped",
    file: rawFile(`{"w":${GOOD},"\\u0077":${GOOD}}`, { data: new Uint8Array(8) }),
    says: ['has "w" twice'],
  },
  {
    name: "a field that comes twice",
    file: one('{"dtype":"F32","dtype":"F16","shape":[2],"data_offsets":[0,8]}'),
    says: ['has "dtype" twice', "byte 28"],
  },
  { name: "metadata that is a list", file: rawFile('{"__metadata__":[]}'), says: ["__metadata__: is []"] },
  {
    name: "metadata that is a number",
    file: rawFile('{"__metadata__":{"step":7}}'),
    says: ['__metadata__: "step" is 7 and not a string', "byte 9"],
  },
  {
    name: "an entry that is a number",
    file: one("3"),
    says: ['tensor "w": is 3 and not an object', "byte 9", AGAIN],
  },
  {
    name: "no dtype",
    file: one('{"shape":[2],"data_offsets":[0,8]}'),
    says: ['tensor "w": dtype is missing'],
  },
  { name: "a dtype that is a number", file: one(entry("32", "[2]", "[0,8]")), says: ["dtype is 32"] },
  {
    name: "a dtype that is none",
    file: one(entry('"F31"', "[2]", "[0,8]")),
    says: ['tensor "w": dtype "F31" is none of the format\'s types', "byte 9"],
  },
  { name: "no shape", file: one('{"dtype":"F32","data_offsets":[0,8]}'), says: ["shape is missing"] },
  { name: "a shape that is a number", file: one(entry('"F32"', "2", "[0,8]")), says: ["shape is 2, not"] },
  { name: "a negative dimension", file: one(entry('"F32"', "[2,-1]", "[0,8]")), says: ["shape is [2, -1]"] },
  { name: "half a dimension", file: one(entry('"F32"', "[0.5]", "[0,8]")), says: ["shape is [0.5]"] },
  { name: "a dimension in quotes", file: one(entry('"F32"', '["2"]', "[0,8]")), says: ['shape is ["2"]'] },
  {
    name: "an unsafe dimension",
    file: one(entry('"F32"', "[9007199254740993]", "[0,8]")),
    says: ["not whole numbers from 0 below 2^53"],
  },
  {
    name: "a shape whose product overflows",
    file: one(entry('"F32"', "[4294967296,4294967296]", "[0,8]")),
    says: ["more than any file holds"],
  },
  { name: "no offsets", file: one('{"dtype":"F32","shape":[2]}'), says: ["data_offsets is missing"] },
  { name: "one offset", file: one(entry('"F32"', "[2]", "[0]")), says: ["data_offsets is [0], not two"] },
  {
    name: "a negative offset",
    file: one(entry('"F32"', "[2]", "[-8,0]")),
    says: ["data_offsets is [-8, 0]"],
  },
  { name: "half an offset", file: one(entry('"F32"', "[2]", "[0,7.5]")), says: ["data_offsets is [0, 7.5]"] },
  { name: "an unsafe offset", file: one(entry('"F32"', "[2]", "[0,1e300]")), says: ["below 2^53"] },
  {
    name: "offsets in reverse",
    file: one(entry('"F32"', "[2]", "[8,0]")),
    says: ["[8, 0] end before they begin"],
  },
  {
    name: "a range of the wrong size",
    file: one(entry('"F32"', "[3]", "[0,8]")),
    says: ['tensor "w"', "[0, 8] span 8 bytes", "F32 [3] takes 12", "byte 9"],
  },
  {
    name: "a shape that ends within a byte",
    file: one(entry('"F4"', "[3]", "[0,2]")),
    says: ["ends within a byte"],
  },
  {
    name: "a tensor beyond the end",
    file: rawFile(`{"w":${GOOD}}`, { data: new Uint8Array(5) }),
    says: ['tensor "w" ends at byte 70', "the file has 67 bytes", "3 bytes are missing", "truncated"],
  },
  {
    name: "tensors that overlap",
    file: rawFile(`{"w":${GOOD},"v":${entry('"F32"', "[2]", "[4,12]")}}`, { data: new Uint8Array(12) }),
    says: ['tensors "w" and "v" overlap at byte 120', "ends at byte 124"],
  },
  {
    name: "a hole before the first tensor",
    file: rawFile(`{"w":${entry('"F32"', "[1]", "[4,8]")}}`, { data: new Uint8Array(8) }),
    says: ["the 4 bytes from byte 62", 'to tensor "w"', "belong to no tensor"],
  },
  {
    name: "a hole after the last tensor",
    file: rawFile(`{"w":${GOOD}}`, { data: new Uint8Array(11) }),
    says: ["the 3 bytes from byte 70 to the end of the file belong to no tensor", AGAIN],
  },
  {
    name: "a name that would make a line of its own in a message",
    file: rawFile(`{"w\\nerror: all is well":${GOOD}}`, { data: new Uint8Array(8) }),
    says: ['a tensor named "w\\nerror: all is well"', "no framework writes such characters"],
  },
  {
    name: "data and no tensors",
    file: rawFile("{}", { data: new Uint8Array(1) }),
    says: ["the 1 bytes from byte 10"],
  },
];

for (const { name, file, says } of CASES) {
  Deno.test(`openCheckpoint() refuses ${name}`, () => {
    withFolder((folder) => {
      const path = join(folder, "bad.safetensors");
      Deno.writeFileSync(path, file);
      refuses(() => openCheckpoint(path), path, ...says);
    });
  });
}
