"""What the benches share: both forms are compared, then timed by turns; floors come from rates that are measured here."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

FAR = 5.0  # standard errors by which two means of the same thing hardly ever differ


class Disagreement(Exception):
    """Our form and the plain one do not do the same."""


@dataclass(frozen=True)
class Row:
    """What was measured.

    Attributes:
        name: of the bench, and what sets this row apart.
        told: sizes, and what was done.
        ours: seconds of our form.
        plain: seconds of the plain one, or None where there is no sensible one.
        ratio: how many times faster ours is.
        amount: of what was done in that time.
        unit: what ``amount`` counts.
        floor: seconds below which ours cannot come without doing something else, or None where that is not known.
        from_floor: our time, in floors.
        floor_of: what the floor is made of.
        agreement: how the two forms were compared, and how near they were.
        seconds: every single measurement, in turns.
    """

    name: str
    told: str
    ours: float
    plain: float | None
    ratio: float | None
    amount: float
    unit: str
    floor: float | None
    from_floor: float | None
    floor_of: str
    agreement: str
    seconds: dict[str, list[float]]


@dataclass
class Setting:
    """How benches run.

    Args:
        folder: for corpora and images, which several benches share.
        quick: tiny sizes, which show that a bench works and nothing else.
        repeat: turns that count.
        device: where networks lie.
    """

    folder: Path
    quick: bool = False
    repeat: int = 3
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    _rates: dict[Any, float] = field(default_factory=dict)

    def synchronise(self) -> None:
        """Wait for what was started."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def best(self, *work: Callable[[], object], times: int = 1) -> float:
        """Fewest seconds of any of these, each done so often: what the machine can do when nothing disturbs it."""
        found = []
        for some in work * times:
            self.synchronise()
            began = time.perf_counter()
            some()
            self.synchronise()
            found.append(time.perf_counter() - began)
        return min(found)

    def flop_rate(self, dtype: torch.dtype = torch.float32) -> float:
        """Operations a second of a square matrix product in this process; small enough to fall between two disturbances."""
        if dtype not in self._rates:
            n = 8192 if self.device.type == "cuda" else 512
            a, b = ((50 * torch.randn(n, n, device=self.device)).to(dtype) for _ in range(2))
            product = torch._int_mm if dtype == torch.int8 else torch.mm
            self._rates[dtype] = 2 * n**3 / self.best(lambda: product(a, b), times=5 if self.quick else 50)
        return self._rates[dtype]

    def byte_rate(self) -> float:
        """Bytes a second that a copy in memory reads and writes, piece by piece of arrays beyond all caches."""
        if "bytes" not in self._rates:
            a = torch.ones((1 << 22) if self.quick else (1 << 29), dtype=torch.uint8, device=self.device)
            pieces = zip(torch.empty_like(a).split(1 << 24), a.split(1 << 24), strict=True)
            copies = [lambda to=to, of=of: to.copy_(of) for to, of in pieces]
            self._rates["bytes"] = 2 * min(a.numel(), 1 << 24) / self.best(*copies, times=2)
        return self._rates["bytes"]

    def operations(self, flop: float, told: str, dtype: torch.dtype = torch.float32) -> tuple[float, str]:
        """A floor of so many operations at the rate of a square matrix product."""
        rate = self.flop_rate(dtype)
        return flop / rate, f"{short(flop)}FLOP ({told}) at {short(rate)}FLOP/s"

    def moved(self, size: float, told: str) -> tuple[float, str]:
        """A floor of so many bytes read and written at the rate of a copy."""
        return size / self.byte_rate(), f"{short(size)}B ({told}) at {short(self.byte_rate())}B/s"

    def counted(self, work: Callable[[], object]) -> float:
        """Operations of all matrix products and convolutions in some work, counted as it runs."""
        with warnings.catch_warnings(), FlopCounterMode(display=False) as counter:
            warnings.simplefilter("ignore")  # of a kind of GPU that is not there
            # the fused kernels of recurrent layers are opaque to the counter
            with torch.backends.mkldnn.flags(enabled=False), torch.backends.cudnn.flags(enabled=False):
                work()
        return float(counter.get_total_flops())

    def own_products(self, work: Callable[[], object]) -> tuple[float, str]:
        """A floor of all products in some work of ours."""
        return self.operations(self.counted(work), "our own products")

    def row(
        self,
        name: str,
        told: str,
        ours: Callable[[], object],
        plain: Callable[[], object] | None,
        agreement: str,
        *,
        amount: float,
        unit: str,
        floor: tuple[float, str] | None = None,
        share: float = 1.0,
        plain_share: float = 1.0,
    ) -> Row:
        """Time both forms by turns, so that noise falls on both; the median counts, the first turn warms up.

        Args:
            name: see Row.
            told: see Row.
            ours: our form.
            plain: the plain one.
            agreement: see Row.
            amount: see Row.
            unit: see Row.
            floor: seconds, and what they are made of.
            share: part of ``amount`` that ``ours`` does; its time is that of the whole.
            plain_share: the same of ``plain``.
        """
        forms = {"ours": (ours, share)} | ({"plain": (plain, plain_share)} if plain else {})
        seconds: dict[str, list[float]] = {form: [] for form in forms}
        for turn in range(self.repeat + 1):
            for form, (work, part) in forms.items():
                spent = self.best(work) / part
                if turn:
                    seconds[form].append(spent)
        found = {form: statistics.median(values) for form, values in seconds.items()}
        slow = found.get("plain")
        least, floor_of = floor or (None, "")
        return Row(
            name, told, found["ours"], slow, slow and slow / found["ours"], amount, unit, least, least and found["ours"] / least,
            floor_of, agreement, seconds,
        )  # fmt: skip


