"""Our generators in transformers, with the real library: the same scores, draws, beams and blanks as ours."""

import itertools
import json
import math
import shutil

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

import textgan
import textgan.hf as hf
from textgan import tokenizers
from textgan.errors import UserError
from textgan.generators import MaskConfig, MaskGenerator, RMCConfig, RMCGenerator, RNNConfig, RNNGenerator
from textgan.sampling import restrict

from .conformance import TINY
from .test_encoders import textgan as command

transformers = pytest.importorskip("transformers")
from transformers import (  # noqa: E402
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoTokenizer,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteriaList,
    pipeline,
)

pytestmark = pytest.mark.filterwarnings("default:.*:DeprecationWarning")
SMALL = {"banned": (0, 1), "embedding_dim": 4}
MADE = {
    "lstm": lambda v: RNNGenerator(RNNConfig(v, hidden_dim=5, num_layers=2, **SMALL)),
    "gru": lambda v: RNNGenerator(RNNConfig(v, hidden_dim=5, cell="gru", **SMALL)),
    "rmc": lambda v: RMCGenerator(RMCConfig(v, slots=2, head_size=3, **SMALL)),
}
EVERY = pytest.mark.parametrize("kind", list(MADE))


def made(kind, folder, vocab=7, seed=0):
    """A random generator whose tokens are far from equally likely, and the same in transformers."""
    torch.manual_seed(seed)
    G = MADE[kind](vocab)
    with torch.no_grad():
        for p in G.parameters():
            p.mul_(3)
    G.save_pretrained(folder)
    return G.eval(), AutoModelForCausalLM.from_pretrained(folder)


def cut(row):
    """Up to the end; what beam search writes after it is EOS again."""
    return row[: row.index(2) + 1] if 2 in row else row


def with_bos(x):
    return torch.nn.functional.pad(x, (1, 0), value=1)


@EVERY
def test_scores_are_ours_exactly(kind, tmp_path):
    G, model = made(kind, tmp_path / "a")
    other = made(kind, tmp_path / "b", seed=1)[1]
    x = G.sample(5, 6)
    before = with_bos(x)[:, :-1]
    assert torch.equal(model(before).logits, G.logits(x))
    assert not torch.equal(other(before).logits, G.logits(x))
    assert (model(before).logits.softmax(-1)[..., [0, 1]] == 0).all()
    assert AutoConfig.from_pretrained(tmp_path / "a").vocab_size == 7
    labels = with_bos(x).masked_fill(with_bos(x) == 0, -100)
    loss = model(with_bos(x), labels=labels).loss
    assert loss.item() == pytest.approx(-(G.log_prob(x).sum() / G.mask(x).sum()).item(), rel=1e-5)
    assert torch.equal(model(before, return_dict=False)[0], G.logits(x))


@EVERY
def test_the_state_is_carried_and_generation_is_linear(kind, tmp_path, monkeypatch):
    G, model = made(kind, tmp_path)
    x = with_bos(G.sample(3, 9))
    whole, part = model(x).logits, model(x[:, :4], use_cache=True)
    rest = model(x[:, 4:], past_key_values=part.past_key_values)
    assert torch.allclose(torch.cat([part.logits, rest.logits], 1), whole, atol=1e-5)
    assert not torch.allclose(model(x[:, 4:]).logits, whole[:, 4:], atol=1e-2)
    assert rest.past_key_values.get_seq_length() == 10
    read, steps = type(model.generator).read, []

    def counted(self, x, *rest):
        steps.append(x.shape[1])
        return read(self, x, *rest)

    monkeypatch.setattr(type(model.generator), "read", counted)
    options = {"max_new_tokens": 20, "min_new_tokens": 20, "do_sample": False}
    carried = model.generate(x[:, :4], **options)
    assert steps == [4] + [1] * 19
    steps.clear()
    assert torch.equal(model.generate(x[:, :4], **options, use_cache=False), carried)
    assert sum(steps) == sum(range(4, 24))
    steps.clear()
    model.generate(x[:, :4], **options, num_beams=3)
    assert steps == [4] + [1] * 19
    first = model.generate(x[:, :4], max_new_tokens=2, min_new_tokens=2, do_sample=False, return_dict_in_generate=True)
    steps.clear()
    longer = torch.cat([first.sequences, x[:, :2]], 1)  # the next words of a dialogue
    again = model.generate(longer, past_key_values=first.past_key_values, max_new_tokens=1, min_new_tokens=1, do_sample=False)
    assert steps == [3]  # the last token drawn, and the new ones
    assert torch.equal(again, model.generate(longer, max_new_tokens=1, min_new_tokens=1, do_sample=False))


