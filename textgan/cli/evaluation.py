"""The command ``evaluate``: how good a run, or samples of any program, are beside real text."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import tyro

from ..errors import UserError
from .parse import parse, positive, print_json, say

if TYPE_CHECKING:
    from ..encoders import SentenceEncoder

TRAINING_LIMIT = 200_000  # sentences of a large corpus that copies are looked for in
Figures = dict[str, float]


@dataclass(frozen=True)
class EvaluateOptions:
    """Options of evaluate."""

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")] = ""
    """A run, or one of its checkpoints (RUN/best); may be left out where --samples and --against are given. With --suite also a
    folder of sentence-transformers."""
    samples: str = ""
    """Judge this file of sentences, one a line, from any program, instead of the run's own samples."""
    against: str = ""
    """File of real sentences, one a line, to compare with; the run's held-out text when absent."""
    training: str = ""
    """File of the sentences that were learnt from, one a line; the run's when absent. Copies are looked for in it."""
    number: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 10_000
    """How many samples to draw from the run, and how many real sentences at most."""
    temperature: float = 1.0
    """Draw samples at this temperature."""
    hypotheses: int = 0
    """BLEU and self-BLEU score so many samples, drawn at random (the literature: often 500); 0 for all. All are references."""
    cut: Literal["auto", "nltk", "blank", "character"] = "auto"
    """How text becomes words: nltk's word_tokenize, at blanks, or every character; auto is nltk, or character where the run's
    tokenizer is char."""
    encoder: str = ""
    """Sentence encoder for the Fréchet embedding distance, precision, recall, density, coverage: a run of quickthought or
    skipthought, or a folder of sentence-transformers."""
    mauve: bool = False
    """Also MAUVE of the encoder's vectors (needs the extra [mauve])."""
    lstm: bool = False
    """Also train an LSTM on the samples and score real text with it (reverse perplexity); takes minutes."""
    json: bool = False
    """Print JSON instead of a table."""
    seed: int = 0
    """Decides the samples, and the untrained network that an encoder is compared with."""
    suite: Literal["none", "sts"] = "none"
    """sts: judge a sentence encoder by relatedness and classification, beside two baselines."""
    suite_data: str = ""
    """Folder with any of: SICK_train.txt, SICK_trial.txt, SICK_test_annotated.txt; sts-train.csv, sts-dev.csv, sts-test.csv;
    NAME.train.all and NAME.test.all, or NAME.all, with lines "label text" (TREC, rt-polarity); NAME.test.tsv (for the head also
    NAME.train.tsv, NAME.dev.tsv) with two sentences and a judgement between tabs."""


def evaluate(argv: list[str]) -> int:
    """``textgan evaluate``."""
    given = parse(
        EvaluateOptions, argv, "textgan evaluate",
        "How good a run is, beside real text. Examples:\n\n  textgan evaluate runs/a\n"
        "  textgan evaluate runs/a --against test.txt --hypotheses 500\n"
        "  textgan evaluate --samples other.txt --against test.txt --training train.txt\n"
        "  textgan evaluate runs/encoder --suite sts --suite-data FOLDER",
    )  # fmt: skip
    from ..algorithms import find
    from ..runtime import Run

    positive(given, "number")
    if given.hypotheses < 0 or given.seed < 0:
        raise UserError("--hypotheses and --seed must be 0 or more")
    if not 0 < given.temperature < float("inf"):
        raise UserError(f"--temperature must be a finite number above 0; received {given.temperature}")
    if given.mauve and not given.encoder:
        raise UserError("--mauve needs --encoder, whose vectors it compares")
    if given.mauve and find_spec("mauve") is None:
        raise UserError("--mauve needs the package mauve-text; pip install 'textgan[mauve]'")
    path = Path(given.run)
    if given.suite == "sts":
        return _evaluate_encoder(path, given)
    if not given.run:
        if not (given.samples and given.against):
            raise UserError("nothing to judge; expected textgan evaluate RUN, or --samples FILE with --against FILE")
        return _tell(_judge_files(given), None, given)
    run = run_of(path)
    saved = Run.open(run).config
    if hasattr(find(saved["algorithm"]), "evaluate"):  # it says itself what its held-out figures are
        return _tell_own_figures(run, saved, given.json)
    return _tell(_judge_run(path, run, saved, given), path, given)


