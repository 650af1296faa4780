"""The page of ``image-bridge ui``: captions to images, the way between two captions, and trainings that can be followed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import torch
from PIL import Image

from textgan.errors import UserError
from textgan.ui import live, parts
from textgan.ui.page import blocks
from textgan.ui.runs import is_run

from .cli.reporting import UNITS
from .grids import grid, picture
from .pipeline import TextToImage, converted, generator_folder, takes_sentences

MOST = 16  # images at a time
STEPS = 101  # places of the slider between two captions
SHOWN = 256  # pixels, at least, of an image on the page


def build(runs: Sequence[str], device: str) -> gr.Blocks:
    """The page for these runs.

    Args:
        runs: runs of image-bridge, their checkpoints, or folders with a saved generator.
        device: where they draw.

    Raises:
        UserError: one is none of these.
    """
    models, followed = parts.Models(), [run for run in runs if is_run(Path(run))]
    for run in followed:
        if (Path(run) / "data").is_dir():
            raise UserError(f"{run} is a run of textgan; expected runs of image-bridge; `textgan ui {run}` shows it")
    drawn = [run for run in runs if run not in followed or any((Path(run) / "checkpoints").glob("*"))]
    drawn = [run for run in drawn if takes_sentences(generator_folder(run))]  # says so where there is none
    if not drawn and not followed:
        raise UserError(f"{', '.join(runs)}: told no captions; the page draws captions; `image-bridge generate` draws the others")

    def load(path: str) -> TextToImage:
        return TextToImage.from_pretrained(path).to(device)

    page = blocks("image_bridge")
    with page:
        gr.Markdown("# image_bridge")
        with gr.Tabs():
            if drawn:
                with gr.Tab("Draw"):
                    draw_tab(drawn, models, load)
                with gr.Tab("Between two captions"):
                    between_tab(drawn, models, load)
            if followed:
                with gr.Tab("Training"):
                    live.tab(followed, UNITS)
    return page


def enlarged(image: Image.Image, least: int) -> Image.Image:
    """An image made larger by a whole number, if it is small."""
    return picture(image, max(1, least // image.width))


def draw_tab(runs: Sequence[str], models: parts.Models, load: Any) -> None:
    """Lay out the tab that draws one caption."""

    @parts.told
    def draw(run: str, caption: str, number: float, seed: float, truncation: float, mean: bool) -> tuple[Any, str]:
        n, first = int(parts.within("the number", number, 1, MOST)), int(parts.within("the seed", seed, 0, parts.LAST_SEED))
        cut = parts.within("the truncation", truncation, 0, 3) or None
        caption = parts.short(caption)
        seeds = [torch.Generator().manual_seed(first + k) for k in range(n)]  # as `image-bridge generate` has them
        with models.use(load, run) as pipe:
            images = pipe(caption, n, seeds, truncation=cut, deterministic=mean).images
        rows = [[enlarged(image, SHOWN // 2) for image in images[k : k + 4]] for k in range(0, n, 4)]
        return grid(rows), parts.quiet(f"{caption} (seeds {first} to {first + n - 1})")

    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            run = parts.chooser(runs)
            caption = gr.Textbox(label="Caption", max_length=parts.LONGEST, lines=2, value="a face with long red hair")
            number = gr.Slider(1, MOST, 8, step=1, label="How many")
            seed = parts.seed_field()
            truncation = gr.Slider(
                0, 3, 0, step=0.1, label="Truncation", info="cuts the noise: small is plain; 0 leaves it whole"
            )
            mean = gr.Checkbox(False, label="The text's code at its mean (StackGAN)")
            with gr.Row():
                button = gr.Button("Draw", variant="primary")
                again = gr.Button("Another seed")
        with gr.Column(scale=3, min_width=320):
            told = gr.HTML(parts.quiet("Images appear here."))
            out = gr.Image(show_label=False, interactive=False, format="png", buttons=["download"], elem_id="drawn")
    given = [run, caption, number, seed, truncation, mean]
    gr.on([button.click, caption.submit], draw, given, [out, told])
    again.click(parts.told(parts.another), seed, seed).then(draw, given, [out, told])


def between_tab(runs: Sequence[str], models: parts.Models, load: Any) -> None:
    """Lay out the tab with a slider from one caption to another."""

    @parts.told
    def between(run: str, first: str, last: str, place: float, seed: float, last_seed: float, turning: bool) -> tuple[str, str]:
        k = int(parts.within("the place", place, 0, STEPS - 1))
        seeds = [int(parts.within("the seed", s, 0, parts.LAST_SEED)) for s in (seed, last_seed)]
        start, end = (torch.Generator().manual_seed(s) for s in seeds)
        first, last = parts.short(first), parts.short(last)
        with models.use(load, run) as pipe, torch.inference_mode():
            vectors, noise = pipe.between(first, last, STEPS, start, end if turning else None)
            (image,) = converted(next(pipe.draw(vectors[k : k + 1], noise[k : k + 1])), "pil")
        out = io.BytesIO()
        enlarged(image, SHOWN).save(out, "PNG")
        return parts.inline(out.getvalue(), f"{k} % of the way from {first} to {last}", "between"), parts.quiet(
            f"{k} % of the way"
        )

    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            run = parts.chooser(runs)
            first = gr.Textbox("a face with short black hair", label="From", max_length=parts.LONGEST)
            last = gr.Textbox("a face with long pink hair", label="To", max_length=parts.LONGEST)
            seed = parts.seed_field()
            turning = gr.Checkbox(False, label="The noise changes too, to that of another seed")
            last_seed = gr.Number(1, label="Seed at the end", precision=0, minimum=0, maximum=parts.LAST_SEED)
            button = gr.Button("Draw", variant="primary", elem_id="way")
        with gr.Column(scale=3, min_width=320):
            place = gr.Slider(0, STEPS - 1, 0, step=1, label="Place on the way, in per cent", elem_id="place")
            told = gr.HTML(parts.quiet("Draw, then move the slider."))
            out = gr.HTML()
    given = [run, first, last, place, seed, last_seed, turning]
    gr.on([button.click, first.submit, last.submit], between, given, [out, told])
    place.change(between, given, [out, told], show_progress="hidden", trigger_mode="always_last")
