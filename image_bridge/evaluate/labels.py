"""Names and numbers of the figures, for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .modes import COVERED

LABELS = {
    "accuracy": "attributes that captions name, mean share that is shown",
    "accuracy_all": "images that show everything their caption names, share",
    "kid": "KID x 1000",
    "frechet": "Fréchet distance",
    "r_precision": "R-precision",
    "nearest_features": "nearest training image, distance of features, median",
    "closer_features": "share nearer in features than 99 in 100 held-out images",
    "nearest_pixels": "nearest training image, distance of pixels, median",
    "closer_pixels": "share nearer in pixels than 99 in 100 held-out images",
    "ms_ssim": "MS-SSIM between images of one caption",
}
SCORE = "classifier_score "
OF = {"captions": "of one caption", "class": "of one class", "nothing": "drawn at random"}
QUIET = ("kid_sd", "r_precision_chance")  # told in the row of another figure


def label(key: str) -> str:
    """A figure's name for people."""
    if key.startswith(SCORE):
        return f"classifier score of {key.removeprefix(SCORE)}"
    if key.startswith("accuracy_"):
        return LABELS.get(
            key, f"share of images that show the {key.removeprefix('accuracy_').replace('_', ' ')} of their caption"
        )
    return LABELS.get(key, key)


def cell(key: str, figures: dict[str, float]) -> str:
    """A figure as text; a stroke where there is none."""
    value = figures.get(key)
    if value is None or value != value:
        return "-"
    if key == "kid":
        return f"{1000 * value:.2f} ± {1000 * figures['kid_sd']:.2f}" if "kid_sd" in figures else f"{1000 * value:.2f}"
    return f"{value:.4f}" if key == "nearest_pixels" else f"{value:.3f}"


def lined_up(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as lines of text, the first column to the left and the others to the right."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = (
        "  ".join([f"{row[0]:{widths[0]}}", *(f"{c:>{w}}" for c, w in zip(row[1:], widths[1:], strict=True))]) for row in rows
    )
    return "".join(line.rstrip() + "\n" for line in lines)


def table(judged: dict[str, Any]) -> str:
    """What ``compare`` found, as tables and what must be known to read them."""
    model, real, out = judged["model"], judged["real"], ""
    told = judged["told"]
    rows: list[tuple[str, ...]]
    if judged["attributes"]:
        head = "named by captions" if told == "captions" else "told"
        rows = [(head, "samples", "real images", "other captions", "commonest", "one of", "judged")]
        for name, row in judged["attributes"].items():
            cells = [cell(key, row) for key in ("model", "real", "exchanged", "commonest", "one_of")]
            shown = "all that is named" if name == "all" else f"({name})" if name in judged["unseen"] else name
            rows.append((shown, *cells, f"{row['judged']:,.0f}"))
        out += lined_up(rows) + "\n"
    if judged["modes"]:
        rows = [("values shown", "samples", "real images", "KL of samples", "of real images", "classifier's accuracy")]
        for name, row in judged["modes"].items():
            counts = [f"{row[side]} of {row['values']}" for side in ("model", "real")]
            cells = [cell(key, row) for key in ("model_kl", "real_kl", "accuracy")]
            rows.append((name if row["seen"] else f"({name})", *counts, *cells))
        out += lined_up(rows) + "\n"
    lines = [("", "samples", "real images")]
    for key in dict.fromkeys([*model, *real]):
        if key not in QUIET:
            chance = f", chance {model['r_precision_chance']:.3f}" if key == "r_precision" else ""
            name = label(key).replace("of one caption", OF[told])
            lines.append((name + chance, cell(key, model), cell(key, real)))
    return out + lined_up(lines) + "\n" + "\n".join(notes(judged)) + "\n"


def notes(judged: dict[str, Any]) -> Iterator[str]:
    """What the figures are about, and why some are missing, a sentence or two each."""
    n, held, floor, size, seen = (judged[k] for k in ("samples", "held_out", "floor", "size", "extractor"))
    side = seen["resize"]
    yield f"Samples: {n:,}. Real images: {held:,} held-out ones. All at {size} x {size} pixels."
    yield (
        f"KID and Fréchet distance: from the {held:,} held-out images, of {n:,} samples and (the floor, under real images) of "
        f"{floor:,} training images; {seen['features']:,} features of {seen['name']}, images resized to {side} x {side}."
    )
    few = min(n, held, floor)
    if few < 4:
        yield f"KID needs four images of a kind; there are {few}."
    if few < 2:
        yield "The Fréchet distance needs two images of a kind."
    elif few <= seen["features"]:
        yield (
            f"With fewer images ({few:,}) than features ({seen['features']:,}) the Fréchet distance is too large for all: read "
            "it beside the floor only, and KID first."
        )
    if judged["attributes"]:
        yield (
            "Attributes: seen by a classifier of the training images; its accuracy on held-out ones stands under real images. "
            "Other captions: the samples with each other's captions, what a generator deaf to its text would reach. Commonest: "
            "the share of the value named most often; one of: 1 / number of values; both are what guessing reaches. Classifier "
            "score: the form of the Inception score with this classifier; it cannot be compared with published ones."
        )
        if judged["unseen"]:
            yield (
                f"In brackets: {', '.join(judged['unseen'])}. The classifier does not see them in real images at this size, so "
                "that they are left out of the mean and of all that is named."
            )
    else:
        none = "no caption of the samples names one." if judged["told"] == "captions" else "the generator is told none."
        yield "No accuracy of attributes: " + (none if judged["has_attributes"] else "the data name none.")
    if judged["modes"]:
        yield (
            f"Values shown: of an attribute, how many of the values that training images show have at least {COVERED:g} of their "
            "share among samples. KL: of the shares of values among samples from those of training images, in nats. All as the "
            "classifier sees them; the last column is how often it is right about held-out images."
        )
        if blind := [name for name, row in judged["modes"].items() if not row["seen"]]:
            yield f"It does not see {', '.join(blind)} in real images at this size: read nothing into those in brackets."
    others = round(1 / judged["model"].get("r_precision_chance", 1)) - 1
    if judged["told"] != "captions":
        yield "No R-precision: the generator is told no captions."
    elif others:
        yield f"R-precision: how often an image's own caption is found among {others} others, by a matcher of training images."
    else:
        yield "No R-precision: there is no held-out caption with another meaning."
    yield (
        f"Nearest of {judged['training']:,} training images: about 0.010 of samples should be nearer than 99 in 100 held-out "
        "images; many more are of a generator that learnt images by heart."
    )
    groups = "captions" if judged["told"] == "captions" else "groups of samples"
    if judged["ms_ssim_captions"]:
        yield (
            f"MS-SSIM at {judged['ms_ssim_scales']} scales, of {judged['ms_ssim_captions']} {groups}: 1 where images are alike."
        )
    else:
        yield "No MS-SSIM: there is no caption with two samples."
