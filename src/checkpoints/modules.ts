/**
 * What a module that was pickled whole says of its network: heads, epsilon, activation, pooling and image
 * size, from the attributes of its parts. A value that differs from part to part is left out. Leaves out
 * what tensors tell.
 */
import type { Statement } from "./settings.ts";

type Attributes = Readonly<Record<string, unknown>>;

/** Of a part in one of the network's equal blocks. */
const IN_BLOCK = /(^|\.)(blocks|layers?|h)\.\d+\./;

/** As statements; none of a file that holds tensors alone. */
export function moduleStatements(modules: unknown): Statement[] {
  const parts = Object.entries(recordOf(modules)).map(([path, part]) => ({ path, part: recordOf(part) }));
  const all = parts.map(({ part }) => part);
  // A module of transformers has all settings in its configuration.
  const config = all.map((part) => recordOf(part.config)).find((config) => Object.keys(config).length > 0);
  if (config !== undefined) {
    return [{ origin: "the module's configuration", kind: "configuration", values: config }];
  }
  if (parts.length === 0) return [];
  const inBlocks = parts.filter(({ path }) => IN_BLOCK.test(path));
  const activations = inBlocks
    .filter(({ path }) => path.endsWith(".act"))
    .map(({ part }) => part.approximate === "tanh" ? "gelu_tanh" : part.class);
  const values = {
    heads: onlyOne(inBlocks.map(({ part }) => part.num_heads)),
    epsilon: onlyOne(all.map(({ eps }) => eps)),
    activation: onlyOne(activations),
    pool: onlyOne(all.map(({ global_pool }) => global_pool)),
    "pool-prefix": onlyOne(all.map(({ pool_include_prefix }) => pool_include_prefix)),
    "image-size": onlyOne(all.map(({ img_size }) => img_size)),
  };
  return [{ origin: "the file's own module", kind: "unfold", values }];
}

const recordOf = (value: unknown): Attributes =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? value as Attributes : {};

/** The value that all who have one agree on. */
function onlyOne(values: readonly unknown[]): unknown {
  const [first, ...rest] = values.filter((value) => value !== undefined && value !== null);
  return rest.every((other) => JSON.stringify(other) === JSON.stringify(first)) ? first : undefined;
}
