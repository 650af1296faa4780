"""Coloured shapes drawn from a grammar: colour, size, kind, and where two stand to each other. Every attribute is exact."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from textgan.runtime.workers import fold

from .writing import Row, file_name, in_parallel, write_rows

COLOURS = {
    "red": (214, 39, 40), "orange": (247, 143, 30), "yellow": (246, 219, 40), "green": (44, 150, 56), "blue": (31, 90, 200),
    "purple": (128, 52, 160), "pink": (246, 130, 190), "black": (20, 20, 20),
}  # fmt: skip
KINDS = ("circle", "square", "triangle", "star", "cross", "ring")
SIZES = {"small": 0.13, "large": 0.21}  # radius, of the image's width
RELATIONS = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
ONE = (
    "a {a}",
    "there is a {a}",
    "one {a} on a pale ground",
    "the {kind} is {size} and {colour}",
    "a {colour} {kind} that is {size}",
)
TWO = ("a {a} {where} a {b}", "there is a {a} {where} a {b}", "a {b} {opposite} a {a}", "the {a} is {where} the {b}")
SCALE = 4  # drawn so much larger, then averaged
ATTRIBUTION = """
# Attribution

Drawn by image_bridge from its own grammar; nobody else's work is in these images. Licence: CC0 1.0.
"""


@dataclass(frozen=True)
class Shape:
    """One shape; centre and radius in parts of the image's width."""

    colour: str
    size: str
    kind: str
    x: float
    y: float
    radius: float
    turn: float


@dataclass(frozen=True)
class Work:
    """A folder of images for one process."""

    out: Path
    first: int
    last: int
    pixels: int
    seed: int


def outline(shape: Shape) -> list[tuple[float, float]]:
    """Corners of a shape, in parts of the image's width."""

    def at(angle: float, radius: float) -> tuple[float, float]:
        return shape.x + radius * math.sin(angle + shape.turn), shape.y - radius * math.cos(angle + shape.turn)

    r = shape.radius
    if shape.kind == "square":
        return [at(math.pi / 4 + k * math.pi / 2, 1.2 * r) for k in range(4)]
    if shape.kind == "triangle":
        return [at(k * 2 * math.pi / 3, 1.25 * r) for k in range(3)]
    if shape.kind == "star":
        return [at(k * math.pi / 5, r * (1.25 if k % 2 == 0 else 0.5)) for k in range(10)]
    near, far = 0.36 * r, 1.15 * r  # a cross: from arm to arm
    corner = [(near, far), (near, near), (far, near), (far, -near), (near, -near), (near, -far)]
    corner += [(-x, -y) for x, y in corner]
    return [at(math.atan2(x, y), math.hypot(x, y)) for x, y in corner]


def draw(shapes: list[Shape], pixels: int, ground: tuple[int, int, int]) -> Image.Image:
    """The picture of some shapes."""
    width = pixels * SCALE
    image = Image.new("RGB", (width, width), ground)
    brush = ImageDraw.Draw(image)
    for shape in shapes:
        colour = COLOURS[shape.colour]
        box = [(c + sign * shape.radius) * width for sign in (-1, 1) for c in (shape.x, shape.y)]
        if shape.kind == "circle":
            brush.ellipse(box, fill=colour)
        elif shape.kind == "ring":
            brush.ellipse(box, outline=colour, width=max(1, round(0.36 * shape.radius * width)))
        else:
            brush.polygon([(x * width, y * width) for x, y in outline(shape)], fill=colour)
    return image.resize((pixels, pixels), Image.Resampling.BOX)


def _shape(r: random.Random, x: float, y: float) -> Shape:
    size = r.choice(tuple(SIZES))
    return Shape(
        r.choice(tuple(COLOURS)), size, r.choice(KINDS), x, y, SIZES[size] * r.uniform(0.9, 1.1), r.uniform(-0.2, 0.2)
    )  # fmt: skip


def scene(seed: int) -> tuple[list[Shape], list[str], dict[str, str], tuple[int, int, int]]:
    """Shapes, captions, attributes and ground of the scene with this seed: one shape, or two of different colour and kind."""
    r = random.Random(seed)
    pale = tuple(r.randrange(222, 252) for _ in range(3))
    ground = (pale[0], pale[1], pale[2])
    if r.random() < 0.5:
        a = _shape(r, r.uniform(0.3, 0.7), r.uniform(0.3, 0.7))
        words = {"a": f"{a.size} {a.colour} {a.kind}", "size": a.size, "colour": a.colour, "kind": a.kind}
        captions = [t.format(**words) for t in r.sample(ONE, 3)]
        return [a], captions, {"colour": a.colour, "kind": a.kind, "size": a.size}, ground
    where = r.choice(tuple(RELATIONS))
    dx, dy = RELATIONS[where]
    apart, aside = r.uniform(0.23, 0.27), r.uniform(-0.04, 0.04)
    a = _shape(r, 0.5 + dx * apart + abs(dy) * aside, 0.5 + dy * apart + abs(dx) * aside)
    b = a
    while b.colour == a.colour or b.kind == a.kind:
        b = _shape(r, 0.5 - dx * apart - abs(dy) * aside, 0.5 - dy * apart - abs(dx) * aside)
    first, second = (f"{s.size} {s.colour} {s.kind}" for s in (a, b))
    captions = [t.format(a=first, b=second, where=where, opposite=OPPOSITE[where]) for t in r.sample(TWO, 3)]
    if where in ("right of", "below"):  # attributes name the left or the upper one first
        a, b, where = b, a, OPPOSITE[where]
    attributes = {"colour": a.colour, "kind": a.kind, "size": a.size, "relation": where}
    return [a, b], captions, attributes | {"other colour": b.colour, "other kind": b.kind, "other size": b.size}, ground


def _some(work: Work) -> list[Row]:
    rows = []
    for i in range(work.first, work.last):
        shapes, captions, attributes, ground = scene(fold(work.seed, i))
        name = file_name(i)
        (work.out / name).parent.mkdir(parents=True, exist_ok=True)
        draw(shapes, work.pixels, ground).save(work.out / name, compress_level=1)
        rows.append(Row(name, captions, attributes, "test" if i % 10 == 9 else "train", "CC0-1.0"))
    return rows


def build(out: Path, images: int, pixels: int, seed: int, processes: int, tell: Callable[[int, int], None]) -> int:
    """Draw ``images`` scenes of ``pixels`` x ``pixels`` into ``out``; every tenth is held out."""
    size = 500
    work = [Work(out, i, min(i + size, images), pixels, seed) for i in range(0, images, size)]

    def rows() -> Iterator[Row]:
        for some in in_parallel(_some, work, processes, lambda done, _: tell(min(done * size, images), images)):
            yield from some

    return write_rows(out, rows(), ATTRIBUTION)
