/** `deno task baseline`: saves, lists, shows, removes, exports and imports baselines. Options, printing. */
import type { Baseline } from "../regress/manifest.ts";
import { bytes, commitText } from "../report/phrases.ts";
import { table } from "../report/table.ts";
import { noteSilentRefusals } from "./device_library.ts";
import { SUBJECT_HELP } from "./model_argument.ts";
import { parseOptions, requireThere, wholeNumber } from "./options.ts";
import { QUANTIZE_HELP } from "./precision.ts";
import { RECIPE_OPTIONS, recipeOf, subjectFrom } from "./recipe.ts";
import { complain, EXIT, note, print, Progress, runCommand, styled, UsageError } from "./terminal.ts";

const HELP =
  `Keeps engines, structure and raw samples, for \`deno task regress\` to compare later builds with.

  deno task baseline save NAME MODEL... [options]
  deno task baseline list | show NAME | remove NAME
  deno task baseline export NAME FILE
  deno task baseline import FILE [NAME]

MODEL is a script that exports a model by default, an ONNX file that an exporter wrote, or a network of the papers by
name (deno task models lists them).

Examples
  deno task baseline save main my_model.ts --precision fp16      the state of the main branch
  deno task baseline save nightly swin-t deit-s --batch 1        several networks in one
  deno task baseline save fp8 my_model.ts --precision fp8 --target 8.9 --calibrate samples.safetensors
                                                                 and which products are quantized
  deno task baseline save un --checkpoint t2t_vit_14_un.pth      the network in a checkpoint
  deno task baseline save ci my_model.ts --no-engines            structure and figures only: small enough for Git
  deno task baseline export main main.tar                        one file, for a cache or another machine
  deno task regress main                                         later: build again and compare

Options
${SUBJECT_HELP}
  --precision TYPE      fp32 (default), tf32, fp16 or bf16; int8, fp8, nvfp4, int4w: engines in fp16 with products in
                        fewer bits, as for build-engine. A CPU is timed in fp32 with all of them
${QUANTIZE_HELP}
  --target LIST         the GPUs engines are for, as for build-engine
  --allow-overflow      keep an fp16 or bf16 network although values overflow on the samples there are
  --batch SIZES         8 (default), a list 1,8,64, or min:opt:max
  --store DIR           where baselines are kept; .unfold/baselines unless given. It can be committed or cached
  --no-engines          do not keep engines: later times are then compared on this machine only, and not in turns
  --no-plans            do not build TensorRT engines: no kernels are counted
  --rebuilds N          how often each is built, for the time that takes (default 3)
  --threads N           CPU threads of ONNX Runtime; all cores unless given
  --json                JSON in place of tables: \`show\` in full, \`save\`, \`import\` and \`list\` in short
  --tensorrt-lib PATH   the TensorRT library or its folder (also UNFOLD_TENSORRT_LIB)
  --help                this text

Exits with 0, or 1 where something failed or a stored file is damaged, 2 for a mistake in the command,
130 after Ctrl-C. Several processes may use a store at once, and one that is killed leaves it whole.`;

const OPTIONS = {
  ...RECIPE_OPTIONS,
  store: { type: "string" },
  "no-engines": { type: "boolean", default: false },
  "no-plans": { type: "boolean", default: false },
  rebuilds: { type: "string" },
  threads: { type: "string" },
  json: { type: "boolean", default: false },
  "tensorrt-lib": { type: "string" },
} as const;

const ACTIONS = ["save", "list", "show", "remove", "export", "import"] as const;
type Action = (typeof ACTIONS)[number];
/** How many arguments each takes, itself aside. */
const ARGUMENTS: Readonly<Record<Action, readonly [fewest: number, most: number, usage: string]>> = {
  save: [1, Infinity, "save NAME MODEL..."],
  list: [0, 0, "list"],
  show: [1, 1, "show NAME"],
  remove: [1, 1, "remove NAME"],
  export: [2, 2, "export NAME FILE"],
  import: [1, 2, "import FILE [NAME]"],
};

