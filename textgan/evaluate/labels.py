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
