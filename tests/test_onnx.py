"""ONNX files, run by onnxruntime, against torch."""

import numpy as np
import pytest
import torch

import textgan
from textgan import onnx, tokenizers
from textgan.encoders import GRUEncoder, GRUEncoderConfig, SentenceEncoder
from textgan.errors import UserError
from textgan.generators import MaskConfig, MaskGenerator, RMCConfig, RMCGenerator, RNNConfig, RNNGenerator
from textgan.sampling import categorical

from .conftest import captions
from .test_encoders import run_of
from .test_encoders import textgan as command

onnxruntime = pytest.importorskip("onnxruntime")
SMALL = {"banned": (0, 1), "embedding_dim": 4}
MADE = {
    "lstm": lambda: RNNGenerator(RNNConfig(9, hidden_dim=5, num_layers=2, dropout=0.5, **SMALL)),
    "gru": lambda: RNNGenerator(RNNConfig(9, hidden_dim=5, cell="gru", **SMALL)),
    "rmc": lambda: RMCGenerator(RMCConfig(9, slots=2, head_size=3, **SMALL)),
}


@pytest.mark.parametrize("kind", list(MADE))
def test_a_step_is_torch_s(kind, tmp_path):
    torch.manual_seed(0)
    G, other = MADE[kind]().eval(), MADE[kind]().eval()
    with torch.no_grad():
        for p in (*G.parameters(), *other.parameters()):
            p.mul_(3)
    assert onnx.export_step(G, tmp_path / "g.onnx", None, 7) == [tmp_path / "g.onnx"]
    step = onnxruntime.InferenceSession(tmp_path / "g.onnx")
    u = torch.rand(20, 7)
    x = G.sample(20, 7, u)
    tokens, state = np.full(20, 1), np.zeros((20, step.get_inputs()[1].shape[1]), np.float32)
    ended, drawn, scores = torch.zeros(20, dtype=torch.bool), [], []
    for t in range(7):
        logits, state = step.run(None, {"token": tokens, "state": state})
        assert (logits[:, [0, 1]] == -np.inf).all()
        row = categorical(torch.from_numpy(logits), u[:, t]).masked_fill(ended, 0)
        ended, tokens = ended | (row == 2), row.numpy()
        drawn.append(row)
        scores.append(torch.from_numpy(logits))
    assert torch.equal(torch.stack(drawn, 1), x)
    assert torch.allclose(torch.stack(scores, 1).log_softmax(2), G.logits(x).log_softmax(2), atol=1e-5)
    assert not torch.allclose(torch.stack(scores, 1)[..., 2:], other.logits(x)[..., 2:], atol=1e-2)
    assert step.get_modelmeta().custom_metadata_map == {"bos": "1", "eos": "2", "pad": "0", "length": "7"}
    one = step.run(None, {"token": np.array([1]), "state": np.zeros((1, state.shape[1]), np.float32)})[0]
    assert np.allclose(one[0], scores[0][0], atol=1e-6)
    assert b".py" not in (tmp_path / "g.onnx").read_bytes()  # nothing of where it was made


@pytest.mark.parametrize("directions", [("uni",), ("bi",), ("bi", "uni")])
def test_an_encoder_is_torch_s(directions, tmp_path):
    texts = [*captions(20), "a", "two women", "<eos> a dog <pad>"]
    tokenizer = tokenizers.train("word", [*texts, "< eos > pad"], 100)
    torch.manual_seed(0)
    parts = [GRUEncoder(GRUEncoderConfig(tokenizer.vocab_size, 5, 8, d)).eval() for d in directions]
    with torch.no_grad():
        for part in parts:
            for p in part.parameters():
                p.add_(0.5 * torch.randn_like(p))  # biases too
    encoder = SentenceEncoder(parts, tokenizer)
    files = onnx.export_encoder(encoder, tmp_path / "e.onnx")
    assert [file.name for file in files] == ["e.onnx", "e.tokenizer.json"]
    from tokenizers import Tokenizer

    model, words = onnxruntime.InferenceSession(files[0]), Tokenizer.from_file(str(files[1]))
    ids = np.array([e.ids for e in words.encode_batch(texts)])
    found = model.run(None, {"ids": ids})[0]
    expected = encoder.encode(texts)
    assert np.abs(found - expected).max() < 1e-6
    assert np.abs(expected - expected[::-1]).max() > 0.1
    assert np.abs(model.run(None, {"ids": np.array([words.encode(texts[0]).ids])})[0] - expected[0]).max() < 1e-6
    wider = np.pad(ids, ((0, 0), (0, 3)))
    wider[:, -1] = 7  # after EOS nothing counts
    assert np.abs(model.run(None, {"ids": wider})[0] - expected).max() < 1e-6
    endless = np.array([[5, 6, 7], [8, 0, 0], [0, 0, 0]])  # cut sentences have no EOS
    direct = [part(torch.from_numpy(endless)) for part in parts]
    direct = direct if len(direct) == 1 else [torch.nn.functional.normalize(v, dim=1) for v in direct]
    assert np.abs(model.run(None, {"ids": endless})[0] - torch.cat(direct, 1).detach().numpy()).max() < 1e-6


