/**
 * Strided views, as PyTorch has them (a transposed weight, a slice): whether a view's elements lie in order
 * already, and the gathering of those that do not. Strides and offsets are in elements.
 */

/** Row-major: the elements lie one after the other. Strides of dimensions of one element say nothing. */
export function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== expected) return false;
    expected *= shape[axis]!;
  }
  return true;
}

/** Elements from the first to the last of a view that has any, holes included. */
export function extentOf(shape: readonly number[], strides: readonly number[]): number {
  return shape.reduce((sum, size, axis) => sum + (size - 1) * strides[axis]!, 1);
}

/**
 * The elements of a view of one dimension or more in row-major order, `itemBytes` (1, 2, 4 or 8) each.
 *
 * @param bytes the view's extent: its first element at the beginning, at an address that is a multiple of 8
 * @param result zeros, of the size of all elements
 */
export function gather(
  bytes: Uint8Array<ArrayBuffer>,
  { shape, strides, itemBytes, result }: {
    readonly shape: readonly number[];
    readonly strides: readonly number[];
    readonly itemBytes: number;
    readonly result: Uint8Array<ArrayBuffer>;
  },
): void {
  // Eight bytes are two words side by side: through floating point, the bits of a NaN could change.
  const words = itemBytes === 8;
  const Words = itemBytes === 1 ? Uint8Array : itemBytes === 2 ? Uint16Array : Uint32Array;
  const source = new Words(bytes.buffer, bytes.byteOffset, bytes.byteLength / Words.BYTES_PER_ELEMENT);
  const target = new Words(result.buffer, result.byteOffset, result.byteLength / Words.BYTES_PER_ELEMENT);
  const sizes = words ? [...shape, 2] : shape;
  const steps = words ? [...strides.map((stride) => 2 * stride), 1] : strides;
  let done = 0;
  const copy = (axis: number, at: number): void => {
    const size = sizes[axis]!;
    const step = steps[axis]!;
    if (axis === sizes.length - 1) {
      for (let i = 0; i < size; i++) target[done++] = source[at + i * step]!;
    } else {
      for (let i = 0; i < size; i++) copy(axis + 1, at + i * step);
    }
  };
  copy(0, 0);
}
