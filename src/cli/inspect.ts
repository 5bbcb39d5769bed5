/**
 * `deno task inspect`: what compiled plans will start on the device, side by side. Needs no GPU and no
 * TensorRT, and only reads. Options and printing; the reading is `report/plan.ts`.
 */
import { inspectPlanFile, type PlanBlock, type PlanReport, type PlanSchedule } from "../report/plan.ts";
import { withoutHome } from "../report/home.ts";
import { table } from "../report/table.ts";
import { parseOptions } from "./options.ts";
import { EXIT, print, runCommand, UsageError } from "./terminal.ts";

const HELP = `Counts the kernels in compiled TensorRT plans. No GPU is needed.

Usage: deno task inspect PLAN... [options]

Examples
  deno task inspect un.plan                    kernels by kind, per block, and how many are normalizations
  deno task inspect un.plan ln.plan            the same side by side: what folding has saved
  deno task inspect --kernels un.plan          every kernel in order, and the layers it works for; * a normalization
  deno task inspect --json un.plan             everything as JSON: an array, one object per file

Options
  --kernels             list the kernels, too
  --json                print JSON instead of tables
  --help                this text

The counts come from the kernel schedule inside the plan, which is NVIDIA's and undocumented. A plan that does not read
as expected gives "unknown" and the reason, never a guess.
Kinds: function = generated or fused attention, fully_connected = product, runtime_fusion = product with what follows
it, corrltn = convolution, avgpool and maxpool = pooling.

Exits with 0, or 1 where a file is no plan, 2 for a mistake in the command, 130 after Ctrl-C.`;

const OPTIONS = {
  kernels: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
} as const;

/** A plan and how to call it. */
export interface InspectedPlan {
  readonly file: string;
  readonly report: PlanReport;
}

/**
 * Runs the command; resolves to its exit code.
 *
 * @throws {UsageError} unknown flags, no file
 * @throws {UnfoldError} a file that cannot be read or is no plan; nothing is printed then
 */
export async function inspect(args: readonly string[]): Promise<number> {
  const parsed = await parseOptions(args, {
    command: "inspect",
    options: OPTIONS,
    most: Infinity,
    files: true,
    help: HELP,
  });
  if (parsed === null) return EXIT.ok;
  const { values, positionals } = parsed;
  if (positionals.length === 0) {
    throw new UsageError("give at least one plan, as in `deno task inspect un.plan`");
  }
  await parsed.checkFiles();
  const plans: InspectedPlan[] = [];
  for (const file of positionals) plans.push({ file, report: await inspectPlanFile(file) });
  await print(
    values.json
      ? JSON.stringify(withoutHome(plans.map(({ file, report }) => ({ file, ...report }))), null, 2)
      : describePlans(plans, { kernels: values.kernels }),
  );
  return EXIT.ok;
}

/** Plans as a table, a column each (or one per optimization profile); `kernels` adds lists. */
export function describePlans(plans: readonly InspectedPlan[], { kernels = false } = {}): string {
  const names = plans.map(({ file }) => file.split(/[\\/]/).at(-1)!);
  const columns = plans.flatMap(({ file, report }, i) => {
    // The last part of a path is enough wherever it says which file is meant.
    const name = names.filter((other) => other === names[i]).length === 1 ? names[i]! : file;
    const several = report.schedules.length > 1;
    const schedules: readonly Omit<PlanSchedule, "profile">[] = several ? report.schedules : [report];
    return schedules.map((schedule, profile) => ({
      title: several ? `${name} profile ${profile}` : name,
      bytes: report.byteLength.toLocaleString("en"),
      schedule,
    }));
  });
  const row = (
    label: string,
    cell: (column: typeof columns[number]) => string,
  ) => [label, ...columns.map(cell)];
  const kinds = [...new Set(columns.flatMap(({ schedule }) => Object.keys(schedule.kinds)))].sort();
  const parts = [
    table([
      row("", ({ title }) => title),
      row("bytes", ({ bytes }) => bytes),
      row("kernels", ({ schedule }) => counted(schedule.kernels)),
      ...kinds.map((kind) =>
        row(`  ${kind}`, ({ schedule }) => schedule.kernels === null ? "" : String(schedule.kinds[kind] ?? 0))
      ),
      row("normalization kernels", ({ schedule }) => counted(schedule.normalizationKernels)),
      ...blockRows(columns.map(({ schedule }) => schedule)),
    ], { align: ["left", "right"] }),
  ];
  const reasons = columns.filter(({ schedule }) => schedule.unknown !== null);
  if (reasons.length > 0) {
    parts.push(reasons.map(({ title, schedule }) => `${title}: unknown, ${schedule.unknown}`).join("\n"));
  }
  if (kernels) parts.push(...columns.map(({ title, schedule }) => `${title}\n${kernelTable(schedule)}`));
  return parts.join("\n\n");
}

const counted = (count: number | null) => count === null ? "unknown" : String(count);

/** One row per run of neighbouring blocks that are alike in every column. */
function blockRows(schedules: readonly Omit<PlanSchedule, "profile">[]): string[][] {
  if (schedules.every(({ blocks }) => blocks === null)) return [];
  const longest = schedules.map(({ blocks }) => blocks ?? []).reduce((a, b) => b.length > a.length ? b : a);
  const scopes = [
    ...new Set([longest, ...schedules.map(({ blocks }) => blocks ?? [])].flat().map((b) => b.scope)),
  ];
  const runs: { first: string; last: string; cells: string[] }[] = [];
  for (const scope of scopes) {
    const cells = schedules.map(({ kernels, blocks }) =>
      blocks === null
        ? (kernels === null ? "" : "unknown")
        : cellOf(blocks.find((block) => block.scope === scope))
    );
    const run = runs.at(-1);
    if (run && run.cells.every((cell, i) => cell === cells[i])) run.last = scope;
    else runs.push({ first: scope, last: scope, cells });
  }
  const outside = schedules.map(({ kernels, blocks }) =>
    kernels === null || blocks === null
      ? ""
      : String(kernels - blocks.reduce((sum, block) => sum + block.kernels, 0))
  );
  return [
    ["per block (of these normalization)", ...schedules.map(() => "")],
    ...runs.map((
      { first, last, cells },
    ) => [`  ${first === last ? first : `${first} to ${last}`}`, ...cells]),
    ["  outside of blocks", ...outside],
  ];
}

function cellOf(block: PlanBlock | undefined): string {
  if (!block) return "-";
  const { kernels, normalizationKernels } = block;
  return `${kernels} (${normalizationKernels ?? "?"})`;
}

function kernelTable({ kernelList }: Omit<PlanSchedule, "profile">): string {
  return table(
    kernelList.map(({ kind, name, layers, block, isNormalization }, i) => [
      String(i + 1),
      isNormalization ? "*" : "",
      kind,
      block ?? "",
      name,
      layers.join(" "),
    ]),
    { align: ["right", "left"], indent: 2 },
  );
}

if (import.meta.main) await runCommand(inspect, { cleansUp: false });
