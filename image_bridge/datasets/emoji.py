"""The pictures of a colour emoji font, or of OpenMoji with their line drawings; captions are their names and aliases."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, features

from textgan.errors import UserError

from ..images import read_image
from .writing import Row, file_name, write_rows

PLACES = ("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf", "/usr/share/fonts/noto/NotoColorEmoji.ttf")
STRIKE = 109  # the one size at which the font's pictures are stored
COLOUR, LINE = Path("color/72x72"), Path("black/72x72")  # of OpenMoji, the same file names in both
LEFT_OUT = ("flag", "keycap", "button", "arrow", "symbol", "sign", "input")


def names() -> dict[str, list[str]]:
    """Names of every fully qualified emoji: its own first, then its aliases.

    Raises:
        UserError: the package emoji is not installed.
    """
    try:
        import emoji
    except ModuleNotFoundError as error:
        raise UserError("the names of emoji come from the package emoji, which is not installed; pip install emoji") from error
    found = {}
    for character, data in emoji.EMOJI_DATA.items():
        if data["status"] == emoji.STATUS["fully_qualified"]:
            own = [data["en"], *data.get("alias", [])]
            found[character] = list(dict.fromkeys(name.strip(":").replace("_", " ").replace("-", " ").lower() for name in own))
    return found


def _left_out(character: str, name: str) -> bool:
    return "\U0001f1e6" <= character[0] <= "\U0001f1ff" or any(word in name.split() for word in LEFT_OUT)


def openmoji(out: Path, pixels: int, source: Path, tell: Callable[[int, int], None]) -> int:
    """The emoji of a folder of OpenMoji in colour; the same as line drawings are their ``line_file_name``.

    Raises:
        UserError: the folder is not OpenMoji's, or a file is damaged.
    """
    characters = {_code(character): (character, called) for character, called in names().items()}
    files = sorted(path for path in (source / COLOUR).glob("*.png") if (source / LINE / path.name).is_file())
    named = {path: characters[path.stem.upper().replace("-FE0F", "")] for path in files
             if path.stem.upper().replace("-FE0F", "") in characters}  # fmt: skip
    chosen = {path: called for path, (character, called) in named.items() if not _left_out(character, called[0])}
    if not chosen:
        raise UserError(
            f"{source} holds no emoji in {COLOUR} and in {LINE}; expected the folder of OpenMoji, with files such as 1F436.png "
            "in both (openmoji.org)"
        )

    def rows() -> Iterator[Row]:
        for done, (path, called) in enumerate(chosen.items()):
            placed = {}
            for name, file in (("images", path), ("line", source / LINE / path.name)):
                placed[name] = file_name(done, name)
                (out / placed[name]).parent.mkdir(parents=True, exist_ok=True)
                try:
                    image = read_image(file)
                except ValueError as error:
                    raise UserError(f"{file}: {error}; mend it, or remove it") from error
                image.resize((pixels, pixels), Image.Resampling.LANCZOS).save(out / placed[name], compress_level=1)
            yield Row(placed["images"], called, licence="CC-BY-SA-4.0", others={"line": placed["line"]})
            tell(done + 1, len(chosen))

    return write_rows(out, rows(), "# Attribution\n\nPictures: OpenMoji (openmoji.org), CC BY-SA 4.0. Names: package emoji.")


def _code(character: str) -> str:
    """What files of OpenMoji are called, without variation selectors: some have them and some do not."""
    return "-".join(f"{ord(c):04X}" for c in character if c != "\ufe0f")


def picture(character: str, font: ImageFont.FreeTypeFont, pixels: int) -> Image.Image | None:
    """One emoji on white, or nothing where the font has no single picture of it."""
    canvas = Image.new("RGBA", (STRIKE * 3, STRIKE * 2), (255, 255, 255, 0))
    ImageDraw.Draw(canvas).text((10, 10), character, font=font, embedded_color=True)
    box = canvas.getchannel("A").getbbox()
    if box is None or box[2] - box[0] > 1.4 * STRIKE:  # several pictures beside each other: no joined one
        return None
    side = max(box[2] - box[0], box[3] - box[1])
    x, y = (box[0] + box[2] - side) // 2, (box[1] + box[3] - side) // 2
    square = canvas.crop((x, y, x + side, y + side))
    image = Image.new("RGB", square.size, "white")
    image.paste(square, mask=square.getchannel("A"))
    return image.resize((pixels, pixels), Image.Resampling.LANCZOS)


def build(out: Path, pixels: int, font: str, tell: Callable[[int, int], None]) -> int:
    """Draw every emoji of a colour font into ``out``; pictures that are the same to the pixel share their captions in one row.

    Raises:
        UserError: there is no such font, it has no colour pictures, or Pillow cannot join characters.
    """
    path = next((p for p in ([font] if font else PLACES) if Path(p).is_file()), None)
    if path is None:
        raise UserError(
            f"no colour emoji font was found; expected one of {', '.join(PLACES)} (Debian's fonts-noto-color-emoji) or --font "
            f"PATH; received {font!r}"
        )
    if not features.check("raqm"):
        raise UserError("this Pillow cannot join emoji characters; expected one built with raqm; pip install --upgrade pillow")
    try:
        opened = ImageFont.truetype(path, STRIKE, layout_engine=ImageFont.Layout.RAQM)
    except OSError as error:
        raise UserError(f"--font {path} is not a colour emoji font with pictures of {STRIKE} pixels ({error})") from error
    seen: dict[str, Row] = {}
    known = names()
    for done, (character, called) in enumerate(known.items(), 1):
        tell(done, len(known))
        if _left_out(character, called[0]):
            continue
        image = picture(character, opened, pixels)
        if image is None:
            continue
        key = hashlib.sha256(image.tobytes()).hexdigest()
        if key in seen:
            seen[key] = Row(seen[key].file_name, list(dict.fromkeys([*seen[key].captions, *called])), licence="OFL-1.1")
            continue
        name = file_name(len(seen))
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(out / name, compress_level=1)
        seen[key] = Row(name, called, licence="OFL-1.1")

    def rows() -> Iterator[Row]:
        yield from seen.values()

    font_name = f"{Path(path).name}; Noto Color Emoji is under the SIL Open Font License 1.1"
    return write_rows(out, rows(), f"# Attribution\n\nPictures: {font_name}. Names: package emoji.")
