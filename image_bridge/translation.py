"""From images to images of another domain, with a trained translator.

pipe = ImageToImage.from_pretrained("runs/styles")
images = pipe([Image.open("face.png")], to="lorelei", source="adventurer").images
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from textgan.errors import UserError

from .generators import Translator, UNetGenerator, generator_kind, is_translator, load_translator
from .images import fitted
from .pipeline import Output, converted, generator_folder


@dataclass(frozen=True)
class ImageToImageOutput:
    """What a translation gives.

    Attributes:
        images: a list of Pillow images, an array (N, S, S, 3) or a tensor (N, 3, S, S) of floats in [0, 1], as was asked for.
    """

    images: Any


class ImageToImage:
    """Turns images into images of another domain.

    Args:
        generator: what ``load_translator`` gives.
    """

    def __init__(self, generator: Translator) -> None:
        self.G, self.device = generator.eval(), torch.device("cpu")

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> ImageToImage:
        """The translator of a run of image-bridge, of one of its checkpoints, or of a generator's folder.

        Raises:
            UserError: there is none, or it draws of itself.
        """
        found = generator_folder(folder)
        if not is_translator(found):
            use = "color" if generator_kind(found) == UNetGenerator.kind else "generate"
            raise UserError(
                f"{folder} turns no images of one domain into another's; expected a run of cyclegan or another of that family; "
                f"`image-bridge {use} {folder}` draws with it"
            )
        try:
            return cls(load_translator(found))
        except (TypeError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{found} does not fit this version of image-bridge ({reason}); train a new run") from error

    @property
    def size(self) -> int:
        """Width and height of an image in pixels."""
        return self.G.config.size

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains that images can be of."""
        return self.G.config.domains

    @property
    def targets(self) -> tuple[str, ...]:
        """The domains that they can be translated into."""
        return self.G.config.targets

    def to(self, device: torch.device | str) -> ImageToImage:
        """Work on this device."""
        self.device = torch.device(device)
        self.G.to(self.device)
        return self

    def check(self, to: str, source: str | None = None) -> str | None:
        """The domain that images are of: the one that is named, or the only one that it can be; None where it is not known.

        Raises:
            UserError: there is no such domain, it is no target, or it must be named and is not.
        """
        _one_of(to, self.targets, "the domain to translate into")
        if source is not None:
            _one_of(source, self.domains, "the domain of the images")
            return source
        others = [name for name in self.domains if name != to]
        if len(others) == 1:
            return others[0]
        if self.G.needs_source:
            raise UserError(
                f"the run has an encoder for each domain, and which domain the images are of is not said; expected one of "
                f"{', '.join(others)}; name it with --from (in Python source=)"
            )
        return None

    def fitted(self, images: Sequence[Image.Image]) -> Tensor:
        """The middle squares of images as (n, 3, S, S) in [-1, 1]."""
        array = np.stack([fitted(image.convert("RGB"), self.size) for image in images])
        return torch.from_numpy(array).permute(0, 3, 1, 2).float() / 127.5 - 1

    @torch.inference_mode()
    def translate(self, x: Tensor, to: str, source: str | None = None, batch_size: int = 64) -> Iterator[Tensor]:
        """Images (B, 3, S, S) in [-1, 1] on the CPU, a batch at a time.

        Args:
            x: images (n, 3, S, S) in [-1, 1], all of one domain.
            to: the domain to translate into.
            source: the domain that they are of; see ``check``.
            batch_size: images at a time.

        Raises:
            UserError: see ``check``; or the translator's weights have come to nothing.
        """
        known = self.check(to, source)
        numbers = self.domains.index(known) if known is not None else 0, self.domains.index(to)  # 0: it is not looked at
        for some in x.split(batch_size):
            a, b = (torch.full((len(some),), k, device=self.device) for k in numbers)
            y = self.G.translate(some.to(self.device), a, b)
            if not y.isfinite().all():
                raise UserError("the translator draws what is no image (infinite or no numbers); take a checkpoint from before")
            yield y.float().cpu().clamp(-1, 1)

    def __call__(
        self, images: Image.Image | Sequence[Image.Image], to: str, source: str | None = None, output_type: Output = "pil",
        batch_size: int = 64,
    ) -> ImageToImageOutput:  # fmt: skip
        """Translations of images.

        Args:
            images: one or several, of any size; their middle squares are taken.
            to: the domain to translate into.
            source: the domain that they are of; needed where the translator has an encoder for each of three domains or more.
            output_type: "pil", "np" or "pt".
            batch_size: images at a time.

        Raises:
            UserError: there is no image, or no such domain, or ``source`` is needed and is not there.
        """
        images = [images] if isinstance(images, Image.Image) else list(images)
        if not images:
            raise UserError("there is nothing to translate; expected one image or several")
        x = torch.cat(list(self.translate(self.fitted(images), to, source, batch_size)))
        return ImageToImageOutput(converted(x / 2 + 0.5, output_type))


def _one_of(name: str, known: Sequence[str], what: str) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UserError(f"{what} is {name!r}, which the run does not have; expected one of {', '.join(known)}{hint}")
