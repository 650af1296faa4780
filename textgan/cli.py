"""The commands: their options as dataclasses, and what they do."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import io
import json
import platform
import re
import shutil
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from . import __version__
from .errors import UserError


def parse(kind: Any, argv: list[str], prog: str, description: str, default: Any = None) -> Any:
    """Options from words; a mistake becomes a UserError of one line.

    Raises:
        UserError: an unknown option (the nearest one is named), a missing or an ill-typed value.
    """
    out = io.StringIO()
    given: dict[str, Any] = {} if default is None else {"default": default}
    if "-h" in argv or "--help" in argv:
        tyro.cli(kind, args=["--help"], prog=prog, description=description, **given)
    try:
        with contextlib.redirect_stderr(out), contextlib.redirect_stdout(out):
            parsed, unknown = tyro.cli(kind, args=argv, prog=prog, description=description, return_unknown_args=True, **given)
    except SystemExit:
        text = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())
        words = [line.strip("│╭╮╰╯─|+-* \t") for line in text.splitlines()]
        raise UserError(f"{_plain(' '.join(words))}; see `{prog} --help`") from None
    if unknown:
        word = unknown[0].split("=")[0]
        flags = {"--" + f.name.replace("_", "-") for f in _fields(kind)}
        near = difflib.get_close_matches(word, sorted(flags), 1)
        hint = f"did you mean {near[0]}?" if near else f"see `{prog} --help`"
        raise UserError(f"unknown option or extra word; received {word!r}; {hint}")
    return parsed


def _plain(text: str) -> str:
    """What tyro says of a mistake, in the words of all our errors."""
    for pattern, words in (
        (r"(--[\w-]+): invalid literal for int\(\) with base 10: ('.*?')", r"\1 expects a whole number; received \2"),
        (r"(--[\w-]+): could not convert string to float: ('.*?')", r"\1 expects a number; received \2"),
        (r"invalid choice ('.*?') for argument '(--[\w-]+)'\. Expected one of \((.*?),?\)", r"\2 expects one of \3; received \1"),
        (r"Missing value for argument '(--[\w-]+)'", r"\1 expects a value; received none"),
        (r"Missing from [\w ]+: +(\S+)", r"\1 is missing"),
    ):
        if found := re.search(pattern, text):
            return found.expand(words)
    return " ".join(text.split()) or "the options cannot be read"


def _fields(kind: Any) -> list[dataclasses.Field[Any]]:
    found = []
    for f in dataclasses.fields(kind):
        nested = next((a for a in getattr(f, "metadata", {}).get("nested", ())), None)
        found += _fields(nested) if nested else [f]
    return found


@dataclass(frozen=True)
class DataOptions:
    """Where the text comes from and how it becomes tokens."""

    data: tyro.conf.OmitArgPrefixes[str] = ""
    """A text file, glob, folder, .jsonl or .csv (all also .gz or .bz2); - for standard input; datasets:NAME; wikipedia-sample;
    lee-news; a folder that `textgan prepare` wrote; oracle (synthetic, own LSTM) or oracle:PATH.npz (the published one).
    Must be given."""
    column: str | None = None
    """Column of a .jsonl, .csv or data set that holds the text."""
    split: Literal["auto", "line", "sentence"] = "auto"
    """Whether a line is a sentence or prose is to be cut into sentences."""
    tokenizer: str = "word"
    """word, char, bpe, unigram, or the path of a saved tokenizer."""
    vocab_size: int = 5000
    """Largest vocabulary, special tokens included."""
    lowercase: bool = False
    """Turn all letters into small ones."""
    length: int = 20
    """Tokens in a sequence, end mark included (SeqGAN: 20)."""
    overlong: Literal["skip", "truncate"] = "skip"
    """What happens to sentences longer than that; how many there were is said."""
    held_out: float = 0.05
    """Share of the text kept for testing."""
    test: str | None = None
    """Test on this text instead."""
    oracle_sequences: int = 10_000
    """Sequences drawn from the oracle for training, and as many again for testing (SeqGAN: 10,000)."""


@dataclass(frozen=True)
class TrainOptions:
    """How a run goes."""

    run: Annotated[str, tyro.conf.arg(aliases=["--run-dir"])] = ""
    """Folder of the new run; must be given. Under torchrun write --run-dir: torchrun takes --run for an option of its own."""
    seed: int = 0
    """Decides all randomness."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    threads: int = 0
    """CPU threads; 0 leaves the choice to torch."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16 uses autocast."""
    log_every: int = 50
    """Steps between logged lines."""
    evaluate_every: int = 5
    """Epochs or rounds between evaluations on held-out text, with samples."""
    save_minutes: float = 2.0
    """Minutes between checkpoints; the ends of stages are always saved."""
    keep: int = 2
    """Checkpoints kept."""
    until: int | None = None
    """Stop after this many steps; `textgan resume` goes on."""
    tensorboard: bool = False
    """Also write TensorBoard files (needs the extra [tensorboard])."""
    dry_run: bool = False
    """Prepare the data, say what would be done, and stop."""


