/**
 * The relative errors of a network's tensors, in the order in which they are computed: where an error begins
 * and where it grows. Plain data in, SVG out.
 */
import { type Canvas, shortened } from "./parts.ts";
import { logTicks, type Range } from "./scales.ts";
import { drawn, GRID, MUTED, Plot, seriesColour } from "./svg.ts";

/** One tensor's error; null where it is not finite. */
export interface TensorError {
  readonly error: number | null;
  readonly isBad: boolean;
  /** What is written beside it. */
  readonly label?: string | undefined;
}

/** Keeps text readable over dots. */
const HALO = { stroke: "var(--back)", strokeWidth: 5 } as const;

/** Errors as dots over a logarithmic scale, the tolerance as a line; what is not finite is a cross on top. */
export function tensorErrors(
  tensors: readonly TensorError[],
  { tolerance, canvas: { width, isNarrow } }: { readonly tolerance: number; readonly canvas: Canvas },
): string {
  const found = tensors.flatMap(({ error }) => error === null || error === 0 ? [] : [error]);
  const range: Range = [Math.min(...found, tolerance) / 3, 4 * Math.max(...found, tolerance)];
  const placed = tensors.map((tensor, i) => ({
    ...tensor,
    x: i + 1,
    // No error is drawn at the bottom.
    y: tensor.error === null ? range[1] : Math.max(tensor.error, range[0]),
  }));
  const colour = ({ isBad }: TensorError) => seriesColour(isBad ? 1 : 0);
  const isFinite = ({ error }: TensorError) => error !== null;
  const ticks = logTicks(range, 6).filter((tick) => Math.log10(tick) % 1 === 0);
  const half = (tensors.length + 1) / 2;
  const place = (left: boolean): Plot.TextOptions => ({
    x: "x",
    y: "y",
    text: ({ label }: TensorError) => shortened(label!, isNarrow ? 24 : 60),
    textAnchor: left ? "end" : "start",
    dx: left ? -8 : 8,
    fill: "currentColor",
    ...HALO,
  });
  const labelled = placed.filter(({ label }) => label !== undefined);
  return drawn({
    width,
    height: 300,
    marginLeft: 52,
    marginRight: 16,
    marginTop: 16,
    marginBottom: 40,
    x: { domain: [0, tensors.length + 1], axis: null },
    y: { domain: [...range], type: "log", axis: null },
    symbol: { type: "identity" } as never,
    marks: [
      Plot.gridY(ticks, { ...GRID }),
      Plot.axisY(ticks, { text: (tick: number) => tick.toExponential(0), label: null, color: MUTED }),
      Plot.ruleY([tolerance], { stroke: MUTED, strokeDasharray: "4 3" }),
      Plot.text([tolerance], {
        y: (value) => value,
        text: () => "tolerance",
        frameAnchor: "right",
        textAnchor: "end",
        dy: -8,
        fill: MUTED,
        ...HALO,
      }),
      Plot.dot(placed, {
        x: "x",
        y: "y",
        r: 3.5,
        symbol: (tensor: TensorError) => isFinite(tensor) ? tensor.isBad ? "square" : "circle" : "times",
        fill: (tensor: TensorError) => isFinite(tensor) ? colour(tensor) : "none",
        stroke: colour,
      }),
      Plot.text(labelled.filter(({ x }) => x <= half), place(false)),
      Plot.text(labelled.filter(({ x }) => x > half), place(true)),
      Plot.axisX([1, tensors.length], {
        text: (i: number) => i === 1 ? "first" : "last",
        label: "tensors in the order in which they are computed",
        labelAnchor: "center",
        labelArrow: "none",
        color: MUTED,
      }),
    ],
  });
}
