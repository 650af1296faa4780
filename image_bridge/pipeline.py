"""From sentences to images with a trained generator, in the manner of diffusers' pipelines.

    pipe = TextToImage.from_pretrained("runs/faces")
    images = pipe("a face with red hair", num_images_per_prompt=4, generator=torch.Generator().manual_seed(3)).images

The noise of an image depends on its generator alone: neither on the batch size, nor on how many images are asked for, nor on the
other prompts. Images are therefore the same as well, up to the rounding of floats, which may depend on the size of a batch.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from textgan.errors import UserError
from textgan.runtime import newest

from .captions import FILE, BagOfWords, ClassNames, TextEncoder, WordMean, load_encoder, saved_kind, split_words
from .generators import Generator, load_generator

LONGEST = 2000  # characters of a prompt; more is a mistake
Noise = tuple[Tensor, Tensor]  # z, and eps of the conditioning augmentation
Seeds = torch.Generator | Sequence[torch.Generator] | None
Output = Literal["pil", "np", "pt"]


@dataclass(frozen=True)
class TextToImageOutput:
    """What a pipeline gives.

    Attributes:
        images: a list of Pillow images, an array (N, S, S, 3) or a tensor (N, 3, S, S) of floats in [0, 1], as was asked for; the
            images of the first prompt come first.
    """

    images: Any


def generator_folder(path: Path | str) -> Path:
    """Where the generator of a run, of a checkpoint, or of a folder lies; its text encoder lies in ``text`` inside it.

    Raises:
        UserError: there is none.
    """
    folder = newest(Path(path))
    if (folder / "checkpoints").is_dir():
        raise UserError(f"{path} has no whole checkpoint yet; expected one to draw with; `image-bridge resume {path}` trains on")
    folder = folder / "generator" if (folder / "generator").is_dir() else folder
    if not (folder / "model.safetensors").is_file():
        raise UserError(
            f"{path} holds no generator; expected a run of image-bridge, one of its checkpoints, or a saved generator"
        )
    return folder


def takes_sentences(folder: Path) -> bool:
    """Whether the generator in a folder is told sentences, and not a class, or nothing."""
    return saved_kind(folder / "text") != "classes"


def spherical(a: Tensor, b: Tensor, t: float) -> Tensor:
    """The noise between two, along the arc (Shoemake, 1985): as far from 0 as they are, where straight lines pass nearer."""
    cosine = torch.dot(a, b) / (a.norm() * b.norm()).clamp(min=1e-12)
    angle = float(cosine.clamp(-1, 1).acos())
    if math.sin(angle) < 1e-4:
        return (1 - t) * a + t * b
    return (math.sin((1 - t) * angle) * a + math.sin(t * angle) * b) / math.sin(angle)


def truncated(z: Tensor, limit: float | None) -> Tensor:
    """Standard normal numbers as numbers of a normal distribution cut at -limit and limit.

    Each keeps its rank: the same noise gives alike images at every limit.
    """
    if limit is None:
        return z
    low = torch.special.ndtr(torch.tensor(-limit, dtype=torch.float64))
    u = low + torch.special.ndtr(z.double()) * (1 - 2 * low)
    cut: Tensor = torch.special.ndtri(u)
    return cut.clamp(-limit, limit).to(z.dtype)


class TextToImage:
    """Draws images for sentences.

    Args:
        generator: what ``load_generator`` gives.
        encoder: gives the vectors of sentences.
    """

    def __init__(self, generator: Generator, encoder: TextEncoder) -> None:
        self.G, self.encoder, self.device = generator.eval(), encoder, torch.device("cpu")

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> TextToImage:
        """The generator and the encoder of a run of image-bridge, of one of its checkpoints, or of a generator's folder.

        Raises:
            UserError: one of them is not there, or the run was trained on vectors that came without an encoder.
        """
        found = generator_folder(folder)
        try:
            generator = load_generator(found)
        except (TypeError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{found} does not fit this version of image-bridge ({reason}); train a new run") from error
        if not (found / "text" / FILE).is_file():
            raise UserError(f"{found} has no text encoder; expected {Path('text') / FILE} in it, as image-bridge train writes it")
        try:
            encoder = load_encoder(str(found / "text"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{found / 'text' / FILE} is damaged ({error!r}); take another checkpoint of the run") from error
        return cls(generator, encoder)

    @property
    def size(self) -> int:
        """Width and height of an image in pixels."""
        return self.G.config.size

    def to(self, device: torch.device | str) -> TextToImage:
        """Draw on this device; the noise does not depend on it."""
        self.device = torch.device(device)
        self.G.to(self.device)
        return self

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Vectors (n, D) of sentences; warns of words that the encoder does not know.

        A generator that is told a class takes its name for a sentence, one that is told nothing the empty sentence.

        Raises:
            UserError: a prompt is empty, longer than 2,000 characters or no text, or the encoder refuses it.
        """
        if isinstance(self.encoder, ClassNames):
            return torch.from_numpy(self.encoder.encode(prompts))
        for k, prompt in enumerate(prompts, 1):
            _check_prompt(prompt, f"prompt {k}" if len(prompts) > 1 else "the prompt")
        different = list(dict.fromkeys(prompts))
        self._tell_unknown(different)
        place = {prompt: k for k, prompt in enumerate(different)}
        vectors = torch.from_numpy(np.asarray(self.encoder.encode(different), dtype=np.float32))
        if vectors.shape[1] != self.G.config.text:
            raise UserError(
                f"the text encoder gives vectors of {vectors.shape[1]} numbers; expected {self.G.config.text}, as the generator "
                "was trained on; take the encoder that lies beside it"
            )
        return vectors[[place[prompt] for prompt in prompts]]

    def _tell_unknown(self, prompts: Sequence[str]) -> None:
        if isinstance(self.encoder, BagOfWords):
            known: Any = set(self.encoder.words)
        elif isinstance(self.encoder, WordMean):
            known = self.encoder.vectors.key_to_index
        else:
            return  # labels are refused, trained encoders say so themselves
        unknown: dict[str, None] = {}
        for prompt in prompts:
            words = split_words(prompt)
            new = [word for word in words if word not in known]
            if len(new) < len(words):
                unknown |= dict.fromkeys(new)
            else:
                told = prompt if len(prompt) < 60 else f"{prompt[:60]}…"
                warnings.warn(f"the encoder knows no word of {told!r}; its images are those of no text", stacklevel=4)
        if unknown:
            some = list(unknown)
            listed = ", ".join(some[:10]) + (f" and {len(some) - 10} more" if len(some) > 10 else "")
            warnings.warn(f"the encoder does not know these words, which change nothing: {listed}", stacklevel=4)

    def noise(self, generator: torch.Generator | None, truncation: float | None = None, deterministic: bool = False) -> Noise:
        """Noise of one image: z (Z), and eps of the conditioning augmentation, which is empty without one.

        Args:
            generator: what it is drawn from; torch's own when absent.
            truncation: both are from a normal distribution cut at - and + this number; None for a whole one.
            deterministic: eps is empty: the augmentation takes its mean.

        Raises:
            UserError: the truncation is not above 0.
        """
        if truncation is not None and not 0 < truncation < math.inf:
            raise UserError(f"truncation must be a finite number above 0; received {truncation}")
        count = 0 if deterministic else self.G.eps
        device = torch.device("cpu") if generator is None else generator.device
        z, eps = (torch.randn(n, generator=generator, device=device).cpu() for n in (self.G.config.noise, count))
        return truncated(z, truncation), truncated(eps, truncation)

    def draw(self, vectors: Tensor, noise: Iterable[Noise], batch_size: int = 64, each: int = 1) -> Iterator[Tensor]:
        """Images (B, 3, S, S) in [0, 1] on the CPU, a batch at a time.

        Args:
            vectors: (n, D) of sentences.
            noise: what ``noise`` gave, one an image, for the ``n * each`` images.
            batch_size: images drawn at a time.
            each: images of a vector; they follow each other.

        Raises:
            UserError: the generator's weights have come to nothing.
        """
        if batch_size < 1:
            raise UserError(f"batch_size must be 1 or more; received {batch_size}")
        left = iter(noise)
        for rows in torch.arange(len(vectors) * each).split(batch_size):
            some = itertools.islice(left, len(rows))
            z, eps = (torch.stack(parts).to(self.device) for parts in zip(*some, strict=True))
            x = self.G.images(vectors[rows // each].to(self.device), z, eps if eps.shape[1] else None)
            if not x.isfinite().all():
                raise UserError("the generator draws what is no image (infinite or no numbers); take a checkpoint from before")
            yield (x.float().cpu() / 2 + 0.5).clamp(0, 1)

    @torch.inference_mode()
    def __call__(
        self,
        prompt: str | Sequence[str],
        num_images_per_prompt: int = 1,
        generator: Seeds = None,
        output_type: Output = "pil",
        *,
        truncation: float | None = None,
        deterministic: bool = False,
        batch_size: int = 64,
    ) -> TextToImageOutput:
        """Draw images.

        Args:
            prompt: a sentence, or several.
            num_images_per_prompt: how many of each.
            generator: one generator gives a noise for each image of a prompt, one after the other, and every prompt gets the same
                ones. Of a list, one an image, each gives the noise of its image. Torch's own when absent.
            output_type: "pil" for Pillow images, "np" or "pt" for floats in [0, 1].
            truncation: see ``noise``; smaller is plainer and less varied.
            deterministic: leave the conditioning augmentation out, where the generator has one.
            batch_size: images drawn at a time.

        Raises:
            UserError: a prompt or a number cannot be used.
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        n = num_images_per_prompt
        if not prompts or n < 1:
            raise UserError(f"there is nothing to draw; expected 1 or more prompts and images; received {len(prompts)} and {n}")
        vectors = self.encode(prompts)
        if isinstance(generator, Sequence):
            if len(generator) != n * len(prompts):
                raise UserError(f"expected a generator for each of the {n * len(prompts)} images; received {len(generator)}")
            noise = [self.noise(g, truncation, deterministic) for g in generator]
        else:
            noise = [self.noise(generator, truncation, deterministic) for _ in range(n)] * len(prompts)
        return TextToImageOutput(converted(torch.cat(list(self.draw(vectors, noise, batch_size, n))), output_type))

    def between(
        self, first: str, last: str, steps: int, generator: torch.Generator | None = None,
        last_generator: torch.Generator | None = None, truncation: float | None = None, deterministic: bool = False,
    ) -> tuple[Tensor, list[Noise]]:  # fmt: skip
        """Vectors (steps, D) and noise for ``draw``, of the images that ``interpolate`` describes."""
        if steps < 2:
            raise UserError(f"steps must be 2 or more, both ends included; received {steps}")
        a, b = self.encode([first, last])
        start = self.noise(generator, truncation, deterministic)
        ts = torch.linspace(0, 1, steps, dtype=torch.float64).tolist()
        vectors = torch.stack([(1 - t) * a + t * b for t in ts])
        if last_generator is None:
            return vectors, [start] * steps
        end = self.noise(last_generator, truncation, deterministic)
        return vectors, [(spherical(start[0], end[0], t), spherical(start[1], end[1], t)) for t in ts]

    @torch.inference_mode()
    def interpolate(
        self,
        first: str,
        last: str,
        steps: int = 12,
        generator: torch.Generator | None = None,
        last_generator: torch.Generator | None = None,
        output_type: Output = "pil",
        *,
        truncation: float | None = None,
        deterministic: bool = False,
        batch_size: int = 64,
    ) -> TextToImageOutput:
        """Images along the straight line between the vectors of two sentences; the first and the last are those of the sentences.

        Args:
            first: a sentence.
            last: another, or the same one.
            steps: images, both ends included.
            generator: gives the noise, which is the same for all images.
            last_generator: gives another noise for the last image; those between lie on the arc from one to the other.
            output_type: see ``__call__``, like the others.
            truncation: of the noise at the ends.
            deterministic: without conditioning augmentation.
            batch_size: images drawn at a time.

        Raises:
            UserError: a prompt or a number cannot be used.
        """
        vectors, noise = self.between(first, last, steps, generator, last_generator, truncation, deterministic)
        return TextToImageOutput(converted(torch.cat(list(self.draw(vectors, noise, batch_size))), output_type))


def _check_prompt(prompt: str, which: str) -> None:
    if not isinstance(prompt, str):
        raise UserError(f"{which} is no text; expected a sentence; received {prompt!r}")
    if not prompt.strip():
        raise UserError(f"{which} is empty; expected a sentence; received {prompt!r}")
    if len(prompt) > LONGEST:
        raise UserError(f"{which} is too long; expected {LONGEST:,} characters at most; received {len(prompt):,}")
    if any("\ud800" <= letter <= "\udfff" for letter in prompt):
        raise UserError(f"{which} is not text in UTF-8; expected a sentence; received {prompt!r}")


def converted(x: Tensor, output_type: Output) -> Any:
    """Images (N, 3, S, S) in [0, 1] as they are ("pt"), as an array (N, S, S, 3) ("np") or as Pillow images ("pil")."""
    if output_type == "pt":
        return x
    array = x.permute(0, 2, 3, 1).contiguous().numpy()
    if output_type == "np":
        return array
    if output_type != "pil":
        raise UserError(f'output_type must be "pil", "np" or "pt"; received {output_type!r}')
    return [Image.fromarray(image) for image in (array * 255).round().astype(np.uint8)]