@EVERY
def test_left_padding_changes_nothing(kind, tmp_path):
    _, model = made(kind, tmp_path)
    prompts = [[1, 3, 4], [1], [1, 5, 3, 3, 6]]
    ids = torch.tensor([[0] * (5 - len(row)) + row for row in prompts])
    mask = (ids != 0).long()
    together = model(ids, attention_mask=mask).logits
    for k, row in enumerate(prompts):
        alone = model(torch.tensor([row])).logits[0]
        assert torch.allclose(together[k, -len(row) :], alone, atol=1e-6)
    assert not torch.allclose(model(ids).logits[1, -1], together[1, -1], atol=1e-3)
    for options in ({}, {"num_beams": 3}, {"num_beams": 3, "num_return_sequences": 2}, {"num_return_sequences": 1}):
        found = model.generate(ids, attention_mask=mask, max_new_tokens=6, do_sample=False, **options)
        count = options.get("num_return_sequences", 1)
        for k, row in enumerate(prompts):
            alone = model.generate(torch.tensor([row]), max_new_tokens=6, do_sample=False, **options)
            rows = found[k * count : (k + 1) * count, 5:].tolist()
            assert [cut(r) for r in rows] == [cut(r) for r in alone[:, len(row) :].tolist()]


def sentences(G, length):
    """Every sentence of G with its log-probability: up to EOS, or of full length."""
    words = range(2, G.config.vocab_size)
    rows = {cut(row) for row in itertools.product(words, repeat=length)}
    x = torch.tensor([[*row, *[0] * (length - len(row))] for row in sorted(rows)])
    return x, G.log_prob(x).sum(1).detach()


@EVERY
def test_a_wide_beam_finds_what_enumeration_finds(kind, tmp_path):
    greedy = 0
    for seed in range(6):
        G, model = made(kind, tmp_path / str(seed), vocab=5, seed=seed)
        x, scores = sentences(G, 4)
        best = [cut(row) for row in x[scores.argsort(descending=True)[:3]].tolist()]
        options = {"max_new_tokens": 4, "do_sample": False, "length_penalty": 0.0, "early_stopping": "never"}
        options["suppress_tokens"] = None
        found = model.generate(num_beams=40, num_return_sequences=3, **options)[:, 1:].tolist()
        assert [cut(row) for row in found] == best
        greedy += cut(model.generate(**options)[0, 1:].tolist()) != best[0]
    assert greedy  # the most likely sentence is not always the one of the most likely words


@EVERY
def test_draws_have_our_frequencies(kind, tmp_path):
    G, model = made(kind, tmp_path, vocab=5)
    x, scores = sentences(G, 3)
    p, place = scores.exp().numpy().astype(np.float64), {tuple(row): k for k, row in enumerate(x.tolist())}
    assert p.sum() == pytest.approx(1, abs=1e-5)
    n = 4000

    def fits(rows):
        rows = torch.nn.functional.pad(rows, (0, 3 - rows.shape[1])).tolist()
        counts = np.bincount([place[tuple(row)] for row in rows], minlength=len(p))
        common = p * n > 5  # the rare ones are one cell
        cells = np.append(counts[common], counts[~common].sum()), np.append(p[common], p[~common].sum()) / p.sum() * n
        return chisquare(*(cell[cells[1] > 0] for cell in cells)).pvalue

    options = {"num_return_sequences": n, "max_new_tokens": 3, "suppress_tokens": None}
    torch.manual_seed(0)
    drawn = model.generate(**options)[:, 1:]
    assert fits(G.sample(n, 3)) > 1e-3
    assert fits(drawn) > 1e-3
    assert fits(model.generate(**options, temperature=0.5)[:, 1:]) < 1e-9
    assert not (model.generate(num_return_sequences=500, max_new_tokens=3) == 3).any()  # <unk>, as textgan generate
    assert (drawn == 3).any()


