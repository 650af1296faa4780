"""MaskGAN: blanks, what the encoder may see, returns, and the gradient with a learnt baseline."""

import itertools
import json

import pytest
import torch

from textgan import tokenizers
from textgan.discriminators import MaskDiscriminator, MaskDiscriminatorConfig
from textgan.estimators import discounted_returns, policy_gradient
from textgan.evaluate import fill_nll, nll_test
from textgan.generators import MaskConfig, MaskGenerator, load_generator
from textgan.generators.masked import blanks
from textgan.writing import after_blank

from .conformance import build
from .test_cli import textgan


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def generator(vocab=6, length=4, eos=2, layers=2):
    torch.manual_seed(0)
    model = MaskGenerator(MaskConfig(vocab, 5, layers, length, bos=1, eos=eos, banned=(0, 1)))
    with torch.no_grad():
        for p in model.parameters():
            p.normal_()
    return model.double().eval()


def test_blanks():
    lengths, u = torch.randint(1, 9, (4000,), generator=seeded()), torch.rand(4000, 10, generator=seeded(1))
    for rate in (0.25, 0.5, 1.0):
        found = blanks(lengths, 10, rate, "contiguous", u)
        assert torch.equal(found.sum(1), (lengths * rate).round().clamp(min=1).long())
        edges = (found[:, 1:] != found[:, :-1]).sum(1) + found[:, 0].long() + found[:, -1].long()
        assert (edges == 2).all()  # one stretch
        random = blanks(lengths, 10, rate, "random", u)
        assert random.sum().item() == pytest.approx(rate * lengths.sum().item(), rel=0.05)
        for kind in (found, random):
            assert not (kind & (torch.arange(10) >= lengths[:, None])).any()  # padding is never blank
    eight = blanks(torch.full((4000,), 8), 10, 0.5, "contiguous", u).float().argmax(1).bincount(minlength=5) / 4000
    assert (eight - 0.2).abs().max() < 0.03  # every place alike, the first and the last too


def test_what_is_given_never_changes_and_what_is_drawn_is_the_model_s():
    G = generator()
    x = torch.tensor([[3, 4, 5, 2], [5, 3, 2, 0], [4, 4, 4, 4]]).repeat(50, 1)
    present = torch.tensor([[1, 0, 0, 1], [0, 1, 1, 1], [0, 0, 1, 0]]).bool().repeat(50, 1)
    u = torch.rand(150, 4, generator=seeded())
    filled = G.fill(x, present, u)
    assert torch.equal(filled[present], x[present])
    other = x.masked_fill(~present, 3)
    assert torch.equal(G.fill(other, present, u), filled)  # what stands at blanks is not read
    assert not torch.equal(G.fill(x, present, u.flip(0)), filled)
    assert not (filled[~present] == 1).any()
    # token by token: inverting the distribution function of the teacher-forced probabilities gives the same tokens
    p = G.logits(filled, present).softmax(-1)
    drawn = ~present & G.mask(filled)
    expected = (p.cumsum(-1) < u.unsqueeze(-1) * p.sum(-1, keepdim=True)).sum(-1)
    assert torch.equal(expected[drawn], filled[drawn])


def test_probabilities_of_all_fillings_sum_to_one():
    G = generator(eos=None)
    rows = torch.tensor([[3, a, b, 4] for a, b in itertools.product(range(6), repeat=2)])
    present = torch.tensor([True, False, False, True]).expand(36, 4)
    p = G.fill_log_prob(rows, present).sum(1).exp()
    assert p.sum().item() == pytest.approx(1)
    assert p.max() - p.min() > 1e-3
    short = torch.tensor([[3, 4, 2, 0]])  # padding is banned, and costs nothing
    assert generator().fill_log_prob(short, torch.tensor([[True, False, True, True]])).isfinite().all()


def test_the_encoder_sees_what_is_given_and_nothing_else():
    G = generator()
    x, present = torch.tensor([[3, 4, 5, 3]]), torch.tensor([[True, False, False, True]])
    first = G.fill_log_prob(x, present)[0, 1]
    assert torch.equal(G.fill_log_prob(torch.tensor([[3, 4, 3, 3]]), present)[0, 1], first)  # a later blank
    assert not torch.equal(G.fill_log_prob(torch.tensor([[3, 4, 5, 5]]), present)[0, 1], first)  # a later token that is given
    torch.manual_seed(0)
    D = MaskDiscriminator(MaskDiscriminatorConfig(6, 5)).double()
    filled = torch.tensor([[3, 5, 4, 3]])
    assert torch.equal(D(filled, x, present), D(filled, torch.tensor([[3, 3, 3, 3]]), present))
    assert not torch.equal(D(filled, x, present), D(filled, torch.tensor([[3, 4, 5, 4]]), present))
    later = torch.tensor([[3, 5, 5, 3]])
    assert torch.equal(D(filled, x, present)[:, :2], D(later, x, present)[:, :2])  # from left to right
    assert torch.equal(D.before(filled)[:, :3], D.before(later)[:, :3])  # the critic sees what stands before only
    assert not torch.equal(D.before(filled)[:, 3], D.before(later)[:, 3])


