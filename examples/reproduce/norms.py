"""The normalizations that are compared, and Unified Normalization with parts of it taken away (tables 5 and 9)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

import tasks  # noqa: F401  Finds unified_norm.
from unified_norm import BatchNorm, MovingAverageBatchNorm, PowerNorm, PowerNormV, UnifiedNorm

PARTS = ("forward", "arithmetic", "momentum")


class AblatedUnifiedNorm(UnifiedNorm):
    """`UnifiedNorm` without moving averages forward (16), without the arithmetic mean or the momentum backward (17).

    `without` names those of PARTS that are taken away; without any it is `UnifiedNorm` to the bit.
    """

    def __init__(self, channels: int, *, without: tuple[str, ...] = (), **options) -> None:
        super().__init__(channels, **options)
        self.without = without

    def _window(self, q, slot):
        self._own = q
        return super()._window(q, slot)

    def _update(self, running, now):
        super()._update(running, self._own if "forward" in self.without else now)

    def _normalize(self, x, square, estimate, slot, warming, outlier):
        if "forward" in self.without:
            square = self._own

        def ablated(dz, z, slot, warming, outlier):
            before = self.ema_gz.clone()
            used = estimate(dz, z, slot, warming, outlier)
            recorded = self.buffer_gz
            psi = recorded.index_select(0, slot)[0] if "arithmetic" in self.without else recorded.mean(0)
            if "momentum" not in self.without:
                psi = before.lerp(psi, 1 - self.momentum)
            self.ema_gz.copy_(torch.where(outlier, before, psi))
            return torch.where(warming | outlier, used, psi)

        return super()._normalize(x, square, ablated, slot, warming, outlier)


def warmup(steps: int) -> int:
    """Of MABN, PN and UN alike: a tenth of a training. The paper has 4,000 steps."""
    return max(1, steps // 10)


FAMILIES: dict[str, Callable[[int], Callable[[int], nn.Module]]] = {
    "LN": lambda steps: nn.LayerNorm,
    "RMS": lambda steps: partial(nn.RMSNorm, eps=1e-5),
    "none": lambda steps: nn.Identity,
    "BN": lambda steps: BatchNorm,
    "MABN": lambda steps: partial(MovingAverageBatchNorm, warmup=warmup(steps)),
    "PN-V": lambda steps: PowerNormV,
    "PN": lambda steps: partial(PowerNorm, warmup=warmup(steps)),
    "UN": lambda steps: partial(UnifiedNorm, warmup=warmup(steps)),
}
"""By name, what makes one for so many channels in a training of so many steps; in the paper's order."""

ABLATIONS: dict[str, dict] = {
    "UN, M = 2": {"window": 2}, "UN, M = 6": {"window": 6}, "UN, M = 8": {"window": 8}, "UN, M = 10": {"window": 10},
    "UN, α = 0.6": {"momentum": 0.6}, "UN, α = 0.7": {"momentum": 0.7}, "UN, α = 0.8": {"momentum": 0.8},
    "UN, no filtration": {"filtration": False},
    "UN, GM off": {"without": ("forward",)},
    "UN, AM off": {"without": ("arithmetic",)},
    "UN, momentum off": {"without": ("momentum",)},
    "UN, AM and momentum off": {"without": ("arithmetic", "momentum")},
}  # fmt: skip
"""By name, the options of `AblatedUnifiedNorm`; all else is as in UN: M = 4, α = 0.9, with filtration."""


def norm_of(name: str, steps: int) -> Callable[[int], nn.Module]:
    """What makes the normalization of that name in FAMILIES or ABLATIONS for so many channels."""
    if name in FAMILIES:
        return FAMILIES[name](steps)
    return partial(AblatedUnifiedNorm, warmup=warmup(steps), **ABLATIONS[name])
