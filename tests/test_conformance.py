"""Every algorithm through the same checks."""

import dataclasses
import os
import signal

import pytest
import torch

from textgan.algorithms import ALGORITHMS, find
from textgan.errors import UserError
from textgan.runtime import Interrupted, Run, fit

from .conformance import CANCEL, GENERATORS, TINY, build, same, train, weights

EVERY = pytest.mark.parametrize("name", list(ALGORITHMS))
pytestmark = pytest.mark.filterwarnings("default:.*:DeprecationWarning:gensim")


def test_every_algorithm_is_here():
    assert set(TINY) == set(ALGORITHMS)


@EVERY
def test_config_round_trip(name):
    config = find(name).Config(**TINY[name])
    assert type(config)(**dataclasses.asdict(config)) == config
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.batch = 3


@EVERY
def test_a_stopped_run_equals_an_unbroken_one_bit_for_bit(name, corpus, tmp_path):
    whole, total = train(name, corpus, tmp_path / "whole")
    half = total * 3 // 4 if name == "seqgan" else total // 2
    first, stopped = train(name, corpus, tmp_path / "parts", until=half)
    assert stopped == half
    assert not same(weights(first), weights(whole))  # the second half does something
    again, _ = train(name, corpus, tmp_path / "parts")
    assert same(weights(again), weights(whole))
    logs = [(tmp_path / p / "metrics.jsonl").read_bytes() for p in ("whole", "parts")]
    assert logs[0] == logs[1]
    samples = [{f.name: f.read_bytes() for f in (tmp_path / p / "samples").iterdir()} for p in ("whole", "parts")]
    assert samples[0] == samples[1]
    other, _ = train(name, corpus, tmp_path / "other", seed=1)
    assert not same(weights(other), weights(whole))


@EVERY
def test_each_step_moves_one_player_and_nothing_else(name, corpus):
    made, workers = build(name, corpus, rollout_policy="current") if name == "seqgan" else build(name, corpus)
    moved = set()
    for stage in made.stages():
        for i in range(min(stage.steps, stage.unit)):
            before = weights(made)
            workers.seed(0, i)
            stage.step(i)
            changed = {k.split(".")[0].removesuffix("_mle") for k, v in weights(made).items() if not torch.equal(v, before[k])}
            assert len(changed) == 1, (stage.name, i, changed)
            moved |= changed
    assert moved == ({n.removesuffix("_mle") for n in made.players} or set(made.kept))


@EVERY
def test_every_parameter_gets_a_gradient(name, corpus):
    made, workers = build(name, corpus)
    seen = set()
    for stage in made.stages():
        for i in range(min(stage.steps, stage.unit)):
            workers.seed(0, i)
            stage.step(i)
            for player in made.players.values():
                factored = {id(layer.weight) for layer in player.outer}  # whose gradient only Adam has seen
                for k, p in player.module.named_parameters():
                    found = player.optimizer.state.get(p, {}).get("exp_avg") if id(p) in factored else p.grad
                    if found is not None and found.any():
                        seen.add((id(player.module), k))
    wanted = {(id(p.module), k) for p in made.players.values() for k, _ in p.module.named_parameters()}
    free = {(id(made.players["discriminator"].module), k) for k in CANCEL.get(name, ())}
    assert wanted - free <= seen


@pytest.mark.parametrize("name", GENERATORS)
def test_the_saved_generator_is_the_trained_one(name, corpus, tmp_path):
    import textgan

    made, _ = train(name, corpus, tmp_path / "r")
    loaded, x = textgan.load(tmp_path / "r"), torch.from_numpy(corpus.test.rows(range(8), 8))
    made.G.eval()
    assert torch.equal(loaded.log_prob(x), made.G.log_prob(x))
    assert not torch.equal(build(name, corpus)[0].G.log_prob(x), made.G.log_prob(x))


