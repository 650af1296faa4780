"""The term that keeps a conditional GAN from drawing one image for each text."""

import pytest
import torch

from image_bridge.datasets import shapes
from image_bridge.objectives import mode_seeking
from textgan.runtime import Workers

from .image_conformance import build


def test_it_is_the_inverse_of_how_images_change_with_their_noise():
    a, b = torch.zeros(2, 1, 2, 2), torch.full((2, 1, 2, 2), 0.5)
    z, other = torch.zeros(2, 3), torch.full((2, 3), 2.0)
    assert mode_seeking(a, b, z, other).item() == pytest.approx(4, rel=1e-4)
    assert mode_seeking(a, b / 2, z, other).item() == pytest.approx(8, rel=1e-4)  # less alike noise, less alike images
    assert torch.isfinite(mode_seeking(a, a, z, other))


def test_with_it_images_of_a_text_differ_more(tmp_path):
    shapes.build(tmp_path, 40, 16, 0, 1, lambda done, total: None)
    spread = {}
    for variety in (0.0, 1.0):
        made, pairs = build("cgan", tmp_path, workers=Workers(), variety=variety)
        for i in range(30):
            pairs.workers.seed(0, i)
            told = made.g_step(i)
        assert ("g/same" in told) == (variety > 0)
        text = made.data[0].text[:1].expand(8, -1)
        made.G.eval()
        with torch.no_grad():
            x = made.G(torch.randn(8, made.config.noise, generator=torch.Generator().manual_seed(0)), text)
        spread[variety] = x.std(0).mean().item()
    assert spread[1.0] > 1.5 * spread[0.0]
