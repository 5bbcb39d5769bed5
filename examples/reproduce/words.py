"""The words of the page, with the places for what follows from the results."""

WORDS = """\
# The papers' tables in miniature

`examples/reproduce` trains the normalizations of the paper of Unified Normalization (Yang et al. 2022, ACM MM)
and of PowerNorm (Shen et al., ICML 2020) in tiny Transformers, each from {seeds} seeds, and writes this page from the
results:

```sh
pip install torch numpy safetensors
python examples/reproduce/reproduce.py # trains what results/ lacks, then writes this page
python examples/reproduce/reproduce.py --quick --out DIR # the same with a few steps, in about a minute
```

{made}

A network of 32 channels that learns for {steps} steps is no ImageNet. The papers' figures stand beside for what
each table is a miniature of, not to be met; what can be compared are orders, and which trainings fail.

## What shows, and what does not

The papers' claims, held against the tables below by rule: that two differ is said only where the 95 % interval of
the difference leaves out zero, which chance alone brings about once in twenty.

{verdict}

To make trainings fail were tried, in this order: three times the higher learning rate, 12 blocks, post-norm, all
without clipping of gradients; then, since BN had stood all of these, batches of one length each. What no network
of this size has is the papers' weeks of training, through which they see statistics grow.

Settings and learning rates were chosen by single trainings scored on the same held-out inputs, before the five seeds
were run; batches by length were added after BN had passed everything else.

## How it was done

- **Translation**: numbers up to 99,999 in words to their digits ("three hundred and twelve" to 312); encoder and
  decoder of 2 layers each. The score is the share of 300 held-out numbers that greedy decoding writes right.
- **Translation by length**: numbers of 3, 4 and 5 digits, as many of each, and in a batch all of one length, as
  translators batch sentences. Its control mixes the same lengths in each batch.
- **Digits**: the images of `examples/digits`, not shifted; 3 blocks. The score is the accuracy on 360 held-out
  images.
- Both have 32 channels, 4 heads, 64 hidden units, batches of 32, no dropout; AdamW (0.9, 0.98), decay 0.01, a
  ramp of 1/20 of the steps, then a cosine to zero. Gradients are not clipped, which would hide what is looked
  for. Every LN of a network is replaced, and nothing else.
- A seed gives all normalizations the same initial weights and batches. Cells are mean ± standard deviation
  over the {seeds} seeds; "minus LN" is the mean difference seed by seed ± half its 95 % interval (Student's t), bold
  where that leaves out zero.
- **Failed** is a training whose loss is no number or whose score is below {bound} %; its score counts in the mean as
  it is, and as 0 without a number. {diverged} of the {count} trainings lost their numbers.
- Normalizations are those of `examples/pytorch/unified_norm.py`. M is 4 and α is 0.9 in UN, PN's momentum is
  0.9, MABN has its authors' 0.98 and window of 16 and, as in the UN paper, no centring of weights. Warm-up is a
  tenth of the steps for all three (the paper: 4,000 steps).

## Translation (table 1)

Percent of numbers right. Beside: BLEU of the UN paper (its PN without layer-scale); BLEU of the PowerNorm paper,
which puts its normalizations into the encoder alone, and its perplexity on PTB (less is better).

{numbers}

### Batches by length

{by_length}

## Images (table 2)

Percent of images right. Beside: top-1 accuracy on ImageNet.

{digits}

## Where trainings fail

The first translation at three times its higher learning rate; the digits with 12 blocks; the digits with 8 blocks
and the normalization behind each sum (post-norm).

{hard}

![Training loss by normalization](reproduce/losses.svg)

The mean of the seeds' training losses (figure 1 of the paper).

## Parts of UN

In the translation by length, where normalizations differ most, and in the other one at a learning rate of 0.03.

### Window (table 6)

{window}

### Momentum (table 10)

{momentum}

### Outlier filtration (table 7)

Beside: top-1 accuracy on ImageNet and box AP on COCO.

{filtration}

### Moving averages (tables 9 and 5)

GM: the geometric mean of forward statistics (without it a batch has its own). AM and momentum: those of
the gradient's statistics. Which of the paper's rows lacks which is taken from its text.

{parts}

## Statistics over training (figures 3 to 5)

UN in the translation by length, lr 0.01, 600 steps, one seed.

![PNAC by normalization](reproduce/pnac.svg)

PNAC (15) is the share of channels whose statistics over consecutive steps pass the test of normality of
D'Agostino and Pearson at 0.05; the less, the more they fluctuate.

![Activation statistics of three channels](reproduce/channels.svg)

For three normalizations, the channel whose means differ most: each step's mean of squares, and the arithmetic and
geometric mean of ten steps.

{statistics}

![Outlier steps by normalization](reproduce/outliers.svg)

Steps that filtration found to be outliers, mean of the seeds.

{outliers}

## Similarity to LN (figure 6)

![CKA to the network with LN](reproduce/cka.svg)

Linear CKA between the feature maps of the digits' network with LN and of others, from the first block at the
lower left to the last, on the held-out images (lr 0.01).

{similarity}
"""
