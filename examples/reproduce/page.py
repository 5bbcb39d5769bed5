"""The page and its plots, from the results alone: no figure of it is typed, but for those that are the papers'."""

from __future__ import annotations

import math
import statistics
import textwrap
from pathlib import Path

from figures import figures
from papers import (
    ALPHA_BLEU, ALPHA_BOX, COCO_BOX, FILTRATION, IWSLT, PARTS_BLEU, PARTS_BOX, POWER_IWSLT, POWER_PTB, SWIN, T2T, WMT,
)  # fmt: skip
from plan import Plan, Setting
from words import WORDS

BOUND = 50.0
"""A training fails whose loss is no number, or whose score is below so many percent."""
T_QUANTILE = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}
"""Student's t for a two-sided interval of 95 %, by the number of pairs."""
HARD = ("by length", "numbers hard", "digits deep", "digits post")
"""The settings in which trainings fail."""
OFFLINE = ("BN", "MABN", "PN-V", "PN", "UN")
WINDOWS = ("M = 2", "M = 6", "M = 8", "M = 10")
DASH = "–"


class Scores:
    """The scores of all seeds, by setting and normalization."""

    def __init__(self, plan: Plan, trainings: list[dict]) -> None:
        self.plan = plan
        self._lines = {line["run"]: line for line in trainings if "run" in line}
        missing = [run.key for run in plan.runs if run.key not in self._lines]
        if missing:
            raise SystemExit(f"reproduce.py: {len(missing)} trainings are missing, the first: {missing[0]}")

    def lines(self, setting: Setting, norm: str) -> list[dict]:
        return [self._lines[setting.run(norm, seed).key] for seed in self.plan.seeds]

    def of(self, setting: Setting, norm: str) -> list[float]:
        return [line["score"] for line in self.lines(setting, norm)]

    def failures(self, setting: Setting, norm: str) -> int:
        return sum(score < BOUND for score in self.of(setting, norm))

    def outliers(self, setting: Setting, norm: str) -> float:
        """Percent of the steps of all normalizations that UN's filtration found to be outliers."""
        counts = [count for line in self.lines(setting, norm) for count in line["outlier_steps"][-1]]
        return 100 * statistics.mean(counts) / setting.steps

    def diverged(self) -> int:
        return sum(self._lines[run.key]["diverged_at_step"] is not None for run in self.plan.runs)

    def cell(self, setting: Setting, norm: str) -> str:
        """Mean and standard deviation over all seeds, and how many failed."""
        scores, failed = self.of(setting, norm), self.failures(setting, norm)
        spread = f"{statistics.mean(scores):.1f} ± {statistics.stdev(scores):.1f}"
        return spread + (f" ({failed} failed)" if failed else "")

    def difference(self, setting: Setting, norm: str, base: str) -> tuple[float, float]:
        """The mean of the differences seed by seed, and the half width of its 95 % interval."""
        pairs = [a - b for a, b in zip(self.of(setting, norm), self.of(setting, base))]
        half = T_QUANTILE[len(pairs)] * statistics.stdev(pairs) / math.sqrt(len(pairs))
        return statistics.mean(pairs), half

    def is_clear(self, setting: Setting, norm: str, base: str) -> bool:
        mean, half = self.difference(setting, norm, base)
        return abs(mean) > half

    def compared(self, setting: Setting, norm: str, base: str) -> str:
        """The difference in a cell; bold where its interval leaves out zero."""
        if norm == base:
            return DASH
        mean, half = self.difference(setting, norm, base)
        shown = f"{mean:+.1f} ± {half:.1f}"
        return f"**{shown}**" if self.is_clear(setting, norm, base) else shown

    def against_un(self, setting: Setting, norm: str) -> str:
        return self.compared(setting, norm, "UN")


def table(head: list[str], rows: list[list[str]]) -> str:
    """Markdown, as `deno fmt` pads it: the first column to the left, all others to the right."""
    widths = [max(3, *(len(row[at]) for row in [head, *rows])) for at in range(len(head))]

    def line(cells: list[str]) -> str:
        padded = [cell.ljust(w) if at == 0 else cell.rjust(w) for at, (cell, w) in enumerate(zip(cells, widths))]
        return "| " + " | ".join(padded) + " |"

    rule = "| " + " | ".join("-" * w if at == 0 else "-" * (w - 1) + ":" for at, w in enumerate(widths)) + " |"
    return "\n".join([line(head), rule, *map(line, rows)])


