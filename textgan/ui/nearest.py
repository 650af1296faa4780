"""The tab that looks for the nearest sentences or words."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from ..neighbours import Sentences, WordVectors
from . import parts

MOST = 50  # results
LINES = 5000  # of a file to search


def tab(runs: Sequence[str], models: parts.Models, device: str) -> None:
    """Lay the tab out; see generate.tab. The runs hold sentence encoders or word vectors."""

    def load(path: str) -> Sentences | WordVectors:
        return WordVectors.of_run(path) or Sentences.of_run(path, device=device)

    def load_encoder(path: str) -> Sentences:
        return Sentences.of_run(path, [], device=device)

    @parts.told
    def search(run: str, query: str, number: float, file: str | None) -> str:
        n, query = int(parts.within("the number", number, 1, MOST)), parts.short(query)
        with models.use(load_encoder if file else load, run) as among:
            found = (Sentences(among.encoder, parts.lines_of(file, LINES)) if file else among).nearest(query, n)
        return parts.listed([(text, f"{cosine:.3f}") for text, cosine in found])

    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            run = parts.chooser(runs)
            query = gr.Textbox(label="Sentence, or word of a word2vec run", max_length=parts.LONGEST)
            number = gr.Slider(1, MOST, 10, step=1, label="How many")
            file = gr.File(label="Search a text file instead", file_types=[".txt"], type="filepath", height=140)
            gr.HTML(parts.quiet(f"A file has a sentence a line, {LINES:,} at most."))
            button = gr.Button("Search", variant="primary")
        with gr.Column(scale=3, min_width=320):
            out = gr.HTML(parts.quiet("The run's own text is searched; the number beside each sentence is the cosine. The first "
                                      "search reads that text, which takes a moment."))  # fmt: skip
    gr.on([button.click, query.submit], search, [run, query, number, file], out)
