"""The command ``evaluate``: how good the images of a run, or of any program, are beside real ones."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from textgan.cli.parse import parse, positive, print_json, say
from textgan.errors import UserError

PACKED_ALONE = 5000  # images that one process reads as fast as many


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
    """How many samples, and how many held-out images at most."""
    extractor: Literal["auto", "efficientnet-lite0", "own"] = "auto"
    """What gives the features of KID and Fréchet distance: efficientnet-lite0 (ImageNet weights; the extra [images]) or own (our
    attribute classifier of these data; without attributes our matcher); auto takes the first where it is installed."""
    inception_weights: str = ""
    """Take Inception-v3 with these weights instead: a state dict with the names of torchvision's or of pytorch-fid's, .pth or
    .safetensors. With pytorch-fid's, and as many images as a paper has, the Fréchet distance is FID."""
    size: int = 0
    """Width at which the images of --samples are compared; 0 for that of the first of them. A run has its own."""
    out: str = ""
    """Folder for images.json and nearest.png; RUN/eval when absent, none with --samples."""
    json: bool = False
    """Print JSON instead of a table."""
    seed: int = 0
    """Decides the captions, the noise, and which real images are compared."""
    batch: int = 64
    """Images at a time."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""


class Bars:
    """A bar for each part of the work."""

    def __init__(self) -> None:
        self.what = ""
        self.bar: Any = None

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` images are done."""
        from textgan.runtime import Progress

        if what != self.what:
            self.close()
            self.what, self.bar = what, Progress(total, 0, True, unit="images")
        if self.bar is not None:
            self.bar.total = total
            self.bar.update(done, what)

    def part(self, what: str) -> Callable[[int, int], None]:
        """What tells the progress of one part."""
        return lambda done, total: self(what, done, total)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def evaluate(argv: list[str]) -> int:
    """``image-bridge evaluate``."""
    given = parse(
        EvaluateOptions, argv, "image-bridge evaluate",
        "How good images are, beside real ones. Examples:\n\n  image-bridge evaluate runs/a\n"
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
    from ..pipeline import generator_folder
    from .coloring import evaluate_images

    bars = Bars()
    try:
        if given.run and takes_images(folder := generator_folder(given.run)):
            return evaluate_images(given, folder, bars)
        judged, picture = (_judge_folder if given.samples else _judge_run)(given, bars)
    finally:
        bars.close()
    return _tell(judged, picture, given)


def _device(name: str) -> Any:
    from textgan.runtime.workers import choose_device

    try:
        return choose_device(name)
    except ValueError as error:
        raise UserError(f"--device: {error}") from error


def _extractor(given: EvaluateOptions, device: Any) -> Any:
    """The extractor that was asked for; None for our own judge, which there is not yet."""
    from ..evaluate.extractors import efficientnet_is_there, efficientnet_lite0, inception

    if given.inception_weights:
        return inception(Path(given.inception_weights), device, given.batch)
    if given.extractor == "efficientnet-lite0" or (given.extractor == "auto" and efficientnet_is_there()):
        return efficientnet_lite0(device, given.batch)
    return None


def _real(folder: str, size: int, bars: Bars) -> tuple[Any, np.ndarray]:
    from ..images import ImageData
    from .data import warn_of_damage

    data = ImageData(folder)
    processes = (os.cpu_count() or 1) if len(data) > PACKED_ALONE else 1
    packed = data.pack(size, processes, tell=bars.part(f"images at {size} x {size}"))
    warn_of_damage(data)
    if (count := len(data.usable(held_out=False))) < 2:
        raise UserError(f"{folder} has {count} images to train on; expected two or more that are not held out")
    return data, packed


def _run_of(path: Path) -> Path | None:
    """The run that a path is, or that it lies in."""
    places = (path, *path.resolve().parents)
    return next((p for p in places if (p / "config.json").is_file() and (p / "checkpoints").is_dir()), None)


def _generator(given: EvaluateOptions, saved: dict[str, Any]) -> tuple[Any, Any, Path]:
    """The generator, its encoder, and its folder."""
    from ..captions import load_encoder, saved_kind
    from ..generators import load_generator
    from ..pipeline import TextToImage, generator_folder

    folder = generator_folder(given.run)
    if saved_kind(folder / "text") == "given":  # vectors came without an encoder; they lie where they lay
        return load_generator(folder), load_encoder(saved["text"] if "text" in saved else str(folder / "text")), folder
    pipe = TextToImage.from_pretrained(folder)
    return pipe.G, pipe.encoder, folder


def _judge_run(given: EvaluateOptions, bars: Bars) -> tuple[dict[str, Any], Any]:
    from textgan.runtime import Run

    from ..captions import AttributeWords, CaptionVectors, ClassNames
    from ..evaluate import Judges, drawn, held_out_texts
    from ..evaluate.comparison import EACH, compare, to_repeat

    device = _device(given.device)
    run = _run_of(Path(given.run))
    saved = Run.open(run).config.get("data", {}) if run else {}
    G, encoder, folder = _generator(given, saved)
    source = given.data or saved.get("data", "")
    if not source:
        raise UserError(f"{given.run} does not say what it was trained on; expected --data FOLDER with the real images")
    extractor = _extractor(given, device)
    data, packed = _real(source, G.config.size, bars)
    name = folder.parent.name if folder.name == "generator" else folder.name
    about = {"checkpoint": name, "data": str(source)}
    if isinstance(encoder, ClassNames):
        judged, picture = _judge_plain(given, G.to(device), encoder, extractor, data, packed, bars)
        return about | judged, picture
    texts = held_out_texts(data, given.number, given.seed, isinstance(encoder, AttributeWords))
    vectors = CaptionVectors(data, encoder, bars.part("captions")).vectors
    if vectors.shape[1] != G.config.text:
        raise UserError(
            f"the encoder of {given.run} gives vectors of {vectors.shape[1]} numbers for {source}; expected {G.config.text}, as "
            "the generator was trained on; give the --data that it was trained on"
        )
    judges = Judges.of(data, packed, device, bars)
    G.to(device)
    fake = drawn(G, vectors[texts.rows], given.seed, given.batch, bars.part("samples"))
    repeated = to_repeat(data, texts)
    rows = vectors[np.repeat(texts.rows[repeated], EACH)]
    alike = drawn(G, rows, given.seed + 1, given.batch, bars.part("samples of one caption"))
    held = texts[: len(data.usable(held_out=True))]  # every image once
    judged, picture = compare(
        judges, extractor or judges.own(), fake, texts, held, np.split(alike, len(repeated)), texts.meaning[repeated],
        given.seed, bars,
    )  # fmt: skip
    return about | judged, picture


def _judge_plain(
    given: EvaluateOptions, G: Any, names: Any, extractor: Any, data: Any, packed: np.ndarray, bars: Bars
) -> tuple[dict[str, Any], Any]:
    """A generator that is told a class or nothing."""
    from ..evaluate import Judges, class_texts, drawn
    from ..evaluate.comparison import EACH, Told, by_class, compare

    told: Told = "class" if names.words else "nothing"
    texts = class_texts(data, given.number, names, given.seed)
    judges = Judges.of(data, packed, next(G.parameters()).device, bars, told)
    extractor = extractor or judges.own()
    fake = drawn(G, names.encode(texts.captions), given.seed, given.batch, bars.part("samples"))
    words, real = by_class(data, names, given.seed)
    vectors = names.encode([word for word in words for _ in range(EACH)])
    alike = drawn(G, vectors, given.seed + 1, given.batch, bars.part("samples of one class"))
    held = texts[: len(data.usable(held_out=True))]
    return compare(
        judges, extractor, fake, texts, held, np.split(alike, len(words)), np.empty(0), given.seed, bars, told,
        [packed[np.sort(some)] for some in real],
    )  # fmt: skip


def _judge_folder(given: EvaluateOptions, bars: Bars) -> tuple[dict[str, Any], Any]:
    from PIL import Image

    from ..evaluate import Judges, folder_texts, held_out_texts
    from ..evaluate.comparison import compare
    from ..images import SMALLEST, ImageData
    from .data import warn_of_damage

    device = _device(given.device)
    extractor = _extractor(given, device)
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
    data, packed = _real(given.data, size, bars)
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
    judged, picture = compare(
        judges, extractor or judges.own(), drawn[chosen], texts, held, [drawn[chosen[some]] for some in several],
        texts.meaning[[some[0] for some in several]], given.seed, bars,
    )  # fmt: skip
    return {"folder": given.samples, "data": given.data, **judged}, picture


def _finite(value: Any) -> Any:
    """The same with None where a figure is no number, as JSON knows none."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _tell(judged: dict[str, Any], picture: Any, given: EvaluateOptions) -> int:
    from textgan.runtime.run import write_text

    from ..evaluate.labels import table
    from ..images import png

    judged = _finite(judged)
    run = _run_of(Path(given.run)) if given.run else None
    folder = Path(given.out) if given.out else run / "eval" if run else None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        best = "-best" if judged.get("checkpoint") == "best" else ""
        write_text(folder / f"images{best}.json", json.dumps(judged, indent=1) + "\n")
        write_text(folder / f"nearest{best}.png", png(np.asarray(picture)))
    if given.json:
        print_json(judged)
    else:
        sys.stdout.write(table(judged))
    if folder is not None:
        say(f"samples beside their nearest training images: {folder / f'nearest{best}.png'}")
    return 0
