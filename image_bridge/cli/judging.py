"""What ``evaluate`` and ``compare`` share: a run is opened, what is drawn of it is chosen, and that is judged."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from textgan.errors import UserError

if TYPE_CHECKING:
    from ..captions import TextEncoder
    from ..evaluate import Judges, Texts
    from ..evaluate.comparison import Told
    from ..evaluate.extractors import Extractor
    from ..generators import Generator
    from ..images import ImageData

PACKED_ALONE = 5000  # images that one process reads as fast as many


class Bars:
    """A bar for each part of the work."""

    def __init__(self) -> None:
        self.what = ""
        self.of = ""  # whose parts they are
        self.bar: Any = None

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` images are done."""
        from textgan.runtime import Progress

        what = f"{self.of}: {what}" if self.of else what
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


@dataclass(frozen=True)
class Opened:
    """A generator with what belongs to it.

    Attributes:
        name: as the user wrote it.
        G: the generator.
        encoder: gives the vectors that it is told.
        folder: where it lies.
        run: the run that it lies in, if it lies in one.
        data: the folder of images that the run was trained on; empty where that is not known.
    """

    name: str
    G: Generator
    encoder: TextEncoder
    folder: Path
    run: Path | None
    data: str

    @property
    def checkpoint(self) -> str:
        """The name of the checkpoint."""
        return checkpoint_of(self.folder)


def checkpoint_of(folder: Path) -> str:
    """The name of the checkpoint that a generator's folder lies in."""
    return folder.parent.name if folder.name == "generator" else folder.name


def run_of(path: Path) -> Path | None:
    """The run that a path is, or that it lies in."""
    places = (path, *path.resolve().parents)
    return next((p for p in places if (p / "config.json").is_file() and (p / "checkpoints").is_dir()), None)


def _options_of_data(name: str) -> dict[str, Any]:
    """The options that said what a run was trained on; none where there is no run."""
    from textgan.runtime import Run

    run = run_of(Path(name))
    saved = Run.open(run).config.get("data", {}) if run else {}
    if not isinstance(saved, dict):
        raise UserError(f'{run}/config.json is damaged: expected what the run was trained on as "data"; received {saved!r}')
    return saved


def trained_on(name: str, given: str) -> str:
    """The folder of real images: the one that is given, else that which the run was trained on.

    Raises:
        UserError: neither is known.
    """
    source = given or str(_options_of_data(name).get("data", ""))
    if not source:
        raise UserError(f"{name} does not say what it was trained on; expected --data FOLDER with the real images")
    return source


def opened(name: str) -> Opened:
    """The generator of a run, of a checkpoint, or of a folder with a saved one.

    Raises:
        UserError: there is none.
    """
    from ..captions import load_encoder, saved_kind
    from ..generators import load_generator
    from ..pipeline import TextToImage, generator_folder

    run, saved = run_of(Path(name)), _options_of_data(name)
    folder = generator_folder(name)
    if saved_kind(folder / "text") == "given":  # vectors came without an encoder; they lie where they lay
        G, encoder = load_generator(folder), load_encoder(saved["text"] if "text" in saved else str(folder / "text"))
    else:
        pipe = TextToImage.from_pretrained(folder)
        G, encoder = pipe.G, pipe.encoder
    return Opened(name, G, encoder, folder, run, saved.get("data", ""))


def device_of(name: str) -> Any:
    """The device that --device names.

    Raises:
        UserError: there is no such device.
    """
    from textgan.runtime.workers import choose_device

    try:
        return choose_device(name)
    except ValueError as error:
        raise UserError(f"--device: {error}") from error


def extractor_of(name: str, device: Any, batch: int) -> Any:
    """The extractor that --extractor names; None for our own judge, which there is not yet."""
    from ..evaluate.extractors import efficientnet_is_there, efficientnet_lite0

    if name == "efficientnet-lite0" or (name == "auto" and efficientnet_is_there()):
        return efficientnet_lite0(device, batch)
    return None


