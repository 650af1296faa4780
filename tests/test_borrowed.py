"""Models of transformers as generators and discriminators, with the real library: against plain loops, and in both directions."""

import json
import math
import os
import re
import shutil
import subprocess
import sys

import pytest
import torch

import textgan
import textgan.hf.borrowed as borrowed
from textgan.corpus import Corpus, prepare
from textgan.errors import UserError
from textgan.hf.borrowed import BorrowedDiscriminator, BorrowedGenerator
from textgan.hf.tokenizers import BorrowedTokenizer
from textgan.runtime import Run
from textgan.sampling import categorical, restrict
from textgan.tokenizers import load

from .borrowed import LENGTH, bert, build, gpt2, train
from .conformance import same, weights
from .test_encoders import textgan as command

transformers = pytest.importorskip("transformers")
pytest.importorskip("peft")
from transformers import (  # noqa: E402
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    pipeline,
)

pytestmark = pytest.mark.filterwarnings("default:.*:DeprecationWarning", "ignore:--.*suits an LSTM:UserWarning")
APART = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}


@pytest.fixture(scope="module")
def folder(text, tmp_path_factory):
    """A GPT-2, another one, a BERT, and a corpus in the tokens of the first."""
    folder = tmp_path_factory.mktemp("models")
    source = gpt2(folder / "gpt2")
    gpt2(folder / "other", seed=1)
    bert(folder / "bert")
    prepare(str(text), folder / "corpus", tokenizer=source, length=LENGTH, held_out=0.1, overlong="truncate")
    return folder


@pytest.fixture(scope="module")
def tokens(folder):
    return Corpus.open(folder / "corpus")


def names(folder, *kinds):
    return {kind: f"hf:{folder / {'generator': 'gpt2', 'discriminator': 'bert'}[kind]}" for kind in kinds}


def llama(folder):
    """Untied, without biases, fewer heads of keys than of queries, and more places in its vocabulary than there are tokens."""
    gpt2(folder, special=APART)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(3)
    sizes = {
        "initializer_range": 0.5,
        "hidden_size": 8,
        "intermediate_size": 12,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }
    shutil.rmtree(folder)
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer) + 5, max_position_embeddings=24, **sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def plain(G, x, u, first, top_k=0, temperature=1.0):
    """Go on with x (n, T) from place ``first`` by reading everything again for each token."""
    x, ended = x.clone(), (x[:, :first] == G.config.eos).any(1)
    for t in range(first, x.shape[1]):
        read = torch.cat([torch.full((len(x), 1), G.config.bos), x[:, :t]], 1)
        scores = G.model(input_ids=read, use_cache=False).logits[:, -1] + G.ban
        x[:, t] = categorical(restrict(scores, temperature, top_k), u[:, t]).masked_fill(ended, G.config.pad)
        ended = ended | (x[:, t] == G.config.eos)
    return x


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@torch.no_grad()
def test_draws_and_scores_are_the_models_own(kind, folder, tmp_path, monkeypatch):
    if kind == "llama":
        llama(tmp_path / "llama")
    G = BorrowedGenerator.from_pretrained(folder / "gpt2" if kind == "gpt2" else tmp_path / "llama").eval()
    G.ban[G.config.eos] = 3.0  # more sentences end
    T, u = 9, torch.rand(40, 9)
    x = G.sample(40, T, u)
    assert (x == G.config.eos).any()
    assert torch.equal(x, plain(G, x, u, 0))
    assert not torch.equal(x, plain(G, x, u.flip(0), 0))
    assert torch.equal(G.sample(40, T, u, top_k=3, temperature=0.5), plain(G, x, u, 0, 3, 0.5))
    prompt = torch.tensor([7, 8])
    assert torch.equal(G.sample(40, T, u, prompt=prompt), plain(G, prompt.expand(40, 2).repeat(1, 5)[:, :T], u, 2))
    read = torch.cat([torch.full((40, 1), G.config.bos), x], 1)
    scores = (G.model(input_ids=read).logits[:, :-1] + G.ban).log_softmax(-1).gather(2, x.unsqueeze(2)).squeeze(2)
    assert torch.allclose(G.log_prob(x)[G.mask(x)], scores[G.mask(x)], atol=1e-5)
    assert not torch.allclose(G.log_prob(x)[G.mask(x)], scores.flip(0)[G.mask(x)], atol=1e-1)
    assert not G.log_prob(x)[~G.mask(x)].any()
    steps, step = [], G._step
    monkeypatch.setattr(G, "_step", lambda below, state: steps.append(len(below)) or step(below, state))
    few, numbers = x[:4], torch.rand(4, T - 1, 3, T)
    done = G.complete(few, 3, numbers)
    assert len(steps) == 2 * (T - 1)  # linear: each prefix is read once, and every step is one for all prefixes
    for t in range(T - 1):
        for i in range(3):
            assert torch.equal(done[:, t, i], plain(G, few, numbers[:, t, i], t + 1))
    assert not torch.equal(done[:, 0, 0], done[:, 0, 1])
    monkeypatch.setattr(borrowed, "CACHE_NUMBERS", 1)
    assert torch.equal(G.complete(few, 3, numbers), done)
    assert len(steps) == 5 * 2 * (T - 1)