def run_of(path: Path) -> Path:
    """The run that a path is, or that a checkpoint lies in.

    Raises:
        UserError: there is none.
    """
    from .. import run_folder
    from ..runtime import Run

    return run_folder(path) or Run.open(path).path


def _tell_own_figures(path: Path, saved: dict[str, Any], as_json: bool) -> int:
    from ..algorithms import find
    from ..corpus import Corpus
    from ..evaluate.labels import UNITS
    from ..runtime import Run, Workers
    from .running import build

    algorithm = find(saved["algorithm"])
    config, corpus = build(algorithm.Config, saved["config"], path), Corpus.open(path / "data")
    workers = Workers()
    made = algorithm(config, corpus, workers, length=saved["data"]["length"], seed=saved["train"]["seed"])
    if not Run.open(path).restore(made.players, made.kept, workers):
        raise UserError(f"{path} has no whole checkpoint yet; train further with `textgan resume {path}`")
    figures = made.evaluate()
    if not figures:
        raise UserError(
            f"the held-out text of {path} has no sentences in a row; expected 20 or more documents, with blank lines between "
            "them, or a text of its own for --test"
        )
    if as_json:
        print_json(figures)
        return 0
    names = {key: UNITS.get(f"eval/{key}", key) for key in figures}
    width = max(map(len, names.values()))
    sys.stdout.writelines(f"{names[key]:{width}}  {value:.4g}\n" for key, value in figures.items())
    return 0


def read_lines(name: str, flag: str) -> list[str]:
    """The lines of a text file that are not blank.

    Raises:
        UserError: it cannot be read, or holds none.
    """
    from ..corpus.sources import documents

    if not Path(name).is_file():
        raise UserError(f"{flag} {name}: no such file; expected a text file with a sentence a line")
    found = [line.strip() for document in documents(name) for line in document if line.strip()]
    if not found:
        raise UserError(f"{flag} {name} holds no sentence; expected one a line")
    return found


def _judge_files(given: EvaluateOptions) -> dict[str, Any]:
    samples, real = read_lines(given.samples, "--samples"), read_lines(given.against, "--against")
    training = read_lines(given.training, "--training") if given.training else []
    return _judge_texts(samples, real, training, given, "nltk", {})


def _judge_run(path: Path, run: Path, saved: dict[str, Any], given: EvaluateOptions) -> dict[str, Any]:
    import torch

    from .. import load
    from ..corpus import Corpus
    from ..decode import texts
    from ..evaluate import distinct, held_out_nll, nll_oracle, nll_test
    from ..evaluate.nll import draw, sequence_nll
    from ..generators import RNNGenerator

    corpus, length = Corpus.open(run / "data"), saved["data"]["length"]
    model, tokenizer = load(path), corpus.tokenizer
    found: Figures = held_out_nll(model, corpus.test, length)
    if tokenizer is not None and given.against and tokenizer.unk >= 0:
        model.ban[tokenizer.unk] = -torch.inf  # that text has no such mark
    say(f"drawing {given.number:,} samples")
    x = draw(model, given.number, length, given.seed, given.temperature)
    nats, tokens = sequence_nll(model, x, given.temperature).sum(0).tolist()
    found["nll_div"] = nats / tokens
    if tokenizer is None:
        own: Figures = {}
        if (run / "data" / "oracle").is_dir():
            oracle = RNNGenerator.from_pretrained(run / "data" / "oracle")
            nats, tokens = sequence_nll(oracle, x).sum(0).tolist()
            found["nll_oracle"] = nats / tokens
            own["nll_oracle"] = nll_oracle(oracle, oracle, length, given.number, given.seed)["nll_oracle"]
            own["nll_test"] = nll_test(oracle, corpus.test, length)["nll_test"]
        found |= distinct([list(map(str, row)) for row in x.tolist()])
        return {"model": found, "real": own, "samples": given.number, "references": len(corpus.test)}
    samples = read_lines(given.samples, "--samples") if given.samples else texts(tokenizer, x, corpus.eos)

    def part(sentences: Any, limit: int) -> list[str]:
        chosen = np.unique(np.linspace(0, len(sentences) - 1, min(limit, len(sentences))).round().astype(np.int64))
        return texts(tokenizer, torch.from_numpy(sentences.rows(chosen, length)), corpus.eos)

    real = read_lines(given.against, "--against") if given.against else part(corpus.test, given.number)
    training = read_lines(given.training, "--training") if given.training else part(corpus.train, TRAINING_LIMIT)
    if not given.training and len(corpus.train) > TRAINING_LIMIT:
        say(f"copies are looked for in {TRAINING_LIMIT:,} of the {len(corpus.train):,} training sentences")
    cut = "character" if tokenizer.kind == "char" else "nltk"
    return _judge_texts(samples, real, training, given, cut, {} if given.samples else found)


