/**
 * What a former build left in an output folder, by its own report: names of files that lie there and have the
 * size that the report says. A file of the same name that somebody else wrote has another size, and stays.
 */
import { join } from "node:path";
import { z } from "npm:zod@4.6.7";

const File = z.object({ path: z.string(), bytes: z.number() });

/** As much of a report of any version as names files. */
const FormerReport = z.object({
  engines: z.record(
    z.string(),
    z.object({ path: z.string().nullable(), bytes: z.number().nullable(), onnx: File.nullish() }),
  ),
  int8: z.object({ onnx: File }).nullish(),
});

/** Plain names in `folder`, the report itself left out; none where there is no report that can be read. */
export async function formerFiles(folder: string, report: string): Promise<readonly string[]> {
  const text = await Deno.readTextFile(join(folder, report)).catch(() => "null");
  const parsed = FormerReport.safeParse(parse(text));
  if (!parsed.success) return [];
  const { engines, int8 } = parsed.data;
  const files = [...Object.values(engines).flatMap((engine) => [engine, engine.onnx]), int8?.onnx];
  const found: string[] = [];
  for (const file of files) {
    if (!file || file.path === null || file.bytes === null) continue;
    // A folder may have been moved: it is the name that counts, with either system's separator.
    const name = file.path.split(/[\\/]/).at(-1)!;
    const size = await sizeOf(join(folder, name));
    if (name === "" || size === null) continue;
    // Weights beyond what a protobuf holds lie in a file of their own, and count.
    const data = `${name}.data`;
    const dataSize = await sizeOf(join(folder, data));
    if (size === file.bytes) found.push(name);
    else if (dataSize !== null && size + dataSize === file.bytes) found.push(name, data);
  }
  return found;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Of a plain file; null for anything else. */
async function sizeOf(path: string): Promise<number | null> {
  const info = await Deno.lstat(path).catch(() => null);
  return info?.isFile ? info.size : null;
}
