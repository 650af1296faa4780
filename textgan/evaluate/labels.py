"""Names and numbers of the figures, for people."""

from __future__ import annotations

LABELS = {
    "fill_nll": "NLL of half of each held-out sentence given the rest, nats a blank",
    "fill_perplexity": "perplexity of it",
    "fill_perplexity_random": "perplexity of random tokens in the blanks",
    "nll_test": "NLL of held-out text, nats a token",
    "perplexity_test": "perplexity of held-out text",
    "nll_test_sequence": "NLL of held-out text, nats a sentence",
    "nll_test_padded": "NLL of held-out text, nats a place, padding counted",
    "nll_div": "NLL of its own samples (NLL_div), nats a token",
    "nll_oracle": "NLL of samples under the oracle, nats a token",
    "lm_nll": "NLL under a 4-gram model of the training text, nats a token",
    "reverse_lm_nll": "NLL of held-out text under a 4-gram model of it, nats a token",
    "reverse_lstm_nll": "NLL of held-out text under an LSTM trained on it, nats a token",
    "fed": "Fréchet embedding distance",
    "distinct_sentences": "different sentences",
    "copied_sentences": "share that are training sentences",
    "longest_copy_mean": "longest run of training words, mean",
    "longest_copy_max": "longest run of training words, largest",
    "length_mean": "words a sentence, mean",
    "length_sd": "words a sentence, standard deviation",
}
UNITS = {  # curves of a run
    "eval/nll_test": "NLL of held-out text (nats a token)",
    "eval/fill_nll": "NLL of half of each held-out sentence given the rest (nats a blank)",
    "eval/nll_oracle": "NLL of samples under the oracle (nats a token)",
    "g/nll": "training NLL (nats a token)",
    "g/reward": "D's probability that a sample is real",
    "g/loss": "policy loss",
    "g/grad": "norm of G's gradient",
    "d/loss": "D's loss (nats; 0.693 is guessing)",
    "d/accuracy": "D's accuracy (0.5 is guessing)",
    "d/grad": "norm of D's gradient",
    "eval/neighbour_nll": "NLL of a held-out neighbour (nats)",
    "eval/neighbour_accuracy": "how often a held-out neighbour is found",
    "eval/nll_previous": "NLL of held-out sentences before (nats a token)",
    "eval/nll_next": "NLL of held-out sentences after (nats a token)",
    "eval/perplexity_previous": "perplexity of held-out sentences before",
    "eval/perplexity_next": "perplexity of held-out sentences after",
    "e/nll": "training NLL of a neighbour (nats)",
    "e/accuracy": "how often a neighbour is found in training",
    "e/nll_previous": "training NLL of sentences before (nats a token)",
    "e/nll_next": "training NLL of sentences after (nats a token)",
    "e/grad": "norm of the encoder's gradient",
    "eval/wordsim353_spearman": "WordSim-353, Spearman correlation",
    "eval/simlex999_spearman": "SimLex-999, Spearman correlation",
    "eval/analogies_accuracy": "analogies answered, share",
    "w/loss": "word2vec training loss (nats a prediction)",
    "eval/test_loss": "word2vec held-out loss (nats a prediction)",
    "w/lr": "learning rate",
}
QUIET = ("nll_test_sequence", "length_p5", "length_p50", "length_p95", "test_sentences", "oracle_samples")  # in the JSON only


def label(key: str) -> str:
    """A figure's name for people."""
    if key in LABELS:
        return LABELS[key]
    if "bleu_" in key:
        return key.replace("self_bleu_", "self-BLEU-").replace("bleu_", "BLEU-")
    if key.startswith("distinct_"):
        return f"share of {key.removeprefix('distinct_')}-grams that differ"
    return key


def cell(key: str, value: float | None) -> str:
    """A figure as text; a stroke where there is none."""
    if value is None or value != value:
        return "-"
    if key in ("distinct_sentences", "longest_copy_max", "vectors"):
        return f"{value:,.0f}"
    return (
        f"{value:.1f}"
        if key
        in ("perplexity_test", "fill_perplexity", "fill_perplexity_random", "length_mean", "length_sd", "longest_copy_mean")
        else f"{value:.3f}"
    )