def _judge_texts(
    samples: list[str], real: list[str], training: list[str], given: EvaluateOptions, cut: Any, found: Figures
) -> dict[str, Any]:
    from ..encoders import load_encoder
    from ..evaluate import self_bleu
    from ..evaluate.samples import compare_texts
    from ..evaluate.words import words

    encode = load_encoder(given.encoder).encode if given.encoder else None
    cut = cut if given.cut == "auto" else given.cut
    s, r, t = (words(text, cut) for text in (samples, real, training))
    say(f"comparing samples ({len(s):,}) with real sentences ({len(r):,})")
    found = found | compare_texts(s, r, t, hypotheses=given.hypotheses, seed=given.seed)
    beside: Figures = {}
    if t:  # real text in the place of the samples: as many sentences of the training text
        chosen = np.sort(np.random.default_rng(given.seed).permutation(len(t))[: len(s)])
        beside = compare_texts([t[i] for i in chosen], r, [], hypotheses=given.hypotheses, seed=given.seed)
        held_out = compare_texts(r, r[:1], t, n=1, hypotheses=1)
        beside |= {k: held_out[k] for k in ("lm_nll", "copied_sentences", "longest_copy_mean", "longest_copy_max")}
    elif len(r) > 1:  # no other real text: as many held-out sentences, each against all the others
        chosen = np.sort(np.random.default_rng(given.seed).permutation(len(r))[: len(s)])
        beside = compare_texts([r[i] for i in chosen], r[:1], [], hypotheses=given.hypotheses, seed=given.seed)
        del beside["reverse_lm_nll"]
        beside |= {f"bleu_{k}": float(score) for k, score in enumerate(self_bleu(r, 5, hypotheses=chosen).mean(0), 1) if k > 1}
    if encode:
        from ..evaluate.samples import compare_vectors

        number = min(len(samples), len(real), len(training) or len(real), given.number)
        say(f"encoding {number:,} sentences of each")
        vectors = encode(real[:number])
        found |= compare_vectors(encode(samples[:number]), vectors, given.mauve, given.seed)
        if training:
            beside |= compare_vectors(encode([training[i] for i in chosen[:number]]), vectors, given.mauve, given.seed)
        found["vectors"] = number
    if given.lstm:
        found["reverse_lstm_nll"] = _reverse_lstm(s, r, given)
        if t:
            beside["reverse_lstm_nll"] = _reverse_lstm([t[i] for i in chosen], r, given)
    scored = given.hypotheses if 0 < given.hypotheses < len(s) else len(s)
    return {"model": found, "real": beside, "samples": len(s), "hypotheses": scored, "references": len(r), "training": len(t)}


def _reverse_lstm(learnt: list[list[str]], scored: list[list[str]], given: EvaluateOptions) -> float:
    from ..evaluate import lstm_nll

    known = sorted({word for row in scored for word in row})
    ids = {word: i for i, word in enumerate(known, 4)}
    length = 1 + max(len(row) for row in (*learnt, *scored))

    def rows(sentences: list[list[str]]) -> np.ndarray:
        out = np.zeros((len(sentences), length), dtype=np.int64)
        for row, words in zip(out, sentences, strict=True):
            row[: len(words) + 1] = [*(ids.get(word, 3) for word in words), 2]
        return out

    say("training an LSTM")
    scores = lstm_nll(rows(learnt), rows(scored), len(known) + 4, seed=given.seed, tell=say)
    return float(scores[:, 0].sum() / scores[:, 1].sum())


def _tell(judged: dict[str, Any], path: Path | None, given: EvaluateOptions) -> int:
    if path is not None:
        from ..runtime.run import newest, write_text

        where = newest(path)
        judged = {"checkpoint": where.name, "temperature": given.temperature, **judged}
        if not given.samples:
            folder = run_of(path) / "eval"
            folder.mkdir(exist_ok=True)
            write_text(folder / ("best.json" if where.name == "best" else "samples.json"), json.dumps(judged, indent=1) + "\n")
    if given.json:
        print_json(judged)
        return 0
    sys.stdout.write(table(judged))
    return 0


