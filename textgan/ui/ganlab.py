"""The mathematics of the GAN lab: a GAN of points in the plane, trained one phase at a time.

A step is one player's turn: some turns of D, then one of G. It has five phases, each of which can be taken alone. The idea of
showing a GAN so is GAN Lab's (Kahng et al., 2019, "GAN Lab: Understanding Complex Deep Generative Models using Interactive Visual
Experimentation", IEEE TVCG).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from ..objectives import d_hinge, d_logistic, g_minimax, g_nonsaturating, gradient_penalty, wasserstein

PHASES = ("generate", "classify", "loss", "gradient", "update")
SHAPES = ("ring of Gaussians", "two far Gaussians", "line", "two moons", "own drawing")
LOSSES = ("non-saturating", "minimax", "hinge", "Wasserstein")
EDGE = 1.2  # the plane that is shown goes from -EDGE to EDGE both ways
BINS = 20  # cells of the divergences' grid, a side
JUDGED = 2000  # points of each kind that the divergences are taken from
BATCH = 128
PENALTY = 1.0  # weight of the gradient penalty; WGAN-GP has 10 for images, its toy experiments less


@dataclass(frozen=True)
class LabConfig:
    """What can be chosen."""

    shape: str = "ring of Gaussians"
    loss: str = "non-saturating"
    noise: str = "Gaussian"
    """Gaussian, or uniform in (-1, 1)."""
    noise_dim: int = 2
    """1 or 2."""
    g_lr: float = 2e-3
    d_lr: float = 2e-3
    """Adam's, with betas 0.5 and 0.9."""
    d_steps: int = 3
    """Turns of D before each of G."""
    hidden: int = 48
    """Units in each of the two hidden layers of both networks."""
    seed: int = 0


