"""The commands ``train`` and ``resume``."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from textgan.cli.options import RunOptions, check_config
from textgan.cli.parse import parse, positive, say
from textgan.cli.running import (
    ResumeOptions,
    begun,
    check_train,
    environment,
    from_config,
    named,
    options_of,
    plan,
    reopen,
    start_workers,
    to_the_end,
)
from textgan.errors import UserError

from .data import warn_of_damage

USAGE = (
    "--data FOLDER [--text ENCODER] --run DIR [options]\n\n"
    "Examples: image-bridge train cgan --data shapes --text runs/skipthought --run runs/a --size 32\n"
    "          image-bridge train dcgan --data shapes --run runs/b --size 32"
)


@dataclass(frozen=True)
class ImageOptions:
    """Images."""

    data: str = ""
    """Folder of images (metadata.jsonl), such as `image-bridge data` writes. Must be given."""
    strict: bool = False
    """Refuse damaged images, instead of skipping them with a count."""
    processes: int = 0
    """Processes that read images the first time; 0 for as many as there are cores."""


@dataclass(frozen=True)
class PairOptions(ImageOptions):
    """Images with captions, and what turns captions into vectors."""

    text: str = "bow"
    """What turns captions into vectors: bow (the words they have), labels (the attributes instead of captions), words:VECTORS,
    a run of quickthought, skipthought or joint, a folder of sentence-transformers, or a .npy of vectors, one a caption. `train
    joint` trains the encoder of such a run further, or a new one."""


@dataclass(frozen=True)
class TrainOptions(RunOptions):
    """How a run of a generator goes."""

    grids: int = 50
    """Grids of samples that are drawn over the whole training, at even distances."""
    figures: bool = False
    """With every grid also held-out figures: how often images show what their captions name, and KID, by a classifier that is
    trained first, which takes a minute or two, and kept in the data's folder."""
    compile: bool = False
    """Compile the networks with torch.compile: a slow start, then faster steps on a GPU."""


PARTS = {"data": PairOptions, "train": TrainOptions}  # those of a run without text lack ``text``


@dataclass(frozen=True)
class ResumeImagesOptions(ResumeOptions):
    """Options of resume: none that would change the result."""

    data: str = ""
    """Where the images lie now, if they were moved."""


def train(argv: list[str]) -> int:
    """``image-bridge train``."""
    from ..algorithms import SUMMARIES, fed, find

    name = named(argv, "image-bridge", SUMMARIES, USAGE)
    if name is None:
        return 0
    algorithm = find(name)
    kind = options_for(algorithm)
    argv, default = from_config(argv[1:], name, kind)
    text = {"pairs": " --text bow", "classes": " --label colour"}.get(fed(algorithm), "")
    folder = "faces" if fed(algorithm) == "domains" else "shapes"
    example = f"image-bridge train {name} --data {folder}{text} --run runs/a"
    description = f"{SUMMARIES.get(name, name)}. Example:\n\n  {example}"
    chosen: Any = parse(kind, argv, f"image-bridge train {name}", description, default)
    given: RunOptions = chosen.train
    check_train(given)
    check_config(chosen.config)
    if isinstance(given, TrainOptions):
        positive(given, "grids")
    if chosen.data.processes < 0:
        raise UserError(f"--processes must be 0 or more; received {chosen.data.processes}")
    if not chosen.data.data:
        raise UserError("no images were named; expected --data FOLDER, such as `image-bridge data shapes FOLDER` writes")
    return _start(name, algorithm, chosen, Path(given.run))


def options_for(algorithm: Any) -> Any:
    """All options of training by a method."""
    from ..algorithms import fed

    kind = fed(algorithm)
    alone = kind in ("images", "classes", "domains", "lines")
    data = ImageOptions() if alone else PairOptions(**getattr(algorithm, "data_defaults", {}))
    return options_of(data=data, train=RunOptions() if kind == "captions" else TrainOptions(), config=algorithm.Config())


