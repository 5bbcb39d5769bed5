"""One training of the reproduction, from its seed to a line of the results."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from norms import norm_of
from tasks import Digits, Numbers, NumbersOfLengths
from unified_norm import UnifiedNorm

TASKS = {
    "digits": Digits(),
    "numbers": Numbers(),
    "numbers, mixed lengths": NumbersOfLengths(by_length=False),
    "numbers by length": NumbersOfLengths(by_length=True),
}
POINTS = 20
"""How many means of the loss a result keeps: the curve."""
STAGES = 3
"""At how many equally spaced times the outlier steps of UN are counted (figure 5)."""


@dataclass(frozen=True)
class Run:
    """What tells one training from all others. `post` has the normalizations behind the sums, else they are in front."""

    task: str
    depth: int
    post: bool
    steps: int
    lr: float
    norm: str
    seed: int

    @property
    def key(self) -> str:
        place = "post-norm" if self.post else "pre-norm"
        return f"{self.task}, {place}, depth {self.depth}, {self.steps} steps, lr {self.lr:g}, {self.norm}, seed {self.seed}"


def train(run: Run, watch: Callable[[nn.Module], None] | None = None) -> tuple[nn.Module, dict]:
    """The trained network and its result. `watch` is given the network before the first step.

    AdamW (0.9, 0.98), a decay of 0.01 for matrices, a ramp of a twentieth of the steps and a cosine to zero; gradients are not
    clipped. A seed gives all normalizations the same initial weights and the same batches. The training ends at a loss
    that is not finite.
    """
    started = time.process_time()
    task = TASKS[run.task]
    torch.manual_seed(run.seed)
    model = task.network(norm_of(run.norm, run.steps), run.depth, run.post)
    if watch is not None:
        watch(model)
    matrices, vectors = ([p for p in model.parameters() if (p.dim() > 1) == wide] for wide in (True, False))
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=run.lr, betas=(0.9, 0.98))
    ramp = max(1, run.steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min(1, (s + 1) / ramp) * (1 + math.cos(math.pi * s / run.steps)) / 2
    )
    layers = [module for module in model.modules() if isinstance(module, UnifiedNorm)]
    losses: list[float] = []
    skipped: list[list[int]] = []
    stages = [round((stage + 1) * run.steps / STAGES) for stage in range(STAGES)]
    diverged = None
    model.train()
    for step, batch in zip(range(1, run.steps + 1), task.batches(torch.Generator().manual_seed(run.seed))):
        loss = task.loss(model, batch)
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            diverged = step
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if layers and step in stages:
            skipped.append([int(layer.skip_counter) for layer in layers])
    model.eval()
    size = max(1, run.steps // POINTS)
    means = [sum(part) / len(part) for part in (losses[at : at + size] for at in range(0, len(losses), size))]
    result = {
        "run": run.key,
        "score": 0.0 if diverged else round(task.score(model), 2),
        "diverged_at_step": diverged,
        "loss": [round(mean, 4) if math.isfinite(mean) else None for mean in means],
        **({"outlier_steps": skipped} if layers else {}),
        "cpu_seconds": round(time.process_time() - started, 1),
    }
    return model, result
