/** Figures over runs and where they change: the series of `deno task history NAME --json` as time lines. */
import { z } from "npm:zod@4.6.7";
import { commitText } from "../phrases.ts";
import { type Content, html } from "./markup.ts";
import type { Section } from "./page.ts";
import { badge, details, figure, table } from "./parts.ts";
import { timeline } from "./timeline.ts";

/** Series by model and metric; whatever else they hold is not needed here. */
export const HistorySchema = z.array(
  z.object({
    model: z.string(),
    metric: z.string(),
    unit: z.string(),
    points: z.array(z.object({
      time: z.string(),
      commit: z.string().nullable(),
      dirty: z.boolean(),
      value: z.number(),
    })).readonly(),
    changes: z.array(z.object({
      index: z.number().int().nonnegative(),
      commit: z.string().nullable(),
      from: z.number(),
      to: z.number(),
      isWorse: z.boolean(),
      /** Null of exact figures. */
      pValue: z.number().nullable(),
    })).readonly(),
  }).refine(
    ({ points, changes }) => points.length > 0 && changes.every(({ index }) => index < points.length),
    {
      message: "a change is at none of the points",
    },
  ),
).readonly();

export type History = z.infer<typeof HistorySchema>;
type Series = History[number];
type Point = Series["points"][number];

/** One section, a part for each model; series that never change are a line of a table. */
export function historySection(history: History, id: string): Section {
  const models = [...new Set(history.map(({ model }) => model))];
  return {
    id,
    title: "History",
    body: history.length === 0 ? html`<p>No run has been saved yet.</p>` : html`
      <p>Each point is one saved run. Times are ratios to the stored engine, timed in the same rounds, so that another
      day's machine does not show in them.${history.some(({ points }) => points.some(({ dirty }) => dirty))
        ? " A hollow point is of a folder with changes that its commit does not have."
        : ""}</p>
    `,
    parts: models.map((model, i) => {
      const series = history.filter((one) => one.model === model);
      const [drawn, still] = [series.filter(isDrawn), series.filter((one) => !isDrawn(one))];
      return {
        id: `${id}-${i + 1}`,
        title: model,
        body: [
          drawn.map((one, j) => seriesFigure(one, `${id}-${i + 1}-${j + 1}`)),
          changesTable(series),
          still.length === 0 ? null : details({
            summary: `${still.length} ${still.length === 1 ? "figure" : "figures"} that did not change`,
            body: table({
              caption: `Unchanged figures of ${model}`,
              columns: [{ title: "figure" }, { title: "value", align: "right" }, {
                title: "runs",
                align: "right",
              }],
              rows: still.map((
                { metric, unit, points },
              ) => [metric, valueOf(points[0]!.value, unit), points.length]),
            }),
          }),
        ],
      };
    }),
  };
}

/** Measured figures always, exact ones where they change. */
function isDrawn({ points, changes }: Series): boolean {
  return points.length > 1 && (changes.length > 0 || points.some(({ value }) => value !== points[0]!.value));
}

const dateOf = ({ time }: Point) => time.slice(0, 10);

/** The commit and the day; the day alone outside of a repository. */
const runOf = (point: Point) => [commitText(point), dateOf(point)].filter((text) => text !== null).join(", ");

function valueOf(value: number, unit: string): string {
  const text = Number.isInteger(value) ? value.toLocaleString("en") : value.toPrecision(4);
  return unit === "" || unit.startsWith("of ") ? text : `${text} ${unit}`;
}

function seriesFigure({ metric, unit, points, changes }: Series, id: string): Content {
  const [first, last] = [points[0]!, points.at(-1)!];
  return figure({
    id,
    title: `${metric[0]!.toUpperCase()}${metric.slice(1)}${unit === "" ? "" : `, ${unit}`}`,
    description: `${points.length} runs from ${valueOf(first.value, unit)} (${runOf(first)}) to ` +
      `${valueOf(last.value, unit)} (${runOf(last)}); ${
        changes.length === 0
          ? "no change points"
          : `changes at ${changes.map(({ index }) => runOf(points[index]!)).join("; ")}`
      }.`,
    draw: (canvas) =>
      timeline({
        points: points.map((point) => ({
          commit: point.commit?.slice(0, 7) ?? null,
          date: dateOf(point),
          isDirty: point.dirty,
          value: point.value,
        })),
        changes: changes.map(({ index, isWorse }) => ({
          index,
          isWorse,
          label: `${runOf(points[index]!)}: ${isWorse ? "worse" : "better"}`,
        })),
        unit: "",
      }, canvas),
  });
}

function changesTable(series: readonly Series[]): Content {
  const rows = series.flatMap(({ metric, unit, points, changes }) =>
    changes.map(({ index, from, to, isWorse, pValue }) => {
      return [
        metric,
        runOf(points[index]!),
        html`${valueOf(from, unit)} to ${valueOf(to, unit)}`,
        html`${badge(isWorse ? "worse" : "better", isWorse ? "bad" : "good")} ${
          pValue === null ? "exact" : `p = ${pValue.toFixed(4)}`
        }`,
      ];
    })
  );
  return rows.length === 0 ? html`<p>No change points.</p>` : table({
    caption: "Change points",
    columns: [{ title: "figure" }, { title: "since" }, { title: "from, to" }, { title: "verdict" }],
    rows,
  });
}
