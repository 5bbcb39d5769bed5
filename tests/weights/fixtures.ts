/**
 * Files for the tests of weights: put together by hand, byte by byte, so that they can be wrong in any way.
 * Leaves out `writeSafetensors`, which has to agree with these and is tested against them.
 */
export { refuses } from "../support.ts";

/** Runs `body` with a fresh folder that is gone afterwards. */
export function withFolder(body: (folder: string) => void): void {
  const folder = Deno.makeTempDirSync({ prefix: "unfold-weights-" });
  try {
    body(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

/** A file of that header text (padded with nothing) and that data; `headerByteLength` may lie. */
export function rawFile(
  header: string | Uint8Array,
  { data = new Uint8Array(0), headerByteLength }: { data?: Uint8Array; headerByteLength?: bigint } = {},
): Uint8Array {
  const text = typeof header === "string" ? new TextEncoder().encode(header) : header;
  const file = new Uint8Array(8 + text.length + data.length);
  new DataView(file.buffer).setBigUint64(0, headerByteLength ?? BigInt(text.length), true);
  file.set(text, 8);
  file.set(data, 8 + text.length);
  return file;
}

export interface FixtureTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

/** A well-formed file of those tensors, in that order. */
export function goodFile(tensors: Readonly<Record<string, FixtureTensor>>): Uint8Array {
  const header: Record<string, unknown> = {};
  let end = 0;
  for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
    header[name] = { dtype, shape, data_offsets: [end, end += data.length] };
  }
  const data = new Uint8Array(end);
  let at = 0;
  for (const tensor of Object.values(tensors)) {
    data.set(tensor.data, at);
    at += tensor.data.length;
  }
  return rawFile(JSON.stringify(header), { data });
}

export function fp32(shape: readonly number[], values: readonly number[]): FixtureTensor {
  return { dtype: "F32", shape, data: new Uint8Array(Float32Array.from(values).buffer) };
}