@EVERY
def test_its_options_mean_what_ours_mean(kind, tmp_path):
    G, model = made(kind, tmp_path)
    for options in ({"temperature": 0.6}, {"top_k": 2}, {"top_p": 0.7}, {"temperature": 1.4, "top_k": 4, "top_p": 0.8}):
        told = {"max_new_tokens": 3, "output_scores": True, "return_dict_in_generate": True, "suppress_tokens": None}
        found = model.generate(num_return_sequences=8, **told, **options)
        logits = G.logits(torch.nn.functional.pad(found.sequences[:, 1:], (0, 4 - found.sequences.shape[1])))
        for t, scores in enumerate(found.scores):
            going = ~(found.sequences[:, 1 : t + 1] == 2).any(1)
            ours = restrict(logits[:, t], **options).softmax(1)
            assert torch.allclose(scores.softmax(1)[going], ours[going], atol=1e-5)
            assert not torch.allclose(ours[going], logits[:, t].softmax(1)[going], atol=1e-3)


class Only(LogitsProcessor):
    def __init__(self, token):
        self.token = token

    def __call__(self, ids, scores):
        return torch.full_like(scores, -math.inf).index_fill(1, torch.tensor([self.token]), 0.0)


def test_the_other_standard_options(tmp_path):
    from transformers.generation import BaseStreamer

    _, model = made("lstm", tmp_path, vocab=9)
    ids = torch.tensor([[1, 4], [1, 5]])
    greedy = {"do_sample": False, "max_new_tokens": 8, "min_new_tokens": 8}
    plain = model.generate(ids, **greedy)
    assert (model.generate(ids, **greedy, logits_processor=LogitsProcessorList([Only(6)]))[:, 2:] == 6).all()
    stopped = model.generate(ids, do_sample=False, max_new_tokens=8, stopping_criteria=StoppingCriteriaList([
        lambda x, scores, **rest: torch.full((len(x),), x.shape[1] >= 4)
    ]))  # fmt: skip
    assert stopped.shape == (2, 4)
    pairs = [tuple(row[k : k + 2]) for row in plain.tolist() for k in range(9)]
    assert len(set(pairs)) < len(pairs)
    for row in model.generate(ids, **greedy, no_repeat_ngram_size=2).tolist():
        assert len({tuple(row[k : k + 2]) for k in range(9)}) == 9
    words = int(plain[0, 2])
    assert words not in model.generate(ids, **greedy, bad_words_ids=[[words]])[:, 2:]
    assert not torch.equal(model.generate(ids, **greedy, repetition_penalty=5.0), plain)
    assert model.generate(ids, max_new_tokens=5, num_beams=4, do_sample=True, num_return_sequences=3).shape[0] == 6

    class Kept(BaseStreamer):
        def __init__(self):
            self.tokens = []

        def put(self, value):
            self.tokens += value.flatten().tolist()

        def end(self):
            self.tokens.append("end")

    streamer = Kept()
    row = model.generate(ids[:1], **greedy, streamer=streamer)[0].tolist()
    assert streamer.tokens == [*row, "end"]
    with pytest.raises(ValueError, match="stateful"):
        model.generate(ids[:1], assistant_model=model)


