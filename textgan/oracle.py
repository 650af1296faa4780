"""The random LSTM that stands for the true distribution in the synthetic experiment (SeqGAN, section "Synthetic data")."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from .errors import UserError
from .generators import RNNConfig, RNNGenerator


def make_oracle(vocab_size: int = 5000, seed: int = 0) -> RNNGenerator:
    """An oracle of our own: every weight drawn from N(0, 1), as in the paper; embedding and state of 32."""
    model = RNNGenerator(RNNConfig(vocab_size, bos=0, eos=None, pad=0))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 1, generator=generator)
        model.get_parameter("rnn.bias_hh_l0").zero_()  # torch has two biases where the paper has one
    return model.eval()


def load_oracle(path: Path | str) -> RNNGenerator:
    """The published oracle from its arrays (gate = x W + h U + b, start token 0).

    Raises:
        UserError: the file is not there or lacks an array.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            a = {name: torch.from_numpy(file[name].astype(np.float32)) for name in file.files}
        order = [("Wi", "Ui", "bi"), ("Wf", "Uf", "bf"), ("Wc", "Uc", "bc"), ("Wo_gate", "Uo_gate", "bo_gate")]
        size, width = a["embedding"].shape
        model = RNNGenerator(RNNConfig(size, width, a["Ui"].shape[0], bos=0, eos=None, pad=0))
        with torch.no_grad():
            model.embedding.weight.copy_(a["embedding"])
            model.get_parameter("rnn.weight_ih_l0").copy_(torch.cat([a[w] for w, _, _ in order], 1).t())
            model.get_parameter("rnn.weight_hh_l0").copy_(torch.cat([a[u] for _, u, _ in order], 1).t())
            model.get_parameter("rnn.bias_ih_l0").copy_(torch.cat([a[b].reshape(-1) for _, _, b in order]))
            model.get_parameter("rnn.bias_hh_l0").zero_()
            model.out.weight.copy_(a["W_out"].t())
            model.out.bias.copy_(a["b_out"].reshape(-1))
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise UserError(f"no oracle can be read from {path}; expected an .npz with embedding, Wi, Ui, bi ...; {error}") from error
    return model.eval()
