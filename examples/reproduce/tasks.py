"""The two tasks of the reproduction: the digits' images to their classes, and numbers in words to their digits.

A task has a network for a normalization and a depth, batches without end, and a score in percent on inputs that were not
learned from. Networks have no dropout. Which tokens are padding, the task tells the normalizations itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EXAMPLES = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(EXAMPLES / "digits"), str(EXAMPLES / "pytorch")]
from train import DigitTransformer, evaluate, shift  # noqa: E402
from unified_norm import set_padding_mask  # noqa: E402

Norm = Callable[[int], nn.Module]
WIDTH, HEADS, HIDDEN = 32, 4, 64
BATCH = 32


def post_norm(block: nn.Module, x: Tensor) -> Tensor:
    """The digits' block with each normalization behind the sum, as Vaswani et al. had it."""
    x = block.norm1(x + block.attn(x))
    return block.norm2(x + block.mlp(x))


class Digits:
    """Images [B, 1, 8, 8], shifted by up to a pixel; the score is the share of the 360 held-out images in their class."""

    @cached_property
    def images(self) -> dict[str, Tensor]:
        from safetensors.torch import load_file

        train, held = (load_file(EXAMPLES / "digits" / f"{name}.safetensors") for name in ("train_images", "heldout"))
        return {
            "images": train["images"].float(), "labels": train["labels"].long(),
            "held": held["images"], "held_labels": held["labels"],
        }  # fmt: skip

    def network(self, norm: Norm, depth: int, post: bool) -> nn.Module:
        model = DigitTransformer(norm, WIDTH, depth, HEADS, HIDDEN)
        if post:
            for block in model.blocks:
                block.forward = post_norm.__get__(block)
            model.norm = nn.Identity()
        return model

    def batches(self, generator: torch.Generator) -> Iterator[tuple]:
        images, labels = self.images["images"], self.images["labels"]
        while True:
            for picked in torch.randperm(len(images), generator=generator).split(BATCH):
                if len(picked) == BATCH:
                    yield images[picked], labels[picked]

    def loss(self, model: nn.Module, batch: tuple) -> Tensor:
        return F.cross_entropy(model(batch[0]), batch[1])

    def score(self, model: nn.Module) -> float:
        return evaluate(model, self.images["held"], self.images["held_labels"])[1]


WORDS = ["", *"""one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand and""".split()]  # fmt: skip
"""The words of the source; the first is its padding."""
PAD, START, END = 10, 11, 12
"""Beside the digits 0 to 9 in the target."""


