/** What the compiler's passes did, in words, for the terminal (`--verbose`) and the page. */
import type { PassReport } from "./report.ts";
import { table, wrapped } from "./table.ts";

/** What a pass counted: "5 found, 5 folded". */
export function figuresOf({ figures, detail = "" }: PassReport): string {
  if (figures === undefined) return detail;
  const counted = Object.entries(figures).filter(([, count]) => count > 0);
  return counted.map(([what, count]) => `${count} ${what}`).join(", ") || "nothing to do";
}

/** Each pass with its nodes, its time and what it counted, and of those that did something the law below it. */
export function passLines(passes: readonly PassReport[], { indent = 2 } = {}): string[] {
  const rows = passes.map((pass) => [
    `${pass.pipeline ?? ""} ${pass.pass}`.trim(),
    `${pass.nodesBefore} -> ${pass.nodesAfter}`,
    pass.ms === undefined ? "" : `${pass.ms.toFixed(1)} ms`,
    figuresOf(pass),
  ]);
  const lines = table(rows, { align: ["left", "right", "right", "left"], indent }).split("\n");
  return passes.flatMap((pass, i) => {
    const didNothing = Object.values(pass.figures ?? {}).every((count) => count === 0);
    return [lines[i]!, ...didNothing ? [] : wrapped(pass.law ?? "", { indent: indent + 4 })];
  });
}
