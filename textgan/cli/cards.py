"""Model cards: what an exported model is, what it learnt from, how good it is, how to use it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .. import run_folder

KINDS = {
    "rnn": "recurrent language model",
    "rmc": "language model with relational memory",
    "borrowed": "language model of transformers",
    "mask": "encoder and decoder with attention, which fill the blanks of a sentence from left to right",
}
GENERATE = """\
    import textgan.hf  # makes the model known to transformers
    from transformers import pipeline
    write = pipeline("text-generation", model="this folder")
    print(write("the city of", num_return_sequences=3))
"""
BORROWED = """\
    from transformers import pipeline
    write = pipeline("text-generation", model="this folder")
    print(write("{}the city of", num_return_sequences=3))
"""
FILL = """\
    import textgan.hf  # makes the model known to transformers
    from transformers import pipeline
    fill = pipeline("fill-mask", model="this folder")
    print(fill("a man <mask> a horse"))
"""
IDS = """\
    import textgan.hf  # makes the model known to transformers
    from transformers import AutoModelForCausalLM
    model = AutoModelForCausalLM.from_pretrained("this folder")
    print(model.generate(num_return_sequences=3))  # ids: it learnt from synthetic sequences
"""
ENCODE = """\
    import textgan.hf  # makes the model known to sentence-transformers
    from sentence_transformers import SentenceTransformer
    model = SentenceTransformer("this folder")
    print(model.encode("a sentence").shape)
"""


def corpus_of(run: Path | None) -> Any:
    """The corpus of a run, or None."""
    from ..corpus import Corpus

    return Corpus.open(run / "data") if run and (run / "data" / "corpus.json").is_file() else None


def generator_card(folder: Path, licence: str) -> str:
    """The card of the generator that lies in a folder, of a run or outside of one."""
    from ..generators import load_generator
    from ..tokenizers import load

    run, G = run_folder(folder), load_generator(folder)
    filler, text = G.kind == "mask", any(folder.glob("tokenizer*"))
    sizes = {k: v for k, v in asdict(G.config).items() if k not in ("bos", "eos", "pad", "banned")}
    lines = _head("transformers", "fill-mask" if filler else "text-generation", licence)
    lines += [f"# {'Filler of blanks' if filler else 'Generator of text'}", "", "Trained with textgan.", ""]
    lines += ["## How to use", ""]
    if G.kind == "borrowed":
        lines += _use_of_borrowed(load(folder))
    else:
        lines += [FILL if filler else GENERATE if text else IDS]
    if not filler and G.kind != "borrowed":
        lines += ["A sequence begins with BOS, which the tokenizer puts before the text; `generate` draws, unless it is told "
                  "otherwise, from all tokens at temperature 1, `<unk>` left out.", ""]  # fmt: skip
    lines += [
        "## Architecture",
        "",
        f"A {KINDS[G.kind]}, {sum(p.numel() for p in G.parameters()):,} parameters: {_listed(sizes)}.",
        "",
    ]
    lines += _training(run) + _corpus(run) + _measured(run, folder)
    return "\n".join(lines).rstrip() + "\n"


def _use_of_borrowed(tokenizer: Any) -> list[str]:
    """How a language model of transformers is used; its texts began with BOS in training, which few tokenizers put there."""
    missing = tokenizer.with_marks(["a"], 9)[0][0] != tokenizer.bos
    bos = tokenizer.token(tokenizer.bos)
    told = [f"It learnt texts that begin with `{bos}`, which this tokenizer does not put there by itself.", ""] if missing else []
    return [BORROWED.format(bos if missing else ""), *told]


def encoder_card(source: str, encoder: Any, licence: str) -> str:
    """The card of a sentence encoder."""
    path = Path(source)
    lines = [*_head("sentence-transformers", "sentence-similarity", licence), "# Sentence encoder", ""]
    sizes = ", ".join(
        f"{p.config.direction}directional GRU, {p.config.hidden_dim} numbers, {p.config.vocab_size:,} words"
        for p in encoder.parts
    )
    lines += [f"Trained with textgan. Vectors of {encoder.dimension} numbers: {sizes}.", "", "## How to use", "", ENCODE]
    run = run_folder(path)
    lines += _training(run) + _corpus(run)
    expansion = path / "expansion.json"
    if expansion.is_file():
        lines += ["## Vocabulary expansion", "", "```json", expansion.read_text(encoding="utf-8").strip(), "```", ""]
    suite = path / "suite-sts.json"
    if suite.is_file():
        found = json.loads(suite.read_text(encoding="utf-8"))
        lines += ["## Measured", "", f"| | {' | '.join(found)} |", "|---" * (len(found) + 1) + "|"]
        lines += [f"| {task} | {' | '.join(f'{found[name][task]:.3f}' for name in found)} |" for task in found["trained"]]
    return "\n".join(lines).rstrip() + "\n"


def _head(library: str, task: str, licence: str) -> list[str]:
    told = [f"license: {licence}"] if licence else []
    return ["---", f"library_name: {library}", f"pipeline_tag: {task}", "tags: [textgan]", *told, "---", ""]


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value != "")


def _training(run: Path | None) -> list[str]:
    from ..algorithms import SUMMARIES
    from ..networks import OF_THE_CNN, OF_THE_RNN

    if run is None:
        return []
    saved = json.loads((run / "config.json").read_text(encoding="utf-8"))
    name = saved["algorithm"]
    summary = SUMMARIES.get(name, "an algorithm from outside")
    values = {key: _without_place(value) for key, value in saved.get("config", {}).items()}
    unused = (*(OF_THE_RNN if values.get("generator") else ()), *(OF_THE_CNN if values.get("discriminator") else ()))
    values = {key: value for key, value in values.items() if key not in unused}
    return ["## Training", "", f"`{name}`, {summary}: {_listed(values)}.", ""]


def _without_place(source: Any) -> Any:
    """A source without the folder that it lay in, which is nobody's business."""
    return re.sub(r"^(datasets:|oracle:|hf:)?/.*/", r"\1", source) if isinstance(source, str) else source


