/** What a checkpoint format looks at, of a fixture or of names and shapes made up. */
import { fileURLToPath } from "node:url";
import type { CheckpointView } from "../../src/checkpoints/define.ts";
import { UnfoldError } from "../../src/errors.ts";
import { openCheckpoint } from "../../src/weights/mod.ts";

type Shapes = Readonly<Record<string, readonly number[]>>;
type Config = Readonly<Record<string, unknown>>;

/** The path of a file of `tests/fixtures/networks`. */
export const fixtureFile = (name: string, file: string): string =>
  fileURLToPath(new URL(`../fixtures/networks/${name}/${file}`, import.meta.url));

/** The names and shapes of a fixture's weights. */
export function shapesOf(name: string): Shapes {
  const checkpoint = openCheckpoint(fixtureFile(name, "model.safetensors"));
  return Object.fromEntries(checkpoint.names().map((tensor) => [tensor, checkpoint.shapeOf(tensor)]));
}

export function configOf(name: string): Config {
  return JSON.parse(Deno.readTextFileSync(fixtureFile(name, "config.json"))) as Config;
}

export function viewOf(shapes: Shapes, config: Config | null): CheckpointView {
  return {
    path: "model.safetensors",
    config,
    statements: config === null ? [] : [{ origin: "config.json", kind: "configuration", values: config }],
    names: () => Object.keys(shapes),
    same: () => false,
    has: (name) => Object.hasOwn(shapes, name),
    shapeOf: (name) => {
      if (!Object.hasOwn(shapes, name)) throw new UnfoldError(`model.safetensors has no tensor ${name}`);
      return shapes[name]!;
    },
  };
}

export const fixtureView = (name: string): CheckpointView => viewOf(shapesOf(name), configOf(name));