def test_the_discriminator_judges_several_fillings_of_a_sentence_at_once():
    torch.manual_seed(0)
    D = MaskDiscriminator(MaskDiscriminatorConfig(6, 5)).double().eval()
    x, y = torch.randint(1, 6, (2, 3, 7)).unbind(0)
    present = torch.rand(3, 7) < 0.5
    both = D(torch.cat([x, y]), x, present)
    assert torch.allclose(both, torch.cat([D(x, x, present), D(y, x, present)]), atol=1e-12)
    assert not torch.allclose(both[3:], D(y, y, present), atol=1e-6)  # it is the context of x that they stand in


def test_as_a_language_model_it_fills_a_sentence_of_blanks(tmp_path):
    G = generator()
    every = torch.tensor(list(itertools.product(range(6), repeat=4)))
    every = torch.unique(every * G.mask(every), dim=0)
    assert G.log_prob(every).sum(1).exp().sum().item() == pytest.approx(1)
    u = torch.rand(30, 4, generator=seeded())
    nothing = torch.zeros(30, 4, dtype=torch.bool)
    assert torch.equal(G.sample(30, 4, u), G.fill(torch.zeros(30, 4, dtype=torch.long), nothing, u))
    G.float().save_pretrained(tmp_path)
    loaded = load_generator(tmp_path)
    assert torch.equal(loaded.log_prob(every), G.log_prob(every))
    assert loaded.out.weight is loaded.embedding.weight


def test_discounted_returns():
    reward = torch.tensor([[1.0, 0.0, 2.0, 4.0], [0.0, 0.0, 0.0, 8.0]])
    assert discounted_returns(reward, 0.5).tolist() == [[2, 2, 4, 4], [1, 2, 4, 8]]
    assert discounted_returns(reward, 1.0).tolist() == [[7, 6, 6, 4], [8, 8, 8, 8]]


def test_the_policy_gradient_with_a_baseline_is_exact():
    """All fillings of three blanks, weighted by their probability: a baseline of what stands before changes nothing."""
    G, discount = generator(vocab=4, length=4, eos=None), 0.7
    rows = torch.tensor([[a, 3, b, c] for a, b, c in itertools.product((2, 3), repeat=3)])
    present = torch.tensor([False, True, False, False]).expand(8, 4)
    drawn = ~present
    reward = torch.sin(rows.double() * torch.tensor([1.0, 0, 2, 3]) + rows.double().cumsum(1)) * drawn
    p = (G.fill_log_prob(rows, present) * drawn).sum(1).exp()
    assert p.sum().item() == pytest.approx(1)  # tokens 0 and 1 are banned
    score = (reward * discount ** torch.arange(4)).sum(1)
    parameters = list(G.parameters())
    exact = torch.autograd.grad((p * score).sum(), parameters, retain_graph=True)
    returns = discounted_returns(reward, discount) * discount ** torch.arange(4)  # of the sum from the first token
    before = torch.cat([torch.zeros(8, 1), rows[:, :-1].double().cumsum(1)], 1)  # any function of what stands before

    def estimate(baseline):
        advantage = (returns - baseline) * p.detach().unsqueeze(1) * len(rows)
        loss = policy_gradient(G.fill_log_prob(rows, present), advantage, drawn)
        return torch.autograd.grad(-loss, parameters)

    for baseline in (torch.zeros(8, 4), before):
        assert all(torch.allclose(a, b, atol=1e-10) for a, b in zip(exact, estimate(baseline), strict=True))
    peeking = rows.double()  # a baseline that knows the token is another gradient
    assert not all(torch.allclose(a, b, atol=1e-4) for a, b in zip(exact, estimate(peeking), strict=True))


@pytest.mark.parametrize(("where", "same"), [("given", True), ("drawn", False)])
def test_the_reward_of_a_given_token_never_reaches_the_generator(corpus, monkeypatch, where, same):
    gradients = []
    for shift in (0.0, 3.0):
        made, workers = build("maskgan", corpus)
        honest = made.D.forward

        def shifted(filled, x, present, honest=honest, shift=shift):
            wrong = present if where == "given" else ~present
            noise = torch.linspace(0, 1, filled.numel()).view(filled.shape)
            return honest(filled, x, present) + shift * wrong * noise

        monkeypatch.setattr(made.D, "forward", shifted)
        workers.seed(0, 0)
        made.g_step(made.game - 1)
        gradients.append(torch.cat([p.grad.flatten() for p in made.G.parameters()]))
    assert torch.equal(*gradients) == same


