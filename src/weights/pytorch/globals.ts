/**
 * The globals in PyTorch's files that UNfold gives a meaning: tensors and storages become descriptions of
 * bytes, a few of Python's and NumPy's values become themselves. Any other global stays an inert record.
 */
import { numpyScalar } from "./numpy_values.ts";
import {
  describePickled,
  ObjectRecord,
  type PickleDict,
  type PickleFailure,
  PickleGlobal,
  PickleList,
  PickleSet,
  type PickleTuple,
  type PickleValue,
} from "./pickle_values.ts";
import { isSizes, rebuildFromType, STORAGE_CLASSES, TENSOR_FUNCTIONS, TYPES } from "./values.ts";

/** Python 3 makes it empty and sets its items then; Python 2 gives a list of pairs. */
function orderedDict([pairs]: PickleTuple, fail: PickleFailure): PickleDict {
  if (pairs === undefined) return new Map();
  if (!(pairs instanceof PickleList)) return fail(`makes an OrderedDict of ${describePickled(pairs)}`);
  // One dict for one list: a list that is given a million times is not copied as often.
  const made = DICTS.get(pairs);
  if (made !== undefined) return made;
  const dict: PickleDict = new Map();
  DICTS.set(pairs, dict);
  for (const pair of pairs.items) {
    const [key, value] = pair instanceof PickleList
      ? pair.items
      : Array.isArray(pair)
      ? pair as PickleTuple
      : [];
    if (key === undefined || value === undefined) {
      return fail(`makes an OrderedDict with ${describePickled(pair)} as an item`);
    }
    dict.set(key, value);
  }
  return dict;
}

const DICTS = new WeakMap<PickleList, PickleDict>();

function set(args: PickleTuple): PickleValue {
  const [items] = args;
  return items instanceof PickleList ? new PickleSet(items.items) : new ObjectRecord("builtins.set", args);
}

/** `copyreg._reconstructor(class, base, state)`: an object as protocols before 2 make it. */
function reconstructed([made, , state]: PickleTuple, fail: PickleFailure): ObjectRecord {
  return made instanceof PickleGlobal
    ? new ObjectRecord(made.name, state === null || state === undefined ? [] : [state])
    : fail(`makes an object of ${describePickled(made)}`);
}

/** `torch.Size` holds one tuple of numbers, and is one. */
function size(args: PickleTuple): PickleValue {
  const [sizes] = args;
  return isSizes(sizes) ? sizes : new ObjectRecord("torch.Size", args);
}

/** All in a file of PyTorch's that is more than a record, by "module.name". */
export const PYTORCH_GLOBALS: ReadonlyMap<string, PickleValue> = new Map<string, PickleValue>([
  ...TENSOR_FUNCTIONS,
  ...[
    // Where it has been, from today to PyTorch 1.3.
    ...["torch._tensor", "torch.tensor"].flatMap((module) =>
      ["_rebuild_from_type_v2", "_rebuild_from_type"].map((name) =>
        new PickleGlobal(`${module}.${name}`, rebuildFromType)
      )
    ),
    new PickleGlobal("collections.OrderedDict", orderedDict),
    new PickleGlobal("torch.Size", size),
    // Protocol 2 writes the names of Python 2.
    new PickleGlobal("__builtin__.set", set),
    new PickleGlobal("builtins.set", set),
    new PickleGlobal("__builtin__.frozenset", set),
    new PickleGlobal("builtins.frozenset", set),
    new PickleGlobal("copy_reg._reconstructor", reconstructed),
    new PickleGlobal("copyreg._reconstructor", reconstructed),
    // Before and since NumPy 2.
    new PickleGlobal("numpy.core.multiarray.scalar", numpyScalar),
    new PickleGlobal("numpy._core.multiarray.scalar", numpyScalar),
    ...[...STORAGE_CLASSES.keys()] as PickleGlobal[],
  ].map((global): [string, PickleValue] => [global.name, global]),
  ...[...TYPES].map(([name, type]): [string, PickleValue] => [`torch.${name}`, type]),
]);
