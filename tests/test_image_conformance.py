"""Every image algorithm through the same checks."""

import contextlib
import dataclasses
import importlib
import json
import os
import signal
import subprocess
import sys

import pytest
import torch

from image_bridge.algorithms import ALGORITHMS, find
from image_bridge.blocks import BatchNorm2d
from image_bridge.datasets import shapes
from image_bridge.preview import Preview, Previewed
from textgan.errors import UserError
from textgan.runtime import Interrupted, Run, Workers, fit

from .image_conformance import CASES, TINY, WHOLE, build, drawn, load, networks, play, preview, same, train, weights

BARE = ("gan", "pggan", "cyclegan", "combogan", "stargan")  # networks without buffers: nothing of a fixed one could move
NEARLY = {"stargan": 0.1}  # what one tap in 49 sees of a code, its normalisation takes away: its gradient is rounding
EVERY = pytest.mark.parametrize("name", list(TINY))
EACH = pytest.mark.parametrize(
    ("name", "changes"), CASES, ids=["-".join([name, *map(str, changes.values())]) for name, changes in CASES]
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("shapes")
    shapes.build(path, 40, 32, 0, 1, lambda done, total: None)
    return path


def test_every_algorithm_is_here():
    assert {*TINY, "joint"} == set(ALGORITHMS), "what trains an encoder has tests/test_joint.py"


@EVERY
def test_config_round_trip(name):
    config = find(name).Config(**TINY[name])
    assert type(config)(**json.loads(json.dumps(dataclasses.asdict(config)))) == config
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.batch = 3


@EACH
def test_a_stopped_run_equals_an_unbroken_one_bit_for_bit(name, changes, folder, tmp_path):
    whole, total = train(name, folder, tmp_path / "whole", **changes)
    half = total // 2 + 1  # between the moves of the players
    first, stopped = train(name, folder, tmp_path / "parts", until=half, **changes)
    assert stopped == half
    assert not same(weights(first), weights(whole))  # the second half does something
    again, _ = train(name, folder, tmp_path / "parts", **changes)
    assert same(weights(again), weights(whole))
    logs = [(tmp_path / p / "metrics.jsonl").read_bytes() for p in ("whole", "parts")]
    assert logs[0] == logs[1]
    rows = [json.loads(line) for line in logs[0].splitlines()]
    assert {key[0] for row in rows for key in row if "/" in key} >= {"d", "g"}  # nobody's metrics are passed over
    samples = [{f.name: f.read_bytes() for f in (tmp_path / p / "samples").iterdir()} for p in ("whole", "parts")]
    assert samples[0] == samples[1]
    assert len(set(samples[0].values())) >= 3
    other, _ = train(name, folder, tmp_path / "other", seed=1, **changes)
    assert not same(weights(other), weights(whole))


def moved(made, workers):
    """The networks that move, buffers included, in each step of the first turn of each stage."""
    for stage in made.stages():
        for i in range(stage.turn):
            before = weights(made)
            workers.seed(0, i)
            stage.step(i)
            yield {k.split(".")[0] for k, v in weights(made).items() if not torch.equal(v, before[k])}


@EACH
def test_each_step_moves_one_player_and_nothing_else(name, changes, folder):
    made, pairs = build(name, folder, **changes)
    seen = set()
    for changed in moved(made, pairs.workers):
        assert len(changed & made.players.keys()) == 1, changed
        assert changed.isdisjoint(made.kept) or "now" in "".join(changed), "a mean of G moves with G alone"
        seen |= changed
    assert seen == {*made.players, *made.kept}


@pytest.mark.parametrize("name", [name for name in TINY if name not in BARE])
def test_that_check_can_fail(name, folder, monkeypatch):
    module = importlib.import_module(find(name).__module__)
    monkeypatch.setattr(module, "fixed", lambda *modules: contextlib.nullcontext())
    made, pairs = build(name, folder, **next(c for n, c in CASES if n == name))
    for network in networks(made).values():
        network.train()
    assert any(len(changed & made.players.keys()) > 1 for changed in moved(made, pairs.workers))


@EACH
def test_every_parameter_gets_a_gradient(name, changes, folder):
    made, pairs = build(name, folder, **changes, lr=0.05)  # hinges cancel in the last bias as long as no score leaves them
    wanted = {(n, k) for n, p in made.players.items() for k, _ in p.module.named_parameters()}
    seen, first = set(), True
    for stage in made.stages():
        for i in range(stage.steps):
            pairs.workers.seed(0, i)
            stage.step(i)
            seen |= {
                (n, k)
                for n, p in made.players.items()
                for k, w in p.module.named_parameters()
                if w.grad is not None and w.grad.any()
            }
            if first:
                assert seen < wanted  # the first step is one player's
                first = False
    assert seen == wanted
    assert {id(p) for player in made.players.values() for p in player.parameters} == {
        id(p) for player in made.players.values() for p in player.module.parameters()
    }


@EVERY
def test_the_saved_generator_draws_the_same_images(name, folder, tmp_path):
    made, steps = train(name, folder, tmp_path / "r")
    G = made.kept["generator"]
    loaded = load(made, tmp_path / f"r/checkpoints/{steps:08d}/generator")
    assert same(loaded.state_dict(), G.state_dict())
    now, again, fresh = (
        drawn(g.eval(), torch.Generator().manual_seed(0)) for g in (G, loaded, build(name, folder)[0].kept["generator"])
    )
    torch.testing.assert_close(again, now, atol=1e-5, rtol=0)  # convolved in another order
    assert (fresh - now).abs().max() > 1e-3
    assert now.shape[1:] == (3, G.config.size, G.config.size)


@EVERY
def test_a_signal_saves_and_leaves(name, folder, tmp_path):
    made, pairs = build(name, folder)
    run, stages = Run.create(tmp_path / "r", {}, {}), made.stages()
    original = stages[0].step

    def step(i):
        if i == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(i)

    made.stages = lambda: [dataclasses.replace(stages[0], step=step), *stages[1:]]
    with pytest.raises(Interrupted) as stopped:
        fit(Previewed(made, preview(made, pairs, 0), 1), run, pairs.workers, seed=0, progress=False)
    assert stopped.value.exit_code == 143
    assert [c.name for c in run.checkpoints()] == ["00000003"]


@EVERY
def test_a_damaged_checkpoint_is_named_and_passed_over(name, folder, tmp_path):
    train(name, folder, tmp_path / "r", until=2)
    train(name, folder, tmp_path / "r", until=5)
    run = Run.open(tmp_path / "r")
    weights_file = run.checkpoints()[-1] / "generator/model.safetensors"
    data = bytearray(weights_file.read_bytes())
    data[len(data) // 2] ^= 1
    weights_file.write_bytes(data)
    with pytest.warns(UserWarning, match="00000005 is damaged"):
        again, _ = train(name, folder, tmp_path / "r")
    whole, _ = train(name, folder, tmp_path / "whole")
    assert same(weights(again), weights(whole))


@EVERY
def test_a_gradient_that_is_not_finite_is_raised_and_not_saved(name, folder, tmp_path):
    made, pairs = build(name, folder)
    first = next(p for n, p in made.players.items() if "generator" not in n)
    with torch.no_grad():
        next(first.module.parameters()).fill_(float("nan"))
    run = Run.create(tmp_path / "r", {}, {})
    with pytest.raises(UserError, match="became infinite or NaN"):
        fit(Previewed(made, preview(made, pairs, 0), 1), run, pairs.workers, seed=0, progress=False)
    assert run.checkpoints() == []


@EVERY
def test_bf16_trains_to_nearly_the_same_weights(name, folder, tmp_path):
    logs = {}
    for precision in ("fp32", "bf16"):
        made, _ = train(name, folder, tmp_path / precision, precision=precision)
        assert {v.dtype for v in weights(made).values() if v.is_floating_point()} == {torch.float32}
        logs[precision] = json.loads((tmp_path / precision / "metrics.jsonl").read_text().splitlines()[0])
    key = next(k for k in logs["fp32"] if k.endswith("/loss"))
    assert logs["fp32"][key] != logs["bf16"][key]
    assert logs["fp32"][key] == pytest.approx(logs["bf16"][key], rel=2e-2, abs=5e-3)


def apart(a, b, start):
    """How far two trainings are from each other, in parts of how far one has moved: the tensor where it is most."""
    moves = {key: float((value - start[key]).norm()) for key, value in a.items() if value.is_floating_point()}
    return max(float((a[key] - b[key]).norm()) / move for key, move in moves.items() if move)


def test_two_processes_equal_one(folder, tmp_path):
    for name, changes in CASES:
        build(name, folder, **changes)  # images are packed before
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launch, "-m", "tests.image_conformance", str(folder), str(tmp_path / "two.pt")],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    two = torch.load(tmp_path / "two.pt", weights_only=True)
    for name, changes in CASES:
        made, pairs = build(name, folder, **changes, **WHOLE.get(name, {}))
        start = weights(made)
        play(made, pairs.workers)
        assert apart(weights(made), two[f"{name} {changes}"], start) < NEARLY.get(name, 1e-2), (name, changes)
    made, pairs = build("cgan", folder, recipe="paper")
    start = weights(made)
    play(made, pairs.workers)
    assert apart(weights(made), two["apart"], start) > 0.5  # by the statistics of halves it is another training
    other, pairs = build("cgan", folder, recipe="paper", seed=1)
    play(other, pairs.workers, seed=1)
    assert apart(weights(made), weights(other), start) > 0.5


def test_batch_normalisation_alone_is_that_of_torch():
    ours, theirs, x = BatchNorm2d(3), torch.nn.BatchNorm2d(3), torch.randn(4, 3, 5, 5)
    assert torch.equal(ours(x), theirs(x))
    assert same(ours.state_dict(), theirs.state_dict())


def test_the_grids_come_at_even_distances_and_hold_what_they_say(folder, tmp_path):
    made, pairs = build("cgan", folder, steps=20)
    shows = Preview(pairs, 0)
    shown = Previewed(made, shows, grids=5)
    assert [stage.unit for stage in shown.stages()] == [8]
    fit(shown, run := Run.create(tmp_path / "r", {}, {}), pairs.workers, seed=0, progress=False)
    assert [int(f.stem) for f in sorted((run.path / "samples").iterdir())] == [8, 16, 24, 32, 40]
    data = pairs.data
    for caption, real, vector in zip(shows.captions, shows.real, shows.vectors, strict=True):
        row = next(i for i in data.usable(held_out=True) if caption in data.captions[i])
        assert (data.pack(16)[row] == real).all()
        assert (vector.numpy() == pairs.captions.vectors[pairs.captions.texts.index(caption)]).all()
    assert Preview(pairs, 0).captions == shows.captions != Preview(pairs, 1).captions
    assert Preview(pairs, 0).draw(made.kept["generator"]) == shown.sample(1) != Preview(pairs, 1).draw(made.kept["generator"])


def test_half_of_the_sentences_in_between_is_the_wrong_one_so_that_any_number_of_processes_has_them(folder):
    made, pairs = build("cgan", folder, workers=Workers())
    texts = []
    made.play = lambda fake, text: texts.append(text) or fake.mean()
    pairs.workers.seed(0, 0)
    made.g_step(3)
    p = made.data[3]
    assert torch.equal(texts[0], p.text)
    assert torch.equal(texts[1], (p.text + p.wrong) / 2)