def wrapped(markdown: str) -> str:
    """Paragraphs and bullets in lines of 110 columns, as `deno fmt` has them; tables, titles and commands as they are."""

    def fill(words: str, later: str = "") -> str:
        words = " ".join(words.split())
        return textwrap.fill(words, 110, subsequent_indent=later, break_long_words=False, break_on_hyphens=False)

    blocks = []
    for block in markdown.strip().split("\n\n"):
        if block.startswith("- "):
            block = "\n".join(fill(f"- {item}", "  ") for item in block[2:].split("\n- "))
        elif not block.startswith(("|", "#", "```")):
            block = fill(block)
        blocks.append(block)
    return "\n\n".join(blocks) + "\n"


def bullets(items: list[str]) -> str:
    return "\n".join(f"- {' '.join(item.split())}" for item in items)


def family_table(scores: Scores, names: list[str], papers: dict[str, dict[str, str]]) -> str:
    """Score and difference from LN in these settings, and the papers' columns beside."""
    settings = [scores.plan.tables[name] for name in names]
    head = ["", "folds"]
    for setting in settings:
        head += [setting.title, "minus LN"]
    rows = []
    for norm in settings[0].norms:
        row = [norm, "yes" if norm in OFFLINE else DASH]
        for setting in settings:
            is_there = norm in setting.norms
            row += [scores.cell(setting, norm), scores.compared(setting, norm, "LN")] if is_there else [DASH, DASH]
        rows.append(row + [column.get(norm, DASH) for column in papers.values()])
    return table(head + list(papers), rows)


def ablation_table(scores: Scores, rows: list[str], first: str, papers: dict[str, dict[str, str]]) -> str:
    """UN and what differs from it in both translations; `first` is what the row of UN itself is called."""
    settings = [scores.plan.ablations[name] for name in ("by length", "numbers hard")]
    made = []
    for row in rows:
        norm = row if row == "UN" else f"UN, {row}"
        ours = [cell(setting, norm) for setting in settings for cell in (scores.cell, scores.against_un)]
        made.append([first if row == "UN" else row, *ours, *(column[row] for column in papers.values())])
    head = [words for setting in settings for words in (setting.title, "minus UN")]
    return table(["", *head, *papers], made)


def filtration_table(scores: Scores) -> str:
    settings = list(scores.plan.ablations.values())
    rows = []
    for norm, name in (("UN", "with"), ("UN, no filtration", "without")):
        ours = [cell(setting, norm) for setting in settings for cell in (scores.cell, scores.against_un)]
        rows.append([name, *ours, *FILTRATION[name]])
    head = [words for setting in settings for words in (setting.title, "minus UN")]
    return table(["", *head, "T2T-ViT-14", "Swin-T", "Faster R-CNN", "Mask R-CNN"], rows)


def enumerated(names: list[str]) -> str:
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else "".join(names)


def ablations_said(scores: Scores) -> str:
    """Which of them can be told from UN."""
    changes = [
        f"{norm.removeprefix('UN, ')} ({scores.compared(setting, norm, 'UN').strip('*')}; {named(setting)})"
        for setting in scores.plan.ablations.values() for norm in setting.norms
        if norm != "UN" and scores.is_clear(setting, norm, "UN")
    ]  # fmt: skip
    count = sum(len(setting.norms) - 1 for setting in scores.plan.ablations.values())
    differ = f"these can be told from UN: {enumerated(changes)}" if changes else "none can be told from UN"
    return f"Of the {count} ablations, {differ}."


def named(setting: Setting) -> str:
    blocks = f", {setting.depth} blocks" if setting.depth > 3 else ""
    return f"{setting.task}{blocks}{', post-norm' if setting.post else ''}, lr {setting.lr:g}"


def shows(is_so: bool, otherwise: str) -> str:
    return "it shows." if is_so else f"it does not show; {otherwise}"


