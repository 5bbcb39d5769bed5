/**
 * The files beside a model that hold its weights. Each is looked at once, when the model is opened; none is
 * read outside of the model's folder, wherever a model or a link in that folder points. What is in them is
 * read by range, as of any checkpoint.
 */
import { dirname, join, sep } from "node:path";
import { UnfoldError } from "../errors.ts";
import { quoted } from "../text.ts";
import { identityOf, openForReading, unreadable } from "../weights/file.ts";
import type { Entry } from "./proto.ts";

/** A file as it was when it was opened. */
export interface OpenedFile {
  readonly path: string;
  readonly identity: string;
  readonly byteLength: number;
}

/** A range of a file. */
interface FileRange {
  readonly file: OpenedFile;
  readonly begin: number;
  readonly byteLength: number;
}

/** Looks at a regular file without keeping it open. */
function lookAt(path: string): OpenedFile {
  using file = openForReading(path);
  return openedFile(path, file);
}

/** The same of one that is open. */
export function openedFile(path: string, file: Deno.FsFile): OpenedFile {
  const info = file.statSync();
  return { path, identity: identityOf(info), byteLength: info.size };
}

export class ExternalFiles {
  readonly #model: string;
  readonly #files = new Map<string, OpenedFile>();

  constructor(model: string) {
    this.#model = model;
  }

  /** Those that were looked at. */
  get paths(): readonly string[] {
    return [...this.#files.values()].map(({ path }) => path);
  }

  /**
   * The range that the entries of `TensorProto.external_data` tell.
   *
   * @param origin the tensor, for messages
   * @throws UnfoldError if the file is missing, outside of the folder, or too short
   */
  range(
    entries: readonly Entry[],
    { origin, byteLength }: { readonly origin: string; readonly byteLength: number },
  ): FileRange {
    const said = new Map(entries.map(({ key, value }) => [key, value]));
    const number = (key: string, otherwise: number) => {
      const text = said.get(key);
      if (text === undefined) return otherwise;
      const value = Number(text);
      if (/^\d+$/.test(text) && Number.isSafeInteger(value)) return value;
      throw new UnfoldError(
        `${origin}: the ${key} of its external data is ${
          quoted(text)
        }, which is no number of bytes. Export it again.`,
      );
    };
    const [begin, length] = [number("offset", 0), number("length", byteLength)];
    if (length !== byteLength) {
      throw new UnfoldError(
        `${origin}: its shape and type take ${byteLength} bytes, but its external data has ${length}. Export it again.`,
      );
    }
    const file = this.#file(said.get("location") ?? "", origin);
    if (begin + byteLength > file.byteLength) {
      throw new UnfoldError(
        `${origin}: its values end at byte ${begin + byteLength} of ${file.path}, which has ` +
          `${file.byteLength}. That file is cut short, or of another export: copy both files again.`,
      );
    }
    return { file, begin, byteLength };
  }

  #file(location: string, origin: string): OpenedFile {
    const known = this.#files.get(location);
    if (known !== undefined) return known;
    const path = this.#inFolder(location, origin);
    try {
      const file = lookAt(path);
      this.#files.set(location, file);
      return file;
    } catch (error) {
      if (!(error instanceof UnfoldError)) throw error;
      throw new UnfoldError(`${origin}: its external data ${error.message}`, { cause: error });
    }
  }

  #inFolder(location: string, origin: string): string {
    const outside = (why: string) =>
      new UnfoldError(
        `${origin}: its external data ${
          quoted(location)
        } ${why}. UNfold reads none outside of the model's folder: ` +
          "put it there, and save the model again with onnx.save(..., save_as_external_data=True).",
      );
    if (location === "" || location.includes("\0")) throw outside("is not the name of a file");
    if (/^([/\\]|[A-Za-z]:)/.test(location)) throw outside("is an absolute path");
    if (location.split(/[/\\]/).includes("..")) throw outside("leads to a parent folder");
    const folder = dirname(this.#model);
    const path = join(folder, location);
    const target = realPath(path);
    if (target === null) {
      throw new UnfoldError(
        `${origin}: its values are in ${quoted(location)}, which is not in ${
          folder === "." ? "its folder" : folder
        }. ` +
          "A model of several files is moved or downloaded with all of them.",
      );
    }
    // In a cache of the Hugging Face hub's, model and data are links, both into one folder of blobs.
    const folders = [realPath(folder), dirname(realPath(this.#model) ?? this.#model)];
    if (
      folders.some((folder) =>
        folder !== null && target.startsWith(folder.endsWith(sep) ? folder : folder + sep)
      )
    ) {
      return path;
    }
    throw outside("is a link to a file elsewhere");
  }
}

/** Where a path leads through its links; null where it leads nowhere. */
export function realPath(path: string): string | null {
  try {
    return Deno.realPathSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw unreadable(error, path);
  }
}
