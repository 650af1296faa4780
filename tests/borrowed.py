"""Small random models of transformers with tokenizers of their own, as their users would have them in a folder.

As a script it trains with them in the processes of torchrun: FOLDER of models, OUT for the runs.
"""

import dataclasses
import json
import os
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

from textgan.algorithms import find
from textgan.corpus import Corpus
from textgan.evaluate import nll_test
from textgan.runtime import Run, Workers, fit

from .conftest import captions


def bytes_tokenizer(**special):
    """Byte pairs without a token that is unknown, as GPT-2's."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = sorted(set(special.values()))
    trainer = trainers.BpeTrainer(vocab_size=290, special_tokens=names, initial_alphabet=alphabet, show_progress=False)
    inner.train_from_iterator(captions(), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=inner, **special)


def words_tokenizer():
    """Words with marks around a sentence, as BERT's."""
    inner = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    inner.train_from_iterator(captions(), trainers.WordLevelTrainer(special_tokens=names, show_progress=False))
    inner.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    marks = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token"), names, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=inner, **marks)


def gpt2(folder, seed=0, special=None):
    """A GPT-2 with its one special token, in a folder."""
    tokenizer = bytes_tokenizer(**(special or {"bos_token": "<|end|>", "eos_token": "<|end|>", "unk_token": "<|end|>"}))
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    shape = {"vocab_size": len(tokenizer), "n_positions": 24, "n_embd": 8, "n_layer": 2, "n_head": 2}
    rates = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    torch.manual_seed(seed)
    model = GPT2LMHeadModel(GPT2Config(**shape, **ids, **rates, initializer_range=0.5))  # tokens are far from equally likely
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return f"hf:{folder}"


def bert(folder, seed=0):
    """A BERT without a head."""
    tokenizer = words_tokenizer()
    torch.manual_seed(seed)
    shape = {
        "hidden_size": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "initializer_range": 0.5,
    }
    rates = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=16, pad_token_id=0, **shape, **rates)
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return f"hf:{folder}"


LENGTH = 8
SMALL = {"batch": 32, "lr": 1e-2, "lora": 0}
TINY = {
    "mle": {"epochs": 2, **SMALL},
    "seqgan": {
        "pretrain_epochs": 1, "d_pretrain_rounds": 1, "rounds": 2, "d_steps": 1, "d_epochs": 1, "d_samples": 32, "rollouts": 2,
        "d_lr": 1e-2, "baseline": "batch", **SMALL,
    },
}  # fmt: skip


def build(name, corpus, workers=None, **changes):
    algorithm, workers = find(name), workers or Workers()
    workers.seed(0, 0)
    return algorithm(algorithm.Config(**{**TINY[name], **changes}), corpus, workers, length=LENGTH, seed=0), workers


def train(name, corpus, path, workers=None, until=None, **changes):
    """Go on with a run, or begin it."""
    made, workers = build(name, corpus, workers, **changes)
    if workers.main and not (path / "config.json").exists():
        saved = {"algorithm": name, "data": {"length": LENGTH}, "config": dataclasses.asdict(made.config)}
        Run.create(path, saved, {})
    workers.agree(0)

    def figures():
        return nll_test(made.G, corpus.test, LENGTH)

    fit(made, Run.open(path), workers, seed=0, until=until, log_every=1, progress=False, evaluate=figures, best="auto", samples=4)
    workers.agree(0)
    return made


def together(folder, out):
    """What the processes of torchrun do in test_borrowed: FOLDER holds the models and the corpus, OUT gets runs and figures."""
    corpus, workers = Corpus.open(folder / "corpus"), Workers.start("cpu")
    sources = {"generator": f"hf:{folder / 'gpt2'}", "shard": True}
    made = train("seqgan", corpus, out / "seqgan", workers, discriminator=f"hf:{folder / 'bert'}", clip=0.5, **sources)
    held = [sum(p.to_local().numel() for p in side.module.parameters()) for side in (made.g, made.d)]
    train("mle", corpus, out / "adapters", workers, until=5, **{**sources, "lora": 2})
    train("mle", corpus, out / "adapters", workers, **{**sources, "lora": 2})
    (out / f"held-{workers.rank}.json").write_text(json.dumps(held))
    workers.agree(0)
    os._exit(0)  # threads of gloo abort now and then while Python is taken down


if __name__ == "__main__":
    together(*map(Path, sys.argv[1:]))
