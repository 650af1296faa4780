"""What ``compare`` found, as a table and as one HTML page."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from textgan.report import COLOURS, STYLE, duration, svg, thin

from ..evaluate.labels import OF, cell, lined_up
from ..evaluate.modes import COVERED, in_all
from ..traversals import Sheet
from .comparison import Compared, Entrant
from .comparison_pictures import Shown
from .reporting import UNITS

POINTS = 200  # a curve has about twice as many at most
WIDEST = 64  # pixels of an image on the page, unless it is larger itself
DARK = """
:root{color-scheme:light dark}td.number{white-space:nowrap}.number small{display:block}small{color:#5b6b7a}
.runs{display:flex;flex-wrap:wrap;gap:1.6rem}.sheet{overflow-x:auto;margin:0 0 1rem}
.sheet img{display:block;image-rendering:pixelated}.sheet p{margin:.5rem 0 .1rem;font-size:.85rem}
.heads{display:flex;font-size:.75rem;text-align:center}.heads span{flex:none}
h3{font-size:1rem;margin:.8rem 0 .3rem;overflow-wrap:anywhere}h4{font-size:.9rem;font-weight:600;margin:.6rem 0 .2rem}
@media(prefers-color-scheme:dark){body{color:#dde5ec;background:#14181d}h2{border-color:#39434d}.quiet,small{color:#9aa8b5}
.warning{background:#4a2a25}.curves svg{filter:invert(.92) hue-rotate(180deg)}}
"""
HEADS = {
    "kid": "KID x 1000",
    "frechet": "Fréchet distance",
    "ms_ssim": "MS-SSIM",
    "covered": "values shown",
    "kl": "KL of values (nats)",
    "accuracy": "shown as told",
    "r_precision": "R-precision",
}


def figures_of(found: dict[str, Any], side: str) -> dict[str, Any]:
    """The figures of the page, by their names in HEADS, of samples ("model") or of real images ("real")."""
    known = {key: found[side][key] for key in (*HEADS, "kid_sd") if found[side].get(key) is not None}
    return known | in_all(found["modes"], side)


def _text(key: str, figures: dict[str, Any]) -> str:
    if key == "covered" and key in figures:
        return f"{figures['covered']} of {figures['of']}"
    return cell(key, figures)


def _heads(all_of: Compared) -> list[str]:
    """The figures that some run has."""
    return [key for key in HEADS if any(key in figures_of(found, "model") for found in all_of.found)]


def table(all_of: Compared) -> str:
    """The figures as lines of text: a row a run, and a row for the real images of each kind of run."""
    heads = _heads(all_of)
    rows: list[tuple[str, ...]] = [("run", *(HEADS[key] for key in heads))]
    floors: dict[tuple[str, ...], list[str]] = {}
    for entrant, found in zip(all_of.entrants, all_of.found, strict=True):
        rows.append((entrant.one.name, *(_text(key, figures_of(found, "model")) for key in heads)))
        floors.setdefault(tuple(_text(key, figures_of(found, "real")) for key in heads), []).append(entrant.one.name)
    for floor, names in floors.items():
        rows.append(("real images" if len(floors) == 1 else f"real images beside {', '.join(names)}", *floor))
    return lined_up(rows)


def summary(all_of: Compared) -> list[str]:
    """Plain sentences: the lowest KID, and who leaves something out."""
    said = []
    kids = [(f["model"]["kid"], f["model"]["kid_sd"], e.one.name) for e, f in zip(all_of.entrants, all_of.found, strict=True)]
    kids = sorted(kid for kid in kids if kid[0] is not None)
    if kids:
        best, spread, name = kids[0]
        real = cell("kid", all_of.found[0]["real"])
        said.append(f"The lowest KID x 1000 is that of {name}, {1000 * best:.2f} ± {1000 * spread:.2f}; real images have {real}.")
        if near := [other for kid, _, other in kids[1:] if kid <= best + spread]:
            said.append(f"Within one standard deviation of it: {', '.join(near)}.")
    for entrant, found in zip(all_of.entrants, all_of.found, strict=True):
        few = [f"{row['model']} of {row['values']} values of {name}" for name, row in found["modes"].items()
               if row["seen"] and row["model"] < row["values"]]  # fmt: skip
        if few:
            said.append(f"{entrant.one.name} shows {', '.join(few)}.")
    if all(found["modes"] for found in all_of.found) and not any("shows" in line for line in said):
        said.append("Every run shows every value of the attributes that the classifier sees.")
    return said


def _notes(all_of: Compared) -> Iterable[str]:
    """How the figures are to be read."""
    found = all_of.found[0]
    seen, held = found["extractor"], found["held_out"]
    yield (
        f"{found['samples']:,} samples a run beside {held:,} held-out images of {all_of.data} at {all_of.size} x {all_of.size} "
        "pixels. Small figures: the same for real images, the floor."
    )
    yield (
        f"KID and Fréchet distance, less is better: {seen['features']:,} features of {seen['name']}; the floor is that of "
        f"{found['floor']:,} training images; KID ± the standard deviation over its subsets."
    )
    pairs = sorted({OF[f["told"]] for f in all_of.found})
    yield f"MS-SSIM between images {', or '.join(pairs)}: 1 where all are alike; far above real images, a run varies little."
    if found["modes"]:
        names = ", ".join(f"{name} ({row['accuracy']:.0%})" for name, row in found["modes"].items()
                          if row["seen"] and row["accuracy"] is not None)  # fmt: skip
        yield (
            f"Values shown: how many values of attributes have {COVERED:g} or more of their share in training images among "
            "samples. KL: from the shares in training images to those in samples, the mean over attributes. A classifier of "
            f"training images sees them; how often it is right about held-out ones: {names or 'it sees none'}."
        )
        if any("accuracy" in f["model"] for f in all_of.found):
            yield (
                "Shown as told: how often the classifier sees in an image the class or the attributes that it was told, of real "
                "images how often it sees their own, which is its accuracy."
            )
    yield "`image-bridge evaluate RUN` says more, also whether images were learnt by heart."


def page(all_of: Compared, shown: Sequence[Shown]) -> str:
    """The HTML of a comparison."""
    names = [html.escape(e.one.name) for e in all_of.entrants]
    title = f"{len(names)} run{'s' * (len(names) > 1)} on {html.escape(all_of.data)}"
    body = f"<h1>{title}</h1><p>{', '.join(names)}</p>"
    body += "".join(f"<p>{html.escape(line)}</p>" for line in summary(all_of))
    body += "".join(f'<p class="warning">{html.escape(note)}</p>' for note in all_of.notes)
    body += f"<h2>Figures</h2>{_figures(all_of)}"
    body += "".join(f'<p class="quiet">{html.escape(note)}</p>' for note in _notes(all_of))
    body += _each_attribute(all_of)
    body += f"<h2>Cost of training</h2>{_costs(all_of.entrants)}"
    body += f'<h2>Losses</h2><div class="curves">{"".join(map(_losses, all_of.entrants))}</div>'
    body += "<h2>Samples of the same noise</h2>" + _cards(names, [[one.samples] for one in shown])
    body += "<h2>From one noise to another</h2>" + _cards(names, [[one.walk] for one in shown])
    if any(one.codes or one.missing for one in shown):
        body += "<h2>Codes and reconstructions</h2>" + _cards(names, [one.codes for one in shown])
        lines = [f"{name}: {html.escape(one.missing)}." for name, one in zip(names, shown, strict=True) if one.missing]
        body += "".join(f'<p class="quiet">{line}</p>' for line in lines)
    head = f'<meta charset="utf-8"><title>{title}</title><meta name="viewport" content="width=device-width">'
    return f'<!doctype html><html lang="en"><head>{head}<style>{STYLE}{DARK}</style></head><body>{body}</body></html>\n'


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of HTML; the first is the head."""
    head = "".join(f"<th>{name}</th>" for name in rows[0])
    lines = ("".join(f'<td class="number">{text}</td>' for text in row) for row in rows[1:])
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _figures(all_of: Compared) -> str:
    heads = _heads(all_of)
    rows = [["run", *(HEADS[key] for key in heads)]]
    for entrant, found in zip(all_of.entrants, all_of.found, strict=True):
        both = [figures_of(found, side) for side in ("model", "real")]
        cells = [_text(key, both[0]) + f"<small>real {_text(key, both[1])}</small>" * (key in both[1]) for key in heads]
        rows.append([html.escape(entrant.one.name), *cells])
    return _table(rows)


def _each_attribute(all_of: Compared) -> str:
    """The values shown of each attribute, where there are several."""
    names = list(all_of.found[0]["modes"])
    if len(names) < 2:
        return ""
    rows = [["values shown, KL", *(html.escape(e.one.name) for e in all_of.entrants), "real images", "classifier's accuracy"]]
    for name in names:
        each = [found["modes"][name] for found in all_of.found]
        cells = [f"{row['model']} of {row['values']}, {cell('model_kl', row)}" for row in each]
        last = each[0]
        real = f"{last['real']} of {last['values']}, {cell('real_kl', last)}"
        shown = html.escape(name) if last["seen"] else f"({html.escape(name)})"
        rows.append([shown, *cells, real, cell("accuracy", last)])
    blind = '<p class="quiet">The classifier does not see what stands in brackets; it is left out above.</p>'
    return _table(rows) + blind * any(not row["seen"] for row in all_of.found[0]["modes"].values())


def _costs(entrants: Sequence[Entrant]) -> str:
    rows = [["run", "method", "steps of all players", "images in minibatches", "time", "parameters of G", "of the others"]]
    for entrant in entrants:
        cost = entrant.cost
        time = f"{duration(cost.seconds)}<small>on {html.escape(cost.device)}</small>"
        others = ", ".join(f"{html.escape(name)} {count:,}" for name, count in cost.others.items())
        images = "-" if cost.images is None else f"{cost.images:,}"
        name, method = html.escape(entrant.one.name), html.escape(entrant.algorithm)
        rows.append([name, method, f"{cost.steps:,}", images, time, f"{cost.generator:,}", others])
    return _table(rows)


def _losses(entrant: Entrant) -> str:
    name = entrant.one.name
    if not entrant.curves:
        return f'<p class="quiet">{html.escape(name)}: no losses were logged.</p>'

    def draw(axes: Any) -> None:
        for k, (key, curve) in enumerate(sorted(entrant.curves.items())):
            x, y = thin(*curve, POINTS)
            axes.plot(x, y, label=UNITS.get(key, key), linewidth=1.1, color=COLOURS[k % len(COLOURS)])
        axes.set_xlabel("step of all players")
        axes.set_title(name, fontsize=10, loc="left", parse_math=False)
        axes.grid(alpha=0.25, linewidth=0.6)
        axes.legend(fontsize=8, frameon=False)

    return svg(draw, name, (6.2, 3.2), html.escape(f"losses of {name} against the step", quote=True))


def _cards(names: Sequence[str], all_sheets: Sequence[Sequence[Sheet]]) -> str:
    """Pictures of each run below its name."""
    cards = [f"<div><h3>{n}</h3>{''.join(map(_sheet, some))}</div>" for n, some in zip(names, all_sheets, strict=True) if some]
    return f'<div class="runs">{"".join(cards)}</div>'


def _sheet(sheet: Sheet) -> str:
    """Rows of images with their captions; without captions they are one picture."""
    side = sheet.rows[0].shape[1]
    scale = max(1, WIDEST // side)
    wide = (side + 1) * scale
    heads = "".join(f'<span style="width:{wide}px">{html.escape(text)}</span>' for text in sheet.headings)
    parts = [f"<h4>{html.escape(sheet.title)}</h4>" if sheet.title else "", f'<div class="heads">{heads}</div>' if heads else ""]
    for k, row in enumerate([sheet.rows] if not sheet.captions else [[row] for row in sheet.rows]):
        caption = sheet.captions[k] if sheet.captions else ""
        parts.append(f"<p>{html.escape(caption)}</p>" if caption else "")
        parts.append(_picture(row, scale, caption or sheet.title or "samples"))
    return f'<div class="sheet">{"".join(parts)}</div>'


def _picture(rows: Sequence[np.ndarray], scale: int, told: str) -> str:
    """Rows (n, S, S, 3) as one picture, a transparent pixel between two images; the page enlarges it."""
    side = rows[0].shape[1]
    out = Image.new("RGBA", (max(map(len, rows)) * (side + 1) - 1, len(rows) * (side + 1) - 1))
    for i, row in enumerate(rows):
        for k, image in enumerate(row):
            out.paste(Image.fromarray(image), (k * (side + 1), i * (side + 1)))
    file = io.BytesIO()
    out.save(file, "PNG")
    source = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="{html.escape(told, quote=True)}" width="{out.width * scale}" src="data:image/png;base64,{source}">'
