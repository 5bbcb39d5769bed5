/**
 * What a network needs and shapes alone may not tell (heads, activation, epsilon, pooling, image size, ...),
 * as data: a `Setting` says where configurations have it and how it is written, a layout says for a file what
 * its tensors prove and what is published, and `Settler` decides. Every value that was used is kept with its
 * reason; one that nothing supports is asked for. Leaves out which settings a layout has, which are in its
 * own file.
 *
 * In order of weight: tensors; statements, of a configuration, of the arguments in the file, of what
 * `save_for_unfold` wrote into it, and options, which must all agree with the tensors and with each other;
 * what is published of an architecture that the file names; what is left to assume.
 */
import { UnfoldError } from "../errors.ts";

export type SettingValue = number | string | boolean | readonly number[];

/** A value that a layout needs to know. */
export interface Setting<Value extends SettingValue = SettingValue> {
  /** Of `--set NAME=VALUE`, and of `--NAME` where the command line has that. */
  readonly name: string;
  /** For people: "attention heads". */
  readonly what: string;
  /** What it takes: "a whole number from 1". */
  readonly takes: string;
  /** Where configurations have it; a dot goes into an object. */
  readonly keys: readonly string[];
  /** Those of `keys` that mean something else in a trainer's arguments. */
  readonly notOfTrainers?: readonly string[];
  /** From an option's text or a configuration's value; undefined where that is none. */
  parse(value: unknown): Value | undefined;
}

/** A value and the reason for it, which fits behind "heads 6: ". */
export interface Evidence<Value extends SettingValue> {
  readonly value: Value;
  readonly why: string;
}

/** What a layout knows of a setting in one file, apart from statements. */
export interface Known<Value extends SettingValue> {
  /** What names and shapes prove. */
  readonly tensors?: Evidence<Value> | undefined;
  /** What is published of the architecture that the file names. */
  readonly published?: Evidence<Value> | undefined;
  /** What is left to assume where nothing else tells; listed in the summary. */
  readonly assumed?: Evidence<Value> | undefined;
  /** Why nothing can be assumed: "384 channels are published with 6 and with 12 heads". */
  readonly ask?: string | undefined;
  /** Whether an option overrides all statements: a network can change the size of its images. */
  readonly chosen?: boolean;
  /** Why a value cannot be the file's; undefined where it can. */
  fits?(value: Value): string | undefined;
}

/** A configuration beside the file, the arguments in it, or the metadata of `save_for_unfold`. */
export interface Statement {
  /** "config.json", "the arguments in the file". */
  readonly origin: string;
  readonly values: Readonly<Record<string, unknown>>;
  /** `unfold` writes settings by their own names; a trainer's `arguments` hold its optimizer's words, too. */
  readonly kind: "configuration" | "arguments" | "unfold";
}

/** What a value rests on. */
export type Basis = "tensors" | "said" | "option" | "published" | "assumed";

/** A value that was used, and what for. */
export interface Settled {
  /** The setting, as `--set` names it. */
  readonly name: string;
  /** What was used. */
  readonly value: string;
  /** What it rests on. */
  readonly basis: Basis;
  /** The basis in words. */
  readonly why: string;
}

/** `--set` and the options that stand for it, by the setting's name. */
export type SettingOptions = Readonly<Record<string, string | number | undefined>>;

/** Decides the settings of one file. */
export class Settler {
  readonly settled: Settled[] = [];
  readonly #path: string;
  readonly #statements: readonly Statement[];
  readonly #options: ReadonlyMap<string, string>;

