"""Cartoon faces, or any other style of dicebear, with exact attributes: hair, skin, glasses, and what else the style says."""

from __future__ import annotations

import colorsys
import io
import json
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from textgan.errors import UserError
from textgan.runtime.workers import fold

from .writing import Row, file_name, in_parallel, write_rows

# the colours of "adventurer" by the names people give them; other styles go by colour_name
NAMED = {
    "#0e0e0e": "black", "#e5d7a3": "blond", "#b9a05f": "golden", "#796a45": "olive", "#85c2c6": "blue", "#6a4e35": "brown",
    "#562306": "chestnut", "#afafaf": "grey", "#3eac2c": "green", "#dba3be": "pink", "#592454": "purple", "#ac6511": "ginger",
    "#cb6820": "orange", "#ab2a18": "red", "#f2d3b1": "light", "#ecad80": "tan", "#9e5622": "brown", "#763900": "dark",
}  # fmt: skip
SCALE = 2  # drawn so much larger, then averaged
# the colours of all domains: each far from the others, so that they are told apart at 32 pixels
HAIR = {
    "black": "#181818", "brown": "#7a4a22", "blond": "#f2d35e", "red": "#c4261d", "blue": "#3a6fe0", "green": "#37a63a",
    "pink": "#f78fc0", "purple": "#7d35a8",
}  # fmt: skip
SKIN = {"light": "#fbe0cb", "tan": "#e0a878", "brown": "#a9683c", "dark": "#5f371c"}
VISIBLE = 0.01  # of the pixels must change with the colour of the hair; else there is none to see
HELD_OUT = 10  # one face of so many


@dataclass(frozen=True)
class Work:
    """A folder of pictures for one process."""

    out: Path
    first: int
    last: int
    pixels: int
    seed: int
    style: str
    line: bool
    pair: str


def styles() -> list[str]:
    """The names of all styles.

    Raises:
        UserError: the packages are not installed.
    """
    try:
        from importlib.resources import files

        import dicebear  # noqa: F401
        import resvg_py  # noqa: F401

        return sorted(f.name.removesuffix(".json") for f in files("dicebear_styles").iterdir() if f.name.endswith(".json"))
    except ModuleNotFoundError as error:
        raise UserError(
            f"faces are drawn by packages of which {error.name} is not installed; pip install 'textgan[faces]'"
        ) from error


def _definition(name: str) -> dict[str, Any]:
    from importlib.resources import files

    found: dict[str, Any] = json.loads(files("dicebear_styles").joinpath(f"{name}.json").read_text("utf-8"))
    return found


@cache
def _style(name: str) -> tuple[Any, dict[str, Any]]:
    from dicebear import Style

    definition = _definition(name)
    return Style(definition), definition


def colour_name(code: str) -> str:
    """A word for a colour such as #3eac2c."""
    if code in NAMED:
        return NAMED[code]
    r, g, b = (int(code[i : i + 2], 16) / 255 for i in (1, 3, 5))
    hue, light, saturation = colorsys.rgb_to_hls(r, g, b)
    if light < 0.12:
        return "black"
    if light > 0.93:
        return "white"
    if saturation < 0.15:
        return "grey"
    if 0.02 < hue < 0.13 and light < 0.4:
        return "brown"
    for limit, name in ((0.03, "red"), (0.11, "orange"), (0.19, "yellow"), (0.45, "green"), (0.53, "turquoise"), (0.7, "blue")):
        if hue < limit:
            return name
    return "purple" if hue < 0.83 else "pink" if hue < 0.95 else "red"


def _apart(name: str) -> str:
    """EyeShadow as eye shadow."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def _spoken(variant: str) -> str:
    """A variant's name as a word, without its number: long03 is long, variant12 nothing."""
    word = _apart(re.sub(r"\d+$", "", variant))
    return "" if word in ("variant", "default") else word


def attributes(options: Mapping[str, Any], definition: Mapping[str, Any]) -> dict[str, str]:
    """What a picture shows, from the options that it was drawn with.

    Colours of which the style has several, variants whose names are words, and whether there is what there may not be.
    """
    found: dict[str, str] = {}
    for name, colour in definition["colors"].items():
        shown = options.get(f"{name}Color")
        if shown and len(colour["values"]) > 1:
            found[f"{_apart(name)} colour"] = colour_name(shown[0])
    for name, component in definition["components"].items():
        variant = options.get(f"{name}Variant")
        words = {_spoken(v) for v in component["variants"]} - {""}
        key = "hair length" if name == "hair" and words == {"long", "short"} else _apart(name)
        if component.get("probability", 100) < 100 and not variant:
            found[key] = "no"
        elif variant and len(words) > 1 and _spoken(variant):
            found[key] = _spoken(variant)
        elif component.get("probability", 100) < 100:
            found[key] = "yes"
    return found


