"""The pictures and the words of the GAN lab: the plane with D's field, the curves, and what a phase has done."""

from __future__ import annotations

import html
import io
import math
from typing import Any

import numpy as np
import torch

from ..report import thin
from .ganlab import BATCH, EDGE, Lab
from .parts import inline

REAL, FAKE, ARROW = "#1b6ca8", "#c8553d", "#2b2b2b"
REACH, LONGEST = 0.15, 0.3  # of an arrow: plane units for a gradient of 1, and at most
DOTS = 400  # real points in the background


def frame(lab: Lab, *, single: bool, arrows: bool) -> str:
    """The plane and the curves as an image in HTML.

    Args:
        lab: what is shown.
        single: show the points of the present turn; otherwise the same noise every time, so that points move smoothly.
        arrows: draw where each generated point is to go.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(10.4, 5.6), dpi=96, layout="constrained")
        grid = figure.add_gridspec(3, 2, width_ratios=(5.6, 4.2))
        _plane(figure.add_subplot(grid[:, 0]), lab, single, arrows)
        _curves([figure.add_subplot(grid[row, 1]) for row in range(3)], lab)
        out = io.BytesIO()
        FigureCanvasAgg(figure).print_png(out)
    told = f"GAN of points after {lab.steps} turns, Jensen-Shannon divergence {lab.history[-1][4]:.3f} nats"
    return inline(out.getvalue(), told, "frame")


def _plane(axes: Any, lab: Lab, single: bool, arrows: bool) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    turn = lab.turn
    z = turn.z if single and turn.z is not None else lab.fixed[:BATCH]
    with torch.no_grad():
        fake = lab.G(z)
    colours = LinearSegmentedColormap.from_list("field", ["#f3b8a8", "#fdf6f0", "#ffffff", "#f0f6fb", "#a8cbe6"])
    axes.imshow(
        lab.field(), origin="lower", extent=(-EDGE, EDGE, -EDGE, EDGE), cmap=colours, vmin=0, vmax=1, interpolation="bilinear"
    )
    axes.scatter(*lab.seen[:DOTS].T.numpy(), s=9, color=REAL, alpha=0.45, linewidths=0, label="real")
    axes.scatter(*fake.T.numpy(), s=14, color=FAKE, alpha=0.85, linewidths=0, label="generated")
    if single and turn.fake_score is not None and lab.phase:
        wrong = (turn.fake_score.detach() > 0).numpy()  # D takes them for real
        axes.scatter(*fake[wrong].T.numpy(), s=34, facecolors="none", edgecolors=ARROW, linewidths=0.9, label="D is deceived")
    if arrows:
        pull = lab.pulls(fake).numpy() * REACH
        length = np.linalg.norm(pull, axis=1, keepdims=True)
        pull *= np.minimum(1, LONGEST / np.maximum(length, 1e-9))
        axes.quiver(
            *fake.T.numpy(), *pull.T, angles="xy", scale_units="xy", scale=1, color=ARROW, alpha=0.65, width=0.0035, headwidth=4
        )
    axes.set_xlim(-EDGE, EDGE)
    axes.set_ylim(-EDGE, EDGE)
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color("#aab4bd")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title("blue: D thinks real, red: D thinks generated", fontsize=9, loc="left")
    axes.legend(loc="lower right", fontsize=8, framealpha=0.85)


def _curves(panels: list[Any], lab: Lab) -> None:
    steps, d, g, k, j = (np.array(column, dtype=float) for column in zip(*lab.history, strict=True))
    below = "JS divergence (nats; dotted: log 2, the largest)"
    for axes, title, lines in (
        (panels[0], "losses", (("D's", d, REAL, "-"), ("G's", g, FAKE, "--"))),
        (panels[1], "KL divergence of real from generated points (nats)", (("", k, "#7b4fa3", "-"),)),
        (panels[2], below, (("", j, "#2f855a", "-"),)),
    ):
        for name, values, colour, line in lines:
            x, y = thin(steps, values, 300)
            axes.plot(x, y, line, color=colour, linewidth=1.5, label=name, marker="o" if len(x) < 12 else "", markersize=3)
        axes.set_xlim(0, max(10, lab.steps))
        axes.grid(alpha=0.25, linewidth=0.6)
        axes.set_title(title, fontsize=9, loc="left")
    panels[0].legend(fontsize=8, frameon=False, loc="upper right")
    for axes in panels[1:]:
        axes.set_ylim(bottom=0)
    panels[2].axhline(math.log(2), color="#2f855a", linewidth=0.8, linestyle=":")
    panels[2].set_xlabel("turns")


def words(lab: Lab, phase: str) -> str:
    """What the phase has done, with its numbers, in plain words."""
    turn, mine = lab.turn, lab.player == "D"
    who, other = ("discriminator D", "the generator") if mine else ("generator G", "the discriminator")
    text = ""
    if phase == "generate":
        text = f"G turned {BATCH} draws of noise into points, and as many real points were drawn."
    elif phase == "classify" and turn.real_score is not None and turn.fake_score is not None:
        real, fake = ((s.detach() > 0).float().mean().item() for s in (turn.real_score, turn.fake_score))
        text = (
            f"D gave every point a score: it takes {real:.0%} of the real points and {fake:.0%} of the generated ones for real."
        )
    elif phase == "loss" and turn.loss is not None:
        want = "real points scored high and generated ones low" if mine else "the generated points to score high"
        text = f"The {who} wants {want}; its loss, which says how far it is from that, is {turn.loss.item():.3f}."
    elif phase == "gradient" and turn.gradient is not None:
        norm = math.sqrt(sum(float(g.square().sum()) for g in turn.gradient))
        arrows = "" if mine else " The arrows show it where it enters G: each point is pulled to where D scores higher."
        text = f"The gradient says how each weight of the {who} changes the loss; its length is {norm:.3f}.{arrows}"
    elif phase == "update":
        text = f"The weights of the {who} moved a little against the gradient; {other} stayed as it is."
    head = f"Turn {lab.steps + (phase != 'update'):,}, {who}: {phase}."
    return f'<p class="remark"><b>{html.escape(head)}</b> {html.escape(text)}</p>'


def progress(lab: Lab) -> str:
    """Where the training is."""
    steps, d, g, k, j = lab.history[-1]
    beginning = "Nothing is trained yet: G's points lie where its random weights put them." if not steps else ""
    text = beginning or f"D's loss {d:.3f}, G's loss {g:.3f}, KL {k:.3f}, JS {j:.3f} of at most {math.log(2):.3f} nats."
    if not all(p.isfinite().all() for p in [*lab.G.parameters(), *lab.D.parameters()]):
        text = "The weights are no longer finite: the training has blown up. Lower the learning rates and start again."
    return f'<p class="remark"><b>{lab.steps:,} turns.</b> {html.escape(text)}</p>'
