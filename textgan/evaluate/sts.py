"""How good sentence vectors are, on judgements of similarity and on classification, always beside two baselines.

Relatedness (SICK-R, STS-B): correlation of cosine with the judgements, and the published supervised head: a softmax over the
grades on |u - v| and u * v, trained to the judgement spread over its two nearest grades (Tai et al., 2015, eq. 15-17).
Classification (MR, TREC and files of the form "label text"): logistic regression on the frozen vectors, its regularisation
chosen on a tenth of the training part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from ..errors import UserError

Encode = Callable[[Sequence[str]], np.ndarray]  # sentences to (n, D)
Pairs = tuple[list[str], list[str], np.ndarray]  # first, second, judgement


@dataclass
class Suite:
    """The files that were found in a folder; pairs are (train, dev, test), or only the last of them."""

    pairs: dict[str, list[Pairs]]
    folds: dict[str, tuple[list[str], np.ndarray]]
    fixed: dict[str, tuple[tuple[list[str], np.ndarray], tuple[list[str], np.ndarray]]]


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def _pairs(path: Path, first: int, score: int, header: bool) -> Pairs:
    """Columns ``first`` and the one after it, and the judgement; quotation marks mean nothing."""
    rows = [line.split("\t") for line in _lines(path)[header:] if line.strip()]
    return [r[first] for r in rows], [r[first + 1] for r in rows], np.array([float(r[score]) for r in rows])


def _labelled(path: Path) -> tuple[list[str], np.ndarray]:
    rows = [line.split(" ", 1) for line in _lines(path) if " " in line.strip()]
    return [r[1] for r in rows], np.array([r[0] for r in rows])


PUBLISHED = {  # the files, the column of the first sentence and of the judgement, and whether there is a header
    "SICK": (("SICK_train.txt", "SICK_trial.txt", "SICK_test_annotated.txt"), 1, 3, True),
    "STS-B": (("sts-train.csv", "sts-dev.csv", "sts-test.csv"), 5, 4, False),
}


def read_suite(folder: Path) -> Suite:
    """Everything in a folder that is named as its authors named it, and the user's own files.

    SICK_train.txt, SICK_trial.txt, SICK_test_annotated.txt; sts-train.csv, sts-dev.csv, sts-test.csv of the STS benchmark;
    NAME.train.all with NAME.test.all, or NAME.all alone (cut into five folds), with lines "label text"; NAME.test.tsv, or with
    NAME.train.tsv and NAME.dev.tsv for the head too, with lines of two sentences and a judgement between tabs.

    Raises:
        UserError: there is nothing of it.
    """
    if not folder.is_dir():
        raise UserError(
            f"--suite-data {folder} is not a folder; expected one with SICK_*.txt, sts-*.csv, NAME.all or NAME.test.tsv"
        )
    files = {path.name: path for path in sorted(folder.rglob("*"), reverse=True) if path.is_file()}
    pairs: dict[str, list[Pairs]] = {}
    folds, fixed = {}, {}
    path = folder
    try:
        for name, (parts, first, score, header) in PUBLISHED.items():
            chosen: tuple[str, ...] = parts if all(part in files for part in parts) else parts[-1:]
            if chosen[-1] in files:
                pairs[name] = [_pairs(path := files[part], first, score, header) for part in chosen]
        for name, path in sorted(files.items()):
            short = name.split(".")[0]
            if name.endswith(".test.tsv"):
                chosen = tuple(name.replace(".test.", f".{part}.") for part in ("train", "dev", "test"))
                chosen = chosen if all(part in files for part in chosen) else chosen[-1:]
                pairs[short] = [_pairs(path := files[part], 0, 2, False) for part in chosen]
            elif name.endswith(".train.all"):
                fixed[short] = (_labelled(path), _labelled(path.with_name(name.replace(".train.", ".test."))))
            elif name.endswith(".all") and not name.endswith(".test.all"):
                folds[short] = _labelled(path)
    except (OSError, IndexError, ValueError) as error:
        raise UserError(f"{path} is not in its published form; see `textgan evaluate --help`; {error}") from error
    if not (pairs or folds or fixed):
        raise UserError(f"{folder} holds no SICK_*.txt, sts-*.csv, NAME.all or NAME.test.tsv")
    return Suite(pairs, folds, fixed)


def _features(u: np.ndarray, v: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.concatenate([np.abs(u - v), u * v], 1)).float()


def _grades(y: np.ndarray, low: int, high: int) -> torch.Tensor:
    """Judgements in [low, high] as distributions over the grades low, low + 1, ...: y = sum of grade times probability."""
    place = np.clip(np.floor(y).astype(int), low, high - 1)
    p = np.zeros((len(y), high - low + 1))
    p[np.arange(len(y)), place - low] = place + 1 - y
    p[np.arange(len(y)), place + 1 - low] = y - place
    return torch.from_numpy(p).float()


def relatedness_head(train: tuple[Any, Any, Any], dev: tuple[Any, Any, Any], test: tuple[Any, Any, Any]) -> float:
    """Pearson's r on the test part; each part is (u, v, judgements). Trained until the dev part is best.

    The grades are the whole numbers in the range of the training judgements: 1-5 for SICK, 0-5 for STS-B.
    """
    (x, y), (xv, yv), (xt, yt) = ((_features(u, v), j) for u, v, j in (train, dev, test))
    low, high = int(np.floor(y.min())), max(int(np.ceil(y.max())), int(np.floor(y.min())) + 1)
    torch.manual_seed(0)
    target, grades = _grades(y, low, high), torch.arange(low, high + 1).float()
    layer = torch.nn.Linear(x.shape[1], len(grades))
    optimizer = torch.optim.Adam(layer.parameters(), 1e-3, weight_decay=1e-4)
    best, found, waited = -2.0, 0.0, 0
    for _ in range(300):
        for part in torch.randperm(len(x)).split(64):
            loss = -(target[part] * layer(x[part]).log_softmax(1)).sum(1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            r, test_r = (_pearson((layer(f).softmax(1) @ grades).numpy(), j) for f, j in ((xv, yv), (xt, yt)))
        best, found, waited = (r, test_r, 0) if r > best else (best, found, waited + 1)
        if waited == 20:
            break
    return found


def _pearson(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1])


def _cosine(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    a, b = (F.normalize(torch.from_numpy(w).double(), dim=1, eps=1e-12) for w in (u, v))
    return np.asarray((a * b).sum(1))


def _classify(x: np.ndarray, y: np.ndarray) -> Any:
    """Logistic regression; how strongly it is regularised is chosen on a tenth of the examples, then it learns from all."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(x)
    x1, x2, y1, y2 = train_test_split(scaler.transform(x), y, test_size=0.1, random_state=0)
    model = LogisticRegression(max_iter=1000, tol=1e-3, warm_start=True)  # each fit begins where the one before ended
    found = {c: model.set_params(C=c).fit(x1, y1).score(x2, y2) for c in (1e-4, 1e-3, 1e-2, 1e-1)}
    model.set_params(C=max(found, key=lambda c: found[c]))
    return make_pipeline(scaler, model.fit(scaler.transform(x), y))


