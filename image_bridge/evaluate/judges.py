"""Small networks that judge images: trained once on the real ones, kept in the data's cache, the same for every run."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from textgan.runtime.workers import fold

from ..blocks import translate_and_cut
from ..images import ImageData

VERSION = 3  # of the networks and of how they are trained; files of another one are not read
SEEN = 120_000  # images that a judge is trained on, each as often as that needs
EPOCHS = 40  # at most so often
BATCH = 64
NOISE = 0.05  # generated images are not as clean as real ones
Tell = Callable[[str, int, int], None]  # what is being done, how much of it is done, of how much
J = TypeVar("J", bound=nn.Module)


def silent(what: str, done: int, total: int) -> None:
    """Tell nothing."""


def pixels(images: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """Bytes (n, S, S, 3) as floats (n, 3, S, S) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images)).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def through(
    network: Callable[[Tensor], Tensor], images: np.ndarray, device: torch.device | str, chosen: np.ndarray | None = None,
    batch: int = 64, tell: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:  # fmt: skip
    """What a network says of images (n, S, S, 3), or of those of the numbers ``chosen``, as an array with a row each."""
    numbers, found = np.arange(len(images)) if chosen is None else chosen, []
    with torch.inference_mode():
        for start in range(0, len(numbers), batch):
            x = pixels(images[numbers[start : start + batch]], device)
            found.append(network(x).float().cpu().numpy())
            tell(start + len(x), len(numbers))
    return np.concatenate(found)


def _train(
    network: nn.Module, loss: Callable[[np.ndarray, Tensor], Tensor], packed: np.ndarray, chosen: np.ndarray, batch: int,
    device: torch.device, tell: Callable[[int, int], None],
) -> None:  # fmt: skip
    """Train on images ``chosen`` of ``packed``, shifted a little and with some noise; ``loss`` gets their numbers and pixels."""
    batch, total = min(batch, len(chosen)), min(SEEN, EPOCHS * len(chosen))
    steps = math.ceil(total / batch)
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3, (0.9, 0.99), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, steps)
    order, r = np.empty(0, dtype=np.int64), np.random.default_rng(0)
    noise = torch.Generator(device).manual_seed(0)
    network.train()
    for step in range(steps):
        if len(order) < batch:
            order = np.concatenate([order, r.permutation(chosen)])
        now, order = order[:batch], order[batch:]
        x = translate_and_cut(
            pixels(packed[now], device), torch.rand(batch, 4, generator=noise, device=device), most=1 / 16, hole=0
        )
        x += NOISE * torch.randn(x.shape, generator=noise, device=device)
        optimizer.zero_grad(set_to_none=True)
        loss(now, x).backward()
        optimizer.step()
        schedule.step()
        tell(min((step + 1) * batch, total), total)


def kept(
    name: str, data: ImageData, packed: np.ndarray, make: Callable[[], J], loss: Callable[[J, np.ndarray, Tensor], Tensor],
    device: torch.device, batch: int = BATCH, tell: Callable[[int, int], None] = lambda done, total: None,
) -> J:  # fmt: skip
    """A judge from the data's cache; where it is not there, it is trained on the training images and put there.

    It is the same whatever is judged: its seed does not depend on the run, and its file is found by a hash of the data.

    Args:
        name: of the judge.
        data: whose training images it learns from.
        packed: all images of the data, (N, S, S, 3).
        make: gives it, untrained.
        loss: of the judge for images of these numbers and their pixels (B, 3, S, S).
        device: where it is trained, and where it is afterwards.
        batch: images a step.
        tell: is called with the images seen and those to see.
    """
    size = packed.shape[1]
    file = data.path / "cache" / f"{name}-{VERSION}-{size}-{data.digest()[:16]}.safetensors"
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(fold(0, size))
        judge = make()
        try:
            judge.load_state_dict(load_file(file))
            judge.to(device)
            judge.eval()
            return judge
        except (OSError, SafetensorError, RuntimeError):  # not there yet, or damaged
            judge = make()
            judge.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        chosen = data.usable(held_out=False)
        _train(judge, lambda indices, x: loss(judge, indices, x), packed, chosen, batch, device, tell)
    file.parent.mkdir(exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        save_file({key: value.contiguous().cpu() for key, value in judge.state_dict().items()}, temporary)
        for old in file.parent.glob(f"{name}-*-{size}-*.safetensors"):
            old.unlink(missing_ok=True)
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
    judge.eval()
    return judge