def _start(name: str, algorithm: Any, chosen: Any, path: Path) -> int:
    from textgan.runtime import Run

    from ..algorithms import fed
    from ..captions import ClassNames, load_encoder

    options: RunOptions = chosen.train
    workers = start_workers(options)
    if begun(path, "image-bridge", workers):
        return _go_on(path, algorithm, chosen.data, chosen.config, options, workers)
    data = dataclasses.replace(chosen.data, data=str(Path(chosen.data.data).resolve()))
    if isinstance(data, PairOptions):
        data = dataclasses.replace(data, text=_placed(data.text))

    def encoder_for(read: Any) -> Any:
        if fed(algorithm) == "domains":
            return ClassNames(chosen.config.label, read.domains(chosen.config.label, chosen.config.domains))
        if not isinstance(data, PairOptions):
            label = chosen.config.label if fed(algorithm) == "classes" else ""
            return ClassNames(label, read.classes(label)[1]) if label else ClassNames()
        if data.text == "new":
            return _new_encoder(algorithm, chosen.config, read, options, workers)
        return load_encoder(data.text, read)

    images, encoder = _images(algorithm, chosen.config, data, options, workers, encoder_for)
    if isinstance(options, TrainOptions) and options.figures and fed(algorithm) == "domains":
        raise UserError("--figures judges images that are drawn from nothing; leave it out, and see `image-bridge evaluate RUN`")
    if isinstance(options, TrainOptions) and options.figures and not (images.data.attributes or all(images.data.captions)):
        raise UserError(f"--figures: {data.data} has neither attributes nor captions to train a judge on; leave --figures out")
    made = _made(algorithm, chosen.config, images, encoder, options, workers)
    if options.dry_run:
        if workers.main:
            plan(made, "images")
        return 0

    def create() -> None:
        with _new_run(path):
            encoder.save(path / "text")
            (path / "data.json").write_text(json.dumps(_facts(images), indent=1) + "\n", encoding="utf-8")
            parts = {"data": data, "train": options, "config": chosen.config}
            saved = {"algorithm": name, **{part: dataclasses.asdict(values) for part, values in parts.items()}}
            Run.create(path, saved, environment(["image-bridge", *sys.argv[1:]], options.seed, workers), options.keep)

    workers.first(create)
    return _fit(path, made, images, encoder, options, workers)


def _new_encoder(algorithm: Any, config: Any, data: Any, options: RunOptions, workers: Any) -> Any:
    """What ``--text new`` means.

    Raises:
        UserError: the algorithm trains no encoder.
    """
    from ..algorithms import fed
    from ..captions import NewEncoder

    if fed(algorithm) != "captions":
        raise UserError("--text new is for `train joint`, which trains an encoder; expected an encoder that is ready")
    workers.seed(options.seed, 0)
    return NewEncoder(algorithm.new_encoder(config, data))


def _placed(text: str) -> str:
    """What ``--text`` names, so that it is found from another folder too."""
    if text in ("bow", "labels", "new"):
        return text
    prefix, path = ("words:", text.removeprefix("words:")) if text.startswith("words:") else ("", text)
    return prefix + str(Path(path).resolve()) if Path(path).exists() else text


@contextmanager
def _new_run(path: Path) -> Iterator[None]:
    """Files of a run before it is one; gone again where they cannot be written."""
    shutil.rmtree(path / "text", ignore_errors=True)  # of a start that was killed
    try:
        yield
    except BaseException:
        shutil.rmtree(path / "text", ignore_errors=True)
        for name in ("data.json", "env.json"):
            (path / name).unlink(missing_ok=True)
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
        raise