/** Runs the command; resolves to its exit code. */
export async function baselineCommand(args: readonly string[], signal: AbortSignal): Promise<number> {
  const parsed = await parseOptions(args, {
    command: "baseline",
    options: OPTIONS,
    most: Infinity,
    help: HELP,
  });
  if (parsed === null) return EXIT.ok;
  const { values, positionals } = parsed;
  const [word, ...rest] = positionals;
  const action = ACTIONS.find((one) => one === word);
  if (action === undefined) {
    throw new UsageError(
      `${word === undefined ? "say what to do" : `${word}: there is no such thing to do`}: ${
        ACTIONS.join(", ")
      }; see ` +
        "`deno task baseline --help`",
    );
  }
  const [fewest, most, usage] = ARGUMENTS[action];
  if (rest.length < fewest || rest.length > most) {
    throw new UsageError(`give it as \`deno task baseline ${usage}\``);
  }
  const { DEFAULT_STORE } = await import("../regress/builds.ts");
  const { BaselineStore } = await import("../regress/store.ts");
  const onWaiting = () => note("another process is using the store; waiting for it");
  const folder = values.store ?? DEFAULT_STORE;
  const store = new BaselineStore(folder, { signal, onWaiting });
  const [first, second] = rest as [string, string];
  switch (action) {
    case "save": {
      const models = rest.slice(1);
      if (models.length === 0 && values.checkpoint === undefined) {
        throw new UsageError(
          `give at least one MODEL, as in \`deno task baseline save ${first} my_model.ts\``,
        );
      }
      await parsed.checkFiles();
      const subjects = [];
      for (const argument of models.length === 0 ? [undefined] : models) {
        const recipe = recipeOf(argument, values);
        subjects.push({ ...await subjectFrom(recipe), recipe });
      }
      if (!values["no-plans"]) await noteSilentRefusals();
      const { saveBaseline } = await import("../regress/save.ts");
      using progress = new Progress();
      const baseline = await saveBaseline({
        store: folder,
        name: first,
        subjects,
        engines: !values["no-engines"],
        plans: !values["no-plans"],
        rebuilds: wholeNumber("rebuilds", values.rebuilds),
        threads: wholeNumber("threads", values.threads),
        tensorrtLib: values["tensorrt-lib"],
        onEvent: (event) => progress.event(event),
        signal,
        onWaiting,
      });
      progress.clear();
      await print(values.json ? JSON.stringify(summary(baseline), null, 2) : describe(baseline));
      return EXIT.ok;
    }
    case "list": {
      const baselines = [];
      for (const name of await store.names()) baselines.push(await store.load(name));
      if (values.json) await print(JSON.stringify(baselines.map(summary), null, 2));
      else if (baselines.length === 0) note(`there are no baselines in ${folder}`);
      else await print(listed(baselines));
      return EXIT.ok;
    }
    case "show": {
      const baseline = await store.load(first);
      const problems = await store.problems(first);
      await print(values.json ? JSON.stringify(baseline, null, 2) : describe(baseline));
      for (const problem of problems) complain(problem);
      return problems.length > 0 ? EXIT.failed : EXIT.ok;
    }
    case "remove":
      await store.remove(first);
      return EXIT.ok;
    case "export": {
      const { exportBaseline } = await import("../regress/archive.ts");
      await exportBaseline(store, first, second);
      return EXIT.ok;
    }
    case "import": {
      await requireThere(first);
      const { importBaseline } = await import("../regress/archive.ts");
      const baseline = await importBaseline(store, first, { ...(second !== undefined && { name: second }) });
      await print(values.json ? JSON.stringify(summary(baseline), null, 2) : describe(baseline));
      return EXIT.ok;
    }
  }
}

const sizeOf = ({ files }: Baseline) => files.reduce((sum, { bytes }) => sum + bytes, 0);

function summary(baseline: Baseline) {
  const { name, savedAt, commit, dirty, models } = baseline;
  return { name, savedAt, commit, dirty, models: models.map(({ model }) => model), bytes: sizeOf(baseline) };
}

function listed(baselines: readonly Baseline[]): string {
  const rows = baselines.map((baseline) => [
    baseline.name,
    baseline.savedAt.slice(0, 16).replace("T", " "),
    baseline.commit?.slice(0, 10) ?? "-",
    bytes(sizeOf(baseline)),
    baseline.models.map(({ model }) => model).join(", "),
  ]);
  return table([["", "saved", "commit", "size", "models"], ...rows], {
    align: ["left", "left", "left", "right", "left"],
  });
}

const MORE = { quantizedProducts: "quantized", keptOperators: "kept wider" } as const;

function describe(baseline: Baseline): string {
  const { name, savedAt, commit, dirty, fingerprint, models, files } = baseline;
  const count = (value: number | null) => value === null ? "-" : String(value);
  // Of few baselines: a column of zeros would say nothing.
  const more = (["quantizedProducts", "keptOperators"] as const).filter((key) =>
    models.some(({ structure }) => structure[key])
  );
  return [
    `${styled(name, "bold")}  ${savedAt.slice(0, 16).replace("T", " ")}${
      commit === null ? "" : `, commit ${commitText({ commit, dirty })}`
    }`,
    `${fingerprint.cpu}, ${fingerprint.cores} cores, ${fingerprint.os}; ${fingerprint.backend}; TensorRT ${
      fingerprint.tensorrt ?? "not used"
    }; UNfold ${fingerprint.unfold}`,
    "",
    table([
      [
        "",
        "family",
        "precision",
        "batch",
        "nodes",
        "kernels",
        "normalizations",
        "parameters",
        "plan",
        ...more.map((key) => MORE[key]),
      ],
      ...models.map(({ model, family, precision, batch, structure }) => [
        model,
        family,
        precision,
        batch,
        count(structure.nodes),
        count(structure.kernels),
        count(structure.normalizationKernels ?? structure.normalizations),
        structure.parameters.toLocaleString("en"),
        structure.planBytes === null ? "-" : bytes(structure.planBytes),
        ...more.map((key) => count(structure[key])),
      ]),
    ], { align: ["left", "left", "left", "left", "right"] }),
    "",
    files.length === 0 ? "No engines are kept." : table(
      files.map((file) => [file.name, bytes(file.bytes), `sha256 ${file.sha256}`]),
      { align: ["left", "right", "left"] },
    ),
  ].join("\n");
}

if (import.meta.main) await runCommand(baselineCommand);
