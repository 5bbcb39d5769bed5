/**
 * Checks of what users pass to functions: each option is read once, since a getter may do anything, and has
 * to be of its kind. A wrong one gives one sentence that says where, which option, what it must be and what
 * it is. Leaves out what shapes must have in common, which the operators check.
 */
import { UnfoldError } from "../errors.ts";
import { quoted } from "../text.ts";
import { isDim, MOST_ELEMENTS } from "./shape.ts";

/** A kind of value: how it is told, and the words for it behind "must be". */
export interface Kind {
  readonly words: string;
  is(value: unknown): boolean;
  readonly isOptional?: boolean;
}

const isWhole = (value: unknown, least: number, most: number): value is number =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= least && value <= most;

/** A whole number within bounds. */
export const whole = (least: number, most = MOST_ELEMENTS): Kind => ({
  words: `a whole number from ${least} to ${most}`,
  is: (value) => isWhole(value, least, most),
});
export const COUNT: Kind = whole(1);
export const INDEX: Kind = whole(-MOST_ELEMENTS);
export const NUMBER: Kind = { words: "a finite number", is: Number.isFinite };
export const EPSILON: Kind = {
  words: "a finite number from 0",
  is: (value) => typeof value === "number" && value >= 0 && value < Infinity,
};
export const FLAG: Kind = { words: "true or false", is: (value) => typeof value === "boolean" };
export const TEXT: Kind = {
  words: "a name of 1 to 200 characters",
  is: (value) => typeof value === "string" && value.length >= 1 && value.length <= 200,
};
export const FUNCTION: Kind = { words: "a function", is: (value) => typeof value === "function" };
export const OBJECT: Kind = {
  words: "an object",
  is: (value) => typeof value === "object" && value !== null && !Array.isArray(value),
};
/** A size that may be open. */
export const DIM: Kind = {
  words: `a whole number from 1 to ${MOST_ELEMENTS}, or the name of a size that stays open`,
  is: (value) =>
    isWhole(value, 1, MOST_ELEMENTS) || (typeof value === "string" && value.length <= 200 && isDim(value)),
};

export const oneOf = (...values: readonly string[]): Kind => ({
  words: `one of ${values.join(", ")}`,
  is: (value) => values.includes(value as string),
});
export const optional = (kind: Kind): Kind => ({ ...kind, isOptional: true });
export const either = (...kinds: readonly Kind[]): Kind => ({
  words: kinds.map(({ words }) => words).join(", or "),
  is: (value) => kinds.some((kind) => kind.is(value)),
});
/** An array without holes; `length` fixes how many there are. */
export const listOf = (kind: Kind, length?: number): Kind => ({
  words: `${length ?? "a list"} of ${kind.words}`,
  is: (value) => {
    if (!Array.isArray(value) || (length !== undefined && value.length !== length)) return false;
    for (let i = 0; i < value.length; i++) if (!kind.is(value[i])) return false;
    return true;
  },
});
/** Axes, at most as many as TensorRT has. */
export const MOST_AXES = 8;
export const SHAPE: Kind = {
  words: `a list of at most ${MOST_AXES} sizes, each ${DIM.words}`,
  is: (value) => listOf(DIM).is(value) && (value as unknown[]).length <= MOST_AXES,
};
export const FIXED_SHAPE: Kind = {
  words:
    `a list of at most ${MOST_AXES} sizes, each ${COUNT.words}, of at most ${MOST_ELEMENTS} elements together`,
  is: (value) =>
    listOf(COUNT).is(value) && (value as number[]).length <= MOST_AXES &&
    (value as number[]).reduce((product, size) => product * size, 1) <= MOST_ELEMENTS,
};

/**
 * A copy of `options`, each of its kind.
 *
 * @param what the function, behind the scope it is called in: "blocks.0: mlp"
 * @throws {UnfoldError} an option that is missing, of another kind or unknown
 */
export function given<Options extends object>(
  what: string,
  options: Options,
  kinds: { readonly [option in keyof Required<Options>]: Kind },
): Options {
  argument(`${what}: options`, options, OBJECT);
  const names = Object.keys(kinds);
  const unknown = reading(what, "its options", () => Object.keys(options)).find((key) =>
    !names.includes(key)
  );
  if (unknown !== undefined) {
    throw new UnfoldError(
      `${what}: there is no option ${shown(unknown)}; it has ${names.join(", ") || "none"}`,
    );
  }
  return partsOf(what, options, kinds);
}

/** The same of a value that may have other parts besides: a grid, a configuration. */
export function partsOf<Options extends object>(
  what: string,
  options: Options,
  kinds: { readonly [option in keyof Required<Options>]: Kind },
): Options {
  argument(what, options, OBJECT);
  const copy: Record<string, unknown> = {};
  for (const [name, kind] of Object.entries<Kind>(kinds)) {
    const value = reading(what, name, () => (options as Record<string, unknown>)[name]);
    if (value === undefined && kind.isOptional) continue;
    argument(`${what}: ${name}`, value, kind);
    copy[name] = value;
  }
  return copy as Options;
}

/** A copy of a record whose values are all of one kind. */
export function record<Value>(
  what: string,
  value: Readonly<Record<string, Value>>,
  kind: Kind,
): Record<string, Value> {
  argument(what, value, OBJECT);
  const keys = reading(what, "its names", () => Object.keys(value));
  return given(what, value, Object.fromEntries(keys.map((key) => [key, kind])));
}

/** One value, said to be `what`, of its kind. */
export function argument(what: string, value: unknown, kind: Kind): void {
  if (reading(what, "its value", () => kind.is(value))) return;
  throw new UnfoldError(
    value === undefined
      ? `${what} is missing: give ${kind.words}`
      : `${what} must be ${kind.words}, not ${shown(value)}`,
  );
}

/** Values that throw when they are looked at are answered, too. */
function reading<Value>(what: string, name: string, read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    if (error instanceof UnfoldError) throw error;
    throw new UnfoldError(`${what}: ${name} cannot be read: ${thrown(error)}`);
  }
}

/** What was thrown, in one short line, whatever it is. */
export function thrown(error: unknown): string {
  try {
    if (error instanceof Error) return `${error.name}: ${error.message}`.slice(0, 500);
  } catch {
    return "an error that cannot be shown";
  }
  return `${shown(error)} was thrown`;
}

/** A value in a few words, without running any code of its own. */
export function shown(value: unknown): string {
  switch (typeof value) {
    case "string":
      return quoted(value);
    case "bigint":
      return "a bigint";
    case "symbol":
      return "a symbol";
    case "function":
      return "a function";
    case "object":
      return value === null ? "null" : isArray(value) ? `a list of ${value.length}` : "an object";
    default:
      return String(value);
  }
}

/** Of a proxy that was revoked, even this throws. */
function isArray(value: unknown): value is readonly unknown[] {
  try {
    return Array.isArray(value);
  } catch {
    return false;
  }
}