@pytest.mark.parametrize("name", GENERATORS)
def test_the_saved_generator_loads_in_transformers(name, corpus, tmp_path):
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    import textgan.hf  # noqa: F401

    made, _ = train(name, corpus, tmp_path / "r")
    x = torch.from_numpy(corpus.test.rows(range(8), 8))
    present = torch.arange(8).expand_as(x) != 2  # for the filler, the third token of each is a blank
    if name == "maskgan":
        model = AutoModelForMaskedLM.from_pretrained(tmp_path / "r")
        found = model(x.masked_fill(~present, corpus.vocab_size)).logits[:, 2, 4:]
    else:
        model = AutoModelForCausalLM.from_pretrained(tmp_path / "r")
        found = model(torch.nn.functional.pad(x, (1, 0), value=1)[:, :-1]).logits

    def scores(G):
        return G.eval().logits(x, present)[:, 2, 4:] if name == "maskgan" else G.eval().logits(x)

    assert torch.equal(found, scores(made.G))
    assert not torch.equal(found, scores(build(name, corpus)[0].G))


@EVERY
def test_a_signal_saves_and_leaves(name, corpus, tmp_path):
    made, workers = build(name, corpus)
    run, stage = Run.create(tmp_path / "r", {}, {}), made.stages()[0]
    original = stage.step

    def step(i):
        if i == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(i)

    stages = [dataclasses.replace(stage, step=step), *made.stages()[1:]]
    made.stages = lambda: stages
    with pytest.raises(Interrupted) as stopped:
        fit(made, run, workers, seed=0, progress=False)
    assert stopped.value.exit_code == 143
    assert [c.name for c in run.checkpoints()] == ["00000003"]


def test_mle_overfits_eight_sentences(corpus):
    made, workers = build("mle", corpus, hidden_dim=64, embedding_dim=32)
    x = torch.from_numpy(corpus.train.rows(range(8), 8))
    x = torch.unique(x, dim=0)
    for i in range(150):
        workers.seed(0, i)
        loss = -(made.G.log_prob(x).sum() / made.G.mask(x).sum())
        made.g.minimise(loss)
    assert loss < 0.5  # what is left is the choice among the sentences


def test_the_discriminator_is_in_use(corpus, tmp_path, monkeypatch):
    """Shuffling the rewards over the batch must change the run."""
    import textgan.algorithms.seqgan as seqgan

    plain, _ = train("seqgan", corpus, tmp_path / "plain")
    honest = seqgan.rollout_reward
    monkeypatch.setattr(seqgan, "rollout_reward", lambda *a, **k: honest(*a, **k).roll(1, 0))
    shuffled, _ = train("seqgan", corpus, tmp_path / "shuffled")
    assert not torch.equal(plain.G.out.weight, shuffled.G.out.weight)


def test_a_damaged_checkpoint_is_named_and_passed_over(corpus, tmp_path):
    train("mle", corpus, tmp_path / "r", until=6)
    train("mle", corpus, tmp_path / "r", until=9)
    run = Run.open(tmp_path / "r")
    assert [c.name for c in run.checkpoints()] == ["00000006", "00000009"]
    state = run.checkpoints()[-1] / "state.pt"
    data = bytearray(state.read_bytes())
    data[len(data) // 2] ^= 1
    state.write_bytes(data)
    with pytest.warns(UserWarning, match="00000009 is damaged"):
        assert run.latest().name == "00000006"
    (run.checkpoints()[0] / "manifest.json").write_text("{")
    with pytest.warns(UserWarning, match="damaged"):
        assert run.latest() is None


def test_a_gradient_that_is_not_finite_is_raised_and_not_saved(corpus, tmp_path):
    made, workers = build("mle", corpus)
    with torch.no_grad():
        made.G.out.weight[3, 3] = float("nan")
    run = Run.create(tmp_path / "r", {}, {})
    with pytest.raises(UserError, match="generator became infinite or NaN"):
        fit(made, run, workers, seed=0, progress=False)
    assert run.checkpoints() == []


def test_a_checkpoint_of_other_networks_is_refused(corpus, tmp_path):
    train("mle", corpus, tmp_path / "r", until=2)
    made, workers = build("mle", corpus, hidden_dim=9)
    with pytest.raises(UserError, match="does not fit"):
        fit(made, Run.open(tmp_path / "r"), workers, seed=0, progress=False)
