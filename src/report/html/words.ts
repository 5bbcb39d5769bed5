/** The words a reader needs, each in a sentence or two; a page shows those that it uses. */
import { type Html, html } from "./markup.ts";

const WORDS = {
  folding: [
    "Folding",
    "A normalization whose statistics are constants at inference is one multiplication and one addition per channel. " +
    "Those can be multiplied into the weights of the linear layers beside it, exactly; the normalization is then gone " +
    "from the network, not merely faster.",
  ],
  kernel: [
    "Kernel",
    "One program that is started on the GPU. Each start costs time of its own, and what one kernel hands to the next " +
    "goes through the GPU's memory; fewer kernels mean less of both. The counts are read from the compiled plan.",
  ],
  normalizationKernel: [
    "Normalization kernel",
    "A kernel that computes a mean or variance of the activations, as Layer Normalization must for every token. It " +
    "reads a whole activation before it can write anything.",
  ],
  plan: [
    "Plan, engine",
    "What TensorRT compiles a network to, for one kind of GPU: weights, kernels and the order in which they are started.",
  ],
  cpu: [
    "Latency on a CPU",
    "These times were taken with ONNX Runtime on the processor, in fp32. They compare two networks on this machine. They " +
    "are not GPU times, and do not predict them: a CPU spends a few per cent of its time in normalizations, a GPU is " +
    "held up by starts of kernels and by memory.",
  ],
  paired: [
    "Paired rounds, loadings, ratio",
    "In each round every contender runs once, in shuffled order, so that whatever disturbs the machine meets all of " +
    "them. Everything is loaded again and again, since one loading differs from the next by some per cent for as long as " +
    "it lives. Each loading gives one ratio, the median of its rounds; the median over loadings is the result. Below 1 " +
    "(a negative percentage) the folded network takes less time.",
  ],
  interval: [
    "95 % interval",
    "Holds the median over loadings in 19 of 20 runs, whatever their distribution (order statistics). The narrower, the " +
    "surer. It knows nothing of a difference between machines.",
  ],
  noise: [
    "Noise band",
    "The reference network, loaded a second time in each loading, against itself. Ratios within the band are what no difference looks like " +
    "here; a result counts as faster or slower only if its whole interval lies outside, by at least 3 %.",
  ],
  percentiles: [
    "Percentiles 50, 90, 95, 99",
    "Of 100 calls, so many took no longer than that. 50 is the median; 99 is what an unlucky call meets.",
  ],
  agreement: [
    "Agreement",
    "The largest difference between two sets of outputs, over all examples, and the same divided by the largest output. " +
    "Folding is exact up to rounding, so that is all that may be left.",
  ],
  change: [
    "Change point",
    "The run from which on the level of a history is another one, beyond what chance explains.",
  ],
} as const;

export type Word = keyof typeof WORDS;

/** A list of explanations, in the order of the table above. */
export function words(used: readonly Word[]): Html {
  const shown = (Object.keys(WORDS) as Word[]).filter((word) => used.includes(word));
  return html`
    <dl class="words">${shown.map((word) =>
      html`
        <div>
          <dt>${WORDS[word][0]}</dt>
          <dd>${WORDS[word][1]}</dd>
        </div>
      `
    )}</dl>
  `;
}
