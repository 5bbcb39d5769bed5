/**
 * A baseline and its history as one tar file, to be kept or sent elsewhere. An import is checked before
 * anything reaches the store, and written under names that UNfold chooses: an archive's names are only looked
 * up.
 */
import { join } from "node:path";
import { createTarDecoder, createTarPacker } from "npm:modern-tar@0.8.6";
import { replaceBy } from "../emit/kept_file.ts";
import { systemReason, UnfoldError } from "../errors.ts";
import { type RunReport, RunReportSchema } from "../report/run_report.ts";
import { hashFile } from "../emit/kept_file.ts";
import { sealed, unsealed } from "./files.ts";
import { type Baseline, BaselineSchema, NAME } from "./manifest.ts";
import { type BaselineStore, checkName } from "./store.ts";

const MANIFEST = "baseline.json";
const FILES = "files/";
const HISTORY = "history/";
/** A manifest or a run is some kilobytes to megabytes: more is neither. */
const JSON_BYTES_MAX = 512 * 1024 * 1024;

/**
 * Writes a baseline to a file.
 *
 * @throws {UnfoldError} no such baseline, a damaged file of it, a file that cannot be written
 */
export async function exportBaseline(store: BaselineStore, name: string, path: string): Promise<void> {
  await using work = await store.workFolder();
  const baseline = await store.checkOut(name, work.path);
  const runs = await store.runs(name);
  const { readable, controller } = createTarPacker();
  await replaceBy(path, async (partial) => {
    const file = await Deno.open(partial, { write: true, createNew: true });
    const written = readable.pipeTo(file.writable);
    const text = async (name: string, content: unknown) => {
      const bytes = new TextEncoder().encode(sealed(content));
      await new Blob([bytes]).stream().pipeTo(controller.add({ name, size: bytes.length }));
    };
    const packing = (async () => {
      await text(MANIFEST, baseline);
      for (const { name, bytes } of baseline.files) {
        const source = await Deno.open(join(work.path, name), { read: true });
        await source.readable.pipeTo(controller.add({ name: `${FILES}${name}`, size: bytes }));
      }
      for (const run of runs) await text(`${HISTORY}${run.id}.json`, run);
      controller.finalize();
    })().catch((error) => {
      controller.error(error);
      throw error;
    });
    await Promise.all([packing, written]);
  });
}

/**
 * Reads a baseline from a file into a store, in place of the one of that name.
 *
 * @param name another name for it
 * @throws {UnfoldError} no archive of a baseline, an entry that does not belong there, a file whose hash is
 *   another
 */
export async function importBaseline(
  store: BaselineStore,
  path: string,
  { name }: { name?: string } = {},
): Promise<Baseline> {
  if (name !== undefined) checkName(name);
  const wrong = (what: string) => new UnfoldError(`${path} is no whole archive of a baseline: ${what}`);
  await using work = await store.workFolder();
  const texts = new Map<string, string>();
  const files = new Map<string, string>();
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path, { read: true });
  } catch (error) {
    throw new UnfoldError(`${path} cannot be read: ${systemReason(error) ?? error}`);
  }
  try {
    for await (const { header, body } of file.readable.pipeThrough(createTarDecoder({ strict: true }))) {
      const entry = header.name;
      if (header.type !== "file" && header.type !== undefined) throw wrong(`${entry} is no plain file`);
      if (texts.has(entry) || files.has(entry)) throw wrong(`${entry} is in it twice`);
      const [, folder = "", base = ""] = /^(files\/|history\/|)([^/]*)$/.exec(entry) ?? [];
      if (!NAME.test(base) || (folder === "" && base !== MANIFEST)) {
        throw wrong(`${entry} does not belong there`);
      }
      if (folder === FILES) {
        const target = join(work.path, `${files.size}`);
        files.set(entry, target);
        await body.pipeTo((await Deno.open(target, { write: true, createNew: true })).writable);
      } else {
        if (header.size > JSON_BYTES_MAX) throw wrong(`${entry} has ${header.size} bytes`);
        texts.set(entry, await new Response(body).text());
      }
    }
  } catch (error) {
    if (error instanceof UnfoldError) throw error;
    throw wrong(error instanceof Error ? error.message : String(error));
  }
  const manifest = texts.get(MANIFEST);
  if (manifest === undefined) throw wrong(`it has no ${MANIFEST}`);
  const baseline = BaselineSchema.safeParse(unsealed(manifest, `${path}: ${MANIFEST}`));
  if (!baseline.success) throw wrong(`${MANIFEST} is not what this version of UNfold writes`);
  const content = { ...baseline.data, ...(name !== undefined && { name }) };
  const byName = new Map<string, string>();
  for (const { name, sha256 } of content.files) {
    const target = files.get(`${FILES}${name}`);
    if (target === undefined) throw wrong(`${FILES}${name} is missing`);
    if ((await hashFile(target)).sha256 !== sha256) throw wrong(`${FILES}${name} is damaged`);
    files.delete(`${FILES}${name}`);
    byName.set(name, target);
  }
  const [surplus] = files.keys();
  if (surplus !== undefined) throw wrong(`${surplus} does not belong there`);
  const runs: RunReport[] = [];
  for (const [entry, text] of texts) {
    if (entry === MANIFEST) continue;
    const run = RunReportSchema.safeParse(unsealed(text, `${path}: ${entry}`));
    if (!run.success) throw wrong(`${entry} is not what this version of UNfold writes`);
    runs.push(run.data);
  }
  await store.restore(content, { files: byName, runs });
  return content;
}
