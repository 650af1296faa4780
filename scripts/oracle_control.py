"""Does SeqGAN need its discriminator? The same pretrained generator, trained on with its rewards, shuffled and constant ones.

    python scripts/oracle_control.py --oracle seqgan_target_lstm.npz --rounds 20

Every line gives, after so many adversarial rounds, NLL_oracle of 10,000 samples and NLL_test of 10,000 held-out sequences, in
nats a token. "shuffled" gives each sequence the rewards of another one in the batch; "constant" gives 0.5 to every token.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from pathlib import Path

import torch

from textgan.algorithms import seqgan
from textgan.cli.options import DataOptions
from textgan.cli.training import make_corpus
from textgan.evaluate import nll_oracle, nll_test
from textgan.generators import RNNGenerator
from textgan.runtime import Workers


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--oracle", default="", help="the published oracle's .npz; an oracle of our own when absent")
    for name, default in (
        ("pretrain-epochs", 40),
        ("rounds", 20),
        ("every", 10),
        ("d-samples", 2000),
        ("seed", 0),
        ("threads", 1),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    config = seqgan.SeqGANConfig(
        pretrain_epochs=a.pretrain_epochs, d_pretrain_rounds=2, rounds=a.rounds, d_steps=1, d_epochs=1, d_samples=a.d_samples
    )
    workers = Workers()
    with tempfile.TemporaryDirectory() as folder:
        data = DataOptions(data=f"oracle:{a.oracle}" if a.oracle else "oracle")
        corpus = make_corpus(data, Path(folder) / "data", a.seed)
        oracle = RNNGenerator.from_pretrained(Path(folder) / "data" / "oracle")
        workers.seed(a.seed, 0)
        made = seqgan.SeqGAN(config, corpus, workers, length=20, seed=a.seed)

        def tell(name: str, done: int) -> None:
            found = nll_test(made.G, corpus.test, 20) | nll_oracle(made.G, oracle, 20, seed=a.seed)
            print(f"{name:13} round {done:3}  NLL_oracle {found['nll_oracle']:.3f}  NLL_test {found['nll_test']:.3f}", flush=True)

        step = 0
        for stage in made.stages()[:2]:
            for i in range(stage.steps):
                workers.seed(a.seed, step)
                stage.step(i)
                step += 1
        tell("pretrained", 0)
        before = {name: copy.deepcopy(player.module.state_dict()) for name, player in made.players.items()}
        optimizers = {name: copy.deepcopy(player.optimizer.state_dict()) for name, player in made.players.items()}
        honest, stage = seqgan.rollout_reward, made.stages()[2]
        rewards = {
            "discriminator": honest,
            "shuffled": lambda *args, **options: honest(*args, **options).roll(1, 0),
            "constant": lambda policy, reward, x, u, **options: torch.full(x.shape, 0.5),
        }
        for name, reward in rewards.items():
            for player in made.players:
                made.players[player].module.load_state_dict(before[player])
                made.players[player].optimizer.load_state_dict(copy.deepcopy(optimizers[player]))
            made.negatives = None
            seqgan.rollout_reward = reward
            for i in range(stage.steps):
                workers.seed(a.seed, step + i)
                stage.step(i)
                if (i + 1) % (stage.unit * a.every) == 0:
                    tell(name, (i + 1) // stage.unit)


if __name__ == "__main__":
    main()
