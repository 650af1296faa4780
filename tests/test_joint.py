"""The encoder that learns from images: its loss by hand, its groups of captions, its run, and who can use it."""

import math

import numpy as np
import pytest
import torch

from image_bridge.algorithms.joint import Joint, JointConfig, groups
from image_bridge.captions import NewEncoder, TrainedEncoder, load_encoder
from image_bridge.datasets import shapes
from image_bridge.images import ImageData
from image_bridge.objectives import joint_embedding
from image_bridge.pairs import TrainingImages
from textgan.encoders import SentenceEncoder
from textgan.errors import UserError
from textgan.runtime import Run, Workers, fit
from textgan.tokenizers import train as train_tokenizer

from .image_conformance import same, weights

TINY = {"size": 16, "epochs": 3, "batch": 16, "neighbours": 4, "embedding_dim": 6, "hidden_dim": 10}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("joint") / "shapes"
    path.mkdir()
    shapes.build(path, 60, 16, 0, 1, lambda done, total: None)
    return path


def build(folder, seed=0, encoder=None, **changes):
    config, data, workers = JointConfig(**{**TINY, **changes}), ImageData(folder), Workers()
    images = TrainingImages(data, {config.size: data.pack(config.size)}, workers, seed)
    workers.seed(seed, 0)
    return Joint(config, images, workers, encoder or NewEncoder(Joint.new_encoder(config, data)))


def run(folder, path, until=None, seed=0, **changes):
    made = build(folder, seed, **changes)
    place = Run.open(path) if (path / "config.json").exists() else Run.create(path, {"algorithm": "joint"}, {})
    fit(made, place, made.workers, seed=seed, until=until, log_every=2, evaluate=made.evaluate, progress=False)
    return made


def test_the_losses_by_hand():
    scores = torch.tensor([[2.0, 1.5, 9.0], [0.0, 1.0, 3.0], [9.0, 0.2, 0.5]])
    alike = torch.tensor([[False, False, True], [False, False, False], [True, False, False]])
    # rows: 1 + 1.5 - 2, 1 + 3 - 1, 1 + .2 - .5; columns: 1 + 0 - 2 < 0, 1 + 1.5 - 1, 1 + 3 - .5
    assert joint_embedding(scores, alike, "hinge").item() == pytest.approx((0.5 + 3 + 0.7) / 3 + (0 + 1.5 + 3.5) / 3)
    rows = [math.log(1 + math.exp(-0.5)), math.log(1 + math.exp(-1) + math.exp(2)), math.log(1 + math.exp(-0.3))]
    columns = [math.log(1 + math.exp(-2)), math.log(1 + math.exp(0.5) + math.exp(-0.8)), math.log(1 + math.exp(2.5))]
    assert joint_embedding(scores, alike, "softmax").item() == pytest.approx(sum(rows) / 3 + sum(columns) / 3)
    for loss in ("hinge", "softmax"):
        assert joint_embedding(scores, torch.zeros_like(alike), loss) > joint_embedding(scores, alike, loss) + 1


def test_groups_are_disjoint_and_hold_what_is_near():
    near = np.array([[0, 2], [1, 0], [2, 1], [3, 3]])
    assert [g.tolist() for g in groups(near)] == [[0, 2], [1], [3]]
    r = np.random.default_rng(0)
    near = np.array([r.permutation(50)[:5] for _ in range(50)])
    assert sorted(np.concatenate(groups(near)).tolist()) == list(range(50))


