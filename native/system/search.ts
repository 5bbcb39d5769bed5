/** What searches for native libraries share: their places, the user's choice, a folder's contents. */
import { join, resolve } from "node:path";
import { NativeError } from "../error.ts";
import { type Environment, homeFolder, type Platform } from "./environment.ts";
import type { Places } from "./places.ts";

export interface SearchOptions {
  /** Instead of the process's environment. */
  readonly environment?: Environment | undefined;
  /** Instead of this machine's; for tests. */
  readonly platform?: Platform | undefined;
  /** Instead of the usual places; for tests. */
  readonly places?: Places | undefined;
}

/** The user's choice, as an absolute path. Throws NativeError, ending with `advice`, if nothing is there. */
export async function namedPath(
  text: string,
  { by, advice, environment, platform }: {
    /** The option or variable that names it. */
    readonly by: string;
    readonly advice: string;
    readonly environment: Environment;
    readonly platform: Platform;
  },
): Promise<{ readonly path: string; readonly isFile: boolean }> {
  if (text.trim() === "") throw new NativeError(`${by} is empty: ${advice}`);
  const home = homeFolder(environment, platform);
  // Shells leave "~" alone in --tensorrt-lib=~/lib.
  const path = resolve(home !== undefined && /^~[/\\]/.test(text) ? join(home, text.slice(2)) : text);
  try {
    return { path, isFile: (await Deno.stat(path)).isFile };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      throw new NativeError(`${by}: ${path} does not exist; ${advice}`);
    }
    const reason = error instanceof Deno.errors.NotCapable
      ? " may not be read (--allow-read)"
      : `: ${error instanceof Error ? error.message : error}`;
    throw new NativeError(`${by}: ${path}${reason}`, { cause: error });
  }
}

/** The names in a folder; `undefined` where there is no such folder, or it may not be read. */
export async function namesIn(folder: string): Promise<readonly string[] | undefined> {
  try {
    return (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
  } catch {
    return undefined;
  }
}
