/** Reading a command line: `node:util`'s parser, with errors that name the flag and what it takes. */
import { dirname, resolve } from "node:path";
import { parseArgs, type ParseArgsOptionsConfig } from "node:util";
import { UnfoldError, writeFailure } from "../errors.ts";
import { nearestNames } from "../weights/names.ts";
import { print, UsageError } from "./terminal.ts";

/** What the parser gives for options. */
export type ValuesOf<Options extends ParseArgsOptionsConfig> = ReturnType<
  typeof parseStrictly<Options>
>["values"];

interface Command<Options> {
  readonly command: string;
  /** A `file` that is "read" is to be there, a "new" one is not to, and one that is "written" may be. */
  readonly options: Options;
  /** How many arguments it takes besides. */
  readonly most: number;
}

/**
 * Parses a command's arguments strictly; null where `--help` asked for its text, which is printed.
 *
 * @param command.files whether its other arguments are files; a MODEL may be a name
 * @returns also `checkFiles`, which a command calls behind what it checks of its flags, before any work: it
 *   refuses a file that is not there, and one that cannot be written
 * @throws {UsageError} an unknown flag (the nearest one is named), a flag without its value or with two, an
 *   empty text, too many arguments
 */
export async function parseOptions<const Options extends ParseArgsOptionsConfig>(
  args: readonly string[],
  { help, options, files = false, ...command }: Command<Options> & {
    readonly help: string;
    readonly files?: boolean;
  },
) {
  const { values, positionals } = parseStrictly(args, {
    ...command,
    options: { ...options, help: { type: "boolean", short: "h" } },
  });
  if (!("help" in values)) {
    return { values, positionals, checkFiles: () => checkFiles(values, { options, positionals, files }) };
  }
  await print(help);
  return null;
}

/** What `options` say of files, and the arguments where those are files too. */
async function checkFiles(
  values: Readonly<Record<string, unknown>>,
  { options, positionals, files }: {
    readonly options: ParseArgsOptionsConfig;
    readonly positionals: readonly string[];
    readonly files: boolean;
  },
): Promise<void> {
  const named = (use: "read" | "written" | "new") =>
    Object.entries(options).flatMap(([name, option]) => {
      const path = values[name];
      return "file" in option && option.file === use && typeof path === "string"
        ? [[name, path] as const]
        : [];
    });
  for (const [name, path] of named("read")) await requireThere(path, `--${name} ${path}`);
  for (const path of files ? positionals : []) await requireThere(path);
  const taken = [...positionals, ...named("read").map(([, path]) => path)];
  for (const [name, path] of named("new")) {
    if (await statOf(path)) {
      throw new UsageError(`--${name} ${path}: this is there already; give another name, or remove it`);
    }
  }
  for (const [name, path] of [...named("written"), ...named("new")]) {
    await requireWritable(name, path, taken);
    taken.push(path);
  }
}

/** @throws {UsageError} nothing has that path */
export async function requireThere(path: string, what = path): Promise<void> {
  if (await statOf(path) === null) throw new UsageError(`${what}: there is no such file`);
}

/** Null where there is nothing; what cannot be looked at is told when it is read. */
const statOf = (path: string): Promise<Deno.FileInfo | null | undefined> =>
  Deno.stat(path).catch((error) => error instanceof Deno.errors.NotFound ? null : undefined);

/** Repeatable options of two values: `--keep fp32 head` is `--keep=fp32 head` to the parser. */
const PAIRS = ["keep"];

function pairsJoined(args: readonly string[], options: ParseArgsOptionsConfig): string[] {
  const joined: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const flag = args[i]!;
    const isPair = PAIRS.some((name) => flag === `--${name}` && options[name]?.multiple) &&
      i + 2 < args.length;
    joined.push(isPair ? `${flag}=${args[++i]} ${args[++i]}` : flag);
  }
  return joined;
}

