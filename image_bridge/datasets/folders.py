"""Images that the user has: a folder, CUB or Oxford as text-to-image papers have them, COCO. Their files are linked or copied."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from textgan.errors import UserError

from .writing import Row, write_rows

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def _captions(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not text in UTF-8; expected a caption a line ({error.reason} at byte {error.start})"
        ) from error


def _place(out: Path, source: Path, name: str) -> str:
    """A file at ``name`` in ``out``: a hard link where the disk allows one, else a copy."""
    target = out / name
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
    return name


def imagefolder(out: Path, source: Path, images: int, tell: Callable[[int, int], None]) -> int:
    """Images, with a ``.txt`` of captions, one a line, beside each, or beside none; a folder's name is the attribute ``class``.

    Folders ``trainA``, ``trainB``, ..., as unpaired translation has them (Zhu et al., 2017), give the attribute ``domain`` in
    its place; their ``testA``, ``testB``, ... are held out, and images of the same name in them share a scene.

    Raises:
        UserError: there is no image, some have captions and one has none, or one lies outside the domains' folders.
    """
    files = sorted(p for p in source.rglob("*") if p.suffix.lower() in ENDINGS and p.is_file())
    if not files:
        raise UserError(f"{source} holds no image; expected files that end in {', '.join(ENDINGS)}")
    domains = _domains(source, files)
    of_folder: Counter[str] = Counter()
    chosen = []
    for path in files:
        folder = path.relative_to(source).parts[0] if domains else ""
        of_folder[folder] += 1
        if not images or of_folder[folder] <= images:
            chosen.append(path)
    captioned = any(path.with_suffix(".txt").is_file() for path in chosen)
    scenes = _scenes(source, chosen, domains)

    def rows() -> Iterator[Row]:
        for done, path in enumerate(chosen, 1):
            text = path.with_suffix(".txt")
            captions = _captions(text) if text.is_file() else []
            if captioned and not captions:
                raise UserError(
                    f"{path} has no caption; expected one a line in {text.name} beside it, as others have, or no .txt at all"
                )
            inner = path.relative_to(source)
            split, label = "", {"class": inner.parts[0]} if len(inner.parts) > 1 else {}
            if domains:
                split, domain = domains[inner.parts[0]]
                label = {"domain": domain}
            yield Row(_place(out, path, f"images/{inner}"), captions, label, split, scene=scenes.get(path))
            tell(done, len(chosen))

    return write_rows(out, rows(), f"# Attribution\n\nImages and captions are those of {source.name}.")


def _domains(source: Path, files: Sequence[Path]) -> dict[str, tuple[str, str]]:
    """The split and the domain of each folder trainA, trainB, testA, ...; nothing where the folders are not of this kind.

    Raises:
        UserError: an image lies elsewhere, or a domain has images that are held out and none to train on.
    """
    named = dict.fromkeys(path.relative_to(source).parts[0] for path in files if path.parent != source)
    parts = {name: re.fullmatch(r"(train|test)[-_ .]?(.+)", name) for name in named}
    found = {name: (match[1], match[2]) for name, match in parts.items() if match}
    training = {domain for split, domain in found.values() if split == "train"}
    if len(training) < 2:
        return {}
    stray = next((path for path in files if path.relative_to(source).parts[0] not in found), None)
    if stray is not None:
        raise UserError(
            f"{stray} lies in no domain; expected every image in one of the folders train*, test*, as {source} has "
            f"{', '.join(found)}; move it, or rename those folders if their names are classes"
        )
    alone = next((domain for _, domain in found.values() if domain not in training), None)
    if alone is not None:
        raise UserError(f"{source} has test{alone} and no train{alone}; expected images of every domain to train on")
    held_out = any(split == "test" for split, _ in found.values())
    return {name: (split if held_out else "", domain) for name, (split, domain) in found.items()}


def _scenes(source: Path, files: Sequence[Path], domains: Mapping[str, tuple[str, str]]) -> dict[Path, int]:
    """A number for the held-out images that have the same name in several domains, but for their ending and ``_DOMAIN``."""
    groups: dict[Path, dict[str, Path]] = defaultdict(dict)
    for path in files:
        inner = path.relative_to(source)
        split, domain = domains.get(inner.parts[0], ("", ""))
        if split == "test":
            groups[Path(*inner.parts[1:-1], inner.stem.removesuffix(f"_{domain}"))].setdefault(domain, path)
    several = [group.values() for group in groups.values() if len(group) > 1]
    return {path: number for number, group in enumerate(several) for path in group}


def cub(out: Path, source: Path, images: int, tell: Callable[[int, int], None]) -> int:
    """CUB-200 or Oxford-102: ``text_c10/CLASS/NAME.txt`` with ten captions each, and ``images/`` or ``jpg/``.

    Classes of ``testclasses.txt`` (or ``valclasses.txt``) are held out, as in GAN-INT-CLS, where there is such a file.

    Raises:
        UserError: the folders are not there, or a text has no image.
    """
    texts = sorted((source / "text_c10").rglob("*.txt"))
    texts = [p for p in texts if p.parent.name != "text_c10"]
    if not texts:
        raise UserError(f"{source} has no text_c10/CLASS/NAME.txt; expected CUB or Oxford-102 as GAN-INT-CLS has them")
    pictures = {p.stem: p for place in ("images", "jpg", "CUB_200_2011/images") for p in (source / place).rglob("*.jpg")}
    held = next((source / n for n in ("testclasses.txt", "text_c10/testclasses.txt") if (source / n).is_file()), None)
    test = {line.strip() for line in held.read_text(encoding="utf-8").splitlines()} if held else set()
    chosen = texts[: images or None]

    def rows() -> Iterator[Row]:
        for done, text in enumerate(chosen, 1):
            path, label = pictures.get(text.stem), text.parent.name
            if path is None:
                raise UserError(f"{text} has no image {text.stem}.jpg; expected it in images/ or jpg/ of {source}")
            split = ("test" if label in test else "train") if held else ""
            yield Row(_place(out, path, f"images/{label}/{path.name}"), _captions(text), {"class": label}, split)
            tell(done, len(chosen))

    return write_rows(
        out, rows(), "# Attribution\n\nCUB-200-2011 or Oxford-102 flowers, captions of Reed et al. (2016); research use."
    )


def coco(out: Path, source: Path, annotations: str, images: int, tell: Callable[[int, int], None]) -> int:
    """COCO: a ``captions_*.json`` and the images that it names.

    Raises:
        UserError: a file is not there or is not COCO's.
    """
    path = Path(annotations) if annotations else next(iter(sorted(source.rglob("captions_*.json"))), None)
    if path is None or not path.is_file():
        raise UserError(f"no captions were found; expected a captions_*.json in {source}, or --annotations FILE")
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
        named = {row["id"]: row["file_name"] for row in loaded["images"]}
        captions: dict[int, list[str]] = defaultdict(list)
        for row in loaded["annotations"]:
            captions[row["image_id"]].append(" ".join(row["caption"].split()))
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a captions file of COCO; expected images and annotations ({error!r})") from error
    files = {p.name: p for p in source.rglob("*.jpg")}
    split = "test" if "val" in path.name else "train"
    chosen = list(named.items())[: images or None]

    def rows() -> Iterator[Row]:
        for done, (number, name) in enumerate(chosen, 1):
            if name not in files:
                raise UserError(f"{path} names {name}, which is not in {source}; expected all images that it names")
            if number in captions:
                yield Row(_place(out, files[name], f"images/{name}"), captions[number], split=split)
            tell(done, len(chosen))

    return write_rows(
        out, rows(), "# Attribution\n\nMS-COCO (Lin et al., 2014): captions CC BY 4.0, images under their own licences."
    )