def real_images(folder: str, size: int, bars: Bars) -> tuple[ImageData, np.ndarray]:
    """A data set, and its images (N, size, size, 3).

    Raises:
        UserError: there is none, or it has no two images to train on.
    """
    from ..images import ImageData
    from .data import warn_of_damage

    data = ImageData(folder)
    processes = (os.cpu_count() or 1) if len(data) > PACKED_ALONE else 1
    packed = data.pack(size, processes, tell=bars.part(f"images at {size} x {size}"))
    warn_of_damage(data)
    if (count := len(data.usable(held_out=False))) < 2:
        raise UserError(f"{folder} has {count} images to train on; expected two or more that are not held out")
    return data, packed


@dataclass(frozen=True)
class Asked:
    """What is drawn of a generator to judge it.

    Attributes:
        told: what it is told.
        texts: of n samples.
        vectors: (n, D) of them.
        alike: (m * EACH, D) vectors, each EACH times: of these images it is seen how alike they are.
        meanings: (m,) what these mean; none where it is told no captions.
        real_alike: numbers of real images that are alike as these should be; None for those with these meanings.
    """

    told: Told
    texts: Texts
    vectors: np.ndarray
    alike: np.ndarray
    meanings: np.ndarray
    real_alike: list[np.ndarray] | None = None


def asked(one: Opened, data: ImageData, number: int, seed: int, bars: Bars) -> Asked:
    """What is drawn of a generator: held-out captions, classes of held-out images, or nothing.

    Args:
        one: the generator.
        data: the real images.
        number: samples.
        seed: decides which.
        bars: show the progress.

    Raises:
        UserError: the data have not what the generator is told.
    """
    from ..captions import AttributeWords, CaptionVectors, ClassNames
    from ..evaluate import class_texts, held_out_texts
    from ..evaluate.comparison import EACH, by_class, to_repeat

    names = one.encoder
    if isinstance(names, ClassNames):
        texts = class_texts(data, number, names, seed)
        words, real = by_class(data, names, seed)
        alike = names.encode([word for word in words for _ in range(EACH)])
        return Asked("class" if names.words else "nothing", texts, names.encode(texts.captions), alike, np.empty(0), real)
    texts = held_out_texts(data, number, seed, isinstance(names, AttributeWords))
    vectors = CaptionVectors(data, names, bars.part("captions")).vectors
    if vectors.shape[1] != one.G.config.text:
        raise UserError(
            f"the encoder of {one.name} gives vectors of {vectors.shape[1]} numbers for {data.path}; expected "
            f"{one.G.config.text}, as the generator was trained on; give the --data that it was trained on"
        )
    repeated = to_repeat(data, texts)
    alike = vectors[np.repeat(texts.rows[repeated], EACH)]
    return Asked("captions", texts, vectors[texts.rows], alike, texts.meaning[repeated])


def judged(
    one: Opened, what: Asked, judges: Judges, extractor: Extractor, seed: int, batch: int, bars: Bars, copies: bool = True
) -> tuple[dict[str, Any], Any]:
    """The figures of a generator, and a picture of samples beside their nearest training images.

    Args:
        one: the generator.
        what: is drawn of it.
        judges: of the real images; samples are brought to their size.
        extractor: gives the features of KID and Fréchet distance.
        seed: decides the noise.
        batch: images at a time.
        bars: show the progress.
        copies: see ``compare``.
    """
    from ..evaluate import drawn
    from ..evaluate.comparison import EACH, compare

    G, size = one.G.to(judges.device), judges.packed.shape[1]
    fake = resized(drawn(G, what.vectors, seed, batch, bars.part("samples")), size)
    group = {"captions": "caption", "class": "class", "nothing": "kind"}[what.told]
    alike = resized(drawn(G, what.alike, seed + 1, batch, bars.part(f"samples of one {group}")), size)
    held = what.texts[: len(judges.data.usable(held_out=True))]  # every image once
    real = None if what.real_alike is None else [judges.packed[np.sort(some)] for some in what.real_alike]
    return compare(
        judges, extractor, fake, what.texts, held, np.split(alike, len(alike) // EACH), what.meanings, seed, bars, what.told,
        real, copies,
    )  # fmt: skip


def resized(images: np.ndarray, size: int) -> np.ndarray:
    """Images (n, S, S, 3) as the real ones of this size are made: (n, size, size, 3)."""
    from ..images import fitted

    if images.shape[1] == size:
        return images
    return np.stack([fitted(Image.fromarray(image), size) for image in images])