  /** @throws {UnfoldError} an option that the layout has no setting for */
  constructor(
    { path, statements, options, settings, layout }: {
      path: string;
      statements: readonly Statement[];
      options: SettingOptions;
      settings: readonly Setting[];
      layout: string;
    },
  ) {
    this.#path = path;
    this.#statements = statements;
    this.#options = new Map(
      Object.entries(options).flatMap(([name, value]) => value === undefined ? [] : [[name, String(value)]]),
    );
    for (const name of this.#options.keys()) {
      if (settings.some((setting) => setting.name === name)) continue;
      throw new UnfoldError(
        `${optionOf(name)}: ${path} is of the layout ${layout}, which ${
          settings.length === 0
            ? "tells all itself"
            : `has no such setting; it has ${settings.map(({ name }) => name).join(", ")}`
        }; leave it out`,
      );
    }
  }

  /**
   * The value of a setting.
   *
   * @throws {UnfoldError} two sides contradict each other, one is not understood, or nothing tells
   */
  settle<Value extends SettingValue>(setting: Setting<Value>, known: Known<Value>): Value {
    const { tensors, published, assumed, ask } = known;
    const sides: (Evidence<Value> & { basis: Basis })[] = [];
    if (tensors !== undefined) sides.push({ ...tensors, basis: "tensors" });
    sides.push(...this.#spoken(setting));
    const option = this.#options.get(setting.name);
    if (option !== undefined) {
      const value = setting.parse(option);
      if (value === undefined) {
        throw new UnfoldError(`${optionOf(setting.name, option)}: give ${setting.takes}`);
      }
      sides.push({ value, why: `${optionOf(setting.name)} says`, basis: "option" });
    }
    const [first, ...rest] = sides;
    const chosen = known.chosen ? sides.find(({ basis }) => basis === "option") : undefined;
    const against = rest.find(({ value }) => showValue(value) !== showValue(first!.value));
    if (first !== undefined && against !== undefined && chosen === undefined) {
      const side = ({ value, why, basis }: typeof first) =>
        basis === "tensors" ? `the tensors say ${showValue(value)} (${why})` : `${why} ${showValue(value)}`;
      throw new UnfoldError(
        `${this.#path}: ${setting.what}: ${side(first)}, but ${side(against)}. ` +
          (against.basis === "option"
            ? "Leave out the option, or correct the other"
            : "One is of another model: correct it, or move it away"),
      );
    }
    const settled = chosen ?? first ?? (published && { ...published, basis: "published" as const }) ??
      (assumed && { ...assumed, basis: "assumed" as const });
    if (settled === undefined) {
      throw new UnfoldError(
        `${this.#path}: nothing tells the ${setting.what}${
          ask === undefined ? "" : ` (${ask})`
        }; put the checkpoint's ` +
          `config.json beside it, or give ${optionOf(setting.name, "VALUE")}: ${setting.takes}`,
      );
    }
    const misfit = known.fits?.(settled.value);
    if (misfit !== undefined) throw new UnfoldError(`${this.#path}: ${misfit} (${settled.why})`);
    this.settled.push({
      name: setting.name,
      value: showValue(settled.value),
      basis: settled.basis,
      why: settled.why,
    });
    return settled.value;
  }

  /**
   * To be called when all is settled.
   *
   * @throws {UnfoldError} an option for what this file of the layout has no choice in
   */
  requireAsked(): void {
    for (const [name, value] of this.#options) {
      if (this.settled.some((settled) => settled.name === name)) continue;
      throw new UnfoldError(
        `${optionOf(name, value)}: ${this.#path} has no choice of that; it has ${
          this.settled.map((settled) => settled.name).join(", ")
        }. Leave it out`,
      );
    }
  }

  /** What statements say of a setting, once each. */
  #spoken<Value extends SettingValue>(setting: Setting<Value>): (Evidence<Value> & { basis: Basis })[] {
    return this.#statements.flatMap(({ origin, values, kind }) => {
      return keysOf(setting, kind).flatMap((key) => {
        const stated = valueAt(values, key);
        if (stated === undefined || stated === null) return [];
        const value = setting.parse(stated);
        if (value !== undefined) return [{ value, why: `${origin} says ${key}`, basis: "said" as const }];
        throw new UnfoldError(
          `${this.#path}: ${origin} says ${key} ${
            JSON.stringify(stated)
          }; UNfold takes ${setting.takes} for the ` +
            setting.what,
        );
      });
    });
  }
}

/** The first statement of a setting, whether it is true or not. */
export function statedValue<Value extends SettingValue>(
  { statements }: { readonly statements: readonly Statement[] },
  setting: Setting<Value>,
): Evidence<Value> | undefined {
  for (const { origin, values, kind } of statements) {
    for (const key of keysOf(setting, kind)) {
      const value = setting.parse(valueAt(values, key));
      if (value !== undefined) return { value, why: `${origin} says ${key}` };
    }
  }
  return undefined;
}

function keysOf({ name, keys, notOfTrainers }: Setting, kind: Statement["kind"]): readonly string[] {
  if (kind === "unfold") return [name];
  return keys.filter((key) => kind !== "arguments" || !notOfTrainers?.includes(key));
}

/** A setting on the command line: `--heads`, `--set normalization`; with a value, `--heads 6`. */
export function optionOf(name: string, value?: string): string {
  const isShort = SHORT.includes(name);
  const option = isShort ? `--${name}` : `--set ${name}`;
  return value === undefined ? option : `${option}${isShort ? " " : "="}${value}`;
}

/** Settings that have an option, `--NAME`. */
export const SHORT: readonly string[] = ["heads", "activation", "epsilon", "pool", "image-size", "mode"];

/** As the command line takes it: 32x128, 0.001, true. */
function showValue(value: SettingValue): string {
  return Array.isArray(value) ? value.join("x") : String(value);
}

/** The value under a path of keys. */
export function valueAt(values: Readonly<Record<string, unknown>>, path: string): unknown {
  return path.split(".").reduce<unknown>(
    (value, key) =>
      typeof value === "object" && value !== null && Object.hasOwn(value, key)
        ? (value as Readonly<Record<string, unknown>>)[key]
        : undefined,
    values,
  );
}