@pytest.fixture(scope="module")
def runs(text, tmp_path_factory):
    """Runs of three kinds of generators, with an export of each."""
    root = tmp_path_factory.mktemp("hf")
    for name in ("mle", "relgan", "maskgan"):
        options = [word for key, value in TINY[name].items() for word in (f"--{key.replace('_', '-')}", value)]
        words = ["--data", text, "--run", root / name, "--length", 8, "--threads", 1]
        assert command("train", name, *words, *options) == 0
        if name == "mle":
            assert command("evaluate", root / name, "-n", 30) == 0
        assert command("export", root / name, root / f"{name}-export", "--licence", "cc-by-4.0") == 0
    return root


def places(runs, name):
    last = sorted((runs / name / "checkpoints").iterdir())[-1]
    return [runs / name, last, last / "generator", runs / f"{name}-export"]


@pytest.mark.parametrize("name", ["mle", "relgan"])
def test_runs_checkpoints_and_exports_load(name, runs, tmp_path):
    G = textgan.load(runs / name)
    tokenizer = tokenizers.load(textgan.generator_folder(runs / name))
    x = G.sample(4, 8)
    told = []
    for path in places(runs, name):
        model, fast = AutoModelForCausalLM.from_pretrained(path), AutoTokenizer.from_pretrained(path)
        assert torch.equal(model(with_bos(x)[:, :-1]).logits, G.logits(x))
        assert fast("a man  sees <eos>").input_ids == [1, *tokenizer.encode("a man sees <eos>")]
        assert model.generation_config.max_length == 9
        told.append({k: v for k, v in model.generation_config.to_dict().items() if k[0] != "_"})
        write = pipeline("text-generation", model=str(path))
        torch.manual_seed(0)
        for row in write("a man", num_return_sequences=3):
            assert (row["generated_text"] + " ").startswith("a man ")
        texts = write(["a man sees", ""], do_sample=False, num_beams=2)
        assert texts[1][0]["generated_text"].strip()
    for one in told:
        assert one == told[0]
    assert AutoConfig.from_pretrained(runs / name).model_type == f"textgan-{G.kind}"
    with torch.no_grad():
        model.generator.out.bias[5] += 1  # as if it had been trained on
    model.save_pretrained(tmp_path / "again")
    fast.save_pretrained(tmp_path / "again")
    back, ours = AutoModelForCausalLM.from_pretrained(tmp_path / "again"), textgan.load(tmp_path / "again")
    assert torch.equal(back(with_bos(x)).logits, model(with_bos(x)).logits)
    assert torch.equal(ours.logits(x), model(with_bos(x)[:, :-1]).logits)
    assert not torch.equal(ours.logits(x), G.logits(x))
    assert back.generation_config.to_diff_dict() == model.generation_config.to_diff_dict()
    assert AutoTokenizer.from_pretrained(tmp_path / "again")("a dog").input_ids == fast("a dog").input_ids
    assert tokenizers.load(tmp_path / "again").encode("a man sees") == tokenizer.encode("a man sees")


def test_an_export_needs_no_run(runs, tmp_path, capsys):
    shutil.copytree(runs / "mle-export", tmp_path / "moved")
    assert command("generate", tmp_path / "moved", "-n", 3, "--length", 8) == 0
    alone = capsys.readouterr().out
    assert command("generate", runs / "mle", "-n", 3) == 0
    assert capsys.readouterr().out == alone
    assert pipeline("text-generation", model=str(tmp_path / "moved"))("a man")


