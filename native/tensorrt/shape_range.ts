/** The shapes one input may take under one optimization profile; `opt` is what kernels are chosen for. */
export interface ShapeRange {
  readonly min: readonly number[];
  readonly opt: readonly number[];
  readonly max: readonly number[];
}
