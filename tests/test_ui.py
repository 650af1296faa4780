"""The pages: used in a real browser, with the real commands; and what they say to mistakes."""

import base64
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from PIL import Image

from image_bridge.__main__ import main as image_bridge
from image_bridge.captions import BagOfWords
from image_bridge.generators import CGANConfig, CGANGenerator
from image_bridge.pipeline import TextToImage
from textgan.ui.canvas import CELLS, painted
from textgan.writing import Draw, Filler, Writer

from .test_cli import TINY
from .test_encoders import textgan

gradio = pytest.importorskip("gradio", reason="gradio is not installed: the extra [ui]")
CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), "")
browsed = pytest.mark.skipif(not CHROMIUM, reason="no Chromium here: apt-get install chromium")
MASKED = ["--embedding-dim", "8", "--lm-epochs", "1", "--fill-epochs", "1", "--d-pretrain-steps", "1", "--rounds", "1",
          "--batch", "16", "--length", "8", "--threads", "1"]  # fmt: skip
ENCODED = ["--epochs", "2", "--batch", "30", "--hidden-dim", "8", "--embedding-dim", "8", "--length", "8", "--threads", "1",
           "--embeddings", "none"]  # fmt: skip
WAIT = 60_000  # milliseconds


@pytest.fixture(scope="module")
def runs(text, tmp_path_factory):
    path = tmp_path_factory.mktemp("ui")
    made = {"lm": ["mle", *TINY], "gan": ["maskgan", *MASKED], "enc": ["quickthought", *ENCODED]}
    for name, (method, *words) in made.items():
        assert textgan("train", method, "--data", text, "--run", path / name, *words) == 0
    return path


@pytest.fixture(scope="module")
def drawer(tmp_path_factory):
    path = tmp_path_factory.mktemp("ui") / "drawer"
    torch.manual_seed(0)
    G = CGANGenerator(CGANConfig(3, 16, noise=4, code=4, width=4))
    with torch.no_grad():
        for p in G.parameters():
            if p.ndim > 1:
                p.mul_(8)
    G.eval().save_pretrained(path)
    BagOfWords(("red", "blue", "circle")).save(path / "text")
    return path