def score(encode: Encode, suite: Suite) -> dict[str, float]:
    """All figures of one encoder: Pearson's r and Spearman's rho of cosines, r of the head, accuracies in per cent."""
    from scipy.stats import spearmanr
    from sklearn.model_selection import StratifiedKFold

    found: dict[str, float] = {}
    for name, pairs in suite.pairs.items():
        parts = [(encode(a), encode(b), y) for a, b, y in pairs]
        u, v, y = parts[-1]
        cosine = _cosine(u, v)
        found |= {f"{name} cosine r": _pearson(cosine, y), f"{name} cosine rho": float(spearmanr(cosine, y).statistic)}
        if len(parts) == 3:
            found[f"{name} head r"] = relatedness_head(*parts)
    for name, (texts, labels) in suite.folds.items():
        x, hits = encode(texts), []
        for train, test in StratifiedKFold(5, shuffle=True, random_state=0).split(x, labels):
            hits.append(_classify(x[train], labels[train]).score(x[test], labels[test]))
        found[f"{name} accuracy"] = 100 * float(np.mean(hits))
    for name, ((texts, labels), (test_texts, test_labels)) in suite.fixed.items():
        found[f"{name} accuracy"] = 100 * float(_classify(encode(texts), labels).score(encode(test_texts), test_labels))
    return found
