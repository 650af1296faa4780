"""The tab of the GAN lab: a GAN of points that is trained before the eyes, phase by phase or running."""

from __future__ import annotations

import functools
from typing import Any

import gradio as gr

from ..errors import UserError
from . import parts
from .canvas import canvas, painted
from .frames import frame, progress, words
from .ganlab import LOSSES, PHASES, SHAPES, Lab, LabConfig

SECONDS = 0.5  # between two frames
MOST = 50_000  # turns of one game
RATES = [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.03]
DIMENSIONS = {"line": 1, "plane": 2}  # of the noise

ABOUT = """\
The **generator** G turns noise into points; the **discriminator** D tells generated points from real ones. They take turns, and a
turn has five phases: take them one at a time with the buttons above the picture, or let it run.
"""


def tab(page: gr.Blocks) -> None:
    """Lay the tab out. Every user has a game of their own, kept in the session, which begins when ``page`` is loaded."""

    def buttons(lab: Lab) -> list[Any]:
        return [gr.Button(variant="primary" if k == lab.phase else "secondary") for k in range(len(PHASES))]

    @parts.told
    def start(
        arrows: bool,
        shape: str,
        loss: str,
        noise: str,
        dim: str,
        d_steps: float,
        g_lr: float,
        d_lr: float,
        seed: float,
        drawing: Any,
    ) -> list[Any]:
        own = shape == SHAPES[-1]
        density = painted(drawing) if own else None
        stop, column = gr.Timer(active=False), gr.Column(visible=own)
        if own and density is None:
            hint = parts.quiet("Paint on the canvas at the left where real points are to lie.")
            return [gr.skip(), gr.skip(), hint, *[gr.skip()] * len(PHASES), stop, column]
        turns = int(parts.within("the turns of D", d_steps, 1, 10))
        seed = int(parts.within("the seed", seed, 0, parts.LAST_SEED))
        lab = Lab(LabConfig(shape, loss, noise, DIMENSIONS[dim], g_lr, d_lr, turns, seed=seed), density)
        return [lab, frame(lab, single=False, arrows=arrows), progress(lab), *buttons(lab), stop, column]

    def phase(name: str, lab: Lab | None, arrows: bool) -> list[Any]:
        lab = _game(lab)
        lab.go_to(name)
        if name == "update":
            lab.record()
        pulled = arrows or (name == "gradient" and lab.player == "G")
        return [lab, frame(lab, single=True, arrows=pulled), words(lab, name), *buttons(lab)]

    @parts.told
    def train(lab: Lab | None, turns: float, arrows: bool) -> list[Any]:
        lab = _game(lab)
        lab.train(int(parts.within("the turns", turns, 1, 500)))
        return [lab, frame(lab, single=False, arrows=arrows), progress(lab), *buttons(lab)]

    @parts.told
    def adjust(lab: Lab | None, d_steps: float, g_lr: float, d_lr: float) -> Lab:
        lab = _game(lab)
        lab.adjust(g_lr, d_lr, int(parts.within("the turns of D", d_steps, 1, 10)))
        return lab

    game = gr.State(None, time_to_live=3600)
    gr.Markdown(ABOUT)
    with gr.Row():
        with gr.Column(scale=1, min_width=250):
            shape = gr.Dropdown(list(SHAPES), value=SHAPES[0], label="Real points")
            with gr.Column(visible=False) as column:
                sketch = canvas()
            loss = gr.Radio(list(LOSSES), value=LOSSES[0], label="Loss")
            noise = gr.Radio(["Gaussian", "uniform"], value="Gaussian", label="Noise")
            dim = gr.Radio(list(DIMENSIONS), value="plane", label="Noise lies on a")
            d_steps = gr.Slider(1, 10, 3, step=1, label="Turns of D for one of G")
            with gr.Row():
                d_lr = gr.Dropdown(RATES, value=0.002, label="D's learning rate", min_width=100)
                g_lr = gr.Dropdown(RATES, value=0.002, label="G's learning rate", min_width=100)
            seed = parts.seed_field()
        with gr.Column(scale=3, min_width=420):
            with gr.Row(elem_classes="phases"):
                singles = [
                    gr.Button(
                        name.capitalize(), size="sm", min_width=80, variant="secondary" if k else "primary", elem_id=f"lab-{name}"
                    )
                    for k, name in enumerate(PHASES)
                ]
            picture, told = gr.HTML(), gr.HTML(elem_id="lab-told")
            with gr.Row():
                turns = gr.Slider(1, 200, 40, step=1, label="Turns at a time (Train, and each frame of Run)", scale=2)
                arrows = gr.Checkbox(True, label="Arrows: where each point is pulled", scale=2)
            with gr.Row():
                many = gr.Button("Train", min_width=80)
                run = gr.Button("Run", variant="primary", min_width=80)
                pause = gr.Button("Pause", min_width=80)
                reset = gr.Button("Start again", min_width=80)
    timer = gr.Timer(SECONDS, active=False)
    shown = [game, picture, told, *singles]
    choices = [shape, loss, noise, dim, d_steps, g_lr, d_lr, seed, sketch]
    one: Any = {"concurrency_id": "lab", "concurrency_limit": 1, "show_progress": "hidden"}  # the events of a game never overlap
    gr.on(
        [reset.click, sketch.change, shape.change, loss.change, noise.change, dim.change, seed.submit],
        start, [arrows, *choices], [*shown, timer, column], **one,
    )  # fmt: skip
    for name, button in zip(PHASES, singles, strict=True):
        button.click(parts.told(functools.partial(phase, name)), [game, arrows], shown, **one)
    many.click(train, [game, turns, arrows], shown, **one)
    timer.tick(train, [game, turns, arrows], shown, trigger_mode="once", **one)
    gr.on([d_steps.change, g_lr.change, d_lr.change], adjust, [game, d_steps, g_lr, d_lr], game, **one)
    run.click(lambda: gr.Timer(active=True), None, timer, show_progress="hidden")
    pause.click(lambda: gr.Timer(active=False), None, timer, show_progress="hidden")
    page.load(start, [arrows, *choices], [*shown, timer, column], **one)


def _game(lab: Lab | None) -> Lab:
    """The user's game.

    Raises:
        UserError: it was forgotten after an hour, or has gone on long enough.
    """
    if lab is None:
        raise UserError("this game is over; press “Start again”")
    if lab.steps >= MOST:
        raise UserError(f"this game has had {MOST:,} turns, the most there are; press “Start again”")
    return lab
