"""Training that resumes bit for bit, on one process or many; it knows neither text nor images."""

from .batches import Batches, Bucketed
from .ema import EMA
from .loop import Algorithm, Interrupted, Stage, fit
from .player import Player, frozen
from .run import Run
from .workers import Workers

__all__ = ["EMA", "Algorithm", "Batches", "Bucketed", "Interrupted", "Player", "Run", "Stage", "Workers", "fit", "frozen"]
