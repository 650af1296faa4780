"""What the games of image GANs share as plumbing: whose turn it is, what is told of a step, the mean of G."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from textgan.runtime import EMA, Player, Stage, Workers

from .blocks import start

Move = Callable[[int], dict[str, Tensor]]  # does a player's step number i, counted over its own steps


def one_size(config: Any) -> list[int]:
    """The sizes at which images are needed by a method with ``config.size`` alone.

    Raises:
        ValueError: it is not one that the networks can have.
    """
    start(config.size)
    return [config.size]


def by_turns(steps: int, moves: Sequence[tuple[Move, int]], per_epoch: int, batch: int) -> list[Stage]:
    """A game in which players move one after the other; which of them moves is a function of the step.

    Args:
        steps: turns.
        moves: each player's step, and how often it comes in a turn.
        per_epoch: minibatches in an epoch, each of which one step of the player that moves last takes.
        batch: images a step.
    """
    order = [(move, count, k) for move, count in moves for k in range(count)]

    def step(i: int) -> dict[str, Tensor]:
        turn, place = divmod(i, len(order))
        move, count, k = order[place]
        return move(turn * count + k)

    return [Stage("adversarial", steps * len(order), step, per_epoch * len(order), batch, turn=len(order))]


def metrics(workers: Workers, side: str, values: dict[str, Tensor], grad: Tensor) -> dict[str, Tensor]:
    """What a step of a player tells: the means over the processes, and the norm of the gradient."""
    return {**{f"{side}/{key}": workers.mean(value.detach()) for key, value in values.items()}, f"{side}/grad": grad}


def follow(average: EMA[Any], decay: float, i: int) -> None:
    """Move the mean of G after G's step ``i``; its decay grows to ``decay``, so that the first networks are soon forgotten."""
    average.decay = min(decay, (1 + i) / (10 + i))
    average.update()


def decay(players: Sequence[Player], rate: float, i: int, steps: int) -> None:
    """The learning rate of a game's turn ``i``: ``rate`` over the first half, then down to 0 in a straight line (CycleGAN)."""
    for player in players:
        for group in player.optimizer.param_groups:
            group["lr"] = rate * min(1.0, 2 * (1 - i / steps))
