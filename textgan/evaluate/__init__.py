"""Figures about a generator or an encoder, as functions of samples and of ``log_prob``, never of a trainer."""

from .bleu import corpus_bleu, self_bleu, sentence_bleu
from .diversity import copied, distinct, lengths
from .embedding import frechet_distance, mauve, precision_recall
from .language_models import lstm_nll, ngram_nll
from .nll import fill_nll, held_out_nll, nll_div, nll_oracle, nll_test

__all__ = [
    "copied",
    "corpus_bleu",
    "distinct",
    "fill_nll",
    "frechet_distance",
    "held_out_nll",
    "lengths",
    "lstm_nll",
    "mauve",
    "ngram_nll",
    "nll_div",
    "nll_oracle",
    "nll_test",
    "precision_recall",
    "self_bleu",
    "sentence_bleu",
]
