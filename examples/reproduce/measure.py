"""What the paper measures inside a network: statistics over training, their normality (15), and CKA (figure 6).

Plain PyTorch, so that the reproduction needs nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn


class Recorder:
    """Records for each normalization of a network, at every step, what the paper calls activation and gradient statistics.

    `squares` and `gradients` are [steps, layers, C]: the batch's quadratic mean of the input (13), and the mean over the
    batch of dL/dz z (algorithm 2), which is dL/dy (y - bias). Padding is left out of both.
    """

    def __init__(self, norms: dict[str, nn.Module]) -> None:
        self.names = list(norms)
        self._squares, self._gradients = ({name: [] for name in norms} for _ in range(2))
        self._hooks = [module.register_forward_hook(self._hook(name)) for name, module in norms.items()]

    def _hook(self, name: str) -> Callable:
        def hook(module, inputs, y):
            if not module.training:
                return
            mask = module.padding_mask
            real = torch.ones(y.shape[:-1], dtype=torch.bool) if mask is None else ~mask
            self._squares[name].append(inputs[0].detach()[real].square().mean(0))
            shifted = (y - module.bias).detach()
            y.register_hook(lambda dy: self._gradients[name].append((dy * shifted)[real].mean(0)))

        return hook

    def close(self) -> tuple[Tensor, Tensor]:
        """Squares and gradients [steps, layers, C]."""
        for hook in self._hooks:
            hook.remove()
        return tuple(
            torch.stack([torch.stack(kept[name]) for name in self.names], dim=1)
            for kept in (self._squares, self._gradients)
        )


def normality(samples: Tensor) -> Tensor:
    """The p-value of D'Agostino and Pearson's test for each column of samples [n, ...], n at least 20.

    The sum of the squared normal scores of skewness (D'Agostino 1970) and kurtosis (Anscombe and Glynn 1983) is chi-squared
    of two degrees of freedom where the samples are normal. A constant column is none: its p is 0.
    """
    n = len(samples)
    if n < 20:
        raise ValueError(f"{n} samples: the approximation of kurtosis wants 20")
    centred = samples.double() - samples.double().mean(0)
    second, third, fourth = (centred.pow(k).mean(0) for k in (2, 3, 4))
    constant = second <= 1e-14 * samples.double().square().mean(0)
    second = torch.where(constant, 1, second)

    y = third / second.pow(1.5) * math.sqrt((n + 1) * (n + 3) / (6 * (n - 2)))
    beta = 3 * (n * n + 27 * n - 70) * (n + 1) * (n + 3) / ((n - 2) * (n + 5) * (n + 7) * (n + 9))
    w2 = math.sqrt(2 * (beta - 1)) - 1
    skewness = torch.asinh(y * math.sqrt((w2 - 1) / 2)) / math.sqrt(math.log(w2) / 2)

    variance = 24 * n * (n - 2) * (n - 3) / ((n + 1) ** 2 * (n + 3) * (n + 5))
    x = (fourth / second.square() - 3 * (n - 1) / (n + 1)) / math.sqrt(variance)
    root = 6 * (n * n - 5 * n + 2) / ((n + 7) * (n + 9)) * math.sqrt(6 * (n + 3) * (n + 5) / (n * (n - 2) * (n - 3)))
    a = 6 + 8 / root * (2 / root + math.sqrt(1 + 4 / root**2))
    t = (1 - 2 / a) / (1 + x * math.sqrt(2 / (a - 4)))
    kurtosis = (1 - 2 / (9 * a) - t.sign() * t.abs().pow(1 / 3)) / math.sqrt(2 / (9 * a))
    return torch.where(constant, 0, torch.exp(-(skewness.square() + kurtosis.square()) / 2))


def pnac(samples: Tensor) -> Tensor:
    """Percentage of Normality over All Channels (15) of samples [n, ..., C], for each of the axes between."""
    return 100 * (normality(samples) > 0.05).double().mean(-1)


def cka(ours: list[Tensor], theirs: list[Tensor]) -> Tensor:
    """Linear Centered Kernel Alignment of feature maps [n, ...] of the same n inputs: [len(ours), len(theirs)]."""

    def grams(maps: list[Tensor]) -> Tensor:
        made = []
        for features in maps:
            flat = features.flatten(1).double()
            flat = flat - flat.mean(0)
            gram = (flat @ flat.T).flatten()
            made.append(gram / gram.norm().clamp(min=1e-300))
        return torch.stack(made)

    return grams(ours) @ grams(theirs).T
