/** Readers of a fold's weight and bias: one pass over the original gives both, whichever is read first. */
import { elementCount, float64Of } from "../../ir/data.ts";
import { addTo, groupStart, repeated, type RowMap, then } from "./arithmetic.ts";
import type { Fold } from "./derivation.ts";
import { eachPiece, type RowReader, rowsOf } from "./pieces.ts";

/** @param read rows of the weight it is made of */
export function foldedWeight(fold: Fold, read: RowReader): RowReader {
  const { weight, columns, rows, groups } = fold;
  const note = notes(fold);
  let all: RowReader = (target, row) => {
    read(target, row);
    note?.(target, row);
  };
  if (columns !== null) {
    // A row times diag(s) (I - 11^T / C): what comes first on channels comes last here.
    all = then({ ...columns, shift: null, about: null }, weight, all, groups);
    all = then({ ...columns, shift: null, scale: null }, weight, all);
  }
  return rows === null ? all : then({ ...rows, shift: null }, weight, all);
}

/** Notes `W t` of rows of the weight that come by; null where there is no shift. */
function notes({ weight, columns, groups, images }: Fold): RowMap | null {
  if (columns?.shift == null) return null;
  const { rows, width } = rowsOf(weight);
  const shift = repeated(float64Of(columns.shift), elementCount(weight.shape.slice(2)));
  const known = images();
  return (values, row) => {
    for (let at = 0, o = row; at < values.length; at += width, o++) {
      if (!Number.isNaN(known[o])) continue;
      const first = groupStart(o, { groups, rows, width });
      let sum = 0;
      for (let k = 0; k < width; k++) sum += values[at + k]! * shift[first + k]!;
      known[o] = sum;
    }
  };
}

/** @param own the bias it is made of; `open` gives rows of the weight, where they are needed */
export function foldedBias(fold: Fold, own: RowReader | null, open: () => RowReader): RowReader {
  const { weight, columns, rows } = fold;
  const sums: RowReader = (target, row) => {
    if (own === null) target.fill(0);
    else own(target, row);
    if (columns?.shift != null) {
      addTo(target, {
        values: imagesFrom(fold, { first: row, count: target.length, open }),
        at: 0,
        factor: 1,
      });
    }
  };
  return rows === null ? sums : then(rows, { ...weight, shape: [weight.shape[0]!] }, sums);
}

/** `W t` of some outputs, from rows of the weight where nobody has read them. */
function imagesFrom(
  fold: Fold,
  { first, count, open }: { first: number; count: number; open: () => RowReader },
): Float64Array {
  const images = fold.images().subarray(first, first + count);
  if (images.some(Number.isNaN)) {
    const [read, note] = [open(), notes(fold)!];
    const { width } = rowsOf(fold.weight);
    eachPiece({ rows: count, width }, (target, row) => read(target, first + row), (values, row) => {
      note(values, first + row);
    });
  }
  return images;
}
