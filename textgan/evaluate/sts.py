"""How good sentence vectors are, on judgements of similarity and on classification, always beside two baselines.

Relatedness (SICK-R, STS-B): correlation of cosine with the judgements, and SICK's published supervised head: a softmax over the
five grades on |u - v| and u * v, trained to the judgement spread over its two nearest grades (Tai et al., 2015, eq. 15-17).
Classification (MR, TREC and files of the form "label text"): logistic regression on the frozen vectors.
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
    """The files that were found in a folder."""

    sick: tuple[Pairs, Pairs, Pairs] | None
    stsb: Pairs | None
    folds: dict[str, tuple[list[str], np.ndarray]]
    fixed: dict[str, tuple[tuple[list[str], np.ndarray], tuple[list[str], np.ndarray]]]


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def _sick(path: Path) -> Pairs:
    rows = [line.split("\t") for line in _lines(path)[1:] if line.strip()]
    return [r[1] for r in rows], [r[2] for r in rows], np.array([float(r[3]) for r in rows])


def _stsb(path: Path) -> Pairs:
    rows = [line.split("\t") for line in _lines(path) if line.strip()]  # quotation marks in it mean nothing
    return [r[5] for r in rows], [r[6] for r in rows], np.array([float(r[4]) for r in rows])


def _labelled(path: Path) -> tuple[list[str], np.ndarray]:
    rows = [line.split(" ", 1) for line in _lines(path) if " " in line.strip()]
    return [r[1] for r in rows], np.array([r[0] for r in rows])


def read_suite(folder: Path) -> Suite:
    """Everything in a folder that is named as its authors named it.

    SICK_train.txt, SICK_trial.txt, SICK_test_annotated.txt; sts-test.csv of the STS benchmark; NAME.train.all with NAME.test.all;
    NAME.all alone (ten folds become five).

    Raises:
        UserError: there is nothing of it.
    """
    if not folder.is_dir():
        raise UserError(f"--suite-data {folder} is not a folder; expected one with SICK_*.txt, sts-test.csv or NAME.all")

    def find(name: str) -> Path | None:
        return next(iter(sorted(folder.rglob(name))), None)

    try:
        parts = [find(n) for n in ("SICK_train.txt", "SICK_trial.txt", "SICK_test_annotated.txt")]
        sick = tuple(_sick(p) for p in parts if p) if all(parts) else None
        stsb = find("sts-test.csv")
        folds, fixed = {}, {}
        for path in sorted(folder.rglob("*.all")):
            name = path.name.split(".")[0]
            if path.name.endswith(".train.all"):
                fixed[name] = (_labelled(path), _labelled(path.with_name(f"{name}.test.all")))
            elif not path.name.endswith(".test.all"):
                folds[name] = _labelled(path)
        suite = Suite(sick, _stsb(stsb) if stsb else None, folds, fixed)  # type: ignore[arg-type]
    except (OSError, IndexError, ValueError) as error:
        raise UserError(f"a file below {folder} is not in its published form ({error})") from error
    if not (suite.sick or suite.stsb or folds or fixed):
        raise UserError(f"{folder} holds no SICK_*.txt, sts-test.csv or NAME.all")
    return suite


def _features(u: np.ndarray, v: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.concatenate([np.abs(u - v), u * v], 1)).float()


def _grades(y: np.ndarray, count: int = 5) -> torch.Tensor:
    """Judgements in [1, count] as distributions over grades: y = sum of grade times probability."""
    low = np.clip(np.floor(y).astype(int), 1, count - 1)
    p = np.zeros((len(y), count))
    p[np.arange(len(y)), low - 1] = low + 1 - y
    p[np.arange(len(y)), low] = y - low
    return torch.from_numpy(p).float()


def relatedness_head(train: tuple[Any, Any, Any], trial: tuple[Any, Any, Any], test: tuple[Any, Any, Any]) -> float:
    """Pearson's r on the test part; each part is (u, v, judgements). Trained until the trial part is best."""
    (x, y), (xv, yv), (xt, yt) = ((_features(u, v), j) for u, v, j in (train, trial, test))
    torch.manual_seed(0)
    layer = torch.nn.Linear(x.shape[1], 5)
    optimizer = torch.optim.Adam(layer.parameters(), 1e-3, weight_decay=1e-4)
    target, grades = _grades(y), torch.arange(1, 6).float()
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
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500)).fit(x, y)


def score(encode: Encode, suite: Suite) -> dict[str, float]:
    """All figures of one encoder: Pearson's r and Spearman's rho of cosines, r of the head, accuracies in per cent."""
    from scipy.stats import spearmanr
    from sklearn.model_selection import StratifiedKFold

    found: dict[str, float] = {}
    if suite.sick:
        parts = [(encode(a), encode(b), y) for a, b, y in suite.sick]
        cosine = _cosine(parts[2][0], parts[2][1])
        found["SICK cosine r"] = _pearson(cosine, parts[2][2])
        found["SICK cosine rho"] = float(spearmanr(cosine, parts[2][2]).statistic)
        found["SICK head r"] = relatedness_head(*parts)
    if suite.stsb:
        a, b, y = suite.stsb
        cosine = _cosine(encode(a), encode(b))
        found["STS-B cosine r"] = _pearson(cosine, y)
        found["STS-B cosine rho"] = float(spearmanr(cosine, y).statistic)
    for name, (texts, labels) in suite.folds.items():
        x, hits = encode(texts), []
        for train, test in StratifiedKFold(5, shuffle=True, random_state=0).split(x, labels):
            hits.append(_classify(x[train], labels[train]).score(x[test], labels[test]))
        found[f"{name} accuracy"] = 100 * float(np.mean(hits))
    for name, ((texts, labels), (test_texts, test_labels)) in suite.fixed.items():
        found[f"{name} accuracy"] = 100 * float(_classify(encode(texts), labels).score(encode(test_texts), test_labels))
    return found
