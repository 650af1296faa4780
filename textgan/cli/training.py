"""The commands ``train`` and ``resume``."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from pathlib import Path
from typing import Any

from ..errors import UserError
from .options import DataOptions, TrainOptions, check_config
from .parse import parse, positive, say
from .running import (
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


def make_corpus(options: DataOptions, out: Path, seed: int, workers: Any, default_length: int = DataOptions.length) -> Any:
    """The prepared corpus of a run in ``out``, made by all processes together; an oracle is saved beside it."""
    from ..corpus import Corpus, prepare

    if not options.data:
        raise UserError("no text was named; expected --data FILE (or wikipedia-sample, oracle, ...); see `textgan train --help`")
    positive(options, "length", "vocab_size", "oracle_sequences")
    if options.length < 2:
        raise UserError(f"--length must be 2 or more; received {options.length}")
    if not 0 < options.held_out < 1:
        raise UserError(f"--held-out must lie between 0 and 1; received {options.held_out}")
    first = workers.first if workers else lambda work: work()
    if options.data == "oracle" or options.data.startswith("oracle:"):
        first(lambda: _write_oracle_corpus(options, out, seed))
        return Corpus.open(out)
    if (Path(options.data) / "corpus.json").is_file():
        length = Corpus.open(options.data).info["length"]
        if options.length not in (length, default_length):
            raise UserError(f"{options.data} was prepared with --length {length}; received {options.length}; leave --length out")
        first(lambda: shutil.copytree(options.data, out, dirs_exist_ok=True))
        return Corpus.open(out)
    kind = "word" if options.tokenizer == "auto" else options.tokenizer
    return prepare(
        options.data, out, tokenizer=kind, vocab_size=options.vocab_size, lowercase=options.lowercase,
        length=options.length, overlong=options.overlong, held_out=options.held_out, test=options.test,
        column=options.column, split=options.split, seed=seed, workers=workers,
    )  # fmt: skip


def _write_oracle_corpus(options: DataOptions, out: Path, seed: int) -> None:
    import torch

    from ..corpus import write_oracle
    from ..oracle import load_oracle, make_oracle
    from ..runtime.workers import fold

    path = options.data.partition(":")[2]
    oracle = load_oracle(path) if path else make_oracle(options.vocab_size, seed)
    parts = []
    for part in range(2):
        noise = torch.Generator().manual_seed(fold(seed, 4, part))
        u = torch.rand(options.oracle_sequences, options.length, generator=noise)
        parts.append(torch.cat([oracle.sample(len(piece), options.length, piece) for piece in u.split(1024)]).numpy())
    write_oracle(out, parts[0], parts[1], oracle.config.vocab_size, options.data)
    oracle.save_pretrained(out / "oracle")


def train(argv: list[str]) -> int:
    """``textgan train``."""
    from ..algorithms import SUMMARIES, find

    usage = (
        "--data FILE --run DIR [options]\n\nExample: textgan train mle --data my.txt --run runs/a --epochs 20 --hidden-dim 256"
    )
    name = named(argv, "textgan", SUMMARIES, usage)
    if name is None:
        return 0
    algorithm = find(name)
    kind = options_for(algorithm)
    argv, default = from_config(argv[1:], name, kind)
    description = f"{SUMMARIES.get(name, name)}. Example:\n\n  textgan train {name} --data my.txt --run runs/a"
    chosen: Any = parse(kind, argv, f"textgan train {name}", description, default)
    check_train(chosen.train)
    check_config(chosen.config)
    return _start(name, algorithm, chosen)


def options_for(algorithm: Any) -> Any:
    """All options of training by a method."""
    return options_of(data=_data_defaults(algorithm), train=TrainOptions(), config=algorithm.Config())


def _data_defaults(algorithm: Any) -> DataOptions:
    """What the data's options are where the user says nothing: an algorithm may want others than a text GAN."""
    return DataOptions(**getattr(algorithm, "data_defaults", {}))