def test_special_tokens_are_told_apart_and_never_drawn(folder, tmp_path):
    llama(tmp_path)
    G, t = BorrowedGenerator.from_pretrained(tmp_path), BorrowedTokenizer(tmp_path)
    assert (t.bos, t.eos, t.pad, t.unk) == (2, 0, 1, -1)
    assert G.config.banned == (1, 2, *range(t.vocab_size, t.vocab_size + 5))
    assert set(G.sample(2000, 4).unique().tolist()) == set(range(t.vocab_size)) - {t.bos}  # padding, after EOS
    assert not G.log_prob(torch.tensor([[5, t.bos]]))[0, 1].isfinite()
    own = "a </s> is no end"
    assert t.decode(t.encode(own)) == own
    assert not {t.bos, t.eos, t.pad} & set(t.encode(own))
    assert t.model(own)["input_ids"].count(t.eos) == 1  # it would be one there
    one = BorrowedTokenizer(folder / "gpt2")
    assert (one.bos, one.eos, one.pad, one.unk) == (0, 0, 0, -1)
    assert BorrowedTokenizer(folder / "bert").unk == 1
    one.save(tmp_path / "saved")
    assert load(tmp_path / "saved").vocab == one.vocab
    assert load(tmp_path / "saved").kind == "pretrained"
    with pytest.raises(UserError, match="places for 24 tokens; received 25"):
        G.sample(1, 25)
    with pytest.raises(UserError, match="places for 24 tokens; received 25"):
        G.log_prob(torch.zeros(1, 25, dtype=torch.long))


def test_a_discriminator_reads_text_whatever_the_tokens(folder, tokens):
    D = BorrowedDiscriminator(folder / "bert", tokens.tokenizer, tokens.eos).eval()
    x = torch.from_numpy(tokens.train.rows(range(6), LENGTH))
    sentences = textgan.decode.texts(tokens.tokenizer, x, tokens.eos)
    model, their = D.model, AutoTokenizer.from_pretrained(folder / "bert")
    with torch.no_grad():
        alone = torch.cat(
            [model(**their(s, return_tensors="pt", truncation=True, max_length=16)).logits[:, 0] for s in sentences]
        )
    assert torch.allclose(D(x), alone, atol=1e-5)
    assert not torch.allclose(D(x), D(x.flip(1)), atol=1e-2)
    doubled = torch.cat([x, x.flip(0), torch.full((1, LENGTH), tokens.eos)])  # the last is an empty text
    judged, read = [], model.forward
    model.forward = lambda **given: judged.append(len(given["input_ids"])) or read(**given)
    found = D.probability(doubled)
    assert torch.allclose(found[:12], torch.cat([alone, alone.flip(0)]).sigmoid(), atol=1e-5)
    assert judged == [1 + len(set(sentences))]


@pytest.mark.parametrize("name", ["mle", "seqgan with adapters"])
def test_a_stopped_run_equals_an_unbroken_one_bit_for_bit(name, folder, tokens, tmp_path):
    name, _, adapters = name.partition(" ")
    options = names(folder, "generator")
    if adapters:
        options = {**names(folder, "generator", "discriminator"), "lora": 2, "rollout_policy": "lagged"}
    whole = train(name, tokens, tmp_path / "whole", **options)
    first = train(name, tokens, tmp_path / "parts", until=9, **options)
    assert not same(weights(first), weights(whole))
    again = train(name, tokens, tmp_path / "parts", **options)
    assert same(weights(again), weights(whole))
    logs = [(tmp_path / p / "metrics.jsonl").read_bytes() for p in ("whole", "parts")]
    assert logs[0] == logs[1]