def _images(
    algorithm: Any,
    config: Any,
    given: ImageOptions,
    options: RunOptions,
    workers: Any,
    encoder_for: Callable[[Any], Any],
) -> tuple[Any, Any]:
    """What an algorithm trains on, and the encoder; the first process prepares what the others then find ready."""
    from ..algorithms import fed
    from ..captions import CaptionVectors
    from ..images import ImageData
    from ..lines import LineImages, pack_lines
    from ..pairs import PairData, TrainingImages

    processes, kind = given.processes or os.cpu_count() or 1, fed(algorithm)
    try:
        sizes = algorithm.sizes(config)
    except ValueError as error:
        raise UserError(str(error)) from error

    def prepared() -> tuple[Any, Any]:
        data = ImageData(given.data)
        if kind in ("pairs", "captions"):
            data.require_captions()
        with _told("packing", "images", workers.main) as tell:
            packed = {size: data.pack(size, processes, given.strict, tell) for size in sizes}
        encoder = encoder_for(data)
        if kind == "lines":
            with _told("packing", "line drawings", workers.main) as tell:
                lines = pack_lines(data, config.lines, sizes, processes, given.strict, tell)
            return LineImages(data, packed, lines, workers, options.seed), encoder
        if kind != "pairs":
            return TrainingImages(data, packed, workers, options.seed), encoder
        with _told("encoding", "captions", workers.main) as tell:
            captions = CaptionVectors(data, encoder, tell)
        pairs = PairData(data, captions, packed, workers, wrong=config.wrong, mean_of=config.captions, seed=options.seed)
        return pairs, encoder

    def ready() -> tuple[Any, Any]:
        found = prepared()
        warn_of_damage(found[0].data)
        facts = _facts(found[0])
        told = f"images to train on: {facts['train']:,}; held out: {facts['test']:,}"
        told += f"; captions: {facts['captions']:,}" if kind in ("pairs", "captions") else ""
        told += f"; {kind}: {len(found[1].words)}" if kind in ("classes", "domains") else ""
        told += f"; drawn lines: {'those of the data' if found[0].lines else 'none'}" if kind == "lines" else ""
        say(told + (f"; vectors of {facts['dimension']:,} numbers" if "dimension" in facts else ""))
        return found

    return workers.first(ready) or prepared()


@contextmanager
def _told(what: str, unit: str, show: bool) -> Iterator[Callable[[int, int], None]]:
    """What tells how far some work on the data has come."""
    from textgan.runtime import Progress

    bar = Progress(0, 0, show, unit=unit)

    def tell(done: int, total: int) -> None:
        bar.total = total
        bar.update(done, what)

    try:
        yield tell
    finally:
        bar.close()


def _facts(images: Any) -> dict[str, Any]:
    """What a run keeps of its data, to know them again."""
    from ..pairs import PairData

    data = images.data
    facts = {
        "unit": "images", "train": len(images.chosen), "test": len(data.usable(held_out=True)), "damaged": len(data.damaged),
        "captions": sum(map(len, data.captions)),
        "metadata_sha256": hashlib.sha256((data.path / "metadata.jsonl").read_bytes()).hexdigest(),
    }  # fmt: skip
    return facts | ({"dimension": images.dimension} if isinstance(images, PairData) else {})


def _made(algorithm: Any, config: Any, images: Any, encoder: Any, options: RunOptions, workers: Any) -> Any:
    from ..algorithms import fed

    workers.seed(options.seed, 0)
    try:
        both = (images, workers, encoder) if fed(algorithm) == "captions" else (images, workers)
        made = algorithm(config, *both)
    except ValueError as error:
        raise UserError(str(error)) from error
    if isinstance(options, TrainOptions) and options.compile:
        if getattr(made, "differentiated_twice", False):
            raise UserError("--compile: torch.compile cannot differentiate twice, as this method's penalty is; leave it out")
        for player in made.players.values():
            _compile(player.module)
    return made


def _compile(module: Any) -> None:
    """Compile the parts of a network in place, which changes no name; a part is what has a ``forward``."""
    import torch

    warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf")  # the compiler's own
    torch._dynamo.config.recompile_limit = 256  # of all parts together; each is compiled once trained and once fixed
    for part in module.children():
        if isinstance(part, torch.nn.ModuleList | torch.nn.ModuleDict):
            _compile(part)
        else:
            part.forward = torch.compile(_calling(part.forward))


def _calling(forward: Callable[..., Any]) -> Callable[..., Any]:
    """A function of ours around a method of torch's: torch.compile passes over those."""
    return lambda *inputs: forward(*inputs)


