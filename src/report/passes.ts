/** What the compiler's passes did, in words, for the terminal (`--verbose`) and the page. */
import type { PassReport, Report } from "./report.ts";
import { COLUMNS, table, wrapped } from "./table.ts";

/** What a pass counted: "5 found, 5 folded". */
export function figuresOf({ figures, detail = "" }: PassReport): string {
  if (figures === undefined) return detail;
  const counted = Object.entries(figures).filter(([, count]) => count > 0);
  return counted.map(([what, count]) => `${count} ${what}`).join(", ") || "nothing to do";
}

/** A build's passes, by what they were for; lowerings that a report lacks, as older ones do, are left out. */
export function passGroups(
  { passes, engines, quantization, int8 }: Report,
): readonly { readonly title: string; readonly passes: readonly PassReport[] }[] {
  return [
    { title: "the network that is folded", passes },
    ...Object.entries(engines).map(([family, { path, passes = [] }]) => ({
      title: path === null ? `${family}.onnx` : `${family}.plan and ${family}.onnx`,
      passes,
    })),
    ...Object.entries(quantization?.networks ?? {}).map(([family, { passes }]) => ({
      title: `${family}.plan in ${quantization!.to}`,
      passes,
    })),
    { title: "int8", passes: int8?.passes ?? [] },
  ].filter(({ passes }) => passes.length > 0);
}

/** Each pass with its nodes, figures and time, and below each that changed something its law. */
export function passLines(passes: readonly PassReport[]): string[] {
  const rows = passes.map(({ pipeline = "", pass, nodesBefore, nodesAfter, ms }) => [
    `${pipeline} ${pass}`.trim(),
    `${nodesBefore} -> ${nodesAfter}`,
    ms === undefined ? "" : `${ms.toFixed(1)} ms`,
  ]);
  const lines = table(rows, { align: ["left", "right"], indent: 2 }).split("\n");
  return passes.flatMap((pass, i) => {
    const figures = figuresOf(pass);
    const line = `${lines[i]}  ${figures}`;
    const whole = line.length <= COLUMNS ? [line] : [lines[i]!, ...wrapped(figures, { indent: 6 })];
    const isIdle = Object.values(pass.figures ?? {}).every((count) => count === 0);
    return isIdle ? whole : [...whole, ...wrapped(pass.law ?? "", { indent: 6 })];
  });
}