def same(what: str, ours: Any, plain: Any, tolerance: float = 1e-4, share: float = 1.0) -> str:
    """Says how near two results are.

    Args:
        what: they are of.
        ours: tensor, array, or a list of tensors.
        plain: the same.
        tolerance: how far they may be apart, in the largest number of the plain one.
        share: of the numbers that must be near; below 1 where rounding may rarely make another token of the same draw.

    Raises:
        Disagreement: they are not.
    """
    a, b = (_flat(part) for part in (ours, plain))
    if a.shape != b.shape:
        raise Disagreement(f"{what}: {a.numel()} numbers and {b.numel()}")
    size = float(b.abs().max())
    if not size > 0:
        raise Disagreement(f"{what}: there is nothing but zeros to compare")
    apart = (a - b).abs() / size
    near = float((apart <= tolerance).double().mean())
    if not near >= share:
        raise Disagreement(
            f"{what}: only {near:.2%} of the numbers are within {tolerance:g}; the farthest is {float(apart.max()):.1e}"
        )
    return f"{what}: {float(apart.max()):.0e} apart" if share == 1 else f"{what}: {near:.2%} the same"


def alike(what: str, ours: Tensor, plain: Tensor) -> str:
    """Says how near the means of two samples (n,) and (m,) of the same distribution are.

    Raises:
        Disagreement: they are too far apart to be of the same.
    """
    a, b = ours.double().cpu(), plain.double().cpu()
    error = float((a.var() / len(a) + b.var() / len(b)).sqrt())
    apart = abs(float(a.mean() - b.mean())) / max(error, 1e-30)
    if not apart <= FAR:
        raise Disagreement(
            f"{what}: the means {float(a.mean()):.4g} and {float(b.mean()):.4g} are {apart:.1f} standard errors apart"
        )
    return f"{what}: means {apart:.1f} standard errors apart"


@torch.no_grad()
def spread(*modules: nn.Module) -> None:
    """Make new networks tell inputs apart: as they are born, all their answers are alike, and any two forms would agree."""
    for module in modules:
        for parameter in module.parameters():
            parameter.mul_(3)


def _flat(part: Any) -> Tensor:
    parts = part if isinstance(part, list | tuple) else [part]
    return torch.cat([torch.as_tensor(p).detach().double().cpu().flatten() for p in parts])


def short(number: float) -> str:
    """A number with three digits and the letter of its power of a thousand."""
    for power, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= power:
            return f"{number / power:.3g} {letter}"
    return f"{number:.3g} "