def table(judged: dict[str, Any]) -> str:
    """Figures of samples beside those of real text."""
    from ..evaluate.labels import QUIET, cell, label

    model, real = judged["model"], judged["real"]
    first = "the oracle itself" if "nll_oracle" in real else "real text"
    rows = [("", "samples", first)]
    for key in dict.fromkeys([*model, *real]):
        if key not in QUIET:
            rows.append((label(key), cell(key, model.get(key)), cell(key, real.get(key))))
    widths = [max(len(row[k]) for row in rows) for k in range(3)]
    text = "".join(f"{a:{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}\n" for a, b, c in rows)
    if "hypotheses" not in judged:
        return text
    told = f"samples: {judged['samples']:,}; held-out sentences: {judged['references']:,}"
    scored = "" if judged["hypotheses"] == judged["samples"] else f"; samples that BLEU scores: {judged['hypotheses']:,}"
    said = f"{text}\n{told}{scored}."
    if real:
        said += (
            " The column of real text has training sentences in the place of the samples (for the model of the training text and "
            "for copies: the held-out text)."
            if judged["training"]
            else " The column of real text has held-out sentences, each against all the others; with --training it has more."
        )
        said += " Samples with a BLEU above real text are sharper than it, not better."
    return said + "\n"


def _evaluate_encoder(path: Path, given: EvaluateOptions) -> int:
    import torch

    from ..encoders import SentenceEncoder, load_encoder
    from ..evaluate.sts import read_suite, score
    from ..runtime.run import write_text

    if not given.suite_data:
        raise UserError("--suite sts needs --suite-data FOLDER with SICK_*.txt, sts-*.csv, NAME.all; users bring these files")
    suite, trained = read_suite(Path(given.suite_data)), load_encoder(path)
    torch.manual_seed(given.seed)
    untrained = _untrained(trained, path) if isinstance(trained, SentenceEncoder) else trained.untrained()
    found = {}
    for name, encode in (
        ("trained", trained.encode),
        ("mean of its word vectors", trained.mean_words),
        ("untrained", untrained.encode),
    ):
        say(f"judging: {name}")
        found[name] = score(encode, suite)
    if given.json:
        print_json(found)
    else:
        sys.stdout.write(_suite_table(found))
    if isinstance(trained, SentenceEncoder):  # another's folder stays as it is
        write_text(path / "suite-sts.json", json.dumps(found, indent=1) + "\n")
    return 0


def _suite_table(found: dict[str, Figures]) -> str:
    """Figures of the encoder beside its baselines, and a plain sentence."""
    width = max(map(len, found["trained"]))
    text = f"{'':{width}}  {'  '.join(f'{name:>10}' for name in found)}\n"
    for task in found["trained"]:
        cells = (f"{found[name][task]:{max(10, len(name))}.3f}" for name in found)
        text += f"{task:{width}}  {'  '.join(cells)}\n"
    better = [t for t, value in found["trained"].items() if value > max(found[n][t] for n in found if n != "trained")]
    worse = [t for t in found["trained"] if t not in better]
    text += f"The encoder beats both baselines on: {', '.join(better) or 'nothing'}. "
    return text + f"It does not on: {', '.join(worse) or 'nothing'}.\n"


def _untrained(trained: SentenceEncoder, path: Path) -> SentenceEncoder:
    """The same networks as they began."""
    from ..encoders import GRUEncoder, SentenceEncoder
    from ..runtime import Run
    from ..vectors import WORDS, start_from

    fresh = [GRUEncoder(part.config).eval() for part in trained.parts]
    source = Run.open(path).config["config"]["embeddings"] if (path / "checkpoints").is_dir() else None
    for part, old, tokenizer in zip(fresh, trained.parts, trained.tokenizers, strict=True):
        if source is None:  # where it started is not known: over the trained word vectors, which is harder to beat
            part.embedding.load_state_dict(old.embedding.state_dict())
        elif source != "none":
            start_from(part.embedding, str(path / "data" / WORDS) if source == "auto" else source, tokenizer)
    return SentenceEncoder(fresh, trained.tokenizers)