def test_only_adapters_and_a_head_are_trained_and_what_is_kept_is_one_model(folder, tokens, tmp_path):
    options = names(folder, "generator", "discriminator")
    start = build("seqgan", tokens, lora=2, **options)[0]
    made = train("seqgan", tokens, tmp_path / "r", lora=2, **options)
    before, after = ({f"{part}.{k}": v for part in "GD" for k, v in getattr(m, part).state_dict().items()} for m in (start, made))
    moved = {name for name, weight in after.items() if not torch.equal(weight, before[name])}
    assert all(".lora_" in name or name.startswith("D.model.classifier.") for name in moved)
    assert len(moved) == 4 * 2 * 2 + 6 * 2 * 2 + 2 + 2  # maps of GPT-2 and BERT, matrices of each, in two layers; pooler; head
    assert not any("wte" in name for name in moved)
    x, file = torch.from_numpy(tokens.test.rows(range(8), LENGTH)), Run.open(tmp_path / "r").latest() / "generator"
    made.G.eval()
    model = AutoModelForCausalLM.from_pretrained(file)
    assert type(model).__name__ == "GPT2LMHeadModel"
    assert not [name for name, _ in model.named_parameters() if "lora" in name]
    assert torch.allclose(model(made.G._inputs(x)).logits, made.G.logits(x), atol=1e-4)
    assert torch.allclose(textgan.load(tmp_path / "r").log_prob(x), made.G.log_prob(x), atol=1e-4)
    untrained = BorrowedGenerator.from_pretrained(folder / "gpt2")
    assert not torch.allclose(untrained.logits(x), made.G.logits(x), atol=1e-2)


def test_what_was_trained_is_a_folder_of_transformers(folder, tokens, tmp_path):
    options = names(folder, "generator", "discriminator")
    made = train("seqgan", tokens, tmp_path / "r", **options)
    made.G.eval(), made.D.eval()
    latest = Run.open(tmp_path / "r").latest()
    x = torch.from_numpy(tokens.test.rows(range(8), LENGTH))
    model = AutoModelForCausalLM.from_pretrained(latest / "generator")
    assert torch.equal(model(made.G._inputs(x)).logits, made.G.logits(x))
    assert not torch.equal(BorrowedGenerator.from_pretrained(folder / "gpt2").logits(x), made.G.logits(x))
    sentences = textgan.decode.texts(tokens.tokenizer, x, tokens.eos)
    judge = pipeline("text-classification", model=str(latest / "discriminator"))
    assert [row["score"] for row in judge(sentences)] == pytest.approx(made.D.probability(x).tolist(), abs=1e-5)
    fresh = AutoModelForSequenceClassification.from_pretrained(folder / "bert", num_labels=1)
    assert not torch.equal(fresh.bert.embeddings.word_embeddings.weight, made.D.model.bert.embeddings.word_embeddings.weight)


