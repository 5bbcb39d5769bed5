/**
 * `deno task check-abi --headers DIR`: compares the slots UNfold calls with NVIDIA's own headers, for whoever
 * has them and wants to know before a wrong slot is called. It promises an answer for every interface of the
 * layout: equal, or the first slot that differs. It loads no library, so that what the library really does is
 * left to the tests of a layout that is `exercised`.
 */

import { parseArgs } from "node:util";
import { NativeError } from "../../error.ts";
import { readHeaders, type TensorRtHeaders } from "./headers.ts";
import { FIRST_SLOT, type Layout } from "./layout.ts";
import { LAYOUTS } from "./layouts.ts";
import { productName } from "./versions.ts";

const USAGE = `Compares UNfold's TensorRT slot tables with NVIDIA's headers.

  deno task check-abi --headers DIR [--json]

  --headers DIR  include folder of TensorRT or TensorRT for RTX, or a checkout or download with include/ in it
  --json         one JSON object instead of the table
  --help         this text

Exit status: 0 all equal, 1 a difference or a version without a layout, 2 wrong usage or unreadable headers.`;

/** What comparing one interface gave. */
export interface InterfaceComparison {
  readonly name: string;
  /** Slots of which the layout names the method and the headers name the same. */
  readonly equalSlots: number;
  /** What differs first, in words; `null` where nothing does. */
  readonly difference: string | null;
}

/** A layout beside the headers it was compared with. */
export interface LayoutComparison {
  readonly equal: boolean;
  readonly interfaces: readonly InterfaceComparison[];
}

/**
 * The layout of a flavour and version, or failing that the one whose versions are nearest.
 *
 * `exact` is false for the latter; `layout` is undefined if the flavour has none.
 */
export function layoutFor(
  headers: Pick<TensorRtHeaders, "flavour" | "libVersion">,
  layouts: readonly Layout[],
): { readonly layout: Layout | undefined; readonly exact: boolean } {
  const distance = ({ libVersions: [first, last] }: Layout) =>
    Math.max(first - headers.libVersion, headers.libVersion - last, 0);
  const [layout] = layouts.filter((candidate) => candidate.flavour === headers.flavour)
    .toSorted((a, b) => distance(a) - distance(b));
  return { layout, exact: layout !== undefined && distance(layout) === 0 };
}

/** Compares every interface of `layout`, and the slots of both callbacks, with the headers' declarations. */
export function compareLayout(layout: Layout, headers: TensorRtHeaders): LayoutComparison {
  const interfaces = [
    compareSlot("ILogger::log", layout.loggerSlot, headers.loggerSlot),
    compareSlot("IProgressMonitor::phaseStart", layout.progressSlot, headers.progressSlot),
    ...Object.entries(layout.interfaces).map(([name, methods]) => compareInterface(name, methods, headers)),
  ];
  return { equal: interfaces.every(({ difference }) => difference === null), interfaces };
}

function compareSlot(name: string, slot: number, declared: number): InterfaceComparison {
  const difference = slot === declared
    ? null
    : `the layout says slot ${slot}, the headers say slot ${declared}`;
  return { name, equalSlots: Number(difference === null), difference };
}

function compareInterface(
  name: string,
  methods: readonly (string | null)[],
  headers: TensorRtHeaders,
): InterfaceComparison {
  const declared = headers.interfaces[name];
  if (declared === undefined) return { name, equalSlots: 0, difference: "not in these headers" };
  // Layers keep the pointer to the part that all layers have at 8 and that to their own part at 16.
  const offsetBytes = name !== "ILayer" && name.endsWith("Layer") ? 16 : 8;
  const length = Math.max(methods.length, declared.methods.length);
  const differs = (index: number) => methods[index] !== null && methods[index] !== declared.methods[index];
  const slots = Array.from({ length }, (_, index) => index);
  const first = slots.find(differs);
  const said = (method: string | undefined) => method ?? "nothing";
  return {
    name,
    equalSlots: slots.slice(0, first).filter((index) => typeof methods[index] === "string").length,
    difference: declared.offsetBytes !== offsetBytes
      ? `the object keeps its implementation at byte ${declared.offsetBytes ?? "?"}, not at ${offsetBytes}`
      : first === undefined
      ? null
      : `slot ${first + FIRST_SLOT}: the layout says ${said(methods[first]!)}, the headers say ${
        said(declared.methods[first])
      }`,
  };
}

/**
 * How the tables of `layout` would have to change to be those of the headers, one line per interface that
 * differs: the methods removed and those appended, or the whole table where that does not say it.
 */
export function changesFrom(layout: Layout, headers: TensorRtHeaders): readonly string[] {
  return Object.entries(layout.interfaces).flatMap(([name, methods]) => {
    const declared = headers.interfaces[name]?.methods;
    if (declared === undefined) return [`${name}: gone`];
    const removed = methods.filter((method) => method !== null && !declared.includes(method));
    const kept = methods.filter((method) => !removed.includes(method));
    const appended = declared.slice(kept.length);
    if (kept.some((method, index) => method !== null && method !== declared[index])) {
      return [`${name}: now ${declared.join(" ")}`];
    }
    const parts = [
      ...(removed.length > 0 ? [`removed ${removed.join(" ")}`] : []),
      ...(appended.length > 0 ? [`appended ${appended.join(" ")}`] : []),
    ];
    return parts.length > 0 ? [`${name}: ${parts.join("; ")}`] : [];
  });
}