/** The same of a command line that was not typed, such as a baseline's. */
export function parseStrictly<const Options extends ParseArgsOptionsConfig>(
  args: readonly string[],
  { options, most, command }: Command<Options>,
) {
  const help = `see \`deno task ${command} --help\``;
  const parsed = (() => {
    try {
      return parseArgs({
        args: pairsJoined(args, options),
        options,
        allowPositionals: true,
        strict: true,
        tokens: true,
      });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      const unknown = /Unknown option '(-[^']*)'/.exec(message)?.[1];
      if (unknown === undefined) throw new UsageError(`${message.split(/[.\n]/)[0]}; ${help}`);
      const [near] = nearestNames(unknown.replace(/^-+/, ""), Object.keys(options));
      throw new UsageError(
        `unknown flag ${unknown}${near === undefined ? "" : `; did you mean --${near}?`} (${help})`,
      );
    }
  })();
  const given = new Set<string>();
  for (const token of parsed.tokens) {
    if (token.kind !== "option" || token.value === undefined) continue;
    if (token.value.trim() === "") throw new UsageError(`${token.rawName}: the value is empty; ${help}`);
    if (given.has(token.name) && !options[token.name]?.multiple) {
      throw new UsageError(`${token.rawName} is given twice; ${help}`);
    }
    given.add(token.name);
  }
  if (parsed.positionals.includes("")) throw new UsageError(`an argument is empty; ${help}`);
  if (parsed.positionals.length > most) {
    throw new UsageError(`unexpected argument ${parsed.positionals[most]}; ${help}`);
  }
  return parsed;
}

/**
 * The command line as it was typed, for a report; what a shell would take apart is quoted.
 *
 * @example
 * ```ts
 * import { typedCommand } from "./options.ts";
 * console.assert(typedCommand("bench", ["--out", "my bench"]) === "deno task bench --out 'my bench'");
 * ```
 */
export function typedCommand(task: string, args: readonly string[]): string {
  const typed = args.map((arg) => /^[\w.,:=/@%+~-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", "'\\''")}'`);
  return ["deno task", task, ...typed].join(" ");
}

/** A flag's value that is refused is a mistake in the command line. */
export function asUsage<Value>(read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    throw error instanceof UnfoldError ? new UsageError(error.message) : error;
  }
}

/** A value out of a closed list. */
export function oneOf<const Value extends string>(
  flag: string,
  value: string,
  allowed: readonly Value[],
): Value {
  const found = allowed.find((candidate) => candidate === value);
  if (found === undefined) throw new UsageError(`--${flag} ${value}: give one of ${allowed.join(", ")}`);
  return found;
}

/** A flag's whole number, from `least` on; undefined where the flag is not given. */
export function wholeNumber(flag: string, text: string, least?: number): number;
export function wholeNumber(flag: string, text: string | undefined, least?: number): number | undefined;
export function wholeNumber(flag: string, text: string | undefined, least = 1): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= 2 ** 20) return value;
  throw new UsageError(`--${flag} ${text}: give a whole number from ${least}`);
}

/**
 * Refuses an output that cannot be written, before anything is done for it. A file that is there is replaced,
 * and folders that are not there are made.
 *
 * @param taken files that it must not be, also by another name of the same file: inputs and other outputs
 * @throws {UsageError} it is one of these, a folder or a device
 * @throws {UnfoldError} the system lets nobody write there
 */
export async function requireWritable(
  flag: string,
  output: string,
  taken: readonly (string | undefined)[],
): Promise<void> {
  const refuse = (why: string) => new UsageError(`--${flag} ${output}: ${why}`);
  const there = await statOf(output);
  if (there?.isDirectory || /[/\\]$/.test(output)) throw refuse("this is a folder; give the name of a file");
  if (there && !there.isFile) throw refuse("this is no regular file; give another");
  const real = (path: string) => Deno.realPath(path).catch(() => resolve(path));
  const target = await real(output);
  for (const path of taken) {
    if (path !== undefined && await real(path) === target) {
      throw refuse("this would overwrite another file of this command; give another");
    }
  }
  let folder = dirname(target);
  while (await statOf(folder) === null && folder !== dirname(folder)) folder = dirname(folder);
  // What a system allows is told by trying.
  await Deno.makeTempFile({ dir: folder, prefix: ".unfold-" }).then((file) => Deno.remove(file))
    .catch((error) => Promise.reject(writeFailure(output, error)));
}