def _corpus(run: Path | None) -> list[str]:
    corpus = corpus_of(run)
    if corpus is None:
        return []
    info, lengths = corpus.info, corpus.train.lengths()
    lines = ["## Corpus", "", f"* source: {_without_place(info['source'])}"]
    if corpus.tokenizer is not None:
        lines += [
            f"* {info.get('documents', 0):,} documents",
            f"* tokens are those of a {corpus.tokenizer.kind} tokenizer",
            f"* {100 * info['unknown_rate']:.2f} % of the tokens are unknown",
        ]
    return [
        *lines,
        f"* {len(corpus.train):,} sentences to train on, {len(corpus.test):,} held out",
        f"* {int(lengths.sum()):,} tokens, {lengths.mean():.1f} a sentence; vocabulary of {corpus.vocab_size:,}",
        f"* sha256 of the tokens: {info['content_sha256']}",
        "",
    ]


def _measured(run: Path | None, folder: Path) -> list[str]:
    """Figures of this very checkpoint: what `textgan evaluate` found, else what training itself did."""
    from ..evaluate.labels import QUIET, cell, label

    if run is None:
        return []
    name, found, real = folder.parent.name, dict[str, float](), dict[str, float]()
    for file in (run / "eval" / "best.json", run / "eval" / "samples.json"):
        if file.is_file() and (judged := json.loads(file.read_text(encoding="utf-8")))["checkpoint"] == name:
            found, real = judged["model"], judged["real"]
    if not found and (file := run / "eval" / f"{name}.json").is_file():
        found = {k: v for k, v in json.loads(file.read_text(encoding="utf-8")).items() if isinstance(v, float)}
    keys = [key for key in dict.fromkeys([*found, *real]) if key not in QUIET]
    if not keys:
        return []
    rows = [f"| {label(key)} | {cell(key, found.get(key))} | {cell(key, real.get(key))} |" for key in keys]
    return ["## Measured", "", "| | this model | real text |", "|---|---|---|", *rows, ""]
