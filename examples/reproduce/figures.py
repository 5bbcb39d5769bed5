"""The plots of the page: losses (the paper's figure 1), and its figures 3 to 6."""

from __future__ import annotations

import statistics

import svg
from norms import FAMILIES

FAMILY_COLOURS = dict(zip(FAMILIES, svg.COLOURS))


def losses(scores) -> str:
    """The mean over seeds of the training loss, in the settings where trainings fail."""
    panels = []
    for name in ("by length", "numbers hard", "digits deep", "digits post"):
        setting = scores.plan.tables[name]
        series: svg.Series = {}
        for norm in setting.norms:
            curves = [line["loss"] for line in scores.lines(setting, norm)]
            points = min(map(len, curves))
            steps = [(at + 1) * setting.steps / max(map(len, curves)) for at in range(points)]
            columns = [[curve[at] for curve in curves] for at in range(points)]
            series[norm] = (steps, [None if None in column else statistics.mean(column) for column in columns])
        panels.append(svg.lines(setting.title, series, FAMILY_COLOURS, ("step", "training loss"), log=True))
    return svg.page(panels, FAMILY_COLOURS, "Training loss by normalization in four settings, mean over the seeds")


def normality(measured: dict) -> str:
    colours = {
        "activation begin": svg.COLOURS[1], "activation end": svg.COLOURS[3],
        "gradient begin": svg.GREY, "gradient end": svg.COLOURS[7],
    }  # fmt: skip
    layers = [float(at + 1) for at in range(len(measured["layers"]))]
    series = {name: (layers, values) for name, values in measured["pnac"].items()}
    panel = svg.lines("numbers by length, UN", series, colours, ("normalization, encoder first", "PNAC, %"))
    return svg.page([panel], colours, "PNAC of activation and gradient statistics by normalization")


def channels(measured: dict) -> str:
    """The curves of three channels over the training."""
    colours = {"each step": svg.GREY, "AM": svg.COLOURS[1], "GM": svg.COLOURS[0]}
    panels = []
    for channel in measured["channels"]:
        steps = [float(at + 10) for at in range(len(channel["AM"]))]
        series = {name: (steps, channel[name]) for name in colours}
        title = f"{channel['layer']}, channel {channel['channel']}"
        panels.append(svg.lines(title, series, colours, ("step", "mean of squares"), log=True))
    return svg.page(panels, colours, "Activation statistics of three channels over the training, with both means")


def outliers(scores) -> str:
    """Steps that UN's filtration found to be outliers, by normalization, accumulated to three times."""
    names = ("after 1/3", "after 2/3", "at the end")
    colours = dict(zip(names, (svg.COLOURS[3], svg.COLOURS[1], svg.COLOURS[2])))
    panels = []
    for name in ("by length", "numbers hard", "digits deep"):
        setting = scores.plan.tables[name]
        counts = [line["outlier_steps"] for line in scores.lines(setting, "UN") if len(line["outlier_steps"]) == 3]
        if not counts:
            continue
        layers = [float(at + 1) for at in range(len(counts[0][0]))]
        series = {
            stage: (layers, [statistics.mean(count[at][layer] for count in counts) for layer in range(len(layers))])
            for at, stage in enumerate(names)
        }
        panels.append(svg.lines(setting.title, series, colours, ("normalization, first to last", "outlier steps")))
    return svg.page(panels, colours, "Accumulated outlier steps of UN by normalization, mean over the seeds")


def similarity(measured: dict) -> str:
    names = measured["maps"]
    panels = [
        svg.heat(f"LN and {other}", values, names, (other, "LN")) for other, values in measured["cka"].items()
    ]
    return svg.page(panels, {"1": "#08306b", "0.5": "#8498b5", "0": "#e4e4e4"}, "CKA of feature maps", svg.HEAT_HEIGHT)


def figures(scores, measures: dict[str, dict]) -> dict[str, str]:
    """SVG by file name, without its ending."""
    return {
        "losses": losses(scores),
        "pnac": normality(measures["statistics"]),
        "channels": channels(measures["statistics"]),
        "outliers": outliers(scores),
        "cka": similarity(measures["similarity"]),
    }