def test_a_minibatch_holds_captions_that_are_near_each_other(folder):
    def spread(made):
        near = []
        for i in range(made.per_epoch, 2 * made.per_epoch):
            _, captions = made.batch(i)
            v = made.phi(captions).detach()
            v = torch.nn.functional.normalize(v - made.phi(made.first[:-1]).detach().mean(0), dim=1)
            near.append((v @ v.T).fill_diagonal_(-1).amax(1).mean().item())
        return np.mean(near)

    assert spread(build(folder)) > spread(build(folder, neighbours=1)) + 0.03
    made = build(folder)
    for epoch in (0, 1):  # every image once, and one of its own captions
        seen = np.concatenate([made.batch(epoch * made.per_epoch + k)[0] for k in range(made.per_epoch)])
        assert set(seen.tolist()) == set(made.images.chosen.tolist())
        captions = made.drawn(epoch)
        assert ((captions >= made.first[made.images.chosen]) & (captions < made.first[made.images.chosen + 1])).all()
    assert (made.drawn(0) != made.drawn(1)).any()


@pytest.mark.parametrize("loss", ["softmax", "hinge"])
def test_a_stopped_run_equals_an_unbroken_one_bit_for_bit(folder, tmp_path, loss):
    whole = run(folder, tmp_path / "whole", loss=loss)
    steps = whole.stages()[0].steps
    half = whole.per_epoch + 2  # inside an epoch whose order depends on the weights
    assert whole.per_epoch < half < 2 * whole.per_epoch < steps
    first = run(folder, tmp_path / "parts", until=half, loss=loss)
    assert not same(weights(first), weights(whole))
    again = run(folder, tmp_path / "parts", loss=loss)
    assert same(weights(again), weights(whole))
    for name in ("metrics.jsonl", f"samples/{steps:08d}.png", f"eval/{steps:08d}.json"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not same(weights(run(folder, tmp_path / "other", seed=1, loss=loss)), weights(whole))


@pytest.mark.parametrize(("loss", "size"), [("softmax", 16), ("hinge", 28)])
def test_every_parameter_gets_a_gradient(folder, loss, size):
    made = build(folder, loss=loss, size=size)
    made.step(0)
    without = {name for name, p in made.embedding.named_parameters() if p.grad is None or not p.grad.any()}
    assert not without
    assert (made.embedding.log_scale is None) == (loss == "hinge")


def test_an_image_that_means_the_same_counts_as_the_own_one(folder):
    made = build(folder)
    images = made.images.data.usable(held_out=True)
    made.judged = lambda: (images, np.eye(len(images)))
    assert made.evaluate()["image_recall_1"] == 1
    made.judged = lambda: (images, np.roll(np.eye(len(images)), 1, axis=1))
    assert made.evaluate()["image_recall_1"] < 1
    made.images.meaning[images] = 7
    assert made.evaluate()["image_recall_1"] == 1


def test_a_run_conditions_and_is_read_as_any_encoder(folder, tmp_path):
    made = run(folder, tmp_path / "run")
    last = max((tmp_path / "run" / "checkpoints").iterdir())
    made.tokenizer.save(last / "joint" / "text")
    found = load_encoder(str(tmp_path / "run"))
    assert isinstance(found, TrainedEncoder)
    captions = ImageData(folder).captions[3]
    vectors = found.encode(captions)
    assert vectors.shape == (len(captions), 10)
    place = np.arange(made.first[3], made.first[4])
    np.testing.assert_allclose(
        vectors, made.embedding.text(torch.from_numpy(made.ids[place]), made.lengths[place]).detach().numpy(), atol=1e-6
    )
    further = build(folder, encoder=found)
    assert torch.equal(further.embedding.text.embedding.weight, made.embedding.text.embedding.weight)
    assert not torch.equal(build(folder).embedding.text.embedding.weight, made.embedding.text.embedding.weight)


def test_what_is_refused(folder, tmp_path):
    with pytest.raises(UserError, match="--batch must be a multiple of --neighbours"):
        build(folder, batch=18)
    config = JointConfig(**TINY)
    tokenizer = train_tokenizer("word", ["a b"], 10)
    new = Joint.new_encoder(config, ImageData(folder))
    both = NewEncoder(SentenceEncoder([*new.parts, *new.parts], tokenizer))
    for encoder in (both, load_encoder("bow", ImageData(folder))):
        with pytest.raises(UserError, match="expected new, or a run of skipthought or joint"):
            build(folder, encoder=encoder)
