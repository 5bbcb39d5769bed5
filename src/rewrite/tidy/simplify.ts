/** Local laws that remove data movement which moves nothing, and conversion which converts nothing. */
import { isNarrow } from "../../ir/dtype.ts";
import { sameShape } from "../../ir/shape.ts";
import { apply, isOp } from "../../ops/table.ts";
import type { Rule } from "../driver.ts";

export const SIMPLIFY: readonly Rule[] = [
  {
    name: "same-reshape",
    law: "reshape(x; shape of x) = x",
    rewrite: (node) =>
      isOp(node, "reshape") && sameShape(node.inputs[0]!.type.shape, node.type.shape)
        ? node.inputs[0]!
        : null,
  },
  {
    name: "reshape-reshape",
    law: "reshape(reshape(x; a); b) = reshape(x; b)",
    rewrite: (node) =>
      isOp(node, "reshape") && isOp(node.inputs[0]!, "reshape")
        ? apply("reshape", node.inputs[0]!.inputs, { attrs: node.attrs, name: node.name })
        : null,
  },
  {
    name: "identity-transpose",
    law: "transpose(x; identity) = x",
    rewrite: (node) =>
      isOp(node, "transpose") && node.attrs.permutation.every((axis, i) => axis === i)
        ? node.inputs[0]!
        : null,
  },
  {
    name: "transpose-transpose",
    law: "transpose(transpose(x; p); q) = transpose(x; p after q)",
    rewrite: (node) => {
      const inner = node.inputs[0];
      if (!isOp(node, "transpose") || inner === undefined || !isOp(inner, "transpose")) return null;
      const permutation = node.attrs.permutation.map((axis) => inner.attrs.permutation[axis]!);
      return apply("transpose", inner.inputs, { attrs: { permutation }, name: node.name });
    },
  },
  {
    name: "same-cast",
    law: "cast(x; type of x) = x",
    rewrite: (node) =>
      isOp(node, "cast") && node.inputs[0]!.type.dtype === node.type.dtype ? node.inputs[0]! : null,
  },
  {
    name: "widened-cast",
    law: "cast(cast(x; fp32); type of x) = x",
    rewrite: (node) => {
      const inner = node.inputs[0];
      if (!isOp(node, "cast") || inner === undefined || !isOp(inner, "cast")) return null;
      const [x] = inner.inputs;
      return inner.type.dtype === "fp32" && isNarrow(x.type.dtype) && x.type.dtype === node.type.dtype
        ? x
        : null;
    },
  },
  {
    name: "whole-slice",
    law: "slice(x; everything) = x",
    rewrite: (node) =>
      isOp(node, "slice") && node.attrs.step === 1 && sameShape(node.inputs[0]!.type.shape, node.type.shape)
        ? node.inputs[0]!
        : null,
  },
  {
    name: "single-concat",
    law: "concat(x) = x",
    rewrite: (node) => isOp(node, "concat") && node.inputs.length === 1 ? node.inputs[0]! : null,
  },
];
