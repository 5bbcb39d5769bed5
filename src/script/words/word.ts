/**
 * What a word of the DSL is to a script: a phrase that stands for one node, and for others that only it
 * reads.
 */
import type { Node } from "../../ir/graph.ts";
import type { Network } from "../network.ts";
import type { Phrase } from "../phrase.ts";

export interface Word {
  readonly phrase: Phrase;
  /** Names that the script imports for it. */
  readonly imports: readonly string[];
  /** Nodes that are within it, besides the one it stands for. */
  readonly within: readonly Node[];
  /** The scope that it is given. */
  readonly scope?: string;
}

/** The word that a node is the last node of; null where it is not of this kind. */
export type Reading<Kind extends Word = Word> = (node: Node, network: Network) => Kind | null;

/** A word of a tensor and a scope, which may be part of a larger one. */
export interface Layer extends Word {
  readonly x: Node;
  readonly scope: string;
  /** What else it is given. */
  readonly settings?: Readonly<Record<string, Phrase | undefined>>;
}