def _positive(options: Any, *names: str) -> None:
    for name in names:
        value = getattr(options, name, None)
        if value is not None and value < 1:
            raise UserError(f"--{name.replace('_', '-')} must be 1 or more; received {value}")


def _check_config(config: Any) -> None:
    """Ranges that the field's type does not say."""
    for f in dataclasses.fields(config):
        value, flag = getattr(config, f.name), "--" + f.name.replace("_", "-")
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if f.name.endswith("dropout") or f.name.endswith("decay"):
            if not 0 <= value < 1:
                raise UserError(f"{flag} must lie in [0, 1); received {value}")
        elif f.name == "discount":
            if not 0 < value <= 1:
                raise UserError(f"{flag} must lie in (0, 1]; received {value}")
        elif f.name in ("clip",) or f.name.endswith("lr"):
            if not 0 < value < float("inf"):
                raise UserError(f"{flag} must be a finite number above 0; received {value}")
        elif value < (0 if f.name.endswith(("epochs", "rounds", "l2", "rollouts")) else 1):
            raise UserError(f"{flag} is too small; received {value}")


def make_corpus(options: DataOptions, out: Path, seed: int) -> Any:
    """The prepared corpus of a run in ``out``; an oracle is saved beside it."""
    from .corpus import Corpus, prepare

    if not options.data:
        raise UserError("no text was named; expected --data FILE (or wikipedia-sample, oracle, ...); see `textgan train --help`")
    _positive(options, "length", "vocab_size", "oracle_sequences")
    if options.length < 2:
        raise UserError(f"--length must be 2 or more; received {options.length}")
    if not 0 < options.held_out < 1:
        raise UserError(f"--held-out must lie between 0 and 1; received {options.held_out}")
    if options.data == "oracle" or options.data.startswith("oracle:"):
        return _oracle_corpus(options, out, seed)
    if (Path(options.data) / "corpus.json").is_file():
        length = Corpus.open(options.data).info["length"]
        if options.length not in (length, DataOptions.length):
            raise UserError(f"{options.data} was prepared with --length {length}; received {options.length}; leave --length out")
        shutil.copytree(options.data, out, dirs_exist_ok=True)
        return Corpus.open(out)
    corpus = prepare(
        options.data, out, tokenizer=options.tokenizer, vocab_size=options.vocab_size, lowercase=options.lowercase,
        length=options.length, overlong=options.overlong, held_out=options.held_out, test=options.test,
        column=options.column, split=options.split, seed=seed,
    )  # fmt: skip
    return corpus


