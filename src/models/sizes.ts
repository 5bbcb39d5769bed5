/** Sizes that the networks of most papers have. */
export interface TransformerSizes {
  /** Names the output folder. */
  readonly name: string;
  /** C. */
  readonly channels: number;
  /** Blocks of attention and MLP, one after the other. */
  readonly depth: number;
  /** H, of queries. */
  readonly heads: number;
  /** Channels between the two products of an MLP. */
  readonly hidden: number;
}
