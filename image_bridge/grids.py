"""Pictures of pictures: rows of images with a caption above each, strips between two captions, animations. Pillow only."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

GAP = 4  # pixels around every image
NARROWEST = 240  # pixels that a caption may take where the images are narrower
SMALLEST, LARGEST = 13, 28  # pixels of the letters
LINES = 4  # of a caption; the rest is cut, and the cut is marked
INK, TRACK, PAPER = (20, 20, 20), (215, 215, 215), (255, 255, 255)
BAR = 8  # pixels of the bar of an animation, with the room below it
Picture = Image.Image | np.ndarray


@cache
def _fonts(size: int) -> tuple[Any, ...]:
    """Pillow's own font, which has the letters of English only, then matplotlib's for all others."""
    found = find_spec("matplotlib")
    places = list(found.submodule_search_locations or ()) if found else []
    files = [path for place in places if (path := Path(place) / "mpl-data/fonts/ttf/DejaVuSans.ttf").is_file()]
    return ImageFont.load_default(size), *(ImageFont.truetype(str(path), size) for path in files[:1])


@cache
def _drawn(font: Any, letter: str) -> bool:
    """Whether a font has a letter: what it has not, it draws as it draws a code that stands for none."""
    mask, none = font.getmask(letter), font.getmask("\uffff")
    return bool(mask.size != none.size or bytes(mask) != bytes(none))


def _font(text: str, size: int) -> Any:
    fonts = _fonts(size)
    letters = {letter for letter in text if not letter.isascii()}
    return next((font for font in fonts if all(_drawn(font, letter) for letter in letters)), fonts[-1])


def plain(text: str) -> str:
    """A text that can be drawn on one line: blanks for line breaks and control characters, ``?`` for what is no character."""
    text = text.encode("utf-8", "replace").decode()
    return " ".join("".join(" " if unicodedata.category(c) == "Cc" else c for c in text).split())


def wrap(text: str, font: Any, width: float, lines: int = LINES) -> list[str]:
    """A text in lines of at most ``width`` pixels; words longer than a line are broken; what is too much ends in an ellipsis."""
    words, out = plain(text).split(), [""]
    while words:
        word = words.pop(0)
        longer = f"{out[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            out[-1] = longer
        elif out[-1]:
            out.append("")
            words.insert(0, word)
        else:
            fits = next((k for k in range(2, len(word)) if font.getlength(word[:k]) > width), len(word)) - 1
            out[-1] = word[: max(1, fits)]
            words[:0] = [word[max(1, fits) :]] if word[max(1, fits) :] else []
            out += [""] if words else []
        if len(out) > lines:
            last = out[lines - 1]
            while last and font.getlength(f"{last}…") > width:
                last = last[:-1]
            return [*out[: lines - 1], f"{last.rstrip()}…"]
    return out if out != [""] else []


class Text:
    """A caption, cut to lines, with the font it is drawn in.

    Args:
        text: what it says.
        size: of the letters.
        width: pixels it may take.
        lines: how many it may take.
    """

    def __init__(self, text: str, size: int, width: float, lines: int = LINES) -> None:
        text = plain(text[: int(width) * lines])
        self.font = _font(text, size)
        self.lines = wrap(text, self.font, width, lines)
        self.step = sum(self.font.getmetrics()) + 1
        self.width = max((int(np.ceil(self.font.getlength(line))) for line in self.lines), default=0)
        self.height = self.step * len(self.lines)

    def draw(self, brush: ImageDraw.ImageDraw, x: float, y: float, anchor: float = 0.0) -> None:
        """Write it below y; ``x`` is its left edge, its middle (anchor 0.5) or its right edge (1)."""
        for k, line in enumerate(self.lines):
            brush.text((x - anchor * self.font.getlength(line), y + k * self.step), line, INK, self.font)


def picture(image: Picture, scale: int = 1) -> Image.Image:
    """An image, or bytes (H, W, 3) or (H, W), as RGB; ``scale`` times as large by nearest neighbour."""
    out = (image if isinstance(image, Image.Image) else Image.fromarray(np.ascontiguousarray(image))).convert("RGB")
    return out if scale == 1 else out.resize((out.width * scale, out.height * scale), Image.Resampling.NEAREST)


def letters(width: int) -> int:
    """Size of letters that can be read in a picture so many pixels wide."""
    return min(LARGEST, max(SMALLEST, width // 50))


def grid(
    rows: Sequence[Sequence[Picture] | np.ndarray], captions: Sequence[str] = (), scale: int = 1, headings: Sequence[str] = ()
) -> Image.Image:
    """Rows of images with a caption above each.

    Args:
        rows: the images of each row: Pillow's, or bytes (n, H, W, 3); rows may differ in length, images in size.
        captions: one a row, or none; long ones are wrapped, and cut after four lines.
        scale: images are drawn so much larger, by nearest neighbour.
        headings: one a column, or none.

    Returns:
        An RGB picture. Each image has a margin of GAP pixels; narrow grids are widened for their captions.
    """
    assert not captions or len(captions) == len(rows)
    table = [[picture(image, scale) for image in row] for row in rows]
    columns = max(len(row) for row in table)
    widths = [max(row[k].width for row in table if k < len(row)) for k in range(columns)]
    size = letters(sum(widths))
    heads = [Text(words, size, max(width, 60), 2) for words, width in zip(headings, widths, strict=False)]
    widths = [max(width, heads[k].width if k < len(heads) else 0) for k, width in enumerate(widths)]
    lefts = np.cumsum([GAP, *(width + GAP for width in widths)]).tolist()
    texts = [Text(caption, size, max(lefts[-1] - 2 * GAP, NARROWEST)) for caption in captions or [""] * len(rows)]
    heights = [max(image.height for image in row) + GAP + (text.height + GAP) * bool(text.lines)
               for row, text in zip(table, texts, strict=True)]  # fmt: skip
    head = max((text.height for text in heads), default=-GAP) + GAP
    width = max(lefts[-1], *(text.width + 2 * GAP for text in texts))
    out = Image.new("RGB", (width, GAP + head + sum(heights)), PAPER)
    brush = ImageDraw.Draw(out)
    for text, left, wide in zip(heads, lefts, widths, strict=False):
        text.draw(brush, left + wide / 2, GAP, 0.5)
    y = GAP + head
    for row, text, height in zip(table, texts, heights, strict=True):
        text.draw(brush, GAP, y)
        below = y + (text.height + GAP) * bool(text.lines)
        for image, left in zip(row, lefts, strict=False):
            out.paste(image, (left, below))
        y += height
    return out


def strip(images: Sequence[Picture], first: str, last: str, scale: int = 1) -> Image.Image:
    """One row of images that leads from a caption, written above its left end, to another above its right end."""
    table = [picture(image, scale) for image in images]
    lefts = np.cumsum([GAP, *(image.width + GAP for image in table)]).tolist()
    out = _between(first, last, lefts[-1], max(image.height for image in table))
    for image, left in zip(table, lefts, strict=False):
        out.paste(image, (left, out.height - GAP - image.height))
    return out


def _between(first: str, last: str, width: int, height: int) -> Image.Image:
    """Room for images below two captions, one at each end."""
    width = max(width, NARROWEST)
    texts = [Text(words, letters(width), width / 2 - 4 * GAP) for words in (first, last)]
    top = max(text.height for text in texts) + 2 * GAP
    out = Image.new("RGB", (width, top + height + GAP), PAPER)
    brush = ImageDraw.Draw(out)
    for text, x, anchor in zip(texts, (GAP, width - GAP), (0.0, 1.0), strict=True):
        text.draw(brush, x, top - GAP - text.height, anchor)
    return out


def walk(
    images: Sequence[Picture], first: str, last: str, scale: int = 1, frame_ms: int = 120, rest_ms: int = 800
) -> bytes:  # fmt: skip
    """An animated GIF that goes from the first image to the last and back, 2 n - 2 frames of n images; it rests at both ends.

    The captions of the ends stand above, and a bar between them shows where a frame is.
    """
    table = [picture(image, scale) for image in images]
    wide, high = (max(getattr(image, side) for image in table) for side in ("width", "height"))
    ground = _between(first, last, wide + 2 * GAP, BAR + high)
    left, top = GAP, ground.height - 2 * GAP - BAR - high
    frames = []
    for k, image in enumerate(table):
        frame = ground.copy()
        brush, right = ImageDraw.Draw(frame), ground.width - 1 - GAP
        brush.rectangle((left, top + GAP, right, top + GAP + BAR - 3), TRACK)
        brush.rectangle((left, top + GAP, left + (right - left) * k / (len(table) - 1), top + GAP + BAR - 3), INK)
        frame.paste(image, ((frame.width - image.width) // 2, frame.height - GAP - image.height))
        frames.append(frame)
    shown = [*frames, *frames[-2:0:-1]]
    times = [rest_ms if k in (0, len(table) - 1) else frame_ms for k in range(len(shown))]
    out = io.BytesIO()
    shown[0].save(out, "GIF", save_all=True, append_images=shown[1:], duration=times, loop=0)
    return out.getvalue()
