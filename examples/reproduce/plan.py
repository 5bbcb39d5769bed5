"""Which trainings there are: every table is a set of normalizations in one setting, with the same seeds."""

from __future__ import annotations

from dataclasses import dataclass, replace

from norms import ABLATIONS, FAMILIES
from training import Run


@dataclass(frozen=True)
class Setting:
    """A network, its training and what is trained in it."""

    title: str
    task: str
    depth: int
    post: bool
    steps: int
    lr: float
    norms: tuple[str, ...] = tuple(FAMILIES)

    def run(self, norm: str, seed: int) -> Run:
        return Run(self.task, self.depth, self.post, self.steps, self.lr, norm, seed)


@dataclass(frozen=True)
class Plan:
    """Settings with all families; those of UN's parts; and the two networks that are looked into."""

    tables: dict[str, Setting]
    ablations: dict[str, Setting]
    seeds: tuple[int, ...]
    recorded: Run
    window: int
    compared: Run

    @property
    def runs(self) -> list[Run]:
        """All trainings, the first seed of everything first: what is stopped early has all rows; the ablations last."""
        groups = [self.tables.values(), self.ablations.values()]
        runs = [s.run(norm, seed) for group in groups for seed in self.seeds for s in group for norm in s.norms]
        return list(dict.fromkeys(runs))


def full_plan() -> Plan:
    """What the committed page shows: trainings of 2 to 9 seconds each."""
    tables = {
        "numbers low": Setting("lr 0.003", "numbers", 2, False, 300, 3e-3),
        "numbers high": Setting("lr 0.01", "numbers", 2, False, 300, 1e-2),
        "digits low": Setting("lr 0.003", "digits", 3, False, 300, 3e-3),
        "digits high": Setting("lr 0.01", "digits", 3, False, 300, 1e-2),
        "by length": Setting("batches by length, lr 0.01", "numbers by length", 2, False, 300, 1e-2),
        "mixed": Setting("mixed batches, lr 0.01", "numbers, mixed lengths", 2, False, 300, 1e-2, ("LN", "BN", "UN")),
        "numbers hard": Setting("numbers, lr 0.03", "numbers", 2, False, 300, 3e-2),
        "digits deep": Setting("digits, 12 blocks, lr 0.01", "digits", 12, False, 200, 1e-2),
        "digits post": Setting("digits, 8 blocks, post-norm, lr 0.003", "digits", 8, True, 200, 3e-3),
    }
    ablations = {
        "by length": replace(tables["by length"], norms=("UN", *ABLATIONS)),
        "numbers hard": replace(tables["numbers hard"], norms=("UN", *ABLATIONS)),
        "digits deep": replace(tables["digits deep"], norms=("UN", "UN, no filtration")),
    }
    return Plan(
        tables, ablations, seeds=(0, 1, 2, 3, 4), window=150,
        recorded=Run("numbers by length", 2, False, 600, 1e-2, "UN", 0),
        compared=Run("digits", 3, False, 300, 1e-2, "LN", 0),
    )  # fmt: skip


def quick_plan() -> Plan:
    """All of it from two seeds, with so few steps that nothing is learned."""
    full = full_plan()
    short = [{name: replace(s, steps=3) for name, s in settings.items()} for settings in (full.tables, full.ablations)]
    recorded, compared = replace(full.recorded, steps=50), replace(full.compared, steps=3)
    return Plan(*short, seeds=(0, 1), recorded=recorded, window=20, compared=compared)