def test_two_processes_that_share_the_parameters_equal_one(folder, tokens, tmp_path):
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "tests.borrowed"]
    done = subprocess.run(
        [*launch, str(folder), str(tmp_path)], capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    both = names(folder, "generator", "discriminator")
    one = train("seqgan", tokens, tmp_path / "one", clip=0.5, **both)
    rows = [[json.loads(line) for line in (tmp_path / n / "metrics.jsonl").read_text().splitlines()] for n in ("one", "seqgan")]
    assert {row["stage"] for row in rows[0]} == {"pretrain_g", "pretrain_d", "adversarial"}
    assert min(row["g/grad"] for row in rows[0] if row["stage"] == "pretrain_g") > 0.5  # clipping is at work
    for a, b in zip(*rows, strict=True):
        assert a.pop("stage") == b.pop("stage")
        assert a == pytest.approx(b, rel=1e-3, abs=1e-4)
    assert rows[0][0]["g/nll"] != pytest.approx(rows[0][1]["g/nll"], rel=1e-2)
    held = [json.loads((tmp_path / f"held-{rank}.json").read_text()) for rank in range(2)]
    for k, side in enumerate((one.g, one.d)):
        whole = sum(p.numel() for p in side.module.parameters())
        assert held[0][k] + held[1][k] == whole
        assert max(held[0][k], held[1][k]) < 0.6 * whole
    # what two wrote, one reads: the weights, the moments, the best and the folder of transformers
    last, x = Run.open(tmp_path / "seqgan").latest(), torch.from_numpy(tokens.test.rows(range(8), LENGTH))
    model = AutoModelForCausalLM.from_pretrained(last / "generator")
    one.G.eval()
    assert torch.allclose(model(one.G._inputs(x)).logits, one.G.logits(x), atol=2e-2)
    assert not torch.allclose(BorrowedGenerator.from_pretrained(folder / "gpt2").logits(x), one.G.logits(x), atol=0.2)
    assert (tmp_path / "seqgan" / "best" / "generator" / "model.safetensors").is_file()
    states = [torch.load(Run.open(tmp_path / n).latest() / "state.pt", weights_only=True) for n in ("one", "seqgan")]
    for a, b in zip(*(state["optimizers"]["generator"]["state"].values() for state in states), strict=True):
        assert a["exp_avg"].shape == b["exp_avg"].shape
        assert a["step"] == b["step"]
    # with adapters, stopped and resumed in two: as in one, and one can go on with it
    options = {**names(folder, "generator"), "lora": 2}
    train("mle", tokens, tmp_path / "alone", **options)
    rows = [
        [json.loads(line) for line in (tmp_path / n / "metrics.jsonl").read_text().splitlines()] for n in ("alone", "adapters")
    ]
    assert len(rows[0]) == len(rows[1]) > 8
    for a, b in zip(*rows, strict=True):
        assert a.pop("stage") == b.pop("stage")
        assert a == pytest.approx(b, rel=1e-3, abs=1e-4)
    shutil.rmtree(Run.open(tmp_path / "adapters").latest())  # the one before it, of step 5 or so
    train("mle", tokens, tmp_path / "adapters", shard=True, **options)
    ends = [(tmp_path / n / "metrics.jsonl").read_text().splitlines()[-1] for n in ("alone", "adapters")]
    assert json.loads(ends[0])["g/nll"] == pytest.approx(json.loads(ends[1])["g/nll"], rel=1e-3)


@pytest.fixture(scope="module")
def run(folder, text, tmp_path_factory):
    """A run that the command line trained."""
    path = tmp_path_factory.mktemp("runs") / "lm"
    words = [
        "--generator",
        f"hf:{folder / 'gpt2'}",
        "--epochs",
        "9",
        "--lr",
        "0.02",
        "--batch",
        "32",
        "--length",
        "14",
        "--device",
        "cpu",
    ]
    assert command("train", "mle", "--data", str(text), "--run", str(path), *words) == 0
    return path


def test_the_commands_work_with_it(run, folder, text, tmp_path, capsys):
    saved = json.loads((run / "config.json").read_text())
    assert saved["data"]["tokenizer"] == saved["config"]["generator"] == f"hf:{folder / 'gpt2'}"
    capsys.readouterr()
    assert command("generate", str(run), "-n", "20", "--temperature", "0.3") == 0
    assert len([line for line in capsys.readouterr().out.splitlines() if line.startswith(("a ", "two "))]) > 10  # it has learnt
    assert command("generate", str(run), "-n", "1", "--prompt", "a dog", "--json") == 0
    assert json.loads(capsys.readouterr().out)["text"].startswith("a dog")
    assert command("evaluate", str(run), "-n", "20", "--json") == 0
    assert 0 < json.loads(capsys.readouterr().out)["model"]["nll_test"] < math.log(290)
    gan = ["--generator", f"hf:{run}", "--pretrain-epochs", "0", "--d-pretrain-rounds", "0", "--rounds", "1", "--d-steps", "1"]
    small = ["--d-samples", "32", "--d-epochs", "1", "--rollouts", "1", "--batch", "32", "--length", "14", "--device", "cpu"]
    assert command("train", "seqgan", "--data", str(text), "--run", str(tmp_path / "gan"), *gan, *small) == 0
    page = tmp_path / "both.html"
    both, few = [str(run), str(tmp_path / "gan")], ["-n", "20", "--temperatures", "1", "0.7"]
    assert command("compare", *both, *few, "--out", str(page)) == 0
    assert command("report", *both, "--out", str(tmp_path / "report.html")) == 0
    assert command("export", str(run), str(tmp_path / "out"), "--licence", "mit") == 0
    card = (tmp_path / "out" / "README.md").read_text()
    assert "GPT2LMHeadModel" in card
    assert "hf:gpt2" in card
    assert str(folder) not in card
    assert "hidden_dim" not in card  # of an LSTM
    tokenizer, start = AutoTokenizer.from_pretrained(tmp_path / "out"), re.findall(r'write\("(.*?)the city', card)[0]
    write = pipeline("text-generation", model=str(tmp_path / "out"))
    assert tokenizer.eos_token == start == "<|end|>"
    assert write(f"{start}a dog", max_new_tokens=5)[0]["generated_text"].startswith(f"{start}a dog")
    assert command("export", str(run), str(tmp_path / "x.onnx")) == 2
    other = ["--data", str(run / "data"), "--run", str(tmp_path / "same"), "--dry-run"]
    assert command("train", "mle", *other, "--generator", f"hf:{folder / 'gpt2'}") == 0
    assert not (tmp_path / "same").exists()


WRONG = [
    (["--generator", "gpt2"], "as hf:PATH or hf:NAME; received 'gpt2'"),
    (["--discriminator", "bert"], "as hf:PATH or hf:NAME; received 'bert'"),
    (["--generator", "hf:./nowhere"], "no such folder"),
    (["--generator", "hf:EMPTY"], "has no tokenizer that transformers can load"),
    (["--generator", "hf:BERT"], "lacks weights of a BertLMHeadModel"),
    (["--generator", "hf:MAMBA"], "cannot be a generator"),
    (["--generator", "hf:GPT2", "--tokenizer", "word"], "has a tokenizer of its own; received --tokenizer word"),
    (["--generator", "hf:GPT2", "--lowercase"], "--lowercase cannot be had"),
    (["--generator", "hf:GPT2", "--hidden-dim", "9"], "--hidden-dim is of our own network"),
    (["--generator", "hf:GPT2", "--dropout", "0.1"], "leave --dropout out"),
    (["--generator", "hf:GPT2", "--length", "30"], "--length 30 is too long"),
    (["--generator", "hf:GPT2", "--data", "oracle", "--oracle-sequences", "9"], "tokens are synthetic ids"),
    (["--generator", "hf:GPT2", "--data", "CORPUS"], "tokens are another tokenizer's"),
    (["--tokenizer", "hf:GPT2"], "is for a pretrained generator"),
    (["--data", "TOKENS"], "has the tokens of a pretrained generator"),
    (["--generator", "hf:GPT2", "--data", "CORPUS", "--tokenizer", "hf:BERT"], "expected auto"),
    (["--lora", "2"], "--lora is for pretrained networks"),
    (["--shard"], "--shard is for pretrained networks"),
    (["--discriminator", "hf:BERT", "--d-dropout", "0.5"], "--d-dropout is of our own network"),
    (["--discriminator", "hf:./nowhere"], "no such folder"),
    (["--discriminator", "hf:BERT", "--data", "oracle", "--oracle-sequences", "9"], "--discriminator reads text"),
    (["--generator", "hf:GPT2", "--rollout-policy", "lagged", "--shard"], "expected one of the two"),
]


@pytest.mark.parametrize(("words", "told"), WRONG)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["", "dry"])
def test_a_contradiction_is_one_line_and_leaves_nothing(words, told, dry, folder, text, corpus, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    if "hf:MAMBA" in words:
        shutil.copytree(folder / "gpt2", tmp_path / "mamba", ignore=shutil.ignore_patterns("*.safetensors", "*config.json"))
        tokenizer = AutoTokenizer.from_pretrained(folder / "gpt2")
        MambaForCausalLM(MambaConfig(vocab_size=290, hidden_size=8, num_hidden_layers=1)).save_pretrained(tmp_path / "mamba")
        tokenizer.save_pretrained(tmp_path / "mamba")
    places = {
        "GPT2": folder / "gpt2", "BERT": folder / "bert", "EMPTY": tmp_path / "empty", "MAMBA": tmp_path / "mamba",
        "CORPUS": corpus.path, "TOKENS": folder / "corpus",
    }  # fmt: skip
    words = [re.sub("[A-Z][A-Z0-9]{3,}", lambda found: str(places[found[0]]), word) for word in words]
    data = [] if "--data" in words else ["--data", str(text)]
    capsys.readouterr()
    assert command("train", "seqgan", *data, *words, *dry, "--run", str(tmp_path / "run")) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith(("corpus:", "textgan: warning"))]
    assert len(lines) == 1
    assert told in lines[0]
    assert not (tmp_path / "run").exists()


def test_without_peft_it_says_so(folder, tokens, monkeypatch):
    monkeypatch.setattr(borrowed, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"--lora needs the package peft; pip install 'textgan\[hf\]'"):
        build("mle", tokens, lora=2, **names(folder, "generator"))
    assert build("mle", tokens, **names(folder, "generator"))


def test_weights_that_are_missing_are_told(folder, tmp_path):
    shutil.copytree(folder / "gpt2", tmp_path / "m")
    from safetensors.torch import load_file, save_file

    weights = load_file(tmp_path / "m" / "model.safetensors")
    del weights["transformer.ln_f.weight"]
    save_file(weights, tmp_path / "m" / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"lacks weights of a GPT2LMHeadModel, such as transformer\.ln_f\.weight"):
        BorrowedGenerator.from_pretrained(tmp_path / "m")
