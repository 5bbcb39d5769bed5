/** `deno task history`: figures over the runs against a baseline, and their changes. Options, printing. */
import { historyOf, type HistorySeries, worseIn } from "../regress/history.ts";
import { commitText } from "../report/phrases.ts";
import { BaselineStore } from "../regress/store.ts";
import type { RunReport } from "../report/run_report.ts";
import { table } from "../report/table.ts";
import { parseOptions } from "./options.ts";
import { EXIT, note, print, runCommand, styled } from "./terminal.ts";

const HELP =
  `Shows where figures changed over the runs against a baseline, with the commit each change starts at.

  deno task history NAME [options]

Examples
  deno task history main                   change points, and the last runs
  deno task history main --json            every figure of every run

Options
  --store DIR           where baselines are kept; .unfold/baselines unless given
  --json                series and change points as JSON
  --help                this text

Each \`deno task regress\` adds a run. Structure changes where it changes; times change where the runs before and after
differ in rank (Mann-Whitney) more than in all but 0.2 % of random orders, which takes at least some 13 runs.

Exits with 0, or 1 where there is no such baseline or it is damaged, 2 for a mistake in the command, 130 after Ctrl-C.`;

const OPTIONS = {
  store: { type: "string", default: ".unfold/baselines" },
  json: { type: "boolean", default: false },
} as const;

/** Runs the command; resolves to its exit code. */
export async function historyCommand(args: readonly string[], signal: AbortSignal): Promise<number> {
  const parsed = await parseOptions(args, { command: "history", options: OPTIONS, most: 1, help: HELP });
  if (parsed === null) return EXIT.ok;
  const { values, positionals } = parsed;
  if (positionals.length === 0) {
    await print(HELP);
    return EXIT.usage;
  }
  const store = new BaselineStore(values.store, { signal });
  await store.load(positionals[0]!);
  const runs = await store.runs(positionals[0]!);
  const series = historyOf(runs);
  if (values.json) await print(JSON.stringify(series, null, 2));
  else if (runs.length === 0) note(`there are no runs yet; \`deno task regress ${positionals[0]}\` adds one`);
  else await print(describeHistory(runs, series));
  return EXIT.ok;
}

const SHOWN_RUNS = 10;

/** The history for people. */
export function describeHistory(runs: readonly RunReport[], series: readonly HistorySeries[]): string {
  const commit = (of: { readonly commit: string | null; readonly dirty: boolean }) => commitText(of) ?? "-";
  const value = (one: number, unit: string) =>
    unit.startsWith("of") ? one.toFixed(3) : Number.isInteger(one) ? String(one) : one.toPrecision(5);
  const changes = series.flatMap(({ model, metric, unit, points, changes }) =>
    changes.map((change) => [
      change.time.slice(0, 16).replace("T", " "),
      commit(points[change.index]!),
      model,
      metric,
      `${value(change.from, unit)} to ${value(change.to, unit)}`,
      change.pValue === null ? "exact" : `p = ${change.pValue.toFixed(4)}`,
      styled(change.isWorse ? "worse" : "better", change.isWorse ? "red" : "green"),
    ])
  );
  const last = runs.slice(-SHOWN_RUNS).map((run) => [
    run.startedAt.slice(0, 16).replace("T", " "),
    commit(run),
    run.verdict,
    worseIn(run) > 0 ? String(worseIn(run)) : "",
    run.models.map(({ model, metrics }) => {
      const ratio = metrics.find(({ metric }) => metric === "latency p50")?.ratio?.median;
      return `${model} ${ratio === undefined ? "-" : ratio.toFixed(3)}`;
    }).join(", "),
  ]);
  return [
    runs.length === 1 ? "1 run" : `${runs.length} runs`,
    "",
    changes.length === 0
      ? "No change points."
      : table([["since", "commit", "model", "metric", "change", "", ""], ...changes]),
    "",
    table([["run", "commit", "verdict", "worse", "latency p50 over the stored engine's"], ...last]),
  ].join("\n");
}

if (import.meta.main) await runCommand(historyCommand, { cleansUp: false });
