/** Reading a command line: `node:util`'s parser, with errors that name the flag and what it takes. */
import { resolve } from "node:path";
import { parseArgs, type ParseArgsOptionsConfig } from "node:util";
import { UnfoldError } from "../errors.ts";
import { nearestNames } from "../weights/names.ts";
import { print, UsageError } from "./terminal.ts";

/** What the parser gives for options. */
export type ValuesOf<Options extends ParseArgsOptionsConfig> = ReturnType<
  typeof parseStrictly<Options>
>["values"];

interface Command<Options> {
  readonly command: string;
  readonly options: Options;
  /** How many arguments it takes besides. */
  readonly most: number;
}

/**
 * Parses a command's arguments strictly; null where `--help` asked for its text, which is printed.
 *
 * @throws {UsageError} an unknown flag (the nearest one is named), a flag without its value or with two, an
 *   empty text, too many arguments
 */
export async function parseOptions<const Options extends ParseArgsOptionsConfig>(
  args: readonly string[],
  { help, options, ...command }: Command<Options> & { readonly help: string },
) {
  const { values, positionals } = parseStrictly(args, {
    ...command,
    options: { ...options, help: { type: "boolean", short: "h" } },
  });
  if (!("help" in values)) return { values, positionals };
  await print(help);
  return null;
}

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

/**
 * Refuses an output that is one of the command's own inputs, also by another name of the same file.
 *
 * @throws {UsageError} which file it is
 */
export async function refuseOverwriting(
  flag: string,
  output: string | undefined,
  inputs: readonly (string | undefined)[],
): Promise<void> {
  if (output === undefined) return;
  const real = (path: string) => Deno.realPath(path).catch(() => resolve(path));
  const target = await real(output);
  for (const input of inputs) {
    if (input !== undefined && await real(input) === target) {
      throw new UsageError(`--${flag} ${output}: this would overwrite the file that is read; give another`);
    }
  }
}