def sentences(found: Mapping[str, str], r: random.Random, number: int) -> list[str]:
    """Captions for some attributes, by several templates; they name at most five things beside hair and skin."""
    hair = " ".join(found[k] for k in ("hair length", "hair", "hair colour") if found.get(k, "no") not in ("no", "yes"))
    skin, extra = found.get("skin colour", ""), []
    for name, value in found.items():
        if name in ("hair length", "hair", "hair colour", "skin colour") or value == "no":
            continue
        if name == "details":
            extra.append(f"a {value}" if value in ("birthmark", "mustache") else value)
        else:
            extra.append(name if value in ("yes", name) else f"{value} {name.removesuffix(' colour')}")
    out = []
    for k in r.sample(range(4), min(number, 4)):
        things = [f"{hair} hair"] if hair else []
        things += [f"{skin} skin"] if skin and k != 1 else []
        things += r.sample(extra, min(5, len(extra)))
        listed = " and ".join([", ".join(things[:-1]), things[-1]] if len(things) > 1 else things) or "nothing special"
        face = f"a {skin} face" if skin else "somebody"
        out.append((f"a face with {listed}", f"{face} with {listed}", f"a person who has {listed}", listed)[k])
    return out


def _draw(style: Any, seed: str, pixels: int, **options: Any) -> tuple[Image.Image, dict[str, Any]]:
    import resvg_py
    from dicebear import Avatar

    drawn = Avatar(style, {"seed": seed, "size": pixels * SCALE, **options}).to_json()
    png = bytes(resvg_py.svg_to_bytes(svg_string=drawn["svg"]))
    rgba = Image.open(io.BytesIO(png)).convert("RGBA")
    image = Image.new("RGB", rgba.size, "white")
    image.paste(rgba, mask=rgba.getchannel("A"))
    return image.resize((pixels, pixels), Image.Resampling.BOX), drawn["options"]