def sample_shape(name: str, n: int, r: torch.Generator, drawing: Tensor | None = None) -> Tensor:
    """Points (n, 2) of a distribution, inside the square from -1 to 1.

    Args:
        name: one of SHAPES.
        n: how many.
        r: what they are drawn from.
        drawing: (H, W) weights of the own drawing's cells, the first row on top; must have some above 0.
    """
    u, spread = torch.rand(n, generator=r), torch.randn(n, 2, generator=r)
    if name == "ring of Gaussians":
        angle = (u * 8).floor() * (math.pi / 4)
        return 0.75 * torch.stack([angle.cos(), angle.sin()], 1) + 0.04 * spread
    if name == "two far Gaussians":
        return torch.where(u < 0.5, -0.7, 0.7).unsqueeze(1).expand(n, 2) + 0.07 * spread
    if name == "line":
        return torch.stack([1.6 * u - 0.8, 0.6 * (1.6 * u - 0.8)], 1) + 0.02 * spread
    if name == "two moons":
        upper, angle = torch.rand(n, generator=r) < 0.5, math.pi * u
        x = torch.where(upper, angle.cos() - 0.5, 0.5 - angle.cos())
        y = torch.where(upper, angle.sin() - 0.25, 0.25 - angle.sin())
        return 0.6 * torch.stack([x, y], 1) + 0.03 * spread
    assert drawing is not None
    height, width = drawing.shape
    cell = torch.multinomial(drawing.flatten().double(), n, replacement=True, generator=r)
    x = (cell % width + torch.rand(n, generator=r)) / width
    y = (cell // width + torch.rand(n, generator=r)) / height
    return torch.stack([2 * x - 1, 1 - 2 * y], 1)


def histogram(points: Tensor, bins: int = BINS) -> np.ndarray:
    """Shares (bins, bins) of points (n, 2) in the cells of the plane, x first; those outside count in the outermost cells."""
    cells = ((points.double() / EDGE + 1) / 2 * bins).floor().long().clamp(0, bins - 1)
    counts = torch.bincount(cells[:, 0] * bins + cells[:, 1], minlength=bins**2).view(bins, bins)
    return (counts / len(points)).numpy()


def kl(p: np.ndarray, q: np.ndarray) -> float:
    """Kullback-Leibler divergence of p from q in nats; infinite where q is 0 and p is not."""
    some = p > 0
    with np.errstate(divide="ignore"):
        return float((p[some] * (np.log(p[some]) - np.log(q[some]))).sum())


def js(p: np.ndarray, q: np.ndarray) -> float:
    """Jensen-Shannon divergence in nats: 0 for equal distributions, log 2 for those that have nothing in common."""
    return (kl(p, (p + q) / 2) + kl(q, (p + q) / 2)) / 2


def smoothed(p: np.ndarray, n: int) -> np.ndarray:
    """Shares of n points with half a point added to every cell, so that none is 0 (Jeffreys' prior)."""
    return (p * n + 0.5) / (n + 0.5 * p.size)


def network(inputs: int, outputs: int, hidden: int, seed: int) -> nn.Sequential:
    """Two hidden layers of tanh units; the seed decides the weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        first, second, last = nn.Linear(inputs, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, outputs)
    return nn.Sequential(first, nn.Tanh(), second, nn.Tanh(), last)


@dataclass
class Turn:
    """What a step has reached: each field is there once its phase was taken."""

    z: Tensor | None = None
    real: Tensor | None = None
    fake: Tensor | None = None
    real_score: Tensor | None = None
    fake_score: Tensor | None = None
    loss: Tensor | None = None
    gradient: tuple[Tensor, ...] | None = None


class Lab:
    """A GAN of points that goes on phase by phase.

    Args:
        config: what was chosen.
        drawing: (H, W) weights of the own drawing.

    Attributes:
        steps: turns that are done.
        player: whose turn it is, "D" or "G".
        phase: place in PHASES of the phase that comes next.
        turn: what the present turn has reached; once it is over, what it was, until the next begins.
        seen: real points (n, 2) that the divergences are taken from.
        history: rows of (steps, D's loss, G's loss, KL, JS).
    """

    def __init__(self, config: LabConfig, drawing: Tensor | None = None) -> None:
        self.config, self.drawing = config, drawing
        self.random = torch.Generator().manual_seed(config.seed)
        self.G = network(config.noise_dim, 2, config.hidden, 2 * config.seed)
        self.D = network(2, 1, config.hidden, 2 * config.seed + 1)
        self.g = torch.optim.Adam(self.G.parameters(), config.g_lr, betas=(0.5, 0.9))
        self.d = torch.optim.Adam(self.D.parameters(), config.d_lr, betas=(0.5, 0.9))
        self.steps, self.phase, self.turn = 0, 0, Turn()
        self.player, self.left = "D", config.d_steps  # turns of D until G's
        self.losses = [math.nan, math.nan]  # the newest of D and of G
        self.seen = sample_shape(config.shape, JUDGED, self.random, drawing)
        self.fixed = self.noise(JUDGED)  # so that the divergences move with G only
        self.history: list[tuple[int, float, float, float, float]] = []
        self.record()

    def adjust(self, g_lr: float, d_lr: float, d_steps: int) -> None:
        """Change learning rates and the turns of D before each of G; the game goes on."""
        self.config = replace(self.config, g_lr=g_lr, d_lr=d_lr, d_steps=d_steps)
        self.g.param_groups[0]["lr"], self.d.param_groups[0]["lr"] = g_lr, d_lr

    def noise(self, n: int) -> Tensor:
        """Noise (n, Z)."""
        shape = (n, self.config.noise_dim)
        if self.config.noise == "Gaussian":
            return torch.randn(shape, generator=self.random)
        return 2 * torch.rand(shape, generator=self.random) - 1

    def score(self, x: Tensor) -> Tensor:
        """D's scores (n,) of points (n, 2): logits of being real, or the critic's values."""
        scores: Tensor = self.D(x).squeeze(1)
        return scores

    def d_loss(self, real: Tensor, fake: Tensor, real_score: Tensor, fake_score: Tensor) -> Tensor:
        """What D minimises; with Wasserstein, the gradient penalty is in it."""
        if self.config.loss == "hinge":
            return d_hinge(real_score, fake_score)
        if self.config.loss == "Wasserstein":
            u = torch.rand(len(real), generator=self.random)
            return wasserstein(real_score, fake_score) + PENALTY * gradient_penalty(self.score, real, fake, u)
        return d_logistic(real_score, fake_score)

    def g_loss(self, fake_score: Tensor) -> Tensor:
        """What G minimises."""
        if self.config.loss == "non-saturating":
            return g_nonsaturating(fake_score)
        return g_minimax(fake_score) if self.config.loss == "minimax" else -fake_score.mean()

    def advance(self) -> str:
        """Take the next phase; gives its name."""
        name, turn = PHASES[self.phase], self.turn
        if name == "generate":
            self.player = "D" if self.left > 0 else "G"
            z = self.noise(BATCH)
            turn = self.turn = Turn(z=z, fake=self.G(z))
            turn.real = sample_shape(self.config.shape, BATCH, self.random, self.drawing)
        assert turn.fake is not None
        assert turn.real is not None
        if name == "classify":
            turn.real_score, turn.fake_score = self.score(turn.real), self.score(turn.fake)
        elif name == "loss":
            assert turn.real_score is not None
            assert turn.fake_score is not None
            if self.player == "D":
                turn.loss = self.d_loss(turn.real, turn.fake, turn.real_score, turn.fake_score)
            else:
                turn.loss = self.g_loss(turn.fake_score)
            self.losses[self.player == "G"] = turn.loss.item()
        elif name == "gradient":
            assert turn.loss is not None
            moved = self.D if self.player == "D" else self.G
            turn.gradient = torch.autograd.grad(turn.loss, list(moved.parameters()))
        elif name == "update":
            assert turn.gradient is not None
            moved, optimizer = (self.D, self.d) if self.player == "D" else (self.G, self.g)
            for parameter, gradient in zip(moved.parameters(), turn.gradient, strict=True):
                parameter.grad = gradient
            optimizer.step()
            self.steps += 1
            self.left = self.left - 1 if self.player == "D" else self.config.d_steps
        self.phase = (self.phase + 1) % len(PHASES)
        return name

    def go_to(self, name: str) -> None:
        """Take phases until the one of this name is done, in the next step if it is over in this one."""
        while self.advance() != name:
            pass

    def train(self, steps: int) -> None:
        """Finish the step that was begun, then take whole ones, until so many are done; the divergences are noted at the end."""
        for _ in range(steps):
            self.go_to("update")
        self.record()

    def record(self) -> None:
        """Note losses and divergences."""
        with torch.no_grad():
            q = histogram(self.G(self.fixed))
        p = histogram(self.seen)
        d, g = self.losses
        self.history.append((self.steps, d, g, kl(p, smoothed(q, JUDGED)), js(p, q)))

    def pulls(self, x: Tensor) -> Tensor:
        """Where each generated point (n, 2) is to go to lower G's loss: the loss's gradient at the point, turned round, times n.

        Times n because the loss is a mean: each arrow is then that of a point alone.
        """
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(self.g_loss(self.score(x)), x)
        return -gradient * len(x)

    @torch.no_grad()
    def field(self, cells: int = 60) -> np.ndarray:
        """D's view of the plane, (cells, cells) numbers in (0, 1), the lowest row first: 1 is real, 0 generated.

        It is D's probability; of a critic, whose scores know no zero, their place between the lowest and the highest.
        """
        place = torch.linspace(-EDGE, EDGE, cells)
        y, x = torch.meshgrid(place, place, indexing="ij")
        score = self.score(torch.stack([x.flatten(), y.flatten()], 1)).view(cells, cells)
        if self.config.loss == "Wasserstein":
            low, high = score.aminmax()
            return ((score - low) / (high - low).clamp(min=1e-9)).numpy()
        return score.sigmoid().numpy()