def _fit(path: Path, made: Any, images: Any, encoder: Any, options: RunOptions, workers: Any) -> int:
    from ..algorithms import fed

    if fed(made) == "captions":
        return _fit_encoder(path, made, options, workers)
    from ..evaluate import figures
    from ..evaluate.coloring import figures as colored
    from ..preview import PlainPreview, Preview, Previewed, TranslationPreview

    assert isinstance(options, TrainOptions)
    paired = fed(made) == "pairs"
    names = None if paired else encoder

    def finish(folder: Path) -> None:
        shutil.copytree(path / "text", folder / "generator" / "text", copy_function=_link)

    judged = colored if fed(made) == "lines" else partial(figures, names=names)

    def measured() -> dict[str, float]:
        return judged(made.kept["generator"], images) if workers.main else {}

    if options.figures and workers.main:
        with _told("the classifier of held-out figures", "images", True) as tell:
            judged(made.kept["generator"], images, 1, tell=lambda what, done, total: tell(done, total))
    use = f"`image-bridge generate {path} --out a.png` draws"
    preview: Any
    if paired:
        preview, use = Preview(images, options.seed), f'`image-bridge generate {path} "..." --out a.png` draws'
    elif fed(made) == "lines":
        from ..lines import LinePreview

        preview = LinePreview(images, made.kept["generator"].config, options.seed)
        use = f"`image-bridge color {path} LINE.png --out a.png` makes an image"
    elif fed(made) == "domains":
        preview = TranslationPreview(images, encoder, options.seed)
        use = f"`image-bridge translate {path} IMAGES --to {encoder.words[-1]!r} --out FOLDER` translates"
    else:
        preview = PlainPreview(images, encoder, options.seed)
    shown = Previewed(made, preview, options.grids)
    return to_the_end(
        shown, path, options, workers, "image-bridge", use, evaluate=measured if options.figures else None, finish=finish
    )


def _fit_encoder(path: Path, made: Any, options: RunOptions, workers: Any) -> int:
    def finish(folder: Path) -> None:
        for config in folder.rglob("config.json"):
            made.tokenizer.save(config.parent)

    use = f"`image-bridge train cgan --text {path}` draws from its vectors, `textgan nearest {path} TEXT --among FILE` searches"
    return to_the_end(made, path, options, workers, "image-bridge", use, evaluate=made.evaluate, finish=finish)


def _link(source: str, target: str) -> None:
    """One file under two names, or a copy where the file system has no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def resume(argv: list[str]) -> int:
    """``image-bridge resume``."""
    from ..algorithms import find

    given = parse(
        ResumeImagesOptions,
        argv,
        "image-bridge resume",
        "Go on with a run. Example:\n\n  image-bridge resume runs/a --until 5000",
    )
    algorithm, parts = reopen(given, find, PARTS)
    data = dataclasses.replace(parts["data"], data=given.data or parts["data"].data)
    return _go_on(Path(given.run), algorithm, data, parts["config"], parts["train"], start_workers(parts["train"]))


def _go_on(path: Path, algorithm: Any, data: ImageOptions, config: Any, options: RunOptions, workers: Any) -> int:
    """Train a run that was begun to its end, with the encoder that lies in it."""
    from ..captions import FILE, load_encoder

    try:
        facts = json.loads((path / "data.json").read_text(encoding="utf-8"))
        kind = json.loads((path / "text" / FILE).read_text(encoding="utf-8"))["kind"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} lacks data.json or text/{FILE}, or they are damaged ({error}); start a new run") from error
    source = data.text if kind == "given" and isinstance(data, PairOptions) else str(path / "text")
    images, encoder = _images(algorithm, config, data, options, workers, lambda read: load_encoder(source, read))
    changed = [name for name, value in _facts(images).items() if facts.get(name) != value]
    if changed:
        raise UserError(
            f"{data.data} is not what the run was begun with ({', '.join(changed)}); expected the same images and captions; "
            "bring them back, name their folder with --data, or start a new run"
        )
    return _fit(path, _made(algorithm, config, images, encoder, options, workers), images, encoder, options, workers)
