"""Steps of the image GANs beside the way their authors wrote them.

Plain: images are decoded one at a time as they are wanted, tensors lie channels first, G draws once for the steps of both sides,
and ``loss.backward()`` fills the gradients of both. The recipe is the papers' own (cross-entropy, batch normalisation).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.nn import functional as F

from image_bridge.algorithms.cgan import CGAN, CGANConfig
from image_bridge.algorithms.stackgan import StackGAN, StackGANConfig
from image_bridge.algorithms.stackgan_v2 import StackGANv2, StackGANv2Config
from image_bridge.images import ImageData
from image_bridge.pairs import PairBatches, Pairs

from .material import pairs
from .timing import Row, Setting, same


def decoded(data: ImageData, images: np.ndarray, size: int) -> Tensor:
    """Images (n, 3, S, S) in [-1, 1], opened one at a time."""
    found = []
    for k in images:
        with Image.open(data.files[k]) as image:
            fitted = ImageOps.fit(image.convert("RGB"), (size, size), Image.Resampling.LANCZOS)
        found.append(torch.from_numpy(np.array(fitted)).permute(2, 0, 1).float() / 127.5 - 1)
    return torch.stack(found)


def plain_pairs(batches: PairBatches, i: int, size: int) -> Pairs:
    """Minibatch i, its images decoded now."""
    source = batches.source
    images, others = source.chosen[batches.order.indices(i)], source.chosen[batches.order.following(i)]
    text, wrong = (source.standard(source.captions.pick(k, np.random.rand(len(k), 1))) for k in (images, others))
    mismatched = torch.from_numpy((source.meaning[images] != source.meaning[others]).astype(np.float32)).to(text.device)
    return Pairs(decoded(source.data, images, size).to(text.device), text, wrong, mismatched)


def bce(scores: Tensor, real: bool, weight: Tensor | None = None) -> Tensor:
    """The cross-entropy, as a mean over the pairs that count."""
    loss = F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, float(real)), reduction="none")
    return loss.mean() if weight is None else (loss * weight).sum() / weight.sum().clamp(min=1)


def matching_loss(D: Any, p: Pairs, fake: Tensor, text: Tensor, wrong: Tensor, share: float) -> Tensor:
    """A real image with its text, with another's, a generated one with the text, each through all of D."""
    right, other, made = (D.matches(D.features(x), t) for x, t in ((p.real, text), (p.real, wrong), (fake, text)))
    return bce(right, True) + share * (bce(other, False, p.mismatched) + bce(made, False))


def own(module: Any) -> Any:
    """A copy with its channels first in memory."""
    return copy.deepcopy(module).requires_grad_(True).to(memory_format=torch.contiguous_format)


def adam(module: nn.Module, lr: float) -> torch.optim.Adam:
    return torch.optim.Adam(module.parameters(), lr, (0.5, 0.999))


def descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


@torch.no_grad()
def follow(average: nn.Module, G: nn.Module) -> None:
    for old, new in zip(average.parameters(), G.parameters(), strict=True):
        old.mul_(0.999).add_(new, alpha=0.001)


Play = tuple[str, Callable[[], dict[str, Tensor]], Callable[[Any], tuple[Tensor, Tensor, nn.Module]]]


def agreement(made: Any, workers: Any, plain: Callable[[Any], Any], plays: list[Play]) -> str:
    """The loss that a step of ours tells and the norm of its gradient, and the plain form's, of the same weights and noise."""
    told = []
    for name, ours, theirs in plays:
        other = plain(made)
        workers.seed(0, 1)
        metrics = ours()
        workers.seed(0, 1)
        loss, total, side = theirs(other)
        norm = nn.utils.get_total_norm(torch.autograd.grad(total, list(side.parameters())))
        told.append(same(f"{name}/loss", metrics[f"{name}/loss"], loss))
        told.append(same(f"{name}/grad", metrics[f"{name}/grad"], norm, 1e-3))
    return "; ".join(told)


def narrow(s: Setting, size: int, batch: int) -> dict[str, Any]:
    """Sizes of a bench, or tiny ones."""
    return {"size": size, "batch": batch} if not s.quick else {"size": 32, "batch": 4, "width": 4, "d_width": 4, "code": 5}


