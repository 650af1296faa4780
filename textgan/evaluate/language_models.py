"""Language models that judge text from outside: trained on real text they score samples, trained on samples they score real text.

The second, reverse perplexity (Zhao et al., 2018), is high for samples that are bad or that lack variety.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch

from ..generators import RNNConfig, RNNGenerator
from ..objectives import nll
from .bleu import Words, ngrams


def ngram_nll(training: Sequence[Words], scored: Sequence[Words], vocabulary: set[str], order: int = 4) -> np.ndarray:
    """Negative log-likelihood of sentences under an interpolated Kneser-Ney model of the training sentences.

    Chen and Goodman, 1999, section 3; one discount an order, D = n1 / (n1 + 2 n2), at least 0.1; below the unigrams all words of
    the vocabulary are alike, so that nothing is impossible.

    Args:
        training: sentences as words.
        scored: sentences as words.
        vocabulary: words that are known; all others are one unknown word. Models to be compared need the same.
        order: n of the n-grams.

    Returns:
        (S, 2): nats, and tokens with the end mark, of each scored sentence.
    """

    def padded(sentence: Words) -> list[str]:
        return ["<s>"] * (order - 1) + [w if w in vocabulary else "<unk>" for w in sentence] + ["</s>"]

    sentences = [padded(s) for s in (*training, *scored)]
    sizes = np.array([len(s) for s in sentences])
    grams, contexts = [], [np.zeros(int((sizes - order + 1).sum()), dtype=np.int64)]  # of every predicted token, by order
    for k, (owner, gram) in enumerate(ngrams(sentences, order), 1):
        start = np.arange(len(owner)) - np.repeat(np.cumsum(sizes - k + 1) - (sizes - k + 1), sizes - k + 1)
        grams.append(gram[start >= order - k])
        contexts.append(gram[(start >= order - k - 1) & (start < (sizes - k)[owner])])
    owner = np.repeat(np.arange(len(sentences)), sizes - order + 1)
    learnt, asked = owner < len(training), owner >= len(training)
    probability = np.full(int(asked.sum()), 1 / (len(vocabulary) + 2))
    for k in range(order):
        gram, context = grams[k], contexts[k]
        kinds, groups = int(gram.max(initial=-1)) + 1, int(context.max(initial=-1)) + 1
        if k == order - 1:
            count = np.bincount(gram[learnt], minlength=kinds)
        else:  # how many different words stand before it
            _, first = np.unique(grams[k + 1][learnt], return_index=True)
            count = np.bincount(gram[learnt][first], minlength=kinds)
        known, first = np.unique(gram[learnt], return_index=True)
        inside = context[learnt][first]  # the context of each n-gram that was learnt
        total = np.bincount(inside, count[known], minlength=groups)
        types = np.bincount(inside, minlength=groups)
        ones, twos = (count == 1).sum(), (count == 2).sum()
        discount = max(0.1, ones / (ones + 2 * twos)) if ones else 0.1
        c, n, t = count[gram[asked]], total[context[asked]], types[context[asked]]
        share = np.maximum(c - discount, 0) + discount * t * probability
        probability = np.where(n > 0, share / np.maximum(n, 1), probability)
    where = owner[asked] - len(training)
    tokens = sizes[len(training) :] - order + 1
    return np.stack([np.bincount(where, -np.log(probability), minlength=len(scored)), tokens], 1)


def lstm_nll(
    training: np.ndarray,
    scored: np.ndarray,
    vocab_size: int,
    *,
    eos: int | None = 2,
    bos: int = 1,
    hidden_dim: int = 256,
    epochs: int = 20,
    seed: int = 0,
    tell: Callable[[str], None] = lambda line: None,
) -> np.ndarray:
    """Negative log-likelihood of sequences under an LSTM trained on others, stopped where a tenth of those is predicted best.

    Args:
        training: (N, T) ids, EOS and padding after the last token.
        scored: (S, T) ids.
        vocab_size: V.
        eos: id of EOS; None where all sequences are full.
        bos: id of BOS.
        hidden_dim: size of the LSTM's state and embeddings.
        epochs: at most so many passes; it stops earlier after two that help no more.
        seed: decides the model and the order.
        tell: is told what each epoch reached.

    Returns:
        (S, 2): nats, and tokens with the end mark, of each scored sequence.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = RNNGenerator(RNNConfig(vocab_size, hidden_dim, hidden_dim, dropout=0.3, bos=bos, eos=eos))
        optimizer = torch.optim.Adam(model.parameters(), 2e-3, fused=True)
        order = torch.randperm(len(training))
        ids = torch.from_numpy(np.asarray(training, dtype=np.int64))[order]
        kept, learnt = ids[: max(1, len(ids) // 10)], ids[max(1, len(ids) // 10) :]
        best, state, worse = float("inf"), copy.deepcopy(model.state_dict()), 0
        for epoch in range(epochs):
            model.train()
            for rows in torch.randperm(len(learnt)).split(64):
                x = learnt[rows]
                mask = model.mask(x)
                optimizer.zero_grad()
                nll(model.log_prob(x), mask, mask.sum().float()).backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
                optimizer.step()
            nats, tokens = _score(model, kept).sum(0)
            reached = nats / max(tokens, 1)
            tell(f"epoch {epoch + 1}: {reached:.3f} nats a token on a tenth of the text it learns from")
            if reached < best:
                best, state, worse = reached, copy.deepcopy(model.state_dict()), 0
            elif (worse := worse + 1) == 2:
                break
        model.load_state_dict(state)
    return _score(model, torch.from_numpy(np.asarray(scored, dtype=np.int64)))


@torch.no_grad()
def _score(model: RNNGenerator, x: torch.Tensor) -> np.ndarray:
    """(S, 2) nats and tokens."""
    model.eval()
    rows = [torch.stack([-model.log_prob(part).sum(1), model.mask(part).sum(1)], 1) for part in x.split(256)]
    return torch.cat(rows).double().numpy() if rows else np.zeros((0, 2))