def _start(name: str, algorithm: Any, chosen: Any) -> int:
    from ..runtime import Run

    options: TrainOptions = chosen.train
    path = Path(options.run)
    generator = getattr(chosen.config, "generator", "")
    wanted = _with_tokenizer(chosen.data, generator)
    workers = start_workers(options)
    if begun(path, "textgan", workers):
        return _fit(path, algorithm, chosen.config, options, workers)
    if workers.main:
        for rest in path.glob(".corpus-*"):  # of a start that was killed
            shutil.rmtree(rest)
    corpus = make_corpus(wanted, path / "data", options.seed, workers, _data_defaults(algorithm).length)

    def create() -> None:
        if not generator and corpus.info["tokenizer"] == "pretrained":
            raise UserError(f"{wanted.data} has the tokens of a pretrained generator; expected --generator hf:PATH to name it")
        say(describe(corpus))
        if not options.dry_run:
            data = dataclasses.replace(wanted, length=corpus.info["length"])
            parts = {"data": data, "train": options, "config": chosen.config}
            saved = {"algorithm": name, **{part: dataclasses.asdict(values) for part, values in parts.items()}}
            Run.create(path, saved, environment(["textgan", *sys.argv[1:]], options.seed, workers), options.keep)

    try:
        workers.first(create)
        if options.dry_run:
            return _tell_plan(path, algorithm, chosen.config, corpus, options, workers)
        return _fit(path, algorithm, chosen.config, options, workers)
    except UserError:  # settings that only the algorithm can judge: what was not begun leaves nothing behind
        if workers.main and not any((path / name).exists() for name in ("checkpoints", "metrics.jsonl")):
            _remove(path)
        raise


def _with_tokenizer(data: DataOptions, generator: str) -> DataOptions:
    """The options of the data, with the tokenizer that a pretrained generator brings, or words.

    Raises:
        UserError: another one was asked for.
    """
    if generator and not generator.startswith("hf:"):
        raise UserError(f"--generator names a pretrained model as hf:PATH or hf:NAME; received {generator!r}")
    if data.tokenizer == "auto":
        return dataclasses.replace(data, tokenizer=generator or "word")
    if generator and data.tokenizer != generator:
        raise UserError(
            f"--generator {generator} has a tokenizer of its own; received --tokenizer {data.tokenizer}; expected auto"
        )
    if not generator and data.tokenizer.startswith("hf:"):
        raise UserError(f"--tokenizer {data.tokenizer} is for a pretrained generator; expected --generator {data.tokenizer}")
    return data


def _tell_plan(path: Path, algorithm: Any, config: Any, corpus: Any, options: TrainOptions, workers: Any) -> int:
    """What a dry run says; nothing of it stays."""
    workers.seed(options.seed, 0)
    if getattr(config, "embeddings", "") == "auto":
        config = dataclasses.replace(config, embeddings="none")
    made = algorithm(config, corpus, workers, length=corpus.info["length"], seed=options.seed)
    if workers.main:
        plan(made, "sequences")
        _remove(path)
    return 0


def _remove(path: Path) -> None:
    """Take back a run that was prepared and not begun; what else lies in its folder stays."""
    shutil.rmtree(path / "data", ignore_errors=True)
    for name in ("config.json", "env.json"):
        (path / name).unlink(missing_ok=True)
    if path.is_dir() and not any(path.iterdir()):
        path.rmdir()


def describe(corpus: Any) -> str:
    """What a corpus holds and what was mended in it, a line each."""
    info = corpus.info
    counts = ", ".join(f"{info[k]:,} {k}" for k in ("documents", "kept", "skipped", "truncated") if isinstance(info.get(k), int))
    sizes = f"{len(corpus.train):,} sentences to train on, {len(corpus.test):,} held out, vocabulary {corpus.vocab_size:,}"
    told = f"corpus: {sizes}" + (f"; {counts}" if counts else "")
    reading = info.get("reading") or {}
    if reading.get("undecodable_bytes"):
        places = "; ".join(f"{name} line {', '.join(map(str, at))}" for name, at in reading["undecodable_lines"].items())
        told += f"\nwarning: {reading['undecodable_bytes']:,} bytes are not UTF-8 and became \ufffd; the first are in {places}"
    if reading.get("control_characters"):
        told += f"\nwarning: {reading['control_characters']:,} control characters became blanks"
    if info.get("warning"):
        told += f"\nwarning: {info['warning']}"
    return told


