/** `deno task regress`: builds a baseline's models again and judges. Options and printing. */
import { type Metric, METRICS, rowOf, SELECTIONS, selectionsText } from "../report/metrics.ts";
import type { RunReport } from "../report/run_report.ts";
import type { SelfTestRun } from "../regress/self_test.ts";
import { withoutHome } from "../report/home.ts";
import { wrapped } from "../report/table.ts";
import { noteSilentRefusals } from "./device_library.ts";
import { oneOf, parseOptions, wholeNumber } from "./options.ts";
import { subjectsOf } from "./recipe.ts";
import { note, print, Progress, runCommand, styled, UsageError } from "./terminal.ts";

const HELP =
  `Builds a baseline's models again, times the new engines beside the stored ones, and judges each metric.

  deno task regress NAME [options]
  deno task regress --self-test

Examples
  deno task baseline save main my_model.ts        first: keep what there is
  deno task regress main                          later: is anything worse?
  deno task regress main --threshold 5% --max-time 2m
  deno task regress main --only latency-p50,kernels,normalization-kernels
  deno task regress main --clock processor        on a CPU that is shared with other programs
  deno task regress main --format junit > regress.xml
  deno task regress --self-test                   what do verdicts show on this machine?

Options
  --store DIR           where baselines are kept; .unfold/baselines unless given
  --threshold SHARE     a difference worth acting on: 3% (default)
  --max-time TIME       5m (default), 90s; timing stops sooner once verdicts are clear
  --rebuilds N          how often each model is built (default 3); timed loadings take the builds in turn
  --only METRICS        some of these, the names in brackets being the parts of a group:
${wrapped(selectionsText(), { indent: 24 }).join("\n")}
  --concurrency N       calls at a time, for throughput (default 2)
  --clock KIND          wall (default), or processor: the time of this program alone, on the CPU
  --threads N           CPU threads of ONNX Runtime; all cores unless given
  --no-plans            do not build TensorRT engines: no kernels are counted
  --no-record           leave the run out of the baseline's history
  --format KIND         text (default), json, junit or markdown
  --tensorrt-lib PATH   the TensorRT library or its folder (also UNFOLD_TENSORRT_LIB)
  --help                this text

Exit codes
  0  nothing is worse
  1  something is worse
  2  could not judge: latency that the noise hides, a refusal, a damaged store, a build that failed
  3  a mistake in the command
  130  after Ctrl-C

Verdicts
  faster, slower   the interval of the ratio lies outside the noise band and beyond the threshold
  same             the interval lies within the threshold
  cannot tell      neither; with the rounds it would take
  refused          there is nothing to compare with, and why
  better, worse    of what has no noise: structure, accuracy, parity
What cannot be told of these does not decide the exit code, unless --only asks for it:
${METRICS.filter((name) => !rowOf(name).decides).join(", ")}.

In a GitHub job the result is also written to its summary.`;

const OPTIONS = {
  store: { type: "string" },
  threshold: { type: "string", default: "3%" },
  "max-time": { type: "string" },
  rebuilds: { type: "string" },
  only: { type: "string" },
  concurrency: { type: "string" },
  clock: { type: "string" },
  threads: { type: "string" },
  "no-plans": { type: "boolean", default: false },
  "no-record": { type: "boolean", default: false },
  format: { type: "string", default: "text" },
  "self-test": { type: "boolean", default: false },
  "tensorrt-lib": { type: "string" },
} as const;

/** The exit codes of this command. */
const REGRESS_EXIT = { "nothing worse": 0, worse: 1, "could not judge": 2, usage: 3 } as const;

