"""Plots as SVG without a library: panels of lines, and heat maps, side by side on white."""

from __future__ import annotations

import math
from html import escape

COLOURS = ("#1f77b4", "#d95f02", "#1b9e77", "#c2297a", "#66a61e", "#8c6d1f", "#7570b3", "#333333")
GREY = "#b0b0b0"
Series = dict[str, tuple[list[float], list[float | None]]]
"""Lines by name: x, and y with None where there is no point."""
WIDTH, HEIGHT, MARGIN = 360, 250, 52


def text(x: float, y: float, words: str, anchor: str = "middle", size: int = 11, turn: int = 0) -> str:
    turned = f' transform="rotate({turn} {x:.1f} {y:.1f})"' if turn else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"{turned}>{escape(words)}</text>'


def page(panels: list[str], legend: dict[str, str], what: str, height: int = HEIGHT) -> str:
    """Panels in a row with one legend below; `what` is told to who cannot see it."""
    width, per_row = len(panels) * WIDTH, max(1, len(panels) * WIDTH // 120)
    rows = math.ceil(len(legend) / per_row)
    body = [f'<g transform="translate({at * WIDTH} 0)">{panel}</g>' for at, panel in enumerate(panels)]
    for at, (name, colour) in enumerate(legend.items()):
        x, y = 20 + at % per_row * 120, height + 12 + at // per_row * 18
        body.append(f'<rect x="{x}" y="{y - 6}" width="16" height="4" fill="{colour}"/>' + text(x + 21, y, name, "start"))
    total = height + 18 * rows + 8
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {total}" width="{width}" height="{total}"'
        f' font-family="sans-serif" role="img" aria-label="{escape(what)}">\n'
        f'<rect width="{width}" height="{total}" fill="white"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def ticks(low: float, high: float, log: bool) -> list[float]:
    """Round values between the two."""
    if log:
        powers = [10.0**p for p in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
        made = [m * p for p in powers for m in ((1, 2, 5) if len(powers) < 4 else (1,))]
    else:
        step = 10 ** math.floor(math.log10((high - low) / 2))
        step = next(step * m for m in (0.5, 1, 2, 5, 10) if (high - low) / (step * m) <= 6)
        made = [step * k for k in range(math.floor(low / step), math.ceil(high / step) + 1)]
    slack = 1e-9 * abs(high - low)
    return [value for value in made if low - slack <= value <= high + slack]


def lines(title: str, series: Series, colours: dict[str, str], labels: tuple[str, str], log: bool = False) -> str:
    """One panel: lines over shared axes; y logarithmic, or from zero."""
    xs = [x for line in series.values() for x in line[0]]
    ys = [y for line in series.values() for y in line[1] if y is not None and (y > 0 or not log)]
    x_low, x_high = min(xs), max(max(xs), min(xs) + 1)
    y_low, y_high = (min(ys), max(ys)) if log else (0.0, max(ys) or 1.0)
    y_high = y_high if y_high > y_low else y_low * 2
    scaled = math.log10 if log else float
    left, right, top, bottom = MARGIN, WIDTH - 14, 28, HEIGHT - 40

    def x_of(x: float) -> float:
        return left + (x - x_low) / (x_high - x_low) * (right - left)

    def y_of(y: float) -> float:
        return bottom - (scaled(y) - scaled(y_low)) / (scaled(y_high) - scaled(y_low)) * (bottom - top)

    body = [text((left + right) / 2, 16, title, size=12)]
    for value in ticks(y_low, y_high, log):
        body.append(f'<path d="M{left} {y_of(value):.1f}H{right}" stroke="#e4e4e4"/>')
        body.append(text(left - 5, y_of(value) + 4, f"{value:g}", "end"))
    body += [text(x_of(value), bottom + 15, f"{value:g}") for value in ticks(x_low, x_high, False)]
    body.append(text((left + right) / 2, HEIGHT - 8, labels[0]))
    body.append(text(13, (top + bottom) / 2, labels[1], turn=-90))
    for name, (x_values, y_values) in series.items():
        path, pen = "", "M"
        for x, y in zip(x_values, y_values):
            if y is None or (log and y <= 0):
                pen = "M"
                continue
            path, pen = path + f"{pen}{x_of(x):.1f} {y_of(y):.1f}", "L"
        body.append(f'<path d="{path}" fill="none" stroke="{colours[name]}" stroke-width="1.5"/>')
    return "\n".join(body)


def heat(title: str, values: list[list[float]], names: list[str], labels: tuple[str, str]) -> str:
    """One panel: a square of values from 0 (white) to 1 (dark blue), the first row below."""
    side = WIDTH - 2 * MARGIN - 14
    left, top, cell = MARGIN + 14, 28, side / len(values)
    body = [text(left + side / 2, 16, title, size=12)]
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            part = min(1.0, max(0.0, value))
            colour = "#%02x%02x%02x" % tuple(round(255 + (end - 255) * part) for end in (8, 48, 107))
            x, y = left + column * cell, top + side - (row + 1) * cell
            body.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{cell + 0.2:.1f}" height="{cell + 0.2:.1f}" fill="{colour}"/>')
        body.append(text(left - 4, top + side - (row + 0.5) * cell + 3, names[row], "end", 9))
        body.append(text(left + (row + 0.5) * cell + 3, top + side + 6, names[row], "end", 9, -90))
    body.append(text(left + side / 2, top + side + 58, labels[0]))
    body.append(text(12, top + side / 2, labels[1], turn=-90))
    return "\n".join(body)


HEAT_HEIGHT = WIDTH - 2 * MARGIN - 14 + 28 + 66