@contextmanager
def served(module, *words, **options):
    """The address of a page that a command serves."""
    command = [sys.executable, "-m", module, "ui", *map(str, words), "--port", "0", "--threads", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:"), process.stderr.read()
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert errors == "Ctrl-C ends it\n"


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def address(runs, tmp_path_factory):
    temporary = tmp_path_factory.mktemp("tmp")
    with served("textgan", "lm", "gan", "enc", cwd=runs, env=environment(temporary)) as address:
        yield address
    assert list(temporary.iterdir()) == [], "the page left something behind"


def environment(temporary):
    return {**{k: v for k, v in os.environ.items() if k != "PYTHONWARNINGS"}, "TMPDIR": str(temporary),
            "PYTHONPATH": str(Path(__file__).parent.parent)}  # fmt: skip


@contextmanager
def visit(browser, address):
    """A user of their own, whose browser may ask nobody else and meets no error."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page, asked, errors = context.new_page(), [], []
    page.set_default_timeout(WAIT)
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    page.get_by_role("tab").first.wait_for()
    yield page
    assert errors == []
    assert asked
    assert not [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    context.close()


def sentences(page):
    return page.locator("ol.found:visible li > span:first-child").all_inner_texts()


def press(page, name):
    page.get_by_role("button", name=name, exact=True).click()


@browsed
def test_sentences_are_those_of_the_command_and_users_do_not_mix(browser, address, runs):
    writer = Writer(runs / "lm")
    with visit(browser, address) as one, visit(browser, address) as two:
        assert one.get_by_role("tab").all_inner_texts() == ["Write", "Fill blanks", "Nearest", "Compare", "Training", "GAN lab"]
        for page, prompt in ((one, "a man"), (two, "two women")):
            page.get_by_label("Beginning").fill(prompt)
        for page in (one, two):
            press(page, "Write")
        for page, prompt in ((one, "a man"), (two, "two women")):
            page.locator("ol.found li").first.wait_for()
            expected = [w.text for w in writer.write(10, Draw(), prompt=prompt)]
            assert sentences(page) == expected
        assert sentences(one) != sentences(two)
        press(one, "Another seed")
        expected = [w.text for w in writer.write(10, Draw(seed=1), prompt="a man")]
        one.get_by_text(expected[0], exact=True).first.wait_for()
        one.wait_for_function("text => document.querySelector('ol.found').innerText.includes(text)", arg=expected[-1])
        assert sentences(one) == expected
        one.get_by_label("Beginning").fill("a <b>")
        press(one, "Write")
        one.get_by_text("not in the vocabulary").first.wait_for()


@browsed
def test_a_click_on_a_word_makes_a_blank(browser, address, runs):
    filler = Filler(runs / "gan")
    with visit(browser, address) as page:
        page.get_by_role("tab", name="Fill blanks").click()
        page.locator("textarea:visible").fill("a man sees a horse .")
        words = page.locator(".blanks label")
        words.get_by_text("sees").wait_for()
        press(page, "Fill")
        page.get_by_text("there is no blank").wait_for()
        words.filter(has_text="sees").click()
        words.filter(has_text="horse").click()
        press(page, "Fill")
        page.locator("ol.filled li").first.wait_for()
        found = filler.fill(filler.read("a man ___ a ___ ."), 5, Draw())
        assert sentences(page) == [f.text for f in found]
        assert all(text.startswith("a man ") and text.split()[3] == "a" for text in sentences(page))
        assert page.locator(".found .word").first.inner_text().split()[0] == found[0].words[0]


@browsed
def test_the_nearest_sentence_is_the_sentence_itself(browser, address, tmp_path):
    with visit(browser, address) as page:
        page.get_by_role("tab", name="Nearest").click()
        page.get_by_label("Sentence, or word").fill("a dog sees the red car .")
        press(page, "Search")
        page.locator("ol.found:visible li").first.wait_for()
        assert sentences(page)[0] == "a dog sees the red car ."
        (tmp_path / "own.txt").write_text("a kite\na man holds a kite .\n")
        page.locator("input[type=file]").first.set_input_files(tmp_path / "own.txt")
        page.locator("a[href*='own.txt']").first.wait_for()  # it has arrived; its name is shown earlier
        press(page, "Search")
        page.get_by_text("a man holds a kite .", exact=True).wait_for()
        assert len(sentences(page)) == 2


@browsed
def test_runs_are_compared(browser, address):
    with visit(browser, address) as page:
        page.get_by_role("tab", name="Compare").click()
        for temperature in ("1.2", "0.8", "0.6"):
            page.locator("label:visible", has_text=temperature).click()
        press(page, "Compare")
        page.locator(".maps svg").nth(1).wait_for()
        assert page.get_by_text("tempered baseline").count() >= 2
        assert "lm" in page.locator("pre:visible, details pre").first.text_content()


@browsed
def test_a_training_is_followed(browser, address, runs):
    log = runs / "lm" / "metrics.jsonl"
    before = log.read_text()
    with visit(browser, address) as page:
        page.get_by_role("tab", name="Training").click()
        page.locator(".report svg").first.wait_for()
        last = json.loads(before.splitlines()[-1])["step"]
        assert f"{last} steps" in page.locator(".report").inner_text()
        assert sorted((runs / "lm/samples").iterdir())[-1].read_text().splitlines()[0] in page.locator(".report").inner_text()
        try:
            with open(log, "a") as file:
                file.write(json.dumps({"step": 4321, "stage": "mle", "g/nll": 1.0}) + "\n")
            page.get_by_text("4,321 steps").wait_for()
        finally:
            log.write_text(before)


@browsed
def test_the_lab_goes_phase_by_phase_and_every_user_has_a_game(browser, address):
    told = "#lab-told"
    with visit(browser, address) as one, visit(browser, address) as two:
        for page in (one, two):
            page.get_by_role("tab", name="GAN lab").click()
            page.locator("img.frame").wait_for()
        pictures = [one.locator("img.frame").get_attribute("src")]
        for name in ("generate", "classify", "loss", "gradient", "update"):
            one.locator(f"#lab-{name}").click()
            one.locator(told).get_by_text(f"Turn 1, discriminator D: {name}.").wait_for()
            pictures.append(one.locator("img.frame").get_attribute("src"))
        assert len(set(pictures)) == 4  # D's loss and gradient are numbers: they change nothing in the plane
        press(one, "Train")
        one.locator(told).get_by_text("41 turns.").wait_for()
        assert "0 turns." in two.locator(told).inner_text()
        press(two, "Run")
        two.locator(told).get_by_text("80 turns.").wait_for()
        press(two, "Pause")
        assert "41 turns." in one.locator(told).inner_text()
        one.get_by_label("Real points").click()
        one.get_by_role("option", name="own drawing").click()
        one.get_by_text("Paint on the canvas").wait_for()
        box = one.locator("#canvas canvas").bounding_box()
        one.mouse.move(box["x"] + 40, box["y"] + 40)
        one.mouse.down()
        one.mouse.move(box["x"] + 150, box["y"] + 150, steps=5)
        one.mouse.up()
        one.locator(told).get_by_text("0 turns.").wait_for()
        press(one, "Train")
        one.locator(told).get_by_text("40 turns.").wait_for()


@browsed
def test_captions_become_images_and_a_slider_leads_from_one_to_another(browser, drawer, tmp_path):
    pipe = TextToImage.from_pretrained(drawer)
    with served("image_bridge", drawer, env=environment(tmp_path)) as address, visit(browser, address) as page:
        page.get_by_label("Caption").fill("a red circle")
        press(page, "Draw")
        page.locator("#drawn img").wait_for()
        page.get_by_text("does not know these words, which change nothing: a").first.wait_for()
        page.get_by_role("tab", name="Between").click()
        page.get_by_label("From").fill("red circle")
        page.get_by_label("To", exact=True).fill("blue")
        press(page, "Draw")
        page.locator("img.between").wait_for()
        for place in (0, 100):
            page.locator("#place input[type=number]").fill(str(place))
            page.locator("#place input[type=number]").press("Tab")
            page.get_by_text(f"{place} % of the way", exact=True).wait_for()
            shown = base64.b64decode(page.locator("img.between").get_attribute("src").partition(",")[2])
            with Image.open(io.BytesIO(shown)) as image:
                small = image.resize((16, 16), Image.Resampling.NEAREST)
            images = {w: pipe(w, 1, torch.Generator().manual_seed(0)).images[0] for w in ("red circle", "blue")}
            assert [small.tobytes() == images[w].tobytes() for w in images] == [place == 0, place == 100]


def refused(capsys, *words, command=textgan):
    assert command(*words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def bridge(*words):
    with pytest.raises(SystemExit) as left:
        image_bridge([str(word) for word in words])
    return left.value.code


def test_mistakes_are_told_in_one_line(runs, drawer, tmp_path, capsys, monkeypatch):
    capsys.readouterr()
    assert "there is no such folder" in refused(capsys, "ui", tmp_path / "none")
    assert "holds no" in refused(capsys, "ui", tmp_path)
    assert "--port must lie" in refused(capsys, "ui", "--port", "70000")
    assert "--device" in refused(capsys, "ui", "--device", "cuda:77")
    assert "no address of this machine" in refused(capsys, "ui", "--host", "203.0.113.7")
    assert "no run was named" in refused(capsys, "ui", command=bridge)
    assert "is a run of textgan" in refused(capsys, "ui", runs / "lm", command=bridge)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "config.json").write_text("{")
    assert "is damaged" in refused(capsys, "ui", tmp_path / "damaged")
    (tmp_path / "damaged" / "config.json").write_text('{"algorithm": "cgan"}')
    (tmp_path / "damaged" / "data.json").write_text("{}")
    assert "`image-bridge ui" in refused(capsys, "ui", tmp_path / "damaged")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"--port {port} cannot be used (Address already in use)" in refused(capsys, "ui", "--port", port)
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert "pip install 'textgan[ui]'" in refused(capsys, "ui")


def test_what_is_sent_to_the_page_is_checked(tmp_path):
    from textgan.errors import UserError
    from textgan.ui import parts

    assert parts.drawing(5, 5, 1.0, 3, 0.5, 7) == (5, Draw(1.0, 3, 0.5, 7))
    for wrong in ((6, 1, 0, 1, 0), (5, 0, 0, 1, 0), (5, 1, -1, 1, 0), (5, 1, 0, 0, 0), (5, 1, 0, 1, -1), (None, 1, 0, 1, 0)):
        with pytest.raises(UserError, match="must lie between"):
            parts.drawing(5, *wrong)
    assert parts.short(" a  b\n") == "a b"
    for wrong in ("", " \n", "x" * 501):
        with pytest.raises(UserError):
            parts.short(wrong)
    file = tmp_path / "a.txt"
    file.write_text("one\n\n two \none\n")
    assert parts.lines_of(str(file), 2) == ["one", "two"]
    for content, most in ((b"one\ntwo\n", 1), (b" \n", 9), (b"\xff\xfe", 9)):
        file.write_bytes(content)
        with pytest.raises(UserError):
            parts.lines_of(str(file), most)
    assert "&lt;b&gt;" in parts.listed([("<b>", "<i>")])


def test_blanks_and_drawings():
    from textgan.ui.fill import pieces, with_blanks

    assert pieces("A dog's  life, ___2!") == ["A", " dog's", "  life", ",", " ___2", "!"]
    assert with_blanks("A dog's  life, ___2!", [1, 4]) == "A ___  life, ___2!"
    assert with_blanks("so.", [0, 1]) == "______"
    assert with_blanks("so it", [0, 1]) == "___ ___"
    cells = ["0"] * CELLS**2
    assert painted("".join(cells)) is None
    cells[5] = "1"
    assert painted("".join(cells)).nonzero().tolist() == [[0, 5]]
    for wrong in (None, "", "01", "2" * CELLS**2, ["1"]):
        assert painted(wrong) is None
