"""The tab that writes sentences."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from ..writing import Writer
from . import parts

MOST = 50  # sentences at a time


def tab(runs: Sequence[str], models: parts.Models, device: str) -> None:
    """Lay the tab out.

    Args:
        runs: folders of generators.
        models: what is loaded.
        device: where they run.
    """

    def load(path: str) -> Writer:
        return Writer(path, device=device)

    @parts.told
    def write(run: str, prompt: str, number: float, temperature: float, top_k: float, top_p: float, seed: float) -> str:
        n, how = parts.drawing(MOST, number, temperature, top_k, top_p, seed)
        prompt = parts.short(prompt) if prompt.strip() else ""
        with models.use(load, run) as writer:
            missing = writer.unknown(prompt)
            written = writer.write(n, how, prompt=prompt)
        if missing:
            gr.Warning(f"{missing} tokens of the beginning are not in the vocabulary; they are read as <unk>")
        return parts.listed([(w.text, f"log p {w.log_prob:.1f}") for w in written], "an empty sentence")

    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            run = parts.chooser(runs)
            prompt = gr.Textbox(label="Beginning", info="every sentence begins so; may be empty", max_length=parts.LONGEST)
            controls = parts.drawing_controls(MOST, 10)
            with gr.Row():
                button = gr.Button("Write", variant="primary")
                again = gr.Button("Another seed")
        with gr.Column(scale=3, min_width=320):
            out = gr.HTML(parts.quiet("Sentences appear here; log p is a sentence's log-probability in nats."))
    given = [run, prompt, *controls]
    gr.on([button.click, prompt.submit], write, given, out)
    again.click(parts.told(parts.another), controls[-1], controls[-1]).then(write, given, out)
