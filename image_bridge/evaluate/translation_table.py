"""What ``judge_translator`` found, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .labels import lined_up

ROWS = {
    "l1": "L1 from the truth",
    "features": "features from the truth",
    "kid": "KID x 1000",
    "cycle": "L1 there and back",
}
SIDES = {
    "translation": "translation", "copy": "the input", "mean": "mean image", "nearest": "nearest image", "real": "real images",
}  # fmt: skip
WHOLE = 12  # ways of which everything is printed; of more, a line each


def cell(figures: Mapping[str, float], key: str) -> str:
    """A figure as text, with its error or spread where there is one; a stroke where there is none."""
    value = figures.get(key)
    if value is None or value != value:
        return "-"
    scale, digits = (1000, 1) if key == "kid" else (1, 3)
    error = figures.get(f"{key}_sd" if key == "kid" else f"{key}_error")
    return f"{scale * value:.{digits}f}" + ("" if error is None or error != error else f" ± {scale * error:.{digits}f}")


def _block(head: str, found: Mapping[str, Any], unseen: list[str]) -> str:
    sides = [side for side in SIDES if side in found["figures"]]
    rows = [(head, *(SIDES[side] for side in sides), "chance", "judged")]
    for key, name in ROWS.items():
        if any(key in found["figures"][side] for side in sides):
            count = found["scenes"] if key in ("l1", "features") else found["images"]
            rows.append((name, *(cell(found["figures"][side], key) for side in sides), "", f"{count:,}"))
    for name, row in found["attributes"].items():
        shown = "all of these" if name == "all" else f"{name}, {'asked for' if row['asked'] else 'kept'}"
        shown = f"({shown})" if name in unseen else shown
        rows.append((shown, *(cell(row, side) for side in sides), cell(row, "chance"), f"{row['judged']:,.0f}"))
    return lined_up(rows)


def table(judged: Mapping[str, Any]) -> str:
    """Figures of the mean and of every way; where these are many, a line each; and what must be known to read them."""
    ways, unseen = judged["ways"], judged["unseen"]
    out = _block(f"mean of {len(ways)} ways" if len(ways) > 1 else next(iter(ways)), judged["mean"], unseen) + "\n"
    if 1 < len(ways) <= WHOLE:
        out += "".join(_block(name, found, unseen) + "\n" for name, found in ways.items())
    elif len(ways) > WHOLE:
        names, keys = list(judged["mean"]["attributes"]), [key for key in ROWS if key in judged["mean"]["figures"]["translation"]]
        rows = [("translations", *(ROWS[key] for key in keys), *names)]
        for name, found in ways.items():
            figures = found["figures"]["translation"]
            attributes = [cell(found["attributes"].get(key, {}), "translation") for key in names]
            rows.append((name, *(cell(figures, key) for key in keys), *attributes))
        out += lined_up(rows) + "\n"
    return out + "\n".join(notes(judged)) + "\n"


def notes(judged: Mapping[str, Any]) -> Iterator[str]:
    """What the figures are about, and why some are missing, a sentence or two each."""
    seen, size, mean = judged["extractor"], judged["size"], judged["mean"]
    held = ", ".join(f"{count:,} of {name}" for name, count in judged["held_out"].items())
    yield f"Held-out images: {held}; at {size} x {size} pixels."
    if mean["scenes"]:
        yield (
            f"The truth: the held-out image of the same scene in the other domain. L1: mean difference of channels in [0, 1]. "
            f"Features: one minus the cosine of features of {seen['name']}, in the manner of LPIPS, but it is not LPIPS."
        )
    else:
        yield "No distance from the truth: no held-out image has the same scene in another domain."
    yield (
        f"KID: from the held-out images of the other domain, in features of {seen['name']} (images resized to {seen['resize']} x "
        f"{seen['resize']}); under real images, of as many training images of it, the floor."
    )
    yield (
        "Without a translator: the input as it is; the mean training image of the other domain; its training image that is "
        "nearest to the input by pixels."
    )
    yield (
        "Attributes: the share of images of which a classifier of the training images sees what it should, what the input shows "
        "(kept) or what the other domain is to show (asked for). Under real images, its accuracy on held-out ones of the other "
        "domain. Chance: the commonest value; of what is asked for, 1 / number of values."
    )
    if judged["unseen"]:
        yield (
            f"In brackets: {', '.join(judged['unseen'])}. The classifier does not see them in real images at this size, so that "
            "they do not count in all of these."
        )
    if "cycle" not in mean["figures"]["translation"]:
        yield f"No way there and back: it translates into {', '.join(judged['targets'])} only."
    yield "After ±: standard errors; of KID the spread over subsets."
