"""The command ``evaluate``: how good the images of a run, or of any program, are beside real ones."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from textgan.cli.parse import parse, positive, print_json, say
from textgan.errors import UserError

from .judging import Bars, asked, device_of, extractor_of, judged, opened, real_images, run_of, trained_on


@dataclass(frozen=True)
class EvaluateOptions:
    """Options of evaluate."""

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")] = ""
    """A run of image-bridge, one of its checkpoints (RUN/best), or a folder with a saved generator."""
    data: str = ""
    """Folder of the real images; those that the run was trained on when absent."""
    samples: str = ""
    """Judge this folder of images with captions (metadata.jsonl), from any program, instead of a run's."""
    number: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 1000
    """How many samples, and how many held-out images at most; of a run that translates, held-out images of each domain."""
    extractor: Literal["auto", "efficientnet-lite0", "own"] = "auto"
    """What gives the features of KID and Fréchet distance: efficientnet-lite0 (ImageNet weights; the extra [images]) or own (our
    attribute classifier of these data; without attributes our matcher); auto takes the first where it is installed."""
    inception_weights: str = ""
    """Take Inception-v3 with these weights instead: a state dict with the names of torchvision's or of pytorch-fid's, .pth or
    .safetensors. With pytorch-fid's, and as many images as a paper has, the Fréchet distance is FID."""
    size: int = 0
    """Width at which the images of --samples are compared; 0 for that of the first of them. A run has its own."""
    out: str = ""
    """Folder for images.json and nearest.png (translations.png of a run that translates); RUN/eval when absent, none with
    --samples."""
    json: bool = False
    """Print JSON instead of a table."""
    seed: int = 0
    """Decides the captions, the noise, and which real images are compared."""
    batch: int = 64
    """Images at a time."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""


def evaluate(argv: list[str]) -> int:
    """``image-bridge evaluate``."""
    given = parse(
        EvaluateOptions, argv, "image-bridge evaluate",
        "How good images are, beside real ones; of a run that translates images, beside the true translations where there are "
        "any (held-out images of the same scene) and beside doing without. Examples:\n\n  image-bridge evaluate runs/a\n"
        "  image-bridge evaluate runs/a -n 5000 --extractor own --json\n"
        "  image-bridge evaluate --samples drawn --data faces",
    )  # fmt: skip
    positive(given, "number", "batch")
    if given.seed < 0 or given.size < 0:
        raise UserError("--seed and --size must be 0 or more")
    if bool(given.run) == bool(given.samples):
        both = "both" if given.run else "neither"
        raise UserError(f"expected image-bridge evaluate RUN, or --samples FOLDER with --data FOLDER; received {both}")
    if given.samples and not given.data:
        raise UserError("--samples needs --data FOLDER with the real images that they are compared with")
    if given.size and not given.samples:
        raise UserError("--size is for --samples; a run's images are compared at the size at which it draws")
    if given.inception_weights and given.extractor != "auto":
        raise UserError(f"--inception-weights and --extractor {given.extractor} exclude each other; name one of them")
    from ..coloring import takes_images
    from ..generators import is_translator
    from ..pipeline import generator_folder
    from .coloring import evaluate_images
    from .translation_figures import evaluate_translator

    bars = Bars()
    try:
        if given.run and is_translator(folder := generator_folder(given.run)):
            return evaluate_translator(given, folder, bars)
        if given.run and takes_images(folder):
            return evaluate_images(given, folder, bars)
        found, picture = (_judge_folder if given.samples else _judge_run)(given, bars)
    finally:
        bars.close()
    return _tell(found, picture, given)


def extractor_for(given: EvaluateOptions, device: Any) -> Any:
    """The extractor that was asked for; None for our own judge, which there is not yet."""
    from ..evaluate.extractors import inception

    if given.inception_weights:
        return inception(Path(given.inception_weights), device, given.batch)
    return extractor_of(given.extractor, device, given.batch)


def _judge_run(given: EvaluateOptions, bars: Bars) -> tuple[dict[str, Any], Any]:
    from ..evaluate import Judges

    device = device_of(given.device)
    one = opened(given.run)
    source = trained_on(given.run, given.data)
    extractor = extractor_for(given, device)
    data, packed = real_images(source, one.G.config.size, bars)
    what = asked(one, data, given.number, given.seed, bars)
    judges = Judges.of(data, packed, device, bars, what.told)
    found, picture = judged(one, what, judges, extractor or judges.own, given.seed, given.batch, bars)
    return {"checkpoint": one.checkpoint, "data": str(source), **found}, picture


def _judge_folder(given: EvaluateOptions, bars: Bars) -> tuple[dict[str, Any], Any]:
    from PIL import Image

    from ..evaluate import Judges, folder_texts, held_out_texts
    from ..evaluate.comparison import compare
    from ..images import SMALLEST, ImageData
    from .data import warn_of_damage

    device = device_of(given.device)
    extractor = extractor_for(given, device)
    samples = ImageData(given.samples)
    samples.require_captions()
    size = given.size
    if not size:
        try:
            with Image.open(samples.files[0]) as first:
                size = min(first.size)
        except OSError as error:
            raise UserError(f"{samples.files[0]} cannot be read ({error}); mend it, or give --size") from error
    if size < SMALLEST:
        raise UserError(f"images are compared at {SMALLEST} pixels or more; received {size}; give --size")
    data, packed = real_images(given.data, size, bars)
    data.require_captions()
    drawn = samples.pack(size, 1, tell=bars.part("samples"))
    warn_of_damage(samples)
    whole = np.setdiff1d(np.arange(len(samples)), list(samples.damaged))
    chosen = np.sort(np.random.default_rng(given.seed).permutation(whole)[: given.number])
    texts = folder_texts(samples, data)[chosen]
    held = held_out_texts(data, given.number, given.seed)[: len(data.usable(held_out=True))]
    groups: dict[str, list[int]] = {}
    for k, caption in enumerate(texts.captions):
        groups.setdefault(caption, []).append(k)
    several = [some for some in groups.values() if len(some) > 1]
    judges = Judges.of(data, packed, device, bars)
    found, picture = compare(
        judges, extractor or judges.own, drawn[chosen], texts, held, [drawn[chosen[some]] for some in several],
        texts.meaning[[some[0] for some in several]], given.seed, bars,
    )  # fmt: skip
    return {"folder": given.samples, "data": given.data, **found}, picture


def finite(value: Any) -> Any:
    """The same with None where a figure is no number, as JSON knows none."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _tell(found: dict[str, Any], picture: Any, given: EvaluateOptions) -> int:
    from ..evaluate.labels import table

    return tell_figures(given, found, picture, table, ("images", "nearest"), "samples beside their nearest training images")


def tell_figures(
    given: EvaluateOptions, found: dict[str, Any], picture: Any, table: Callable[[dict[str, Any]], str],
    names: tuple[str, str], shows: str,
) -> int:  # fmt: skip
    """Write and print what was found; gives the exit code.

    Args:
        given: the options.
        found: the figures; those of the best checkpoint are kept apart from the others.
        picture: what is drawn of them.
        table: makes the text of the figures.
        names: of the files, the figures' and the picture's.
        shows: what the picture shows.
    """
    from textgan.runtime.run import write_text

    from ..images import png

    found = finite(found)
    run = run_of(Path(given.run)) if given.run else None
    folder = Path(given.out) if given.out else run / "eval" if run else None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        best = "-best" if found.get("checkpoint") == "best" else ""
        write_text(folder / f"{names[0]}{best}.json", json.dumps(found, indent=1) + "\n")
        write_text(folder / f"{names[1]}{best}.png", png(np.asarray(picture)))
    if given.json:
        print_json(found)
    else:
        sys.stdout.write(table(found))
    if folder is not None:
        say(f"{shows}: {folder / f'{names[1]}{best}.png'}")
    return 0
