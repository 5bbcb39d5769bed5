/** Elements by their places, and places of elements. */
import { UnfoldError } from "../../errors.ts";
import { addDims } from "../../ir/shape.ts";
import { fixed, numbersOf } from "../values.ts";
import type { Site } from "../site.ts";
import { moves, type Translators } from "./define.ts";
import { opposite } from "./elementwise.ts";
import { positionsOf, sliced } from "./shapes.ts";

export const INDICES: Translators = {
  Gather: moves((at) => {
    const x = at.tensor(0);
    const axis = at.axis(at.int("axis", 0));
    const size = x.type.shape[axis]!;
    if (at.isKnown(1)) {
      const indices = at.known(1);
      // One row, or some that lie behind each other, are a part.
      if (indices.shape.length <= 1) {
        const rows = indices.shape.length === 0 ? [...at.dims(1)] : at.dims(1);
        const [first] = rows;
        const start = typeof first === "number" && first < 0 ? addDims(size, first) : first;
        if (
          typeof start === "number" && rows.every((row, i) => row === addDims(first!, i)) && rows.length > 0
        ) {
          const part = sliced(at, x, { axis, start, end: start + rows.length, step: 1 });
          if (indices.shape.length === 1) return part;
          return at.make("reshape", [part], { shape: part.type.shape.filter((_, i) => i !== axis) });
        }
      }
      const rows = numbersOf(indices).map((row) =>
        row < 0 ? row + fixed(size, "an index from the end") : row
      );
      return at.make("gather", [x, at.constant(rows, { shape: indices.shape, dtype: "int64" })], { axis });
    }
    return at.make("gather", [x, at.tensor(1)], { axis });
  }),
  GatherElements: (at) =>
    at.make("gather_elements", [at.tensor(0), at.tensor(1)], { axis: at.axis(at.int("axis", 0)) }),
  GatherND: (at) => {
    if (at.int("batch_dims", 0) !== 0) throw new UnfoldError("batch_dims other than 0");
    return at.make("gather_nd", [at.tensor(0), at.tensor(1)], {});
  },
  ArgMax: (at) => {
    if (at.int("select_last_index", 0) !== 0) throw new UnfoldError("the last of equal elements");
    const keepDims = at.int("keepdims", 1) !== 0;
    return at.make("arg_max", [at.tensor(0)], { axis: at.axis(at.int("axis", 0)), keepDims });
  },
  TopK: (at) => {
    const [x, axis] = [at.tensor(0), at.axis(at.int("axis", -1))];
    const [k] = at.numbers(1) as [number];
    // Of the smallest, the largest with the other sign.
    const ordered = at.int("largest", 1) !== 0 ? x : opposite(at, x);
    const places = at.make("top_k", [ordered], { axis, k });
    return [at.make("gather_elements", [x, places], { axis }), places];
  },
  ScatterND: (at) => {
    refuseReduction(at);
    return at.make("scatter_nd", [at.tensor(0), at.tensor(1), at.tensor(2)], {});
  },
  ScatterElements: (at) => {
    refuseReduction(at);
    const [axis, indices] = [at.axis(at.int("axis", 0)), at.tensor(1)];
    const { shape } = indices.type;
    // Each index with its place along the other axes, as a position.
    const along = shape.map((size, i) => {
      if (i === axis) return at.make("cast", [indices], { to: "int64" });
      const row = positionsOf(at, size, shape.map((_, j) => j === i ? size : 1));
      return at.make("expand", [row], { shape });
    });
    const columns = along.map((place) => at.make("reshape", [place], { shape: [...shape, 1] }));
    const positions = columns.length === 1 ? columns[0]! : at.make("concat", columns, { axis: shape.length });
    return at.make("scatter_nd", [at.tensor(0), positions, at.tensor(2)], {});
  },
  If: (at) => {
    const count = at.outputs.length;
    const first = at.numbers(0)[0] !== 0 ? 1 : 1 + count;
    return at.outputs.map((_, i) => at.value(first + i));
  },
  CumSum: (at) => {
    if (at.int("exclusive", 0) !== 0 || at.int("reverse", 0) !== 0) {
      throw new UnfoldError("a sum without the element itself, or from the back");
    }
    return at.make("cumulative_sum", [at.tensor(0)], { axis: at.axis(at.numbers(1, 1)[0]!) });
  },
};

function refuseReduction(at: Site): void {
  const reduction = at.text("reduction", "none");
  if (reduction !== "none") throw new UnfoldError(`what is there and the new together (${reduction})`);
}
