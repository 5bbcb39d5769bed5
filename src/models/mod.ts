/**
 * The networks of the papers, by the names that the command line takes. Each is a page of this folder, written in the
 * DSL; here are their sizes as published.
 */
import type { Model } from "../dsl/model.ts";
import { bert, BERT_BASE, MINILM_L6 } from "./bert.ts";

export interface NamedModel {
  /** "Swin Transformer, tiny, 224 x 224". */
  readonly title: string;
  /** Authors and year, and where: the paper whose sizes these are. */
  readonly paper: string;
  /** With Unified Normalization where the UN paper has the network; else with the normalization of its own paper. */
  build(): Model;
}

export const MODELS: Readonly<Record<string, NamedModel>> = {
  "bert-base": {
    title: "BERT, base, 110M",
    paper: "Devlin et al. 2019, NAACL",
    build: () => bert(BERT_BASE, { name: "bert-base" }),
  },
  "minilm-l6": {
    title: "MiniLM, 6 layers of 384 channels, as a sentence encoder",
    paper: "Wang et al. 2020, NeurIPS",
    build: () => bert(MINILM_L6, { name: "minilm-l6", pooling: "mean" }),
  },
};
