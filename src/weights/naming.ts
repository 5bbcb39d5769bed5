/**
 * A checkpoint under the names that its network has: without what a wrapper put into them, without a prefix,
 * and with parts renamed. Nothing is read or copied. Leaves out which names a family of models uses.
 */
import { UnfoldError } from "../errors.ts";
import { listed, quoted } from "../text.ts";
import { type Checkpoint, noSuchTensor } from "./checkpoint.ts";

/** How names are changed, in this order. */
export interface Naming {
  /** Only tensors whose names begin so are of the network, and it is taken off: "model.", or "model". */
  readonly prefix?: string | undefined;
  /**
   * Components of names and what stands in their place: `["encoder.blocks", "blocks"]`. Each is replaced
   * wherever it stands as whole components; "" takes it out.
   */
  readonly rename?: readonly (readonly [from: string, to: string])[] | undefined;
}

/** What wrappers (`torch.compile`, FSDP, checkpointing, Fabric) put between a module and its parent. */
const WRAPPERS = /(^|\.)(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|_forward_module)\./g;

/** The count of updates that `AveragedModel` keeps beside its `module.`. */
const AVERAGES = "n_averaged";

/** The checkpoint under the names without wrappers; itself where there are none. */
export function withoutWrappers(checkpoint: Checkpoint): Checkpoint {
  const names = checkpoint.names();
  const isAveraged = names.includes(AVERAGES) &&
    names.every((name) => name === AVERAGES || name.startsWith("module."));
  if (!isAveraged && !names.some((name) => name.search(WRAPPERS) >= 0)) return checkpoint;
  return renamedAll(checkpoint, (name) => isAveraged && name === AVERAGES ? null : unwrapped(name));
}

function unwrapped(name: string): string {
  const once = name.replace(WRAPPERS, "$1");
  return once === name ? name : unwrapped(once);
}

/**
 * The checkpoint under other names; itself where nothing is to change.
 *
 * @throws {UnfoldError} no name begins with the prefix, nothing has what is to be renamed, or two get one
 *   name
 */
export function underNames(checkpoint: Checkpoint, { prefix = "", rename = [] }: Naming): Checkpoint {
  const given = checkpoint.names();
  const begin = prefix === "" || prefix.endsWith(".") ? prefix : `${prefix}.`;
  if (begin !== "" && !given.some((name) => name.startsWith(begin))) {
    throw new UnfoldError(
      `${checkpoint.path} has no name that begins with ${quoted(begin)}; its names begin with ${
        listed([...new Set(given.map((name) => name.slice(0, name.indexOf(".") + 1) || name))])
      }`,
    );
  }
  const changes = rename.map(([from, to]) => ({ from, to, pattern: componentsOf(from), isUsed: false }));
  if (begin === "" && changes.length === 0) return checkpoint;
  const result = renamedAll(checkpoint, (name) => {
    if (!name.startsWith(begin)) return null;
    return changes.reduce((name, change) => {
      const renamed = replaced(name, change);
      if (renamed !== name) change.isUsed = true;
      return renamed;
    }, name.slice(begin.length));
  });
  const idle = changes.find(({ isUsed, from, to }) => !isUsed && from !== to);
  if (idle !== undefined) {
    throw new UnfoldError(
      `${checkpoint.path} has no name with ${
        quoted(idle.from)
      } in it, as whole components between dots, to rename to ${quoted(idle.to)}; its names are like ${
        listed(result.names(), 3)
      }`,
    );
  }
  return result;
}

/** The checkpoint without some of its tensors. */
export function withoutTensors(checkpoint: Checkpoint, names: ReadonlySet<string>): Checkpoint {
  return renamedAll(checkpoint, (name) => names.has(name) ? null : name);
}

/** Whole components, wherever they stand. */
function componentsOf(text: string): RegExp {
  const escaped = text.replace(/^\.+|\.+$/g, "").replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return new RegExp(`(?<=^|\\.)${escaped}(?=\\.|$)`, "g");
}

function replaced(name: string, { pattern, to }: { readonly pattern: RegExp; readonly to: string }): string {
  const text = name.replace(pattern, () => to.replace(/^\.+|\.+$/g, ""));
  return text === name ? name : text.replace(/\.{2,}/g, ".").replace(/^\.|\.$/g, "");
}

/** Prefixes of whole components that all names share, shortest first: "", "module.", "module.model.". */
export function sharedPrefixes(names: readonly string[]): readonly string[] {
  const prefixes = [""];
  const [first = "", ...others] = names;
  for (let end = first.indexOf("."); end >= 0; end = first.indexOf(".", end + 1)) {
    const prefix = first.slice(0, end + 1);
    if (!others.every((name) => name.startsWith(prefix))) break;
    prefixes.push(prefix);
  }
  return prefixes;
}

/** @param rename the name of a stored tensor, or null for one that is left out */
function renamedAll(checkpoint: Checkpoint, rename: (stored: string) => string | null): Checkpoint {
  const storedAs = new Map<string, string>();
  for (const stored of checkpoint.names()) {
    const name = rename(stored);
    if (name === null) continue;
    const other = storedAs.get(name);
    if (other !== undefined) {
      throw new UnfoldError(
        `${checkpoint.path}: ${quoted(other)} and ${quoted(stored)} would both be called ${quoted(name)}. ` +
          "Give --prefix or another --rename.",
      );
    }
    storedAs.set(name, stored);
  }
  const stored = (name: string): string => {
    const found = storedAs.get(name);
    if (found === undefined) throw noSuchTensor(result, name);
    return found;
  };
  const result: Checkpoint = {
    path: checkpoint.path,
    metadata: checkpoint.metadata,
    training: checkpoint.training,
    stateDict: checkpoint.stateDict,
    recorded: checkpoint.recorded,
    names: () => [...storedAs.keys()],
    has: (name) => storedAs.has(name),
    typeOf: (name) => checkpoint.typeOf(stored(name)),
    isScaled: (name) => checkpoint.isScaled?.(stored(name)) ?? false,
    shapeOf: (name) => checkpoint.shapeOf(stored(name)),
    tensor: (name) => checkpoint.tensor(checkpoint.recorded.includes(name) ? name : stored(name)),
  };
  return result;
}
