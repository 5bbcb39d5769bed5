/** One element of each row by its own index: `torch.gather`, `torch.take_along_dim`. */
import { axisIn } from "../../ir/shape.ts";
import { defineOp } from "../define.ts";
import { Misfit } from "../operands.ts";
import { stridesOf } from "../reference.ts";
import { type GatherAttrs, indexIn, requireIndices } from "./gather.ts";

export const gatherElements = defineOp({
  name: "gather_elements",
  doc: "x[i, ..., indices[i, ..., j], ...] at each place of `indices`, whose entries count along `axis`",
  operands: ["x", "indices"],
  infer: ([x, indices], { axis }: GatherAttrs) => {
    const at = axisIn(axis, x.shape.length, "gather_elements");
    requireIndices(indices);
    if (
      x.shape.length !== indices.shape.length ||
      x.shape.some((dim, i) => i !== at && dim !== indices.shape[i])
    ) {
      throw new Misfit(`the sizes other than axis ${at} must agree`);
    }
    return { dtype: x.dtype, shape: indices.shape };
  },
  kind: "other",
  // Along every other axis the indices would have to be selected as x is.
  ahead: () => null,
  evaluate: ([x, indices], { axis }) => {
    const at = axisIn(axis, x.shape.length, "gather_elements");
    const [size, inner] = [x.shape[at]!, stridesOf(x.shape)[at]!];
    const rows = indices.shape[at]!;
    const data = indices.data.map((row, place) => {
      const outer = Math.floor(place / (rows * inner));
      return x.data[(outer * size + indexIn(row, size)) * inner + place % inner]!;
    });
    return { shape: indices.shape, data };
  },
  tensorrt: (net, [x, indices], { axis }) =>
    net.gatherElements(x, indices, axisIn(axis, x.dims.length, "gather_elements")),
  onnx: (g, [x, indices], { axis }) => g.node("GatherElements", [x, indices], { axis }),
});
