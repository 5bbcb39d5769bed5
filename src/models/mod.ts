/**
 * The networks of the papers, by the names that the command line takes. Each is a page of this folder, written in the
 * DSL; here are their sizes as published.
 */
import type { Model } from "../dsl/model.ts";

export interface NamedModel {
  /** "Swin Transformer, tiny, 224 x 224". */
  readonly title: string;
  /** Authors and year, and where: the paper whose sizes these are. */
  readonly paper: string;
  /** With Unified Normalization where the UN paper has the network; else with the normalization of its own paper. */
  build(): Model;
}

export const MODELS: Readonly<Record<string, NamedModel>> = {};
