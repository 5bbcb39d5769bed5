/**
 * Observable Plot, drawn ahead of time: to SVG text, on a document of linkedom's, without a browser. Colours
 * are the page's variables (`style.ts`), so one drawing serves light, dark and paper. Loads two libraries:
 * whoever imports this does so when a page is asked for.
 */
import * as Plot from "npm:@observablehq/plot@0.6.17";
import { parseHTML } from "npm:linkedom@0.18.15";

export { Plot };

const { document } = parseHTML("<html><body></body></html>") as unknown as { readonly document: never };

/** SVG with text of 12 px, in the page's colours, without identifiers, styles and labels of its own. */
export function drawn(options: Plot.PlotOptions): string {
  const plot: { readonly outerHTML: string } = Plot.plot({
    document,
    className: "plot",
    style: { fontSize: "12px", background: "none" } as never,
    color: { type: "identity" },
    ...options,
  });
  return plot.outerHTML
    .replace(/<style>[\s\S]*?<\/style>/g, "")
    // The figure has a title and a description; labels inside an image are not read.
    .replace(/ (?:aria-\w+|class|font-family)="[^"]*"/g, "")
    // As the rest of the page has it: a space that no line breaks at.
    .replaceAll("&#160;", "\u00a0")
    // Places need two digits; texts keep theirs.
    .replace(
      /<[^>]+>/g,
      (tag) => tag.replace(/-?\d+\.\d{3,}/g, (number) => String(Math.round(Number(number) * 100) / 100)),
    );
}

/** The colour of the nth contender. */
export function seriesColour(index: number): string {
  return `var(--series-${index % 6})`;
}

/** What stands behind data: labels, grids, and the baseline, no change. */
export const MUTED = "var(--muted)";
export const GRID = { stroke: "var(--grid)", strokeOpacity: 1 } as const;
export const ONE = { stroke: MUTED, strokeWidth: 1 } as const;
