/** An engine's profile for people, in trtexec's words and order, and for its tools (`--exportTimes`). */
import { type ClockReading, type Distribution, type QueryTrace, timesOf } from "../run/profile.ts";
import type { EngineProfile } from "../run/tensorrt/profile.ts";
import { table } from "./table.ts";

/** The performance summary; with the layers where they were timed. `title`: the engine's file. */
export function describeProfile(profile: EngineProfile, title: string): string {
  const { figures, layers, warnings } = profile;
  const { latency, h2d, compute, d2h, enqueue } = figures.distributions;
  const percents = latency.percentiles.map(({ percent }) => percent);
  const row = (label: string, { minMs, meanMs, medianMs, maxMs, percentiles }: Distribution) => [
    label,
    ...[minMs, meanMs, medianMs, ...percentiles.map(({ ms }) => ms), maxMs].map(milliseconds),
  ];
  const parts = [
    heading(profile, title),
    table([
      ["=== Performance summary ===", "min", "mean", "median", ...percents.map((p) => `p${p}`), "max"],
      row("Latency (ms)", latency),
      row("  H2D Latency", h2d),
      row("  GPU Compute Time", compute),
      row("  D2H Latency", d2h),
      row("Enqueue Time", enqueue),
    ], { align: ["left", "right"] }),
    table([
      ["Throughput", `${figures.throughputQps.toPrecision(6)} qps`],
      ["Total Host Walltime", `${(figures.walltimeMs / 1000).toPrecision(4)} s`],
      ["Total GPU Compute Time", `${(figures.totalComputeMs / 1000).toPrecision(4)} s`],
      ["Queries", `${figures.queries}, after ${figures.warmUpQueries} to warm up`],
      ["GPU", clocksText(profile.clocks)],
    ]),
  ];
  if (layers !== undefined) parts.push(layerTable(layers));
  if (warnings.length > 0) parts.push(warnings.map((warning) => `warning: ${warning}`).join("\n"));
  return parts.join("\n\n");
}

function heading(profile: EngineProfile, title: string): string {
  const { engine, infStreams, transfers, cudaGraph } = profile;
  const shapes = Object.entries(profile.shapes).map(([name, shape]) => `${name} ${shape.join("x")}`).join(
    ", ",
  );
  const budget = engine.weightStreamingBudget;
  return [
    `${title}  ${engine.planBytes.toLocaleString("en")} bytes, ${engine.layers} layers` +
    (engine.validity === "suboptimal" ? "; an engine built on this machine would be faster" : ""),
    `on ${profile.backend}, driver for CUDA ${profile.driverVersion}`,
    `profile ${profile.profile}: ${shapes}; ${infStreams} inference stream${infStreams === 1 ? "" : "s"}, ` +
    `${transfers ? "with" : "without"} data transfers, ${
      cudaGraph ? "as a CUDA graph" : "without a CUDA graph"
    }`,
    ...budget === undefined ? [] : [
      `weights: ${budget.toLocaleString("en")} of ${
        engine.streamableWeightBytes.toLocaleString("en")
      } bytes stay on the GPU`,
    ],
  ].join("\n");
}

function layerTable({ runs, times }: NonNullable<EngineProfile["layers"]>): string {
  const total = times.reduce((sum, { averageMs }) => sum + averageMs, 0);
  return table([
    [`=== Profile (${runs} iterations) ===`, "Avg. (ms)", "Median (ms)", "Time (%)"],
    ...times.map(({ name, averageMs, medianMs, percentage }) => [
      name,
      milliseconds(averageMs),
      milliseconds(medianMs),
      percentage.toFixed(1),
    ]),
    ["Total", milliseconds(total), "", times.length === 0 ? "" : "100.0"],
  ], { align: ["left", "right"] });
}

function clocksText(clocks: EngineProfile["clocks"]): string {
  if ("unavailable" in clocks) return `clocks not known: ${clocks.unavailable}`;
  const range = (of: (reading: ClockReading) => number | undefined) => {
    const values = clocks.flatMap((reading) => of(reading) ?? []);
    if (values.length === 0) return undefined;
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return low === high ? `${low}` : `${low} to ${high}`;
  };
  const clock = range(({ clockMHz }) => clockMHz);
  const most = range(({ maxClockMHz }) => maxClockMHz);
  const memory = range(({ memoryClockMHz }) => memoryClockMHz);
  const temperature = range(({ temperatureC }) => temperatureC);
  const power = range(({ powerW }) => powerW);
  const said = [
    ...clock === undefined ? [] : [`${clock}${most === undefined ? "" : ` of ${most}`} MHz`],
    ...memory === undefined ? [] : [`memory ${memory} MHz`],
    ...temperature === undefined ? [] : [`${temperature} °C`],
    ...power === undefined ? [] : [`${power} W`],
  ];
  return said.length === 0 ? "clocks not known: the GPU does not tell them" : said.join(", ");
}

/** Four digits, as trtexec has them or better. */
function milliseconds(value: number): string {
  return value >= 100 ? value.toFixed(1) : value.toPrecision(4);
}

/** Everything but the single inferences, as JSON. */
export function profileJson(profile: EngineProfile, title: string): unknown {
  const { traces: _, runtimeCache: _cache, ...rest } = profile;
  return { plan: title, ...rest };
}

/** The single inferences as trtexec's --exportTimes writes them, and the stream beside: a line each. */
export function samplesJson(traces: readonly QueryTrace[]): string {
  const lines = traces.map((trace) => {
    const { h2d, compute, d2h, latency } = timesOf(trace);
    return JSON.stringify({ ...trace, h2dMs: h2d, computeMs: compute, d2hMs: d2h, latencyMs: latency });
  });
  return `[\n${lines.join(",\n")}\n]\n`;
}
