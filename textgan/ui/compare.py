"""The tab that compares generators: quality against diversity over temperatures."""

from __future__ import annotations

import html
from collections.abc import Sequence

import gradio as gr

from ..cli.comparison import conclusions, data_of, entrant_of, names_of, sweep, table
from ..cli.comparison_page import note, plots
from ..errors import UserError
from . import parts

LEAST, MOST = 50, 1000  # samples at each temperature
TEMPERATURES = (1.2, 1.0, 0.8, 0.6, 0.4)


def tab(runs: Sequence[str]) -> None:
    """Lay the tab out; ``runs`` generate text. Results are kept: they depend on nothing but what was asked."""
    known: dict[tuple[tuple[str, ...], int, tuple[float, ...]], str] = {}

    def compare(chosen: list[str], number: float, temperatures: list[float], progress: gr.Progress) -> str:
        n, ts = (
            int(parts.within("the number of samples", number, LEAST, MOST)),
            tuple(t for t in TEMPERATURES if t in temperatures),
        )
        names = tuple(run for run in runs if run in chosen)
        if not names or not ts:
            raise UserError("nothing is chosen; choose one run or more, and one temperature or more")
        if (names, n, ts) not in known:
            entrants, total = [entrant_of(name) for name in names], len(names) * len(ts)
            strange = next((name for name in names if data[name] != data[names[0]]), None)
            if strange:
                raise UserError(
                    f"{strange} was trained on other data, or with another tokenizer, than {names[0]}; choose alike runs"
                )
            progress((0, total), desc="reading text", unit="temperatures")
            curves, beside = sweep(entrants, n, ts, "", 0, lambda done, name: progress((done, total), desc=name))
            said = "".join(f"<p>{html.escape(line)}</p>" for line in conclusions(entrants, curves, beside))
            drawn = "".join(f'<div class="map">{plot}</div>' for plot in plots(names_of(entrants), curves, beside))
            figures = html.escape(table(curves, beside, names_of(entrants)))
            figures = f"<details><summary>All figures</summary><pre>{figures}</pre></details>"
            known[names, n, ts] = f'<div class="maps">{drawn}</div>{parts.quiet(note(n))}{said}{figures}'
        return known[names, n, ts]

    data = {run: data_of(entrant_of(run)) for run in runs}
    alike = [run for run in runs if data[run] == data[runs[0]]]
    inner = parts.told(compare)

    def shown(chosen: list[str], number: float, temperatures: list[float], progress: gr.Progress = gr.Progress()) -> str:  # noqa: B008
        return str(inner(chosen, number, temperatures, progress))

    with gr.Row():
        with gr.Column(scale=2, min_width=240):
            chosen = gr.CheckboxGroup(list(runs), value=alike, label="Runs")
        with gr.Column(scale=2, min_width=240):
            ts = gr.CheckboxGroup(list(TEMPERATURES), value=list(TEMPERATURES), label="Temperatures")
        with gr.Column(scale=2, min_width=240):
            number = gr.Slider(
                LEAST, MOST, 200, step=50, label="Samples at each temperature", info="more are slower and less noisy"
            )
    button = gr.Button("Compare", variant="primary")
    remark = (
        "A lower temperature gives quality and takes diversity, so one temperature says little: a GAN is better only where it "
        "has more diversity at the same quality than the tempered language model. This takes some seconds for every run and "
        "temperature; textgan compare does the same with more samples and writes a page."
    )
    out = gr.HTML(parts.quiet(remark))
    button.click(shown, [chosen, number, ts], out)
