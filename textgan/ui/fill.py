"""The tab that fills blanks: a click on a word makes it a blank."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Any

import gradio as gr

from ..writing import Filled, Filler
from . import parts

MOST = 20  # fillings at a time
PIECE = re.compile(r"\s*(?:___\d*|[\w'’-]+|[^\w\s])")


def pieces(text: str) -> list[str]:
    """A sentence cut into words, marks and blanks, each with what stands before it."""
    return PIECE.findall(text)


def with_blanks(text: str, chosen: Sequence[int]) -> str:
    """The sentence with ___ in the place of the chosen pieces."""
    words = ((piece, piece[: len(piece) - len(piece.lstrip())]) for piece in pieces(text))
    return "".join(f"{lead}___" if k in chosen and "___" not in piece else piece for k, (piece, lead) in enumerate(words))


def shown(found: Sequence[Filled]) -> str:
    """Filled sentences as HTML, with the words that were filled in and their probabilities."""
    rows = []
    for one in found:
        words = "".join(
            f'<span class="word" title="probability">{html.escape(word)} <small>{p:.2g}</small></span>'
            for word, p in zip(one.words, one.probability, strict=True)
        )
        rows.append(f"<li><span>{html.escape(one.text)}</span><span>{words}</span></li>")
    return f'<ol class="found filled">{"".join(rows)}</ol>'


def tab(runs: Sequence[str], models: parts.Models, device: str) -> None:
    """Lay the tab out; see generate.tab."""

    def load(path: str) -> Filler:
        return Filler(path, device=device)

    def cut(text: str) -> Any:
        found = [(piece.strip(), k) for k, piece in enumerate(pieces(text[: parts.LONGEST]))]
        return gr.CheckboxGroup(found, value=[k for word, k in found if word.startswith("___")])

    @parts.told
    def fill(
        run: str, text: str, chosen: list[int], number: float, temperature: float, top_k: float, top_p: float, seed: float
    ) -> tuple[str, str]:
        n, how = parts.drawing(MOST, number, temperature, top_k, top_p, seed)
        sentence = with_blanks(parts.short(text), [int(k) for k in chosen])
        with models.use(load, run) as filler:
            if "___" not in sentence:
                raise ValueError("there is no blank; click a word of the sentence, or write ___ in it")
            ids = filler.read(sentence)
            missing = ids.count(filler.tokenizer.unk)
            found = filler.fill(ids, n, how)
        if missing:
            gr.Warning(f"{missing} words of the sentence are not in the vocabulary; they are read as <unk>")
        return parts.quiet(sentence), shown(found)

    first = "The city of the church was built in the river."
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            run = parts.chooser(runs)
            text = gr.Textbox(
                first, label="Sentence", info="`___` is a blank of one word, `___3` of three", max_length=parts.LONGEST
            )
            found = [(piece.strip(), k) for k, piece in enumerate(pieces(first))]
            words = gr.CheckboxGroup(found, label="Click words to blank them", elem_classes="blanks", value=[7])
            controls = parts.drawing_controls(MOST, 5)
            with gr.Row():
                button = gr.Button("Fill", variant="primary")
                again = gr.Button("Another seed")
        with gr.Column(scale=3, min_width=320):
            asked = gr.HTML()
            out = gr.HTML(parts.quiet("The filled sentences appear here, with the probability of every word that was filled in."))
    text.change(cut, text, words, show_progress="hidden", trigger_mode="always_last")
    given = [run, text, words, *controls]
    button.click(fill, given, [asked, out])
    again.click(parts.told(parts.another), controls[-1], controls[-1]).then(fill, given, [asked, out])
