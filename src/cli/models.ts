/** `deno task models`: the papers' networks, the normalizations they fold with, the known checkpoints. */
import { FAMILIES } from "../norms/families.ts";
import { table } from "../report/table.ts";
import { unknownNetwork } from "./model_argument.ts";
import { parseOptions } from "./options.ts";
import { EXIT, print, Progress, runCommand, styled, UsageError } from "./terminal.ts";

const HELP = `Lists the networks that UNfold describes, and with which normalizations they fold.

  deno task models [NAME...] [options]

Examples
  deno task models                 networks, parameters, and families: folded completely, partly, or not at all
  deno task models swin-t gpt2     these networks alone
  deno task models --layouts       layouts of checkpoints that --checkpoint recognises, and their settings
  deno task models --json          every network with every family, for scripts

Options
  --layouts             list the known layouts of checkpoints instead
  --json                print JSON instead of tables
  --help                this text

Families
${FAMILIES.map(({ word, label }) => `  ${word.padEnd(22)}${label}`).join("\n")}

Partly: gain and shift fold, the statistics (or the tanh) stay. deno task audit NAME --norm FAMILY says what and why.

Exits with 0, or 1 where something failed, 2 for a mistake in the command, 130 after Ctrl-C.`;

const OPTIONS = {
  layouts: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
} as const;

/** Runs the command; resolves to its exit code. */
export async function modelsCommand(args: readonly string[], signal?: AbortSignal): Promise<number> {
  const parsed = await parseOptions(args, {
    command: "models",
    options: OPTIONS,
    most: Infinity,
    help: HELP,
  });
  if (parsed === null) return EXIT.ok;
  const { values, positionals } = parsed;
  if (values.layouts && positionals.length > 0) {
    throw new UsageError("--layouts lists all: leave out the names");
  }
  if (values.layouts) await printLayouts(values.json);
  else await printModels({ chosen: positionals, json: values.json, signal });
  return EXIT.ok;
}

async function printLayouts(json: boolean): Promise<void> {
  const { FORMATS } = await import("../checkpoints/formats.ts");
  const { patternText } = await import("../checkpoints/define.ts");
  const layouts = FORMATS.map(({ name, signature, settings }) => ({
    name,
    names: signature.map(patternText),
    settings: settings.map(({ name, what, takes, keys }) => ({ name, what, takes, keys })),
  }));
  await print(
    json ? JSON.stringify(layouts, null, 2) : table([
      [styled("layout", "bold"), styled("--set", "bold"), styled("recognised by", "bold")],
      ...layouts.map(({ name, names, settings }) => [
        name,
        settings.map(({ name }) => name).join(" ") || "-",
        names.join("  "),
      ]),
    ]),
  );
}

async function printModels(
  { chosen, json, signal }: { chosen: readonly string[]; json: boolean; signal: AbortSignal | undefined },
): Promise<void> {
  const { MODELS } = await import("../models/table.ts");
  const { summarizeModel } = await import("../compile/audit.ts");
  const norms = FAMILIES.map((family) => family());
  using progress = new Progress();
  for (const name of chosen) {
    if (!Object.hasOwn(MODELS, name)) throw unknownNetwork(name, Object.keys(MODELS));
  }
  const names = Object.keys(MODELS).filter((name) => chosen.length === 0 || chosen.includes(name));
  const summaries = [];
  for (const [i, name] of names.entries()) {
    signal?.throwIfAborted();
    progress.show(`folding ${name}`, i / names.length);
    const { title, paper, build } = MODELS[name]!;
    summaries.push({ name, title, paper, ...summarizeModel(build(), norms) });
    // Lets a signal through between networks.
    await new Promise((resolve) => setTimeout(resolve));
  }
  progress.clear();
  if (json) return await print(JSON.stringify(summaries, null, 2));
  const head = ["network", "parameters", "folded", "partly", "refused", "source"].map((text) =>
    styled(text, "bold")
  );
  const rows = summaries.map(({ name, title, paper, parameters, families }) => {
    const those = (wanted: (fate: typeof families[string]) => boolean) =>
      Object.entries(families).filter(([, fate]) => wanted(fate)).map(([family]) => family).join(" ") || "-";
    return [
      name,
      millions(parameters),
      those((fate) => fate === "folded"),
      those((fate) => fate === "partly"),
      those((fate) => fate === "kept" || typeof fate === "object"),
      `${title}; ${paper}`,
    ];
  });
  await print(table([head, ...rows], { align: ["left", "right", "left"] }));
}

/** 28,288,354 as "28.3 M". */
function millions(count: number): string {
  return count < 1e9 ? `${(count / 1e6).toFixed(1)} M` : `${(count / 1e9).toFixed(2)} G`;
}

if (import.meta.main) await runCommand(modelsCommand, { cleansUp: false });
