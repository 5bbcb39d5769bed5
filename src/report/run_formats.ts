/**
 * A run against a baseline for people and for machines that read test results: text, Markdown, JUnit. Pure;
 * colour is the caller's. JSON is the report itself.
 */
import { isWorse, type MetricReport, type ModelRun, type RunReport } from "./run_report.ts";
import { changeText, figureText, percent } from "./metrics.ts";
import { commitText } from "./phrases.ts";
import { table, wrapped } from "./table.ts";

type Style = (text: string, style: "bold" | "dim" | "green" | "yellow" | "red") => string;

/** The report as a terminal shows it. */
export function runText(report: RunReport, style: Style): string {
  return [
    `${style(report.baseline.name, "bold")}  saved ${day(report.baseline.savedAt)}${
      commitOf(report.baseline)
    }; now${commitOf(report) || " without a commit"}`,
    ...report.models.flatMap((model) => ["", ...modelText(model, style)]),
    ...report.notes.length > 0 ? ["", ...report.notes.map((note) => style(`note: ${note}`, "dim"))] : [],
    "",
    style(
      sentence(report),
      report.verdict === "nothing worse" ? "green" : report.verdict === "worse" ? "red" : "yellow",
    ),
  ].join("\n");
}

function modelText(model: ModelRun, style: Style): string[] {
  const rows = model.metrics.map((metric) => [
    metric.metric,
    figure(metric, metric.stored),
    figure(metric, metric.current),
    change(metric),
    style(metric.verdict, colourOf(metric)),
  ]);
  const lines = table([["", "stored", "now", "change", "verdict"], ...rows], {
    align: ["left", "right", "right", "right", "left"],
    indent: 2,
  }).split("\n");
  const warnings = new Set([model.latency, model.throughput].flatMap((timed) => timed?.warnings ?? []));
  return [
    `${style(model.model, "bold")}  ${model.family}, ${model.precision}, batch ${model.batch}${
      timedBy(model)
    }`,
    lines[0]!,
    ...model.metrics.flatMap((metric, i) => [
      lines[i + 1]!,
      ...wrapped([interval(metric), metric.reason ?? ""].filter((part) => part !== "").join("; "), {
        indent: 6,
      }).map((line) => style(line, "dim")),
    ]),
    ...[...warnings].map((warning) => style(`  warning: ${warning}`, "yellow")),
  ];
}

/** The report as GitHub's job summary and comments show it. */
export function runMarkdown(report: RunReport): string {
  const cell = (text: string) => text.replaceAll("|", "\\|").replaceAll("\n", " ");
  return [
    `### UNfold: ${sentence(report)}`,
    "",
    `Baseline \`${report.baseline.name}\`, saved ${day(report.baseline.savedAt)}${
      commitOf(report.baseline)
    }; now${commitOf(report) || " without a commit"}.`,
    ...report.models.flatMap((model) => [
      "",
      `**${model.model}** ${model.family}, ${model.precision}, batch ${model.batch}${timedBy(model)}`,
      "",
      "| metric | stored | now | change | verdict | |",
      "| --- | ---: | ---: | --- | --- | --- |",
      ...model.metrics.map((metric) =>
        `| ${
          [
            metric.metric,
            figure(metric, metric.stored),
            figure(metric, metric.current),
            withInterval(metric),
            isWorse(metric) ? `**${metric.verdict}**` : metric.verdict,
            metric.reason ?? "",
          ].map(cell).join(" | ")
        } |`
      ),
    ]),
    ...report.notes.length > 0 ? ["", ...report.notes.map((note) => `- ${note}`)] : [],
    "",
  ].join("\n");
}

