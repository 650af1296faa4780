"""A canvas to paint on: what it holds is a text of 0 and 1, a letter a cell, row by row from the top."""

from __future__ import annotations

from typing import Any

import gradio as gr
import torch

CELLS = 32  # a side

TEMPLATE = f"""\
<canvas width="{CELLS}" height="{CELLS}" role="img" aria-label="canvas to paint real points on"></canvas>
<p class="remark">Paint where real points are to lie. <a href="#" class="clear">Clear</a></p>
"""
STYLE = """
canvas{width:100%;aspect-ratio:1;border:1px solid #aab4bd;border-radius:4px;background:#fff;cursor:crosshair;touch-action:none;
image-rendering:pixelated}
"""
PAINT = f"""
const canvas = element.querySelector('canvas'), brush = canvas.getContext('2d'), n = {CELLS};
let cells = new Array(n * n).fill(0), painting = false;
function draw() {{
    brush.clearRect(0, 0, n, n);
    brush.fillStyle = '#1b6ca8';
    cells.forEach((on, k) => on && brush.fillRect(k % n, Math.floor(k / n), 1, 1));
}}
function dab(event) {{
    const box = canvas.getBoundingClientRect();
    const x = Math.floor((event.clientX - box.left) / box.width * n), y = Math.floor((event.clientY - box.top) / box.height * n);
    for (let i = x - 1; i <= x + 1; i++) for (let j = y - 1; j <= y + 1; j++)
        if (i >= 0 && j >= 0 && i < n && j < n) cells[j * n + i] = 1;
    draw();
}}
function done() {{ props.value = cells.join(''); trigger('change'); }}
canvas.addEventListener('pointerdown', e => {{ painting = true; canvas.setPointerCapture(e.pointerId); dab(e); }});
canvas.addEventListener('pointermove', e => {{ if (painting) for (const one of e.getCoalescedEvents?.() ?? [e]) dab(one); }});
canvas.addEventListener('pointerup', () => {{ painting = false; done(); }});
element.querySelector('.clear').addEventListener('click', e => {{ e.preventDefault(); cells.fill(0); draw(); done(); }});
"""


def canvas() -> Any:
    """The canvas; it tells of a change whenever a stroke ends."""
    return gr.HTML("", html_template=TEMPLATE, css_template=STYLE, js_on_load=PAINT, elem_id="canvas")


def painted(drawing: Any) -> torch.Tensor | None:
    """What was painted, as weights (CELLS, CELLS) of 0 or 1, the first row on top; None where nothing was."""
    if not isinstance(drawing, str) or len(drawing) != CELLS**2 or set(drawing) != {"0", "1"}:
        return None
    return torch.tensor([float(cell) for cell in drawing]).view(CELLS, CELLS)