def test_generator_and_discriminator_start_from_the_language_model(corpus):
    made, workers = build("maskgan", corpus, lr=1e-6, d_lr=1e-6)
    for step, module in ((made.in_filling_step, made.G), (made.d_step, made.D)):
        pairs = [
            (module.embedding.weight, made.lm.embedding.weight),
            (module.seq2seq.encoder.layers[1].weight_hh_l0, made.lm.stack.layers[1].weight_hh_l0),
            (module.seq2seq.decoder.layers[0].weight_ih_l0, made.lm.stack.layers[0].weight_ih_l0),
        ]
        assert not any(torch.allclose(a, b, atol=1e-5) for a, b in pairs)
        workers.seed(0, 0)
        step(0)
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in pairs)  # but for one step of Adam


def test_the_mask_rate_is_a_function_of_the_step(corpus):
    made, _ = build("maskgan", corpus, rounds=5, mask_rate=0.2, last_mask_rate=1.0)
    assert [made.mask_rate(i * made.game) for i in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_in_filling_learns_eight_sentences(corpus):
    made, workers = build("maskgan", corpus, embedding_dim=48, dropout=0.0, lr=5e-3)
    x = torch.from_numpy(corpus.train.rows(range(8), 8))
    for i in range(250):
        workers.seed(0, i)
        blank = blanks(made.G.mask(x).sum(1), 8, 0.5, "contiguous", torch.rand(8, 8))
        loss = -(made.G.fill_log_prob(x, ~blank) * blank).sum() / blank.sum()
        made.g_mle.minimise(loss)
    assert loss < 0.8  # what is left is the choice among the sentences; a guess costs 2.6
    rows = corpus.train
    assert fill_nll(made.G.eval(), rows, 8, limit=8)["fill_nll"] < 0.8 < nll_test(made.G, rows, 8, limit=8)["nll_test"]


@pytest.fixture(scope="module")
def run(text, tmp_path_factory):
    path = tmp_path_factory.mktemp("masked") / "m"
    small = ["--embedding-dim", "8", "--lm-epochs", "1", "--fill-epochs", "1", "--d-pretrain-steps", "1", "--rounds", "1"]
    done = textgan("train", "maskgan", "--data", text, "--run", path, *small, "--batch", "16", "--length", "8")
    assert done.returncode == 0, done.stderr
    return path


def test_fill_from_the_command_line(run):
    done = textgan("fill", run, "a man ___2 a ___ .", "-n", 3)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("a man ") and line.split()[4] == "a" for line in lines)
    assert textgan("fill", run, "a man ___2 a ___ .", "-n", 3).stdout == done.stdout
    found = json.loads(textgan("fill", run, "a ___ .", "-n", 1, "--json", "--top-k", 1).stdout)
    assert len(found["filled"]) == len(found["probability"]) == 1
    assert 0 < found["probability"][0] <= 1
    judged = json.loads(textgan("evaluate", run, "-n", 20, "--json").stdout)["model"]
    assert judged["fill_perplexity"] < judged["fill_perplexity_random"]
    assert "generated" not in textgan("generate", run, "-n", 2).stderr


@pytest.mark.parametrize("kind", ["word", "char", "bpe"])
def test_what_stands_right_behind_a_blank(kind):
    tokenizer = tokenizers.train(kind, ["a man, a dog . a cat.", "a man's dog."] * 3, 300)
    for text in (". a dog", " . a dog", ", a man."):
        ids = after_blank(tokenizer, text)
        assert tokenizer.unk not in ids
        assert tokenizer.decode([*tokenizer.encode("cat"), *ids]) == "cat" + text
    assert kind != "word" or after_blank(tokenizer, ".") != tokenizer.encode(".")


def test_mistakes_are_told_in_one_line(run, text, tmp_path):
    for words, told in (
        (["fill", run, "a man ."], "there is no blank"),
        (["fill", run, "a ___20"], "too long"),
        (["fill", run, "a ___", "--temperature", "0"], "--temperature must be"),
        (["train", "maskgan", "--data", text, "--run", tmp_path / "x", "--mask-rate", "0"], "--mask-rate must lie in (0, 1]"),
        (["train", "maskgan", "--data", text, "--run", tmp_path / "x", "--mask", "some"], "--mask expects one of"),
    ):
        done = textgan(*words)
        assert done.returncode == 2, (words, done.stderr)
        assert told in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "x").exists()
