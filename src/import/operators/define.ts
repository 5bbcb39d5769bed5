/** How the translation of an ONNX operator is declared. */
import type { Site, Translated } from "../site.ts";

/** The graph of one operator; known values where all it reads is known and the graph has no such operator. */
export type Translator = (at: Site) => Translated;

/** Translations by operator, "Gelu" or with its domain in front "com.microsoft.FastGelu". */
export type Translators = Readonly<Record<string, Translator>>;

const MOVES = new WeakSet<Translator>();

/**
 * Of operators whose results are elements of operand 0, or where there are several of all that `tensor` is
 * asked for, chosen by place alone: sizes pass through them as numbers do.
 */
export function moves(translator: Translator): Translator {
  MOVES.add(translator);
  return translator;
}

export const isMove = (translator: Translator): boolean => MOVES.has(translator);