def _oracle_corpus(options: DataOptions, out: Path, seed: int) -> Any:
    import torch

    from .corpus import Corpus, write_oracle
    from .oracle import load_oracle, make_oracle
    from .runtime.workers import fold

    path = options.data.partition(":")[2]
    oracle = load_oracle(path) if path else make_oracle(options.vocab_size, seed)
    parts = []
    for part in range(2):
        noise = torch.Generator().manual_seed(fold(seed, 4, part))
        u = torch.rand(options.oracle_sequences, options.length, generator=noise)
        parts.append(torch.cat([oracle.sample(len(piece), options.length, piece) for piece in u.split(1024)]).numpy())
    write_oracle(out, parts[0], parts[1], oracle.config.vocab_size, options.data)
    oracle.save_pretrained(out / "oracle")
    return Corpus.open(out)


def _environment(argv: list[str], seed: int, workers: Any) -> dict[str, Any]:
    import torch

    try:
        here = Path(__file__).parent
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, timeout=5).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        commit = ""
    return {
        "python": platform.python_version(), "torch": torch.__version__, "textgan": __version__,
        "platform": platform.platform(), "device": str(workers.device), "world": workers.world,
        "threads": torch.get_num_threads(), "argv": argv, "seed": seed, "commit": commit or None,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }  # fmt: skip


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def train(argv: list[str]) -> int:
    """``textgan train``."""
    from .algorithms import ALGORITHMS, SUMMARIES, find

    if not argv or argv[0].startswith("-"):
        if argv and argv[0] in ("-h", "--help"):
            listed = "\n".join(f"  {name:8} {SUMMARIES[name]}" for name in ALGORITHMS)
            sys.stdout.write(
                f"textgan train ALGORITHM --data FILE --run DIR [options]\n\nAlgorithms:\n{listed}\n\n"
                "Example: textgan train mle --data my.txt --run runs/a --epochs 20 --hidden-dim 256\n"
                "Options of one: textgan train ALGORITHM --help\n"
            )
            return 0
        raise UserError(f"no algorithm was named; expected textgan train ALGORITHM with one of {', '.join(ALGORITHMS)}")
    name, argv = argv[0], argv[1:]
    algorithm = find(name)
    options = _train_options(algorithm.Config)
    default = None
    if "--config" in argv:
        place = argv.index("--config")
        if place + 1 >= len(argv):
            raise UserError("--config wants a path; expected the config.json of another run")
        default = _from_config(Path(argv[place + 1]), name, algorithm.Config, options)
        argv = argv[:place] + argv[place + 2 :]
    description = f"{SUMMARIES.get(name, name)}. Example:\n\n  textgan train {name} --data my.txt --run runs/a"
    chosen: Any = parse(options, argv, f"textgan train {name}", description, default)
    run: TrainOptions = chosen.train
    if not run.run:
        raise UserError("no folder was named for the run; expected --run DIR")
    _positive(run, "log_every", "evaluate_every", "keep", "until")
    if run.threads < 0 or run.seed < 0 or run.save_minutes < 0:
        raise UserError("--threads, --seed and --save-minutes must be 0 or more")
    _check_config(chosen.config)
    return _start(name, algorithm, chosen)


def _train_options(config: type) -> Any:
    parts = {"data": DataOptions, "train": TrainOptions, "config": config}
    fields = [
        (name, Annotated[kind, tyro.conf.OmitArgPrefixes], field(default=kind(), metadata={"nested": (kind,)}))
        for name, kind in parts.items()
    ]
    return dataclasses.make_dataclass("Options", fields, frozen=True)