/** The report as JUnit's XML: a suite per model, a case per metric; an undecided metric is skipped. */
export function runJUnit(report: RunReport): string {
  const metrics = report.models.flatMap(({ metrics }) => metrics);
  const isSkipped = ({ verdict }: MetricReport) => verdict === "cannot tell" || verdict === "refused";
  const counts = (list: readonly MetricReport[]) =>
    `tests="${list.length}" failures="${list.filter(isWorse).length}" skipped="${
      list.filter(isSkipped).length
    }"`;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="unfold regress ${xml(report.baseline.name)}" ${counts(metrics)} time="${
      (report.durationMs / 1000).toFixed(3)
    }">`,
    ...report.models.flatMap((model) => [
      `  <testsuite name="${xml(model.model)}" ${counts(model.metrics)} timestamp="${
        report.startedAt.slice(0, 19)
      }">`,
      ...model.metrics.flatMap((metric) => {
        const head = `    <testcase classname="${xml(`${report.baseline.name}.${model.model}`)}" name="${
          xml(metric.metric)
        }"`;
        const said = [
          `${metric.verdict}: stored ${figure(metric, metric.stored)}, now ${figure(metric, metric.current)}`,
          withInterval(metric),
          metric.reason ?? "",
        ].filter((part) => part !== "").join("; ");
        const inside = isWorse(metric)
          ? `<failure message="${xml(said)}"/>`
          : isSkipped(metric)
          ? `<skipped message="${xml(said)}"/>`
          : `<system-out>${xml(said)}</system-out>`;
        return [`${head}>`, `      ${inside}`, "    </testcase>"];
      }),
      "  </testsuite>",
    ]),
    "</testsuites>",
  ].join("\n");
}

function xml(text: string): string {
  const entities: Readonly<Record<string, string>> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
  };
  // deno-lint-ignore no-control-regex
  return text.replaceAll(/[\x00-\x08\x0b\x0c\x0e-\x1f]/g, " ").replaceAll(
    /[&<>"]/g,
    (sign) => entities[sign]!,
  );
}

/** The whole run in one line. */
export function sentence({ verdict, models }: RunReport): string {
  const metrics = models.flatMap(({ model, metrics }) =>
    metrics.map((metric) => ({
      ...metric,
      name: models.length > 1 ? `${model}: ${metric.metric}` : metric.metric,
    }))
  );
  const named = (list: typeof metrics) => list.map(({ name, verdict }) => `${name} ${verdict}`).join(", ");
  if (verdict === "worse") return `worse: ${named(metrics.filter(isWorse))}`;
  if (verdict === "nothing worse") return "nothing is worse";
  const open = metrics.filter((one) =>
    one.decides && (one.verdict === "cannot tell" || one.verdict === "refused")
  );
  return `could not judge: ${named(open)}`;
}

function colourOf(metric: MetricReport): "red" | "green" | "yellow" | "dim" {
  if (isWorse(metric)) return "red";
  if (metric.verdict === "faster" || metric.verdict === "better") return "green";
  return metric.verdict === "same" ? "dim" : "yellow";
}

const day = (time: string) => time.slice(0, 16).replace("T", " ");
const commitOf = ({ commit, dirty = false }: { commit: string | null; dirty?: boolean }) =>
  commit === null ? "" : ` at ${commitText({ commit, dirty })}`;

function timedBy({ latency, throughput }: ModelRun): string {
  const timed = latency ?? throughput;
  if (timed === null) return "";
  return `; ${timed.backend}, ${timed.clock === "wall" ? "in turns" : `in turns, ${timed.clock} time`}, ` +
    `${timed.loads.length} loadings`;
}

const figure = ({ unit }: MetricReport, value: number | null): string => figureText(unit, value);

/** "+12.3 %" of times, "+1" of counts. */
function change({ ratio, unit, stored, current }: MetricReport): string {
  if (ratio === null) return changeText(unit, { stored, current });
  // The ratio is of times, whatever the figures are.
  return `${unit === "ms" ? "" : "time "}${percent(ratio.median)}`;
}

/** "+9.3 % to +14.7 %; noise 7.4 %"; nothing of what has no noise. */
function interval({ ratio, noise }: MetricReport): string {
  if (ratio === null) return "";
  const band = noise === null ? "" : `; noise ${(100 * (noise.high - 1)).toFixed(1)} %`;
  return `${percent(ratio.low)} to ${percent(ratio.high)}${band}`;
}

/** "+12.3 % (+9.3 % to +14.7 %; noise 7.4 %)". */
function withInterval(metric: MetricReport): string {
  const within = interval(metric);
  return within === "" ? change(metric) : `${change(metric)} (${within})`;
}