@pytest.mark.parametrize("kind", ["word", "char", "bpe"])
def test_texts_survive_the_tokenizer(kind, tmp_path):
    texts = ["a man rides a horse .", "two dogs !", "<eos> in a text"]
    ours = tokenizers.train(kind, texts * 5, 300)
    RNNGenerator(RNNConfig(ours.vocab_size, 4, 4)).save_pretrained(tmp_path)
    ours.save(tmp_path)
    fast = AutoTokenizer.from_pretrained(tmp_path)
    for text in texts:
        ids = fast(text).input_ids
        assert ids == [1, *ours.encode(text)]
        assert fast.decode(ids, skip_special_tokens=True) == ours.decode(ids) == text
        assert fast.decode([0, 0, *ids, 2, 0], skip_special_tokens=True) == text
    middle = len(ours.encode("a man"))
    ids = ours.encode("a man rides")
    assert fast.decode(ids[middle:]) == " rides"
    padded = fast(["a man rides", "a"], padding=True)
    assert padded.input_ids[1][0] == 0
    assert padded.attention_mask[1][-2:] == [1, 1]
    assert AutoTokenizer.from_pretrained(tmp_path, padding_side="right").padding_side == "right"


def test_sentencepiece_is_refused_in_one_line(tmp_path, capsys):
    ours = tokenizers.train("unigram", [f"number {i} of the {i % 7} lines about cats and dogs" for i in range(300)], 60)
    RNNGenerator(RNNConfig(ours.vocab_size, 4, 4)).save_pretrained(tmp_path / "g")
    ours.save(tmp_path / "g")
    assert command("export", tmp_path / "g", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "expected word, char or bpe" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match="sentencepiece"):
        AutoTokenizer.from_pretrained(tmp_path / "g")
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "g").generate().shape[0] == 1


def test_sequences_without_text(text, tmp_path, capsys):
    words = ["--epochs", 1, "--batch", 32, "--hidden-dim", 4, "--embedding-dim", 4, "--threads", 1]
    small = ["--oracle-sequences", 50, "--vocab-size", 9, "--length", 5]
    assert command("train", "mle", "--data", "oracle", "--run", tmp_path / "o", *words, *small) == 0
    assert command("export", tmp_path / "o", tmp_path / "out") == 0
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    x = model.generate(num_return_sequences=200)
    assert x.shape == (200, 6)
    assert (x[:, 1:] == 3).any()  # an ordinary token here
    G = textgan.load(tmp_path / "o")
    assert torch.equal(model(x[:, :-1]).logits, G.logits(x[:, 1:]))
    assert not any((tmp_path / "out").glob("tokenizer*"))
    assert "synthetic" in (tmp_path / "out/README.md").read_text()


def test_the_card_says_what_it_is(runs):
    from huggingface_hub import ModelCard

    card = ModelCard.load(runs / "mle-export" / "README.md")
    assert card.data.to_dict() == {
        "library_name": "transformers", "pipeline_tag": "text-generation", "tags": ["textgan"], "license": "cc-by-4.0",
    }  # fmt: skip
    judged = json.loads((runs / "mle/eval/samples.json").read_text())
    assert f"| perplexity of held-out text | {judged['model']['perplexity_test']:.1f} | - |" in card.content
    assert f"{judged['real']['bleu_2']:.3f}" in card.content
    count = sum(p.numel() for p in textgan.load(runs / "mle").parameters())
    for told in (f"{count:,} parameters", "hidden_dim 7", "`mle`", "180 sentences", "captions.txt", "pipeline("):
        assert told.replace("180", f"{_training(runs):,}") in card.content
    assert str(runs) not in card.content
    assert "/captions.txt" not in card.content
    other = (runs / "relgan-export" / "README.md").read_text()  # of the training's own evaluation
    last = json.loads(sorted((runs / "relgan/eval").glob("0*.json"))[-1].read_text())
    assert f"| perplexity of held-out text | {last['perplexity_test']:.1f} | - |" in other
    assert "relational memory" in other


def _training(runs):
    from textgan.corpus import Corpus

    return len(Corpus.open(runs / "mle" / "data").train)