def _from_config(path: Path, name: str, config: type, options: Any) -> Any:
    try:
        saved = json.loads((path / "config.json" if path.is_dir() else path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"--config {path} cannot be read; expected a run's config.json; {error}") from error
    if saved.get("algorithm") != name:
        raise UserError(f"--config {path} belongs to another algorithm; expected {name}; received {saved.get('algorithm')!r}")
    run = dataclasses.replace(_build(TrainOptions, saved["train"], path), run="")
    return options(_build(DataOptions, saved["data"], path), run, _build(config, saved["config"], path))


def _build(kind: Any, values: dict[str, Any], path: Path) -> Any:
    known = {f.name for f in dataclasses.fields(kind)}
    strange = sorted(set(values) - known)
    if strange:
        raise UserError(f"{path}: this version does not know the fields {', '.join(strange)}; start a new run")
    return kind(**values)


def _start(name: str, algorithm: Any, chosen: Any) -> int:
    from .runtime import Run

    options: TrainOptions = chosen.train
    path = Path(options.run)
    if (path / "config.json").exists():
        raise UserError(f"--run {path} already holds a run; expected a new folder; go on with `textgan resume {path}`")
    workers = _workers(options)
    if workers.main:
        corpus = make_corpus(chosen.data, path / "data", options.seed)
        _say(describe(corpus))
        if not options.dry_run:
            data = dataclasses.replace(chosen.data, length=corpus.info["length"])
            parts = {"data": data, "train": options, "config": chosen.config}
            saved = {"algorithm": name, **{part: dataclasses.asdict(values) for part, values in parts.items()}}
            Run.create(path, saved, _environment(["textgan", *sys.argv[1:]], options.seed, workers), options.keep)
    workers.agree(0)  # the others wait for the files
    if options.dry_run:
        from .corpus import Corpus

        workers.seed(options.seed, 0)
        corpus = Corpus.open(path / "data")
        made = algorithm(chosen.config, corpus, workers, length=corpus.info["length"], seed=options.seed)
        for stage in made.stages():
            _say(f"{stage.name}: {stage.steps} steps of {stage.batch} sequences, {stage.unit} a unit")
        for player, side in made.players.items():
            _say(f"{player}: {sum(p.numel() for p in side.parameters):,} parameters")
        shutil.rmtree(path / "data")
        if not any(path.iterdir()):
            path.rmdir()
        return 0
    return _fit(path, algorithm, chosen.config, options, workers)


def _workers(options: TrainOptions) -> Any:
    import torch

    from .runtime import Workers

    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        return Workers.start(options.device)
    except ValueError as error:
        raise UserError(f"--device: {error}") from error


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


def _fit(path: Path, algorithm: Any, config: Any, options: TrainOptions, workers: Any) -> int:
    from .corpus import Corpus
    from .evaluate import nll_oracle, nll_test
    from .generators import RNNGenerator
    from .runtime import Interrupted, Run, fit

    corpus = Corpus.open(path / "data")
    length = corpus.info["length"]
    workers.seed(options.seed, 0)
    try:
        made = algorithm(config, corpus, workers, length=length, seed=options.seed)
    except ValueError as error:
        raise UserError(str(error)) from error
    oracle = None
    if (path / "data" / "oracle").is_dir():
        oracle = RNNGenerator.from_pretrained(path / "data" / "oracle").to(workers.device)

    def figures() -> dict[str, float]:
        found = nll_test(made.G, corpus.test, length)
        if oracle is not None:
            found |= nll_oracle(made.G, oracle, length, seed=options.seed)
        return found

    def finish(folder: Path) -> None:
        for file in (path / "data").glob("tokenizer*"):
            shutil.copy(file, folder / "generator" / file.name)

    total = sum(stage.steps for stage in made.stages())
    try:
        steps = fit(
            made, Run.open(path, options.keep), workers, seed=options.seed, until=options.until,
            log_every=options.log_every, save_minutes=options.save_minutes, evaluate=figures,
            evaluate_every=options.evaluate_every, precision=options.precision, tensorboard=options.tensorboard, finish=finish,
        )  # fmt: skip
    except Interrupted as stopped:
        if workers.main:
            _say(f"saved; go on with `textgan resume {path}`")
        return stopped.exit_code
    finally:
        workers.stop()
    if workers.main:
        _say(f"{steps} of {total} steps done; `textgan generate {path}` writes sentences, `textgan report {path}` a page")
    return 0


@dataclass(frozen=True)
class ResumeOptions:
    """Options of resume: none that would change the result."""

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """Folder of the run."""
    until: int | None = None
    """Stop after this many steps in all."""
    device: str = ""
    """Another device than before."""
    threads: int = 0
    """CPU threads; 0 takes as many as before."""


def resume(argv: list[str]) -> int:
    """``textgan resume``."""
    from .algorithms import find
    from .runtime import Run

    given = parse(ResumeOptions, argv, "textgan resume", "Go on with a run. Example:\n\n  textgan resume runs/a --until 5000")
    _positive(given, "until")
    path = Path(given.run)
    saved = Run.open(path).config
    if saved.get("schema_version") != 1:
        raise UserError(f"{path} was written by another version (schema {saved.get('schema_version')}); expected schema 1")
    algorithm = find(saved["algorithm"])
    config = _build(algorithm.Config, saved["config"], path)
    options: TrainOptions = _build(TrainOptions, saved["train"], path)
    options = dataclasses.replace(
        options, until=given.until, device=given.device or options.device, threads=given.threads or options.threads
    )
    return _fit(path, algorithm, config, options, _workers(options))


@dataclass(frozen=True)
class GenerateOptions:
    """Options of generate."""

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """A run, a checkpoint, or a folder with a saved generator."""
    number: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 10
    """How many sentences."""
    temperature: float = 1.0
    """Below 1 sharper, above 1 wilder."""
    top_k: int = 0
    """Draw from the k likeliest tokens only; 0 for all."""
    top_p: float = 1.0
    """Draw from the smallest set of tokens with this probability."""
    prompt: str = ""
    """Text that every sentence begins with."""
    length: int = 0
    """Largest number of tokens; 0 takes the run's."""
    seed: int = 0
    """The same seed gives the same sentences."""
    unknown: bool = False
    """Allow the mark for unknown words."""
    format: Literal["text", "jsonl"] = "text"
    """Plain lines, or JSON lines with text and log-probability in nats."""
    out: str = "-"
    """File to write; - for the terminal."""


def generate(argv: list[str]) -> int:
    """``textgan generate``."""
    given = parse(
        GenerateOptions, argv, "textgan generate", "Write sentences. Example:\n\n  textgan generate runs/a -n 20 --top-p 0.9"
    )
    import torch

    from . import generator_folder, load
    from .decode import texts
    from .sampling import restrict

    _positive(given, "number")
    if given.length < 0 or given.seed < 0:
        raise UserError("--length and --seed must be 0 or more")
    try:
        restrict(torch.zeros(1, 2), given.temperature, given.top_k, given.top_p)
    except ValueError as error:
        raise UserError(f"--{str(error).replace('_', '-', 1)}") from error
    folder = generator_folder(given.run)
    model, tokenizer = load(folder), None
    if any(folder.glob("tokenizer*")):
        from .tokenizers import load as load_tokenizer

        tokenizer = load_tokenizer(folder)
        if not given.unknown:
            model.ban[tokenizer.unk] = -torch.inf
    length, prompt = given.length or _trained_length(folder), None
    if given.prompt:
        if tokenizer is None:
            raise UserError("--prompt needs a tokenizer; this run was trained on synthetic ids")
        prompt = torch.tensor(tokenizer.encode(given.prompt))
        if len(prompt) >= length:
            raise UserError(f"--prompt is too long; expected fewer than {length} tokens; received {len(prompt)}; raise --length")
    u = torch.rand(given.number, length, generator=torch.Generator().manual_seed(given.seed))
    rows = []
    for part in u.split(512):
        x = model.sample(
            len(part), length, part, temperature=given.temperature, top_k=given.top_k, top_p=given.top_p, prompt=prompt
        )
        written = texts(tokenizer, x, model.config.eos)
        if given.format == "jsonl":
            with torch.no_grad():
                scores = model.log_prob(x).sum(1).tolist()
            written = [json.dumps({"text": t, "log_prob": s}, ensure_ascii=False) for t, s in zip(written, scores, strict=True)]
        rows += [" ".join(line.splitlines()) for line in written]
    if given.out == "-":
        sys.stdout.write("\n".join(rows) + "\n")
    else:
        from .runtime.run import write_text

        try:
            write_text(Path(given.out), "\n".join(rows) + "\n")
        except OSError as error:
            raise UserError(f"--out {given.out} cannot be written ({error.strerror})") from error
    return 0


def _trained_length(folder: Path) -> int:
    """T of the run that a generator lies in, 20 outside of one."""
    for above in folder.resolve().parents:
        if (above / "config.json").is_file() and (above / "checkpoints").is_dir():
            return int(json.loads((above / "config.json").read_text(encoding="utf-8"))["data"]["length"])
    return 20


@dataclass(frozen=True)
class EvaluateOptions:
    """Options of evaluate."""

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """A run."""
    seed: int = 0
    """Decides the samples that the oracle judges."""


def evaluate(argv: list[str]) -> int:
    """``textgan evaluate``."""
    given = parse(
        EvaluateOptions, argv, "textgan evaluate", "Likelihood of the held-out text. Example:\n\n  textgan evaluate runs/a"
    )
    from . import load
    from .corpus import Corpus
    from .evaluate import nll_oracle, nll_test
    from .generators import RNNGenerator
    from .runtime import Run

    path = Path(given.run)
    saved = Run.open(path).config
    length, model, corpus = saved["data"]["length"], load(path), Corpus.open(path / "data")
    found = nll_test(model, corpus.test, length)
    if (path / "data" / "oracle").is_dir():
        oracle = RNNGenerator.from_pretrained(path / "data" / "oracle")
        found |= nll_oracle(model, oracle, length, seed=given.seed)
        found["nll_oracle_of_itself"] = nll_oracle(oracle, oracle, length, seed=given.seed)["nll_oracle"]
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return 0


@dataclass(frozen=True)
class ReportOptions:
    """Options of report."""

    runs: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="RUN ...")]
    """One run, or several side by side."""
    out: str = ""
    """File to write; the first run's report.html when absent."""


