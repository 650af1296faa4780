"""What ``compare`` found, as plots and as one HTML page."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..report import COLOURS, STYLE, STYLES, svg
from .comparison import Beside, pairs_of, table

if TYPE_CHECKING:
    from ..evaluate.sweep import Curve, Pair

SIZE = (7.4, 5.2)  # inches of a plot


def plots(names: Mapping[str, str], curves: Mapping[str, Curve], beside: Beside) -> list[str]:
    """Quality against diversity for every pair of measures, and the Fréchet embedding distance where there is one, as SVG.

    Args:
        names: what each run is called.
        curves: each run's figures by temperature.
        beside: figures of real text.
    """
    found = [_plot(pair, names, curves) for pair in pairs_of(curves)]
    return [*found, _distances(names, curves, beside)] if "fed" in beside.real else found


def _style(k: int) -> dict[str, Any]:
    """How run k is drawn: by colour, line and mark, so that no one of them alone has to be seen."""
    look = {"color": COLOURS[k % len(COLOURS)], "linestyle": STYLES[k % len(STYLES)], "marker": "osD^vP"[k % 6]}
    return {**look, "markersize": 4, "linewidth": 1.4, "elinewidth": 0.6}


def _plot(pair: Pair, names: Mapping[str, str], curves: Mapping[str, Curve]) -> str:
    def draw(axes: Any) -> None:
        for k, (name, curve) in enumerate(curves.items()):
            points = [(t, *f[pair.quality], *f[pair.diversity]) for t, f in curve.items()]
            t, x, ex, y, ey = (np.array(column) for column in zip(*points, strict=True))
            axes.errorbar(x, y, 1.96 * ey, 1.96 * ex, label=names[name], **_style(k))
            for place in {0, len(t) - 1, int(abs(t - 1).argmin())}:
                axes.annotate(f"{t[place]:g}", (x[place], y[place]), (4, 4), textcoords="offset points", fontsize=7)
        axes.set_xlabel(pair.quality_label + (", more is better" if pair.quality_sign < 0 else ", less is better"))
        axes.set_ylabel(pair.diversity_label.replace(" (", "\n(") + ", less is more diverse")
        axes.legend(fontsize=8, frameon=False)
        axes.grid(alpha=0.25, linewidth=0.6)

    return svg(draw, pair.quality, SIZE, html.escape(f"{pair.diversity_label} against {pair.quality_label}", quote=True))


def _distances(names: Mapping[str, str], curves: Mapping[str, Curve], beside: Beside) -> str:
    def draw(axes: Any) -> None:
        for k, (name, curve) in enumerate(curves.items()):
            t, y, error = (np.array(column) for column in zip(*((t, *f["fed"]) for t, f in curve.items()), strict=True))
            axes.errorbar(t, y, 1.96 * error, label=names[name], **_style(k))
        axes.axhline(beside.real["fed"][0], color="black", linewidth=0.8)
        left = axes.get_xlim()[0]
        axes.annotate("real text", (left, beside.real["fed"][0]), (4, 4), textcoords="offset points", fontsize=8)
        axes.set_xlabel("temperature")
        axes.set_ylabel("Fréchet embedding distance, less is better")
        axes.legend(fontsize=8, frameon=False)
        axes.grid(alpha=0.25, linewidth=0.6)

    return svg(draw, "fed", SIZE, "Fréchet embedding distance against temperature")


def note(samples: int) -> str:
    """What the plots show, in a sentence."""
    return (
        f"Points are temperatures (the first, the last and 1 are written beside them), {samples:,} samples each; bars are 95 % "
        "intervals of drawing samples and sentences."
    )


def page(names: Mapping[str, str], curves: Mapping[str, Curve], beside: Beside, said: list[str]) -> str:
    """The HTML of a comparison; ``said`` are its conclusions."""
    title = html.escape(" and ".join(names.values()))
    body = f"<h1>{title}</h1>" + "".join(f"<p>{html.escape(line)}</p>" for line in said)
    drawn = "".join(f'<div class="map">{plot}</div>' for plot in plots(names, curves, beside))
    body += f'<h2>Quality against diversity</h2>{drawn}<p class="quiet">{html.escape(note(beside.samples))}</p>'
    body += f"<h2>Figures</h2><pre>{html.escape(table(curves, beside, names))}</pre>"
    head = f'<meta charset="utf-8"><title>{title}</title><meta name="viewport" content="width=device-width">'
    style = f"{STYLE}pre{{overflow-x:auto;font-size:.8rem}}"
    return f'<!doctype html><html lang="en"><head>{head}<style>{style}</style></head><body>{body}</body></html>\n'