def verdict(scores: Scores) -> list[str]:
    """The papers' claims, each held against the results."""
    tables, ablations = scores.plan.tables, scores.plan.ablations
    hard = [tables[name] for name in HARD]
    failed = {norm: sum(scores.failures(setting, norm) for setting in hard) for norm in hard[0].norms}
    counts = ", ".join(f"{norm} {count}" for norm, count in failed.items())

    def below(setting: Setting, norm: str, base: str) -> bool:
        return scores.difference(setting, norm, base)[0] < 0 and scores.is_clear(setting, norm, base)

    return [
        f"Failures in {len(hard) * len(scores.plan.seeds)} trainings each: {counts} ({'; '.join(map(named, hard))}).",
        "**BN loses where batches differ** (tables 1 and 2), batches by length against the same numbers mixed: "
        + shows(
            below(tables["by length"], "BN", "LN") and not below(tables["mixed"], "BN", "LN"),
            "BN is not below LN in the one and level with it in the other.",
        ),
        "**UN holds to LN** where BN does not, in batches by length: "
        + shows(
            not below(tables["by length"], "UN", "LN") and below(tables["by length"], "BN", "LN"),
            "UN is below LN, or BN is not.",
        ),
        f"In the control, with mixed batches, UN is {scores.compared(tables['mixed'], 'UN', 'LN').strip('*')} points from LN,"
        f" and fails in {scores.failures(tables['mixed'], 'UN')} of {len(scores.plan.seeds)} trainings; LN in"
        f" {scores.failures(tables['mixed'], 'LN')}.",
        "**Moving averages collapse where UN does not** (MABN and PN on T2T-ViT-14), in failures as counted here: "
        + shows(min(failed["MABN"], failed["PN"]) > failed["UN"], "UN fails no less often than one of them."),
        "**Without outlier filtration training fails** (table 7): "
        + shows(
            any(below(setting, "UN, no filtration", "UN") for setting in ablations.values()),
            "with and without are not told apart, in none of three settings, though filtration acts (below).",
        ),
        "**Windows from 2 to 10 do alike** (table 6): "
        + shows(
            not any(scores.is_clear(ablations["by length"], f"UN, {m}", "UN") for m in WINDOWS),
            f"with M = 2 filtration takes {scores.outliers(ablations['by length'], 'UN, M = 2'):.0f} % of steps for outliers (M = 4:"
            f" {scores.outliers(ablations['by length'], 'UN'):.0f} %), and what is left is the batch's own statistics.",
        ),
        "**Without any moving average in the gradient training fails** (table 9), by length: "
        + shows(below(ablations["by length"], "UN, AM and momentum off", "UN"), "it is not below UN."),
        "**Without momentum in the gradient, or at α = 0.6, training fails** (tables 9 and 10): "
        + shows(
            all(below(ablations["by length"], norm, "UN") for norm in ("UN, momentum off", "UN, α = 0.6")),
            "in 300 steps they are not both below UN.",
        ),
        ablations_said(scores),
    ]  # fmt: skip


def statistics_said(measured: dict) -> list[str]:
    """Figures 3 and 4 in words."""
    shares = {name: statistics.mean(values) for name, values in measured["pnac"].items()}
    largest = {when: max(values) for when, values in measured["largest"].items()}
    skewed = max(max(a / g for a, g in zip(c["AM"], c["GM"])) for c in measured["channels"])
    return [
        f"""PNAC, mean over the {len(measured["layers"])} normalizations: activations {shares["activation begin"]:.0f} % in the
        first {measured["window"]} steps behind warm-up and {shares["activation end"]:.0f} % in the last; gradients
        {shares["gradient begin"]:.0f} % and {shares["gradient end"]:.0f} %. The paper sees activations fall, and stay below
        gradients.""",
        f"""The largest mean of squares of a channel is {largest["begin"]:.3g} in the first of these windows and
        {largest["end"]:.3g} in the last; the paper has it grow along depth and training.""",
        f"""In the channels of the plot the arithmetic mean over ten steps is at most {skewed:.2f} times the geometric
        one.""",
    ]


