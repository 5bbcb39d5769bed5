#!/usr/bin/env python3
"""The tables and figures of the Unified Normalization paper in miniature, on one core of a CPU.

    python reproduce.py                     # all that is not in the results yet, then the page: docs/reproduce.md
    python reproduce.py --report            # the page alone, from the results that are there
    python reproduce.py --quick --out DIR   # the same in a minute: few steps, two seeds; says nothing about the paper

It wants torch, numpy and safetensors. Each finished training is one line of results/trainings.jsonl; a run that was stopped
goes on behind the last. The same seed gives the same line on the same processor with the same torch; elsewhere the last
bits of float32 sums differ, and with them trainings near an edge.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import sys
import warnings
from pathlib import Path

import torch

from inside import MEASUREMENTS
from page import write_page
from plan import Plan, full_plan, quick_plan
from training import train

HERE = Path(__file__).resolve().parent


def machine() -> dict:
    """Where and with what the results were made."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        processor = platform.processor() or platform.machine()
    return {"processor": processor, "torch": torch.__version__.split("+")[0]}


def read_lines(path: Path) -> list[dict]:
    """The lines of a file of results; one that a killed run left unfinished is cut off."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    return [json.loads(line) for line in whole.splitlines()]


def append(path: Path, line: dict) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")


def run(plan: Plan, results: Path) -> None:
    """Trains and measures what the results lack."""
    results.mkdir(parents=True, exist_ok=True)
    trainings, measured = results / "trainings.jsonl", results / "measured.jsonl"
    lines, here = read_lines(trainings), machine()
    if not lines:
        append(trainings, {**here, "date": datetime.date.today().isoformat()})
    elif any(lines[0].get(key) != value for key, value in here.items()):
        sys.exit(f"reproduce.py: {trainings} was begun with {lines[0]}, and this is {here}: give an --out of its own")
    done = {line.get("run") for line in lines}
    left = [run for run in plan.runs if run.key not in done]
    for at, one in enumerate(left, 1):
        result = train(one)[1]
        append(trainings, result)
        how = "diverged" if result["diverged_at_step"] else f"{result['score']:.1f} %"
        print(f"{at}/{len(left)} {one.key}: {how}, {result['cpu_seconds']} s", file=sys.stderr, flush=True)
    done = {line["measured"] for line in read_lines(measured)}
    for name, measure in MEASUREMENTS.items():
        if name not in done:
            append(measured, {"measured": name, **measure(plan)})
            print(f"measured: {name}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n\n")[0], epilog=(__doc__ or "").split("\n\n", 1)[1],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--report", action="store_true", help="write the page from the results, without training")
    parser.add_argument("--quick", action="store_true", help="a few steps of everything; needs an --out of its own")
    parser.add_argument("--out", type=Path, help="a folder for results and page (default: those of the repository)")
    arguments = parser.parse_args()
    if arguments.quick and arguments.out is None:
        parser.error("--quick would mix its results with the committed ones: give it an --out DIR")
    results = HERE / "results" if arguments.out is None else arguments.out / "results"
    page = HERE.parent.parent / "docs" if arguments.out is None else arguments.out

    torch.set_num_threads(1)  # The order of float32 sums depends on it.
    torch.use_deterministic_algorithms(True)
    # Its fused layers at inference would compute LayerNorm whatever the normalization is.
    torch.backends.mha.set_fastpath_enabled(False)
    warnings.filterwarnings("ignore", message="enable_nested_tensor")
    plan = quick_plan() if arguments.quick else full_plan()
    try:
        if not arguments.report:
            run(plan, results)
    except KeyboardInterrupt:
        print("reproduce.py: stopped; finished trainings are kept, and the same command goes on", file=sys.stderr)
        sys.exit(130)
    trainings = read_lines(results / "trainings.jsonl")
    if not trainings:
        sys.exit(f"reproduce.py: there are no results in {results}: run it without --report first")
    write_page(plan, trainings, read_lines(results / "measured.jsonl"), page)
    print(page / "reproduce.md")


if __name__ == "__main__":
    main()
