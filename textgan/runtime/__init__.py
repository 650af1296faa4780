"""Training that resumes bit for bit, on one process or many; it knows neither text nor images."""

from .batches import Batches, Bucketed
from .ema import EMA
from .loop import Algorithm, Interrupted, Progress, Stage, fit
from .outer import OuterLinear
from .player import Player, frozen
from .run import Run, newest
from .workers import Workers, group_mean

__all__ = [
    "EMA", "Algorithm", "Batches", "Bucketed", "Interrupted", "OuterLinear", "Player", "Progress", "Run", "Stage", "Workers",
    "fit", "frozen", "group_mean", "newest",
]  # fmt: skip
