/** The kernels of a build's plans: a picture of the schedules, counts, and lists for those who want them. */
import type { NormFamily } from "../../norms/families.ts";
import type { PlanReport, PlanSchedule } from "../plan.ts";
import type { EngineReport, Report } from "../report.ts";
import { bytes } from "../phrases.ts";
import { type Content, html } from "./markup.ts";
import type { Section } from "./page.ts";
import { details, figure, name, note, table } from "./parts.ts";
import {
  roleLabel,
  roleOf,
  type ScheduleColumn,
  scheduleLegend,
  scheduleRows,
  schedules,
} from "./schedule.ts";

/** What lies beside a report; a plan that is not there is why. */
export type Plans = Readonly<Partial<Record<NormFamily, PlanReport | { readonly missing: string }>>>;

/** A list longer than this is for `deno task inspect`. */
const MOST_LISTED = 300;

export function kernelsSection({ engines }: Report, plans: Plans, id: string): Section {
  const built = Object.entries(engines) as [NormFamily, EngineReport][];
  const read = built.flatMap(([family, engine]) => {
    const plan = plans[family];
    return plan === undefined || "missing" in plan || plan.kernels === null ? [] : [{ family, engine, plan }];
  });
  const missing = built.flatMap(([family, { unknown }]) => {
    const plan = plans[family];
    const why = plan !== undefined && "missing" in plan
      ? plan.missing
      : plan?.unknown ?? (plan ? null : unknown);
    return why === null ? [] : [html`<li>${family.toUpperCase()}: ${why}</li>`];
  });
  const columns = read.map(({ family, plan }): ScheduleColumn => ({
    title: titleOf(family, plan),
    rows: scheduleRows(plan.kernelList),
  }));
  return {
    id,
    title: "Kernels",
    body: [
      columns.length === 0 ? null : figure({
        id: `${id}-schedule`,
        title: "What the GPU will start for one inference",
        description: read.map(({ family, plan }) => `${titleOf(family, plan)}: ${kindsOf(plan)}.`).join(" "),
        caption:
          "A row for each block, a cell for each kernel in the order of its start. Kernels take different times; the " +
          "plan does not say which." + profilesOf(read.map(({ plan }) => plan)),
        legend: scheduleLegend(columns),
        draw: (canvas) => schedules(columns, canvas),
      }),
      missing.length === 0 ? null : note(
        html`
          <p>Schedules that cannot be shown:</p>
          <ul>${missing}</ul>
        `,
        { warn: true },
      ),
      countsTable(built),
      read.map(({ family, plan }) =>
        details({
          summary: `All ${plan.kernels} kernels of ${family.toUpperCase()}, in order`,
          body: kernelTable(family, plan),
        })
      ),
    ],
  };
}

function titleOf(family: NormFamily, { kernels, normalizationKernels }: PlanReport): string {
  const of = normalizationKernels === null ? "" : `, ${normalizationKernels} of them normalizations`;
  return `${family.toUpperCase()}: ${kernels} kernels${of}`;
}

function kindsOf({ kernelList }: PlanReport): string {
  const counts = Map.groupBy(kernelList, roleOf);
  return [...counts].map(([role, { length }]) => `${length} ${roleLabel(role)}`).join(", ");
}

function profilesOf(plans: readonly PlanReport[]): string {
  const several = plans.find(({ schedules }) => schedules.length > 1);
  if (several === undefined) return "";
  const counts = several.schedules.map(({ kernels }: PlanSchedule) => kernels ?? "unknown").join(", ");
  return ` Shown is the first of ${several.schedules.length} optimization profiles (kernels: ${counts}).`;
}

function countsTable(built: readonly (readonly [NormFamily, EngineReport])[]): Content {
  const row = (
    title: string,
    cell: (engine: EngineReport) => Content,
  ) => [title, ...built.map(([, one]) => cell(one))];
  const count = (value: number | null) => value ?? "unknown";
  const isBuilt = built.some(([, { path }]) => path !== null);
  return table({
    caption: isBuilt ? "Engines" : "ONNX files",
    columns: [
      { title: "property" },
      ...built.map(([family]) => ({ title: family.toUpperCase(), align: "right" as const })),
    ],
    rows: [
      ...isBuilt
        ? [
          row("kernels", ({ kernels }) => count(kernels)),
          row("normalization kernels", ({ normalizationKernels }) => count(normalizationKernels)),
          row("plan", (engine) => engine.bytes === null ? "not built" : bytes(engine.bytes)),
          row("layers described to TensorRT", ({ layers }) => layers ?? ""),
          row(
            "built in",
            ({ buildMs }) =>
              buildMs === null ? "" : `${(buildMs / 1000).toFixed(buildMs < 10_000 ? 2 : 1)} s`,
          ),
        ]
        : [],
      row("ONNX nodes", ({ onnx }) => onnx.nodes),
      row("ONNX file", ({ onnx }) => bytes(onnx.bytes)),
    ],
  });
}

function kernelTable(family: NormFamily, { kernelList }: PlanReport): Content {
  const shown = kernelList.slice(0, MOST_LISTED);
  const rest = kernelList.length - shown.length;
  return [
    table({
      caption: `Kernels of ${family.toUpperCase()}`,
      columns: [{ title: "#" }, { title: "what it does" }, { title: "layers", isName: true }, {
        title: "the plan's name",
        isName: true,
      }],
      rows: shown.map((kernel, i) => [
        i + 1,
        roleLabel(roleOf(kernel)),
        kernel.layers.length === 0
          ? kernel.block
          : kernel.layers.map((layer, i) => [i === 0 ? "" : ", ", name(layer)]),
        kernel.name,
      ]),
    }),
    rest === 0
      ? null
      : html`<p class="muted">and ${rest} more: ${name(`deno task inspect ${family}.plan --kernels`)}</p>`,
  ];
}
