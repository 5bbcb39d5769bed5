/** A comparison as a page: errors in a plot, every tensor in a table, and what was not compared. */
import {
  badge,
  breakable,
  details,
  figure,
  html,
  name,
  note,
  page,
  type Section,
  table,
  tensorErrors,
  tiles,
} from "../../report/html/mod.ts";
import type { ComparedTensor, TensorsComparison } from "./compare.ts";

export function comparisonPage(compared: TensorsComparison): string {
  const { model, form, against, weights, samples, left, unknown, notExecuted } = compared;
  const rest: Section[] = left.length + unknown.length === 0 ? [] : [{
    id: "left",
    title: "Not compared",
    body: details({
      summary: `${left.length} tensors of the network, ${unknown.length} of the file`,
      body: table({
        caption: "Why tensors could not be compared",
        columns: [{ title: "tensor", isName: true }, { title: "reason", breaks: true }],
        rows: [
          ...left.map(({ tensor, reason }) => [tensor, `it ${reason}`]),
          ...unknown.map((tensor) => [tensor, "the network has no such tensor"]),
        ],
      }),
    }),
  }];
  return page({
    title: `${model}, tensor by tensor`,
    lead: `${form}, against ${against}.`,
    made: html`Weights: ${name(weights)}. ${samples.count} examples: ${breakable(samples.origin)}.`,
    sections: [
      { id: "errors", title: "Errors", body: errorsOf(compared) },
      { id: "tensors", title: "Tensors", body: tensorsTable(compared) },
      ...rest,
    ],
    footer: html`Made by UNfold. ${
      notExecuted.map((words) => `Not executed: ${words}. `)
    }This file is complete in itself and loads nothing.`,
  });
}

function errorsOf({ tensors, tolerance, firstNotFinite, firstBad, growsMost, region }: TensorsComparison) {
  const tile = (label: string, tensor: string | null, detail?: string) => ({
    label,
    figure: tensor === null ? "none" : name(tensor),
    isQuiet: true,
    ...(detail !== undefined && { detail }),
  });
  const bad = tensors.filter(({ isBad }) => isBad).length;
  const growth = tensors.find(({ tensor }) => tensor === growsMost)?.growth;
  return [
    tiles([
      tile("first that is not finite", firstNotFinite),
      tile("first beyond the tolerance", firstBad, `${bad} of ${tensors.length} are beyond ${tolerance}`),
      tile("error grows most in", growsMost, growth == null ? undefined : `${growth.toPrecision(2)} times`),
    ]),
    region === null ? null : note(
      html`<p>Fused as it is deployed, with one tensor read at a time: ${
        region.bad === null
          ? "no tensor leaves the tolerance."
          : html`the fault is between ${region.behind === null ? "the inputs" : name(region.behind)} and ${
            name(region.bad)
          }.`
      } ${region.runs} networks were run.</p>`,
    ),
    figure({
      id: "plot",
      title: "Relative error of each tensor",
      description:
        `${tensors.length} tensors in the order in which they are computed; ${bad} of them are beyond the ` +
        `tolerance of ${tolerance}${firstBad === null ? "" : `, the first is ${firstBad}`}.`,
      caption:
        "The largest difference over the largest value, logarithmic; squares are beyond the tolerance, crosses " +
        "not finite.",
      draw: (canvas) =>
        tensorErrors(
          tensors.map(({ tensor, maxRelError, isBad }) => ({
            error: maxRelError,
            isBad,
            label: tensor === firstBad || (firstBad === null && tensor === growsMost) ? tensor : undefined,
          })),
          { tolerance, canvas },
        ),
    }),
  ];
}

function tensorsTable({ tensors, firstBad }: TensorsComparison) {
  const number = (value: number | null) => value === null ? "" : value.toExponential(1);
  const verdict = ({ tensor, isBad, note }: ComparedTensor) =>
    isBad ? badge(tensor === firstBad ? "first bad" : "bad", "bad") : note ?? "";
  return table({
    caption: "Every tensor that was compared, in the order of execution",
    columns: [
      { title: "tensor", isName: true },
      { title: "operator" },
      { title: "largest", align: "right" },
      { title: "relative", align: "right" },
      { title: "grows by", align: "right" },
      { title: "verdict", breaks: true },
    ],
    rows: tensors.map((tensor) => [
      tensor.tensor,
      tensor.op,
      tensor.notFinite > 0 ? `${tensor.notFinite} not finite` : number(tensor.maxAbsError),
      number(tensor.maxRelError),
      tensor.growth === null ? "" : tensor.growth.toPrecision(2),
      verdict(tensor),
    ]),
  });
}