def outliers_said(scores: Scores) -> str:
    """Figure 5 in words: how many steps, and where."""
    parts = []
    for name in HARD:
        setting = scores.plan.tables[name]
        counts = [line["outlier_steps"][-1] for line in scores.lines(setting, "UN") if len(line["outlier_steps"]) == 3]
        half = len(counts[0]) // 2 if counts else 0
        steps = setting.steps * half * len(counts)
        if steps:
            first, last = (100 * sum(sum(part) for part in halves) / steps for halves in (
                [count[:half] for count in counts], [count[-half:] for count in counts],
            ))  # fmt: skip
            parts.append(f"{first:.1f} % of the first half's steps and {last:.1f} % of the last's ({setting.title})")
    return f"By half of the normalizations, outliers are {'; '.join(parts)}. The paper sees more of them in deeper layers."


def similarity_said(measured: dict) -> str:
    means = {
        other: statistics.mean(values[at][at] for at in range(len(values))) for other, values in measured["cka"].items()
    }
    return (
        "Mean of the diagonal: " + ", ".join(f"{other} {mean:.2f}" for other, mean in means.items())
        + ". One training each, so these say nothing of a spread; LN from another seed is what chance alone leaves alike."
    )  # fmt: skip


def page_text(scores: Scores, trainings: list[dict], measures: dict[str, dict]) -> str:
    head, plan = trainings[0], scores.plan
    keys = {run.key for run in plan.runs}
    seconds = sum(line["cpu_seconds"] for line in trainings if line.get("run") in keys)
    return WORDS.format(
        count=len(plan.runs),
        seeds=len(plan.seeds),
        bound=f"{BOUND:g}",
        diverged=scores.diverged(),
        made=(
            f"Made on {head['date']}, one core of {head['processor']}, torch {head['torch']}: {len(plan.runs)} trainings in"
            f" {round(seconds / 60)} CPU minutes."
        ),
        numbers=family_table(scores, ["numbers low", "numbers high"], {
            "UN paper: IWSLT14": IWSLT, "WMT14": WMT, "PN paper: IWSLT14": POWER_IWSLT, "PTB": POWER_PTB,
        }),
        digits=family_table(scores, ["digits low", "digits high"], {"UN paper: Swin-T": SWIN, "T2T-ViT-14": T2T}),
        by_length=family_table(scores, ["by length", "mixed"], {}),
        hard=family_table(scores, list(HARD[1:]), {}),
        window=ablation_table(scores, [WINDOWS[0], "UN", *WINDOWS[1:]], "M = 4", {"COCO, box AP": COCO_BOX}),
        momentum=ablation_table(
            scores, ["α = 0.6", "α = 0.7", "α = 0.8", "UN"], "α = 0.9", {"COCO, box AP": ALPHA_BOX, "IWSLT14": ALPHA_BLEU}
        ),
        filtration=filtration_table(scores),
        parts=ablation_table(scores, list(PARTS_BLEU), "all", {"IWSLT14": PARTS_BLEU, "COCO, box AP": PARTS_BOX}),
        statistics=bullets(statistics_said(measures["statistics"])),
        outliers=outliers_said(scores),
        similarity=similarity_said(measures["similarity"]),
        steps=plan.tables["numbers low"].steps,
        verdict=bullets(verdict(scores)),
    )  # fmt: skip


def write_page(plan: Plan, trainings: list[dict], measured: list[dict], folder: Path) -> None:
    """reproduce.md and reproduce/*.svg in `folder`."""
    scores = Scores(plan, trainings)
    measures = {line["measured"]: line for line in measured}
    missing = {"statistics", "similarity"} - measures.keys()
    if missing:
        raise SystemExit(f"reproduce.py: {', '.join(sorted(missing))} is not measured yet: run it without --report")
    (folder / "reproduce").mkdir(parents=True, exist_ok=True)
    for name, drawing in figures(scores, measures).items():
        (folder / "reproduce" / f"{name}.svg").write_text(drawing, encoding="utf-8")
    (folder / "reproduce.md").write_text(wrapped(page_text(scores, trainings, measures)), encoding="utf-8")