class PlainCGAN:
    """Losses as functions of the minibatch and the noise; ``round`` is a step of D and one of G."""

    def __init__(self, made: CGAN) -> None:
        self.c, (self.G, self.D) = made.config, (own(part) for part in (made.G, made.D))
        self.g, self.d, self.average = adam(self.G, self.c.lr), adam(self.D, self.c.lr), own(made.G)

    def d_loss(self, p: Pairs, fake: Tensor) -> Tensor:
        return matching_loss(self.D, p, fake, p.text, p.wrong, 0.5)

    def g_loss(self, p: Pairs, fake: Tensor, z: Tensor) -> Tensor:
        between = (p.text + p.wrong) / 2
        right, middle = ((fake, p.text), (self.G(z, between), between))
        return sum((bce(self.D.matches(self.D.features(x), t), True) for x, t in (right, middle)), torch.zeros_like(z[0, 0]))

    def round(self, p: Pairs) -> None:
        z = torch.randn(2, len(p.real), self.c.noise, device=p.real.device)
        fake = self.G(z[0], p.text)
        descend(self.d, self.d_loss(p, fake.detach()))
        descend(self.g, self.g_loss(p, fake, z[1]))
        follow(self.average, self.G)


def cgan_step(s: Setting) -> Iterator[Row]:
    """A step of D and one of G."""
    c = CGANConfig(recipe="paper", **narrow(s, 64, 16))
    found = pairs(s, CGAN.sizes(c))
    found.workers.seed(0, 0)
    made = CGAN(c, found, found.workers)
    p = made.data[0]

    def d(plain: PlainCGAN) -> tuple[Tensor, Tensor, nn.Module]:
        loss = plain.d_loss(p, plain.G(made.noise(), p.text).detach())
        return loss, loss, plain.D

    def g(plain: PlainCGAN) -> tuple[Tensor, Tensor, nn.Module]:
        loss = plain.g_loss(p, plain.G(made.noise(), p.text), made.noise())
        return loss, loss, plain.G

    def both() -> None:
        made.step(0)
        made.step(1)

    told = agreement(made, found.workers, PlainCGAN, [("d", lambda: made.d_step(0), d), ("g", lambda: made.g_step(0), g)])
    plain = PlainCGAN(made)
    yield s.row(
        "cgan-step", f"{c.size} x {c.size}, B {c.batch}, widths {c.width} and {c.d_width}: a step of D and one of G", both,
        lambda: plain.round(plain_pairs(made.data, 0, c.size)), told, amount=c.batch, unit="images", floor=s.own_products(both),
    )  # fmt: skip