def test_what_cannot_be_written_is_said(tmp_path, monkeypatch):
    t = tokenizers.train("word", captions(5), 100)
    with pytest.raises(UserError, match="layer normalisation"):
        onnx.export_encoder(SentenceEncoder([GRUEncoder(GRUEncoderConfig(30, 5, 8, "uni", True))], t), tmp_path / "e.onnx")
    two = SentenceEncoder([GRUEncoder(GRUEncoderConfig(30, 5, 8))] * 2, [t, tokenizers.train("char", captions(5), 100)])
    with pytest.raises(UserError, match="have several"):
        onnx.export_encoder(two, tmp_path / "e.onnx")
    with pytest.raises(UserError, match="fills blanks"):
        onnx.export_step(MaskGenerator(MaskConfig(9, 4, length=5)), tmp_path / "m.onnx", None, 5)
    monkeypatch.setattr(onnx, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"textgan\[onnx\]"):
        onnx.export_encoder(SentenceEncoder([GRUEncoder(GRUEncoderConfig(30, 5, 8))], t), tmp_path / "e.onnx")
    assert not any(tmp_path.iterdir())


def test_a_sentencepiece_tokenizer_goes_along_as_it_is(tmp_path):
    t = tokenizers.train("unigram", [f"number {i} of the {i % 7} lines about cats and dogs" for i in range(300)], 60)
    files = onnx.export_encoder(SentenceEncoder([GRUEncoder(GRUEncoderConfig(t.vocab_size, 5, 8))], t), tmp_path / "e.onnx")
    assert tokenizers.load(files[1]).encode("cats and dogs") == t.encode("cats and dogs")


def test_the_command(text, corpus, tmp_path, capsys):
    words = ["--epochs", 1, "--batch", 32, "--hidden-dim", 4, "--embedding-dim", 4, "--length", 8, "--threads", 1]
    assert command("train", "mle", "--data", text, "--run", tmp_path / "m", *words) == 0
    run_of("quickthought", corpus, tmp_path / "q")
    capsys.readouterr()
    assert command("export", tmp_path / "m", tmp_path / "new" / "m.onnx") == 0
    assert command("export", tmp_path / "q", tmp_path / "q.onnx", "--to", "onnx") == 0
    assert capsys.readouterr().err.count("\n") == 2
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["m.onnx", "m.tokenizer.json"]
    step = onnxruntime.InferenceSession(tmp_path / "new" / "m.onnx")
    logits = step.run(None, {"token": np.array([1]), "state": np.zeros((1, 8), np.float32)})[0]
    G = textgan.load(tmp_path / "m")
    assert np.allclose(logits[0, 2:], G.logits(torch.tensor([[5]]))[0, 0, 2:].detach(), atol=1e-6)
    assert step.get_modelmeta().custom_metadata_map["length"] == "8"
    from tokenizers import Tokenizer

    words = Tokenizer.from_file(str(tmp_path / "new" / "m.tokenizer.json"))
    assert words.encode("a man").ids[0] == 1
    assert words.decode([*words.encode("a man rides a kite .").ids, 2, 0]) == "a man rides a kite ."
    for wrong, told in (
        ([tmp_path / "q", tmp_path / "q.onnx"], "already there"),
        ([tmp_path / "q", tmp_path / "folder", "--to", "onnx"], "ends in .onnx"),
        ([tmp_path / "q", tmp_path / "x.onnx", "--to", "sentence-transformers"], "ends in .onnx"),
        ([tmp_path / "none", tmp_path / "x.onnx"], "holds no"),
    ):
        assert command("export", *wrong) == 2
        error = capsys.readouterr().err
        assert told in error
        assert error.count("\n") == 1
    run_of("word2vec", corpus, tmp_path / "w")
    capsys.readouterr()
    assert command("export", tmp_path / "w", tmp_path / "w.onnx") == 2
    assert "expected --to word2vec" in capsys.readouterr().err
