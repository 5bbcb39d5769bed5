"""What is looked at inside trained networks: figures 3, 4 and 6. Each measurement trains what it needs, from seed 0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from measure import Recorder, cka, pnac
from norms import warmup
from plan import Plan
from tasks import WIDTH
from training import TASKS, Run, train

OF_MEAN = 10
"""Over how many steps figure 4 takes both means: the paper's largest window."""


def statistics(plan: Plan) -> dict:
    """Activation and gradient statistics of UN in the translation: PNAC by layer, and channels over the training.

    PNAC is that of the plan's window of steps behind warm-up, and that of the last. The channels are, in three depths, those
    whose arithmetic mean exceeds the geometric one most.
    """
    run, window = plan.recorded, plan.window
    kept: list[Recorder] = []

    def watch(model: nn.Module) -> None:
        norms = {name: module for name, module in model.named_modules() if hasattr(module, "skip_counter")}
        kept.append(Recorder(norms))

    train(run, watch)
    names = [name.removeprefix("transformer.") for name in kept[0].names]
    squares, gradients = kept[0].close()
    begin, end = slice(warmup(run.steps), warmup(run.steps) + window), slice(run.steps - window, run.steps)
    shares = {
        f"{kind} {when}": [round(value, 1) for value in pnac(part[steps]).tolist()]
        for kind, part in (("activation", squares), ("gradient", gradients))
        for when, steps in (("begin", begin), ("end", end))
    }
    windows = squares.unfold(0, OF_MEAN, 1)
    arithmetic, geometric = windows.mean(-1), windows.log().mean(-1).exp()
    channels = []
    for layer in (0, len(names) // 2, len(names) - 1):
        channel = int((arithmetic[:, layer] / geometric[:, layer]).amax(0).argmax())
        series = {"AM": arithmetic, "GM": geometric, "each step": squares[OF_MEAN - 1 :]}
        values = {name: [float(f"{v:.4g}") for v in s[:, layer, channel].tolist()] for name, s in series.items()}
        channels.append({"layer": names[layer], "channel": channel, **values})
    largest = {
        when: [float(f"{v:.3g}") for v in squares[steps].amax((0, 2)).tolist()]
        for when, steps in (("begin", begin), ("end", end))
    }
    return {"trained": run.key, "layers": names, "window": window, "pnac": shares, "largest": largest, "channels": channels}


@torch.no_grad()
def feature_maps(model: nn.Module, images: Tensor) -> tuple[list[str], list[Tensor]]:
    """The outputs of the digits' normalizations, attentions and MLPs, by depth, for the first token and all others."""
    names, maps = [], []
    for name, module in model.named_modules():
        if name.split(".")[-1] in ("norm1", "attn", "norm2", "mlp", "norm"):
            names.append(name.removeprefix("blocks."))
            module.register_forward_hook(lambda _module, _inputs, output: maps.append(output))
    model(images)
    return names, maps


def similarity(plan: Plan) -> dict:
    """CKA on the held-out digits between the network with LN and those with others, and with LN from another seed."""
    run = plan.compared
    others = {norm: replace(run, norm=norm) for norm in ("BN", "UN", "none")} | {"LN, another seed": replace(run, seed=1)}
    images = TASKS[run.task].images["held"]

    def maps_of(one: Run) -> tuple[list[str], list[Tensor]]:
        return feature_maps(train(one)[0].eval(), images)

    names, base = maps_of(run)
    heat = {
        other: [[round(value, 3) for value in row] for row in cka(base, maps_of(one)[1]).tolist()]
        for other, one in others.items()
    }
    return {"trained": run.key, "maps": names, "cka": heat}


MEASUREMENTS: dict[str, Callable[[Plan], dict]] = {"statistics": statistics, "similarity": similarity}
