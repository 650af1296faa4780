"""What a linear classifier reads in the vectors of captions: each attribute of their images, beside the share of the commonest.

    python scripts/probe_captions.py --data shapes --text runs/joint --having relation

It learns from the first caption of every training image and is judged on those of the held-out ones. What it cannot read, a GAN
that is conditioned on these vectors has to work out by itself.
"""

from __future__ import annotations

import argparse

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from image_bridge.captions import load_encoder
from image_bridge.images import ImageData


def main() -> None:
    """Print a line an attribute."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a folder of image-bridge data")
    parser.add_argument("--text", required=True, help="an encoder, as `image-bridge train --text` takes it")
    parser.add_argument("--having", default="", help="only images that have this attribute")
    a = parser.parse_args()
    data = ImageData(a.data)
    if a.having and a.having not in data.attributes:
        parser.error(f"--having: there is no attribute {a.having!r}; there are {', '.join(data.attributes) or 'none'}")
    chosen = np.ones(len(data), dtype=bool)
    if a.having:
        chosen = data.attributes[a.having][0] >= 0
    images = np.flatnonzero(chosen)
    vectors = load_encoder(a.text, data).encode([data.captions[i][0] for i in images])
    print(f"{'attribute':20} {'read':>8} {'commonest':>10} {'learnt from':>12} {'judged':>8}")
    for name, (values, _) in data.attributes.items():
        known, held_out = values[images] >= 0, data.held_out[images]
        learn, judge = known & ~held_out, known & held_out
        if len(np.unique(values[images][learn])) < 2 or not judge.any():
            continue
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=200))
        probe.fit(vectors[learn], values[images][learn])
        read = float((probe.predict(vectors[judge]) == values[images][judge]).mean())
        commonest = float((values[images][judge] == np.bincount(values[images][learn]).argmax()).mean())
        print(f"{name:20} {read:8.3f} {commonest:10.3f} {learn.sum():12,} {judge.sum():8,}", flush=True)


if __name__ == "__main__":
    main()