def report(argv: list[str]) -> int:
    """``textgan report``."""
    given = parse(
        ReportOptions, argv, "textgan report", "One HTML page. Example:\n\n  textgan report runs/a runs/b --out both.html"
    )
    from .report import report as write

    if not given.runs:
        raise UserError("no run was named; expected textgan report RUN [RUN ...]")
    sys.stdout.write(f"{write([Path(run) for run in given.runs], Path(given.out) if given.out else None)}\n")
    return 0


@dataclass(frozen=True)
class PrepareOptions:
    """Options of prepare."""

    options: Annotated[DataOptions, tyro.conf.OmitArgPrefixes] = field(
        default_factory=DataOptions, metadata={"nested": (DataOptions,)}
    )
    out: str = ""
    """Folder to write."""
    seed: int = 0
    """Decides what is held out."""


def prepare(argv: list[str]) -> int:
    """``textgan prepare``."""
    given = parse(
        PrepareOptions, argv, "textgan prepare", "Tokenise once. Example:\n\n  textgan prepare --data my.txt --out my-corpus"
    )
    if not given.out:
        raise UserError("no folder was named for the corpus; expected --out DIR")
    _say(describe(make_corpus(given.options, Path(given.out), given.seed)))
    return 0


def run(command: str, argv: list[str]) -> int:
    """Run one command; gives its exit code. Warnings come as one line each."""
    commands = {
        "train": train, "resume": resume, "generate": generate, "evaluate": evaluate, "report": report, "prepare": prepare,
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *rest: _say(f"textgan: warning: {message}")
        return commands[command](argv)