class PlainStageTwo:
    """Stage II of StackGAN; stage I is in eval mode."""

    def __init__(self, made: StackGAN) -> None:
        self.c, self.first = made.config, own(made.average.stage1).eval()
        self.G, self.D = own(made.G.stage2), own(made.D[1])
        self.g, self.d, self.average = adam(self.G, self.c.lr), adam(self.D, self.c.lr), own(made.G.stage2)

    def draw(self, p: Pairs, noise: Callable[[int], Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        with torch.no_grad():
            low = self.first(noise(self.c.noise), p.text, noise(self.c.code))[0]
        return self.G(low, p.text, noise(self.c.code))

    def d_loss(self, p: Pairs, fake: Tensor) -> Tensor:
        of_real, of_fake = self.D.features(p.real), self.D.features(fake)  # once for both texts, as the authors
        right, wrong, made = (self.D.matches(f, t) for f, t in ((of_real, p.text), (of_real, p.wrong), (of_fake, p.text)))
        return bce(right, True) + 0.5 * (bce(wrong, False, p.mismatched) + bce(made, False))

    def g_loss(self, p: Pairs, fake: Tensor) -> Tensor:
        return bce(self.D.matches(self.D.features(fake), p.text), True)

    def round(self, p: Pairs) -> None:
        fake, mu, log_variance = self.draw(p, lambda n: torch.randn(len(p.real), n, device=p.real.device))
        descend(self.d, self.d_loss(p, fake.detach()))
        descend(self.g, self.g_loss(p, fake) + self.c.kl * divergence(mu, log_variance))
        follow(self.average, self.G)


def divergence(mu: Tensor, log_variance: Tensor) -> Tensor:
    return 0.5 * (mu.square() + log_variance.exp() - 1 - log_variance).mean()


class PlainTree:
    """StackGAN++: G draws once at all sizes, every D learns from it, then G from every D."""

    def __init__(self, made: StackGANv2) -> None:
        self.c, self.G, self.average, self.D = made.config, own(made.G), own(made.G), [own(D) for D in made.D]
        self.g, self.d = adam(self.G, self.c.lr), [adam(D, self.c.lr) for D in self.D]

    def draw(self, text: Tensor, noise: Callable[[int], Tensor]) -> tuple[list[Tensor], Tensor, Tensor]:
        code, mu, log_variance = self.G.encode(text, noise(self.c.code))
        return list(self.G.grow(noise(self.c.noise), code)), mu, log_variance

    def d_loss(self, k: int, p: Pairs, fake: Tensor, mu: Tensor) -> Tensor:
        D, other = self.D[k], self.G.encode(p.wrong)[1].detach()
        of_real, of_fake = D.features(p.real), D.features(fake)
        right, wrong, made = (D.matches(f, t) for f, t in ((of_real, mu), (of_real, other), (of_fake, mu)))
        matching = bce(right, True) + bce(wrong, False, p.mismatched) + bce(made, False)
        return matching + 2 * bce(D.is_real(of_real), True) + bce(D.is_real(of_fake), False)

    def g_loss(self, images: list[Tensor], mu: Tensor) -> Tensor:
        total = torch.zeros_like(mu[0, 0])
        for D, image in zip(self.D, images, strict=True):
            features = D.features(image)
            total = total + bce(D.matches(features, mu.detach()), True) + bce(D.is_real(features), True)
        return total

    def round(self, some: list[Pairs]) -> None:
        p = some[0]
        images, mu, log_variance = self.draw(p.text, lambda n: torch.randn(len(p.real), n, device=p.real.device))
        for k, (optimizer, image) in enumerate(zip(self.d, images, strict=True)):
            descend(optimizer, self.d_loss(k, some[k], image.detach(), mu.detach()))
        descend(self.g, self.g_loss(images, mu) + self.c.kl * divergence(mu, log_variance))
        follow(self.average, self.G)


def stackgan_step(s: Setting) -> Iterator[Row]:
    """The second stage of StackGAN, and the tree of StackGAN++."""
    yield from stage_two(s)
    yield from tree(s)


def stage_two(s: Setting) -> Iterator[Row]:
    c = StackGANConfig(recipe="paper", **({"width": 64, "d_width": 32} | narrow(s, 128, 8)))
    found = pairs(s, StackGAN.sizes(c))
    found.workers.seed(0, 0)
    made = StackGAN(c, found, found.workers)
    p = made.data[1][0]

    def d(plain: PlainStageTwo) -> tuple[Tensor, Tensor, nn.Module]:
        loss = plain.d_loss(p, plain.draw(p, made.normal)[0].detach())
        return loss, loss, plain.D

    def g(plain: PlainStageTwo) -> tuple[Tensor, Tensor, nn.Module]:
        fake, mu, log_variance = plain.draw(p, made.normal)
        loss = plain.g_loss(p, fake)
        return loss, loss + c.kl * divergence(mu, log_variance), plain.G

    def both() -> None:
        made.step(1, 0)
        made.step(1, 1)

    plays: list[Play] = [("d", lambda: made.d_step(1, p), d), ("g", lambda: made.g_step(1, 0, p), g)]
    told = agreement(made, found.workers, PlainStageTwo, plays)
    plain = PlainStageTwo(made)
    yield s.row(
        "stackgan-step, stage II", f"{c.size} x {c.size}, B {c.batch}, widths {c.width} and {c.d_width}: a step of D and of G",
        both, lambda: plain.round(plain_pairs(made.data[1], 0, c.size)), told, amount=c.batch, unit="images",
        floor=s.own_products(both),
    )  # fmt: skip


def tree(s: Setting) -> Iterator[Row]:
    c = StackGANv2Config(recipe="paper", **({"first": 16, "width": 32, "d_width": 32} | narrow(s, 64, 8)))
    sizes = StackGANv2.sizes(c)
    found = pairs(s, sizes)
    found.workers.seed(0, 0)
    made = StackGANv2(c, found, found.workers)

    def g(plain: PlainTree) -> tuple[Tensor, Tensor, nn.Module]:
        images, mu, log_variance = plain.draw(made.data[0][0].text, made.normal)
        loss = plain.g_loss(images, mu)
        return loss, loss + c.kl * divergence(mu, log_variance), plain.G

    def d(k: int) -> Callable[[PlainTree], tuple[Tensor, Tensor, nn.Module]]:
        def of(plain: PlainTree) -> tuple[Tensor, Tensor, nn.Module]:
            p = made.data[k][0]
            images, mu, _ = plain.draw(p.text, made.normal)
            loss = plain.d_loss(k, p, images[k].detach(), mu.detach())
            return loss, loss, plain.D[k]

        return of

    def all_of_them() -> None:
        for i in range(made.round):
            made.step(i)

    plays: list[Play] = [(f"d{size}", lambda k=k: made.d_step(k, 0), d(k)) for k, size in enumerate(sizes)]
    told = agreement(made, found.workers, PlainTree, [*plays, ("g", lambda: made.g_step(0), g)])
    plain, told_sizes = PlainTree(made), ", ".join(map(str, sizes))

    def plain_round() -> None:
        plain.round([plain_pairs(data, 0, size) for data, size in zip(made.data, sizes, strict=True)])

    yield s.row(
        "stackgan-step, tree", f"{told_sizes} pixels, B {c.batch}, widths {c.width} and {c.d_width}: a step of every D and of G",
        all_of_them, plain_round, told, amount=c.batch, unit="images", floor=s.own_products(all_of_them),
    )  # fmt: skip