def _learn_words(corpus: Any, size: int, options: TrainOptions) -> None:
    """Train word vectors on the corpus of a run and leave them in it: 20 epochs, or 20 million words of a large text."""
    from ..algorithms import find
    from ..runtime import Run, Workers, fit
    from ..vectors import WORDS

    done, path = corpus.path / WORDS, corpus.path / f"{WORDS}.part"
    if done.is_dir():
        return
    say("learning word vectors first; `--embeddings none`, or vectors that you have, would spare this")
    tokens, kind, workers = max(1, corpus.info["tokens"]), find("word2vec"), Workers()
    config = kind.Config(epochs=min(20, max(1, 20_000_000 // tokens)), vector_size=size, min_count=2)
    run = Run.open(path, 1) if (path / "config.json").exists() else Run.create(path, {"algorithm": "word2vec"}, {}, 1)
    workers.seed(options.seed, 0)
    made = kind(config, corpus, workers, length=corpus.info["length"], seed=options.seed)
    total = made.stages()[0].steps
    until = min(total, max(1, total * 20_000_000 // (config.epochs * tokens)))
    fit(made, run, workers, seed=options.seed, until=until, save_minutes=options.save_minutes, samples=0)
    path.rename(done)


def _fit(path: Path, algorithm: Any, config: Any, options: TrainOptions, workers: Any) -> int:
    from ..corpus import Corpus
    from ..evaluate import held_out_nll, nll_oracle
    from ..generators import RNNGenerator
    from ..runtime import Interrupted

    corpus = Corpus.open(path / "data")
    length = corpus.info["length"]
    if getattr(config, "embeddings", "") == "auto":
        try:
            workers.first(lambda: _learn_words(corpus, config.embedding_dim, options))
        except Interrupted as stopped:
            say(f"saved; go on with `textgan resume {path}`")
            return stopped.exit_code
    workers.seed(options.seed, 0)
    try:
        made = algorithm(config, corpus, workers, length=length, seed=options.seed)
    except ValueError as error:
        raise UserError(str(error)) from error
    oracle = None
    if (path / "data" / "oracle").is_dir():
        oracle = RNNGenerator.from_pretrained(path / "data" / "oracle").to(workers.device)

    def figures() -> dict[str, float]:
        if hasattr(made, "evaluate"):
            return dict(made.evaluate())
        found = held_out_nll(made.G, corpus.test, length)
        if oracle is not None:
            found |= nll_oracle(made.G, oracle, length, seed=options.seed)
        return found

    def finish(folder: Path) -> None:
        for model in folder.rglob("config.json"):  # beside every model that can be loaded
            if not any(model.parent.glob("tokenizer*")):  # a pretrained one has brought its own
                for file in (path / "data").glob("tokenizer*"):
                    shutil.copy(file, model.parent / file.name)

    use = f"`textgan generate {path}` writes sentences" if hasattr(made, "G") else f"`textgan nearest {path} TEXT` finds its like"
    return to_the_end(
        made, path, options, workers, "textgan", use, evaluate=figures, evaluate_every=options.evaluate_every, best=options.best,
        finish=finish,
    )  # fmt: skip


def resume(argv: list[str]) -> int:
    """``textgan resume``."""
    from ..algorithms import find

    given = parse(ResumeOptions, argv, "textgan resume", "Go on with a run. Example:\n\n  textgan resume runs/a --until 5000")
    algorithm, parts = reopen(given, find, {"data": DataOptions, "train": TrainOptions})
    return _fit(Path(given.run), algorithm, parts["config"], parts["train"], start_workers(parts["train"]))