def test_blanks_are_filled_as_ours(runs):
    G = textgan.load(runs / "maskgan")
    G.ban[[2, 3]] = -math.inf
    tokenizer = tokenizers.load(textgan.generator_folder(runs / "maskgan"))
    ids = [*tokenizer.encode("a man"), -1, *tokenizer.encode("a horse .")]
    for path in places(runs, "maskgan"):
        fill = pipeline("fill-mask", model=str(path))
        found = fill("a man <mask> a horse .", top_k=20 if tokenizer.vocab_size > 20 else tokenizer.vocab_size)
        x = torch.tensor([[*ids, 2] + [0] * (7 - len(ids))])
        for row in found:
            filled = x.masked_fill(x < 0, row["token"])
            score = G.fill_log_prob(filled, x >= 0)[0, 2].exp().item()
            assert row["score"] == pytest.approx(score, rel=1e-4, abs=1e-9)
        assert sum(row["score"] for row in found) == pytest.approx(1, abs=1e-4)
        assert found[0]["sequence"] == f"a man {found[0]['token_str']} a horse ."
        assert found[0]["score"] > found[-5]["score"] > 0 == found[-4]["score"]
    two = fill("a <mask> <mask> a horse .", top_k=1)
    first = two[0][0]["token"]
    x = torch.tensor([[*tokenizer.encode("a"), first, two[1][0]["token"], *tokenizer.encode("a horse ."), 2, 0]])
    seen = torch.tensor([[True, False, False, *[True] * 5]])
    assert two[1][0]["score"] == pytest.approx(G.fill_log_prob(x, seen)[0, 2].exp().item(), rel=1e-4)
    assert fill.model.generator.out.weight is fill.model.generator.embedding.weight
    with pytest.raises(UserError, match="expected 8 tokens at most"):
        fill("a man <mask> a horse and a dog and a kite .")


def test_the_filler_comes_back(runs, tmp_path):
    model = AutoModelForMaskedLM.from_pretrained(runs / "maskgan")
    model.save_pretrained(tmp_path)
    ours, again = textgan.load(tmp_path), AutoModelForMaskedLM.from_pretrained(tmp_path)
    x = torch.tensor([[4, model.config.vocab_size, 5, 2]])
    assert torch.equal(again(x).logits, model(x).logits)
    weights = textgan.load(runs / "maskgan").state_dict()
    assert all(torch.equal(weights[name], weight) for name, weight in ours.state_dict().items())
    padded = torch.nn.functional.pad(x, (0, 2), value=7)
    mask = torch.tensor([[1, 1, 1, 1, 0, 0]])
    assert torch.equal(model(padded, attention_mask=mask).logits[:, :4], model(x).logits)
    assert not torch.equal(model(padded).logits[:, :4], model(x).logits)


def test_another_s_models_load_as_before(tmp_path):
    from transformers import GPT2Config, GPT2LMHeadModel

    GPT2LMHeadModel(GPT2Config(vocab_size=11, n_embd=4, n_layer=1, n_head=1, n_positions=8)).save_pretrained(tmp_path)
    assert type(AutoModelForCausalLM.from_pretrained(tmp_path)).__name__ == "GPT2LMHeadModel"
    assert AutoConfig.from_pretrained(pretrained_model_name_or_path=str(tmp_path)).n_embd == 4
    (tmp_path / "empty" / "checkpoints").mkdir(parents=True)
    with pytest.raises(UserError, match="no whole checkpoint"):
        AutoModelForCausalLM.from_pretrained(tmp_path / "empty")


def test_wrong_exports(runs, tmp_path, capsys):
    for words, told in (
        (["mle", "new", "--to", "gensim"], "expected --to transformers"),
        (["mle", "mle-export"], "already there"),
        (["nothing", "new"], "holds no"),
    ):
        assert command("export", runs / words[0], tmp_path / "new" if words[1] == "new" else runs / words[1], *words[2:]) == 2
        error = capsys.readouterr().err
        assert told in error
        assert error.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_the_classes_are_named():
    assert set(hf.__all__) <= set(dir(hf))
    G = MaskGenerator(MaskConfig(9, 4, length=5))
    assert isinstance(hf.MaskGeneratorConfig(**vars(G.config)).build(), MaskGenerator)