/** Where the command writes, and the layouts it knows. */
export interface CheckAbiOptions {
  readonly layouts?: readonly Layout[];
  readonly print?: (text: string) => void;
  readonly printError?: (text: string) => void;
}

/**
 * The command itself.
 *
 * @returns the exit status: 0 all equal, 1 a difference or a version without a layout, 2 a mistake in the
 * arguments or headers that cannot be read.
 *
 * @example
 * ```ts ignore
 * const status = await checkAbi(["--headers", "TensorRT/include"]);
 * ```
 */
export async function checkAbi(
  args: readonly string[],
  { layouts = LAYOUTS, print = console.log, printError = console.error }: CheckAbiOptions = {},
): Promise<number> {
  let options: { readonly headers?: string; readonly json?: boolean; readonly help?: boolean };
  try {
    options = parseArgs({
      args: [...args],
      options: {
        headers: { type: "string" },
        json: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    }).values;
  } catch (error) {
    printError(`check-abi: ${error instanceof Error ? error.message.split("\n")[0] : error}; see --help`);
    return 2;
  }
  if (options.help) {
    print(USAGE);
    return 0;
  }
  if (!options.headers) {
    printError("check-abi: --headers DIR is missing; see --help");
    return 2;
  }
  let headers: TensorRtHeaders;
  try {
    headers = await readHeaders(options.headers);
  } catch (error) {
    if (!(error instanceof NativeError)) throw error;
    printError(`check-abi: ${error.message}`);
    return 2;
  }
  const { layout, exact } = layoutFor(headers, layouts);
  const comparison = layout && compareLayout(layout, headers);
  print(
    options.json
      ? JSON.stringify(asJson(headers, { layout, exact, comparison }), null, 2)
      : asText(headers, { layout, exact, comparison }),
  );
  return exact && comparison?.equal ? 0 : 1;
}

interface Found {
  readonly layout: Layout | undefined;
  readonly exact: boolean;
  readonly comparison: LayoutComparison | undefined;
}

const NOT_RUN = "Compared with headers only: no library was loaded, nothing was run.";

function asJson(headers: TensorRtHeaders, { layout, exact, comparison }: Found) {
  const { flavour, version, libVersion } = headers;
  return {
    headers: { flavour, version, libVersion },
    layout: layout &&
      { version: layout.version, libVersions: layout.libVersions, exercised: layout.exercised, exact },
    equal: exact && comparison?.equal === true,
    interfaces: comparison?.interfaces ?? [],
    changes: layout && !comparison?.equal ? changesFrom(layout, headers) : [],
    note: NOT_RUN,
  };
}

function asText(headers: TensorRtHeaders, { layout, exact, comparison }: Found): string {
  const product = productName(headers.flavour);
  const lines = [`Headers of ${product} ${headers.version} (library version ${headers.libVersion})`];
  if (layout === undefined || comparison === undefined) {
    return [...lines, `UNfold has no layout of ${product} at all.`].join("\n");
  }
  lines.push(
    exact
      ? `compared with UNfold's layout ${layout.version}, which its tests ${
        layout.exercised ? "run" : "do not run"
      }:`
      : `UNfold has no layout for it and refuses such a library; compared with the nearest, ${layout.version}:`,
    "",
  );
  const width = Math.max(...comparison.interfaces.map(({ name }) => name.length));
  lines.push(`  ${"interface".padEnd(width)}  equal slots`);
  for (const { name, equalSlots, difference } of comparison.interfaces) {
    lines.push(`  ${name.padEnd(width)}  ${String(equalSlots).padStart(11)}  ${difference ?? "equal"}`);
  }
  const different = comparison.interfaces.filter(({ difference }) => difference !== null).length;
  const slots = comparison.interfaces.reduce((sum, { equalSlots }) => sum + equalSlots, 0);
  lines.push(
    "",
    different === 0
      ? `All ${slots} slots are equal.`
      : `${different} of ${comparison.interfaces.length} rows differ.`,
  );
  const changes = changesFrom(layout, headers);
  if (changes.length > 0) {
    lines.push(`From ${layout.version} to these headers:`, ...changes.map((change) => `  ${change}`));
  } else if (!exact && different === 0) {
    lines.push(`A layout of ${headers.version} would have the tables of ${layout.version}.`);
  }
  return [...lines, NOT_RUN].join("\n");
}

if (import.meta.main) {
  // The task runs in its deno.json's folder and says first where the user stands.
  const [flag, folder, ...rest] = Deno.args;
  if (flag === "--cwd" && folder) Deno.chdir(folder);
  Deno.exit(await checkAbi(flag === "--cwd" ? rest : Deno.args));
}