/** Runs the command; resolves to its exit code. */
export async function regressCommand(args: readonly string[], signal: AbortSignal): Promise<number> {
  const parsed = await parseOptions(args, { command: "regress", options: OPTIONS, most: 1, help: HELP });
  if (parsed === null) return 0;
  const { values, positionals: [name] } = parsed;
  const format = oneOf("format", values.format, ["text", "json", "junit", "markdown"]);
  const clock = values.clock === undefined ? undefined : oneOf("clock", values.clock, ["wall", "processor"]);
  const threshold = parseShare(values.threshold);
  const maxTimeMs = values["max-time"] === undefined ? undefined : parseDuration(values["max-time"]);
  const only = values.only === undefined ? undefined : parseMetrics(values.only);
  if (values["self-test"]) {
    if (name !== undefined) throw new UsageError(`--self-test has a network of its own: leave out ${name}`);
    return await runSelfTest({ signal, clock });
  }
  if (name === undefined) throw new UsageError("give a baseline's NAME, as in `deno task regress main`");
  const { DEFAULT_STORE } = await import("../regress/builds.ts");
  const { regress } = await import("../regress/regress.ts");
  const { BaselineStore } = await import("../regress/store.ts");
  const store = values.store ?? DEFAULT_STORE;
  const onWaiting = () => note("another process is using the store; waiting for it");
  const baseline = await new BaselineStore(store, { signal, onWaiting }).load(name);
  if (!values["no-plans"]) await noteSilentRefusals();
  using progress = new Progress();
  const report = withoutHome(
    await regress({
      store,
      name,
      subjects: await subjectsOf(baseline.models),
      threshold,
      ...(maxTimeMs !== undefined && { maxTimeMs }),
      rebuilds: wholeNumber("rebuilds", values.rebuilds),
      concurrency: wholeNumber("concurrency", values.concurrency),
      threads: wholeNumber("threads", values.threads),
      ...(only && { only }),
      clock,
      ...(values["no-plans"] && { plans: false }),
      tensorrtLib: values["tensorrt-lib"],
      record: !values["no-record"],
      onEvent: (event) => progress.event(event),
      signal,
      onWaiting,
    }),
  );
  progress.clear();
  const { runJUnit, runMarkdown, runText } = await import("../report/run_formats.ts");
  await print(
    format === "json"
      ? JSON.stringify(report, null, 2)
      : format === "junit"
      ? runJUnit(report)
      : format === "markdown"
      ? runMarkdown(report)
      : runText(report, styled),
  );
  await summarizeJob(report, runMarkdown);
  return REGRESS_EXIT[report.verdict];
}

/** GitHub shows what is appended to this file beside the job. */
async function summarizeJob(report: RunReport, markdown: (report: RunReport) => string): Promise<void> {
  const { state } = await Deno.permissions.query({ name: "env", variable: "GITHUB_STEP_SUMMARY" });
  const path = state === "granted" ? Deno.env.get("GITHUB_STEP_SUMMARY") : undefined;
  if (path) await Deno.writeTextFile(path, `${markdown(report)}\n`, { append: true });
}

/** "3%", "3 %" or "0.03". */
export function parseShare(text: string): number {
  const [, number, percent] = /^(\d+(?:\.\d+)?)\s*(%?)$/.exec(text.trim()) ?? [];
  const share = Number(number) / (percent ? 100 : 1);
  if (!(share > 0 && share < 1)) throw new UsageError(`--threshold ${text}: give a share such as 3%`);
  return share;
}

/** "5m", "90s", "500ms", in milliseconds. */
export function parseDuration(text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text.trim()) ?? [];
  const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
  const duration = Number(number) * (units[unit ?? ""] ?? NaN);
  if (!(duration > 0)) throw new UsageError(`--max-time ${text}: give a time such as 5m or 90s`);
  return duration;
}

/** Metrics by name, hyphens for blanks, or groups of them. */
export function parseMetrics(text: string): Metric[] {
  const chosen = text.split(",").flatMap((part): readonly Metric[] => {
    const found = SELECTIONS.get(part.trim().replaceAll(/[-\s]+/g, "-"));
    if (found !== undefined) return found;
    throw new UsageError(
      `--only ${text}: there is no metric ${part.trim()}; there are ${[...SELECTIONS.keys()].join(", ")}`,
    );
  });
  return METRICS.filter((metric) => chosen.includes(metric));
}

async function runSelfTest(
  { signal, clock }: { signal: AbortSignal; clock: "wall" | "processor" | undefined },
): Promise<number> {
  const { selfTest } = await import("../regress/self_test.ts");
  const { selfTestText } = await import("../regress/self_test_text.ts");
  using progress = new Progress();
  let done = 0;
  const total = 22;
  const onRun = (run: SelfTestRun) => progress.show(`planted: ${run.planted}`, ++done / total);
  const test = await selfTest({ signal, clock, onRun });
  progress.clear();
  await print(selfTestText(test, styled));
  return test.passed ? 0 : REGRESS_EXIT["could not judge"];
}

if (import.meta.main) {
  await runCommand(regressCommand, {
    codes: { failed: REGRESS_EXIT["could not judge"], usage: REGRESS_EXIT.usage },
  });
}
