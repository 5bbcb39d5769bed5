/** What a conversion says in the end: plain data, for machines and for pages. */
import type { Converted } from "../checkpoints/converted.ts";
import type { Verdict } from "./judge.ts";
import type { Looked } from "./look.ts";
import type { Refit, Step } from "./walk.ts";

/** A network with this many normalizations taken out. */
export interface Point extends Verdict {
  readonly removed: number;
  readonly kept: number;
}

/** A normalization, and what taking it out alone costs. */
export interface LookedAt extends Looked {
  readonly alone: Verdict;
}

/** What `deno task convert` says with `--json`, and writes as `convert.json`. */
export interface ConvertReport {
  readonly model: string;
  readonly weights: string;
  readonly family: Converted["from"];
  readonly samples: { readonly fitted: number; readonly judged: number; readonly judgedBy: string };
  readonly original: Verdict;
  /** Which products were fitted anew. */
  readonly refit: Refit;
  /** In the order in which they are computed. */
  readonly normalizations: readonly LookedAt[];
  /** The order in which they go: always what costs least then. */
  readonly order: readonly string[];
  /** What each of them costs, one taken out behind the other in this order. */
  readonly curve: readonly Point[];
  /** What was written: the same ones taken out in the order in which they are computed. */
  readonly chosen: Point | null;
  readonly steps: readonly Step[];
  readonly notes: readonly string[];
  readonly files: readonly string[];
  readonly seconds: number;
}