def in_words(number: int) -> str:
    """A number from 1 to 999,999 as the British say it: "three hundred and twelve"."""
    if number < 20:
        return WORDS[number]
    if number < 100:
        return WORDS[18 + number // 10] + (f" {WORDS[number % 10]}" if number % 10 else "")
    unit, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    rest = number % unit
    joint = " and " if 0 < rest < 100 else " " if rest else ""
    return f"{in_words(number // unit)} {name}{joint}{in_words(rest) if rest else ''}"


class Translator(nn.Module):
    """Words [B, S] and digits [B, T] so far -> logits [B, T, 13] of the digits behind each."""

    def __init__(self, norm: Norm, depth: int, post: bool) -> None:
        super().__init__()
        self.words, self.digits = nn.Embedding(len(WORDS), WIDTH), nn.Embedding(13, WIDTH)
        self.word_positions, self.digit_positions = (nn.Parameter(torch.randn(16, WIDTH) / 4) for _ in range(2))
        self.transformer = nn.Transformer(
            WIDTH, HEADS, depth, depth, HIDDEN, 0.0, F.gelu, batch_first=True, norm_first=not post
        )  # fmt: skip
        if post:
            self.transformer.encoder.norm = self.transformer.decoder.norm = None
        for module in list(self.transformer.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, nn.LayerNorm):
                    setattr(module, name, norm(WIDTH))
        self.head = nn.Linear(WIDTH, 13)

    def encode(self, source: Tensor) -> Tensor:
        padding = source == 0
        set_padding_mask(self.transformer.encoder, padding)
        x = self.words(source) + self.word_positions[: source.shape[1]]
        return self.transformer.encoder(x, src_key_padding_mask=padding)

    def decode(self, memory: Tensor, source: Tensor, target: Tensor) -> Tensor:
        length = target.shape[1]
        set_padding_mask(self.transformer.decoder, target == PAD)
        x = self.digits(target) + self.digit_positions[:length]
        later = torch.ones(length, length, dtype=torch.bool).triu(1)
        return self.head(self.transformer.decoder(x, memory, tgt_mask=later, memory_key_padding_mask=source == 0))

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(self.encode(source), source, target)


class Numbers:
    """Numbers up to 99,999; the score is the share of 300 held-out ones that greedy decoding writes right."""

    @cached_property
    def held(self) -> list[int]:
        return torch.randperm(99_999, generator=torch.Generator().manual_seed(0))[:300].add(1).tolist()

    def encode(self, numbers: list[int]) -> tuple[Tensor, Tensor]:
        """The words [B, S], and the digits between START and END [B, T]."""
        index = {word: at for at, word in enumerate(WORDS)}
        words = [torch.tensor([index[word] for word in in_words(n).split()]) for n in numbers]
        digits = [torch.tensor([START, *map(int, str(n)), END]) for n in numbers]
        pad = nn.utils.rnn.pad_sequence
        return pad(words, batch_first=True), pad(digits, batch_first=True, padding_value=PAD)

    def network(self, norm: Norm, depth: int, post: bool) -> nn.Module:
        return Translator(norm, depth, post)

    def batches(self, generator: torch.Generator) -> Iterator[tuple]:
        held = set(self.held)
        while True:
            drawn = torch.randint(1, 100_000, (2 * BATCH,), generator=generator).tolist()
            yield self.encode([n for n in drawn if n not in held][:BATCH])

    def loss(self, model: nn.Module, batch: tuple) -> Tensor:
        source, target = batch
        logits = model(source, target[:, :-1])
        return F.cross_entropy(logits.flatten(0, 1), target[:, 1:].flatten(), ignore_index=PAD)

    @torch.no_grad()
    def score(self, model: nn.Module) -> float:
        model.eval()
        source, target = self.encode(self.held)
        memory, said = model.encode(source), torch.full((len(source), 1), START)
        for _ in range(target.shape[1] - 1):
            said = torch.cat([said, model.decode(memory, source, said)[:, -1:].argmax(-1)], dim=1)
        ended = (target == PAD) | (said == target)
        return 100 * ended.all(1).double().mean().item()


class NumbersOfLengths(Numbers):
    """Numbers of 3, 4 and 5 digits, each length as often, in training and among the 300 held-out ones.

    With `by_length` all numbers of a batch are of one length, as translators batch their sentences; else a batch mixes them.
    """

    LENGTHS = (3, 4, 5)

    def __init__(self, by_length: bool) -> None:
        self.by_length = by_length

    def draw(self, places: Tensor, generator: torch.Generator) -> list[int]:
        """A number of so many digits for each of `places` [n]."""
        low = 10 ** (places - 1)
        return (low + (torch.rand(len(places), generator=generator, dtype=torch.float64) * 9 * low).long()).tolist()

    @cached_property
    def held(self) -> list[int]:
        generator = torch.Generator().manual_seed(0)
        drawn = [dict.fromkeys(self.draw(torch.full((200,), places), generator)) for places in self.LENGTHS]
        return [number for numbers in drawn for number in list(numbers)[:100]]

    def batches(self, generator: torch.Generator) -> Iterator[tuple]:
        held, lengths = set(self.held), torch.tensor(self.LENGTHS)
        while True:
            picked = torch.randint(len(lengths), (1 if self.by_length else 3 * BATCH,), generator=generator)
            drawn = self.draw(lengths[picked].expand(3 * BATCH), generator)
            yield self.encode([number for number in drawn if number not in held][:BATCH])