def _some(work: Work) -> list[Row]:
    style, definition = _style(work.style)
    licence, rows = definition["meta"]["license"]["name"], []
    ink = {n for n, c in definition["colors"].items() if set(c["values"]) <= {"#000000", "#000"}}
    white = {f"{name}Color": ["#ffffff"] for name in definition["colors"] if name not in ink}

    def save(image: Image.Image, name: str) -> str:
        (work.out / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(work.out / name, compress_level=1)
        return name

    for i in range(work.first, work.last):
        number = fold(work.seed, i)
        image, options = _draw(style, str(number), work.pixels)
        found, r, others = attributes(options, definition), random.Random(number), {}
        if work.line:
            others["line"] = save(_draw(style, str(number), work.pixels, **white)[0], file_name(i, "line"))
        if work.pair:
            others["pair"] = save(_draw(_style(work.pair)[0], str(number), work.pixels)[0], file_name(i, "pair"))
        split = "test" if _held_out(i) else "train"
        rows.append(Row(save(image, file_name(i)), sentences(found, r, 3), found, split, licence, others))
    return rows


def _held_out(i: int) -> bool:
    return i % HELD_OUT == HELD_OUT - 1


def _hair_is_seen(image: Image.Image, style: Any, seed: str, pixels: int, colours: Mapping[str, list[str]]) -> bool:
    """Whether a picture changes with the colour of the hair, which below hats and on bald heads it does not."""
    white = np.asarray(_draw(style, seed, pixels, **{**colours, "hairColor": ["#ffffff"]})[0]).astype(int)
    changed: np.ndarray = np.abs(np.asarray(image).astype(int) - white).sum(2) > 100
    return bool(changed.mean() >= VISIBLE)


@dataclass(frozen=True)
class DomainWork:
    """Faces number ``first`` to ``last`` of every domain, for one process."""

    out: Path
    first: int
    last: int
    pixels: int
    seed: int
    domains: Sequence[str]


def _some_of_domains(work: DomainWork) -> list[Row]:
    rows = []
    for i in range(work.first, work.last):
        for k, domain in enumerate(work.domains):
            style, definition = _style(domain)
            held_out = _held_out(i)
            number = fold(work.seed, i) if held_out else fold(work.seed, 1 + k, i)  # those to train on are nobody else's
            r = random.Random(number)
            hair, skin = r.choice(tuple(HAIR)), r.choice(tuple(SKIN))
            colours = {"hairColor": [HAIR[hair]], "skinColor": [SKIN[skin]]}
            image, options = _draw(style, str(number), work.pixels, **colours)
            found = attributes(options, definition) | {"hair colour": hair, "skin colour": skin}
            if not _hair_is_seen(image, style, str(number), work.pixels, colours):
                del found["hair colour"]
            name = file_name(i, domain)
            (work.out / name).parent.mkdir(parents=True, exist_ok=True)
            image.save(work.out / name, compress_level=1)
            licence = definition["meta"]["license"]["name"]
            rows.append(
                Row(name, sentences(found, r, 3), {"domain": domain, **found}, "test" if held_out else "train", licence,
                    scene=i // HELD_OUT if held_out else None)
            )  # fmt: skip
    return rows


def build_domains(
    out: Path, images: int, pixels: int, seed: int, processes: int, tell: Callable[[int, int], None], domains: Sequence[str]
) -> int:
    """Draw ``images`` faces of each of several styles into ``out``; hair and skin have the same few colours in all of them.

    Faces to train on are different ones in every style. Held-out faces, every tenth, come in all styles with the same
    ``scene``: the same seed, and so the same colours. The style is the attribute ``domain``.

    Args:
        out: an empty folder.
        images: how many of each style.
        pixels: their width and height.
        seed: the same seed gives the same faces.
        processes: that draw.
        tell: is called with the number done and that of all.
        domains: styles of dicebear whose hair and skin can be coloured, two or more.

    Raises:
        UserError: the packages are not installed, there are fewer than two styles, or one cannot be coloured.
    """
    known = styles()
    if len(domains) < 2 or len(set(domains)) < len(domains):
        raise UserError(f"--domains takes two or more different styles, separated by commas; received {','.join(domains)!r}")
    for domain in domains:
        if domain not in known or not _can_be_coloured(domain):
            why = "has hair and skin that can be coloured" if domain in known else "is known to dicebear"
            able = ", ".join(name for name in known if _can_be_coloured(name))
            raise UserError(f"--domains: no style {domain!r} {why}; expected some of {able}")
    size = 100
    work = [DomainWork(out, i, min(i + size, images), pixels, seed, domains) for i in range(0, images, size)]
    total = images * len(domains)

    def rows() -> Iterator[Row]:
        for some in in_parallel(
            _some_of_domains, work, processes, lambda done, _: tell(min(done * size * len(domains), total), total)
        ):
            yield from some

    return write_rows(out, rows(), _attribution(domains))


def _can_be_coloured(style: str) -> bool:
    return {"hair", "skin"} <= set(_definition(style)["colors"])


def build(
    out: Path, images: int, pixels: int, seed: int, processes: int, tell: Callable[[int, int], None],
    style: str = "adventurer", line: bool = False, pair: str = "",
) -> int:  # fmt: skip
    """Draw ``images`` faces into ``out``; every tenth is held out.

    Args:
        out: an empty folder.
        images: how many.
        pixels: their width and height.
        seed: the same seed gives the same faces.
        processes: that draw.
        tell: is called with the number done and that of all.
        style: of dicebear.
        line: also the line drawing of each, as ``line_file_name``.
        pair: also the same seed in this style, as ``pair_file_name``.

    Raises:
        UserError: the packages are not installed, or have no such style.
    """
    known = styles()
    for flag, name, also in (("--style", style, ""), ("--pairs", pair, "lineart, or ")):
        if name and name not in known:
            raise UserError(f"{flag}: dicebear has no style {name!r}; expected {also}one of {', '.join(known)}")
    size = 250
    work = [Work(out, i, min(i + size, images), pixels, seed, style, line, pair) for i in range(0, images, size)]

    def rows() -> Iterator[Row]:
        for some in in_parallel(_some, work, processes, lambda done, _: tell(min(done * size, images), images)):
            yield from some

    return write_rows(out, rows(), _attribution([style, *filter(None, [pair])]))


def _attribution(names: Sequence[str]) -> str:
    lines = ["# Attribution", "", "Drawn with dicebear (MIT), styles of the package dicebear-styles:", ""]
    for name in names:
        meta = _style(name)[1]["meta"]
        about = meta["license"]
        lines.append(f"* {name}: {about['name']}, {about['url']}. {about.get('text', '')}".strip())
    return "\n".join(lines)
