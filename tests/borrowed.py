"""Small random models of transformers with tokenizers of their own, as their users would have them in a folder."""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

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


def gpt2(folder, seed=0, dropout=0.0, special=None, **sizes):
    """A GPT-2 with its one special token, in a folder."""
    tokenizer = bytes_tokenizer(**(special or {"bos_token": "<|end|>", "eos_token": "<|end|>", "unk_token": "<|end|>"}))
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    shape = {"vocab_size": len(tokenizer), "n_positions": 24, "n_embd": 8, "n_layer": 2, "n_head": 2}
    rates = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), dropout)
    torch.manual_seed(seed)
    model = GPT2LMHeadModel(GPT2Config(**{**shape, **ids, **rates, **sizes}))
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(3)  # tokens are far from equally likely
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return f"hf:{folder}"


def bert(folder, seed=0):
    """A BERT without a head."""
    tokenizer = words_tokenizer()
    torch.manual_seed(seed)
    shape = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    rates = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=16, pad_token_id=0, **shape, **rates)
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return f"hf:{folder}"
