"""The classic image GANs side by side on Fashion-MNIST at 28 x 28, each trained for the same time of one processor.

    python scripts/reproduce_family.py --minutes 20
    python scripts/reproduce_family.py dcgan wgan_gp --minutes 2 --out runs/quick

Debian's package dataset-fashion-mnist has the images; --source names another folder of idx files. A run that is there is not
trained again. Each gives a grid, RUN/grid.png, and samples.png has ten images of each. A table of all is printed, and written
to table.md: steps, KID and Fréchet
distance in the features of a classifier of the real images, how alike samples are, which classes they show and how far their
shares lie from real ones (KL, nats), how often the class asked for is seen. `image-bridge compare` makes a page of the runs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import torch
from PIL import Image

from image_bridge.datasets.fashion_mnist import CLASSES
from image_bridge.grids import grid
from image_bridge.pipeline import TextToImage

PLAIN = "--size 28 --channels 1"
METHODS = {
    "gan": PLAIN, "dcgan": PLAIN, "wgan": PLAIN, "wgan_gp": PLAIN, "sngan": PLAIN, "infogan": PLAIN, "vaegan": PLAIN,
    "acgan": PLAIN, "pggan": "--size 32 --channels 1 --phase 20000 --width 64",
    "cgan": f"{PLAIN} --text labels --condition planes --interpolation 0",
}  # fmt: skip
WIDTHS = {name: "--width 32 --d-width 32" for name in METHODS if name not in ("gan", "pggan")}


def bridge(*words: str) -> list[str]:
    """The command line of image-bridge."""
    print(f"\n$ {shlex.join(['image-bridge', *words])}", flush=True)
    return [sys.executable, "-m", "image_bridge", *words]


def train(words: list[str], minutes: float) -> float:
    """Train until so much processor time is spent, then stop as Ctrl-C would, with what it has saved; gives the seconds."""
    process, spent = psutil.Popen(bridge(*words)), 0.0
    while (code := process.poll()) is None:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            spent = times.user + times.system
        if spent >= 60 * minutes:
            process.send_signal(signal.SIGTERM)
            code = process.wait()
            break
        time.sleep(0.2)
    if code not in (0, 128 + signal.SIGTERM):
        sys.exit(code)
    return spent


def main() -> None:
    """Data, every method in turn, the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"methods; all if absent: {', '.join(METHODS)}")
    parser.add_argument("--minutes", type=float, default=20, help="of processor time for each")
    parser.add_argument("--out", type=Path, default=Path("runs/family"))
    parser.add_argument("--source", default="", help="folder of idx files")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--paper-sizes", action="store_true", help="networks as wide as the papers', for a GPU")
    a = parser.parse_args()
    if unknown := [name for name in a.names if name not in METHODS]:
        parser.error(f"there is no method {unknown[0]!r} here; there are {', '.join(METHODS)}")
    data = a.out / "fashion-mnist"
    if not (data / "metadata.jsonl").is_file():
        source = ["--source", a.source] if a.source else []
        subprocess.run(bridge("data", "fashion-mnist", str(data), *source), check=True)
    for name in a.names or METHODS:
        run = a.out / name
        if not run.exists():
            widths = "" if a.paper_sizes else WIDTHS.get(name, "")
            settings = shlex.split(f"{METHODS[name]} {widths}")
            words = ["train", name, "--data", str(data), "--run", str(run), *settings, "--threads", str(a.threads)]
            seconds = train([*words, "--steps", "1000000"] if name != "pggan" else words, a.minutes)
            (a.out / f"{name}.seconds").write_text(f"{seconds:.0f}\n", encoding="utf-8")
        judged = subprocess.run(
            bridge("evaluate", str(run), "--extractor", "own", "--json"), check=True, stdout=subprocess.PIPE, text=True
        )
        (a.out / f"{name}.json").write_text(judged.stdout, encoding="utf-8")
        subprocess.run(bridge("generate", str(run), *prompts(name), "--out", str(run / "grid.png")), check=True)
    samples(a.out).save(a.out / "samples.png")
    table = "\n".join(rows(a.out))
    (a.out / "table.md").write_text(table + "\n", encoding="utf-8")
    print("\n" + table)


def asked(name: str) -> list[str]:
    """What each image of a row is asked to be: every class in turn, or nothing."""
    return {"cgan": [f"class: {what}" for what in CLASSES], "acgan": list(CLASSES)}.get(name, [""] * len(CLASSES))


def prompts(name: str) -> list[str]:
    """The words after ``generate RUN``: every class, or noise."""
    return {"cgan": [*asked(name), "-n", "8"], "acgan": []}.get(name, ["-n", "64"])


def samples(out: Path) -> Image.Image:
    """Ten images of each method that was judged, of the seeds 0 to 9."""
    found = {}
    for name in METHODS:
        if (out / f"{name}.json").is_file():
            draw, seeds = TextToImage.from_pretrained(out / name), [torch.Generator().manual_seed(k) for k in range(len(CLASSES))]
            found[name] = draw(asked(name), generator=seeds).images
    return grid(list(found.values()), list(found), 2)


def rows(out: Path) -> list[str]:
    """The table of all that was judged, the floor (real images) last."""
    table = [
        "| method | processor minutes | steps of all players | KID x 1000 | Fréchet distance | MS-SSIM of samples "
        "| classes covered | KL of classes | class seen |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    judged: dict[str, Any] = {}
    for name in METHODS:
        if (out / f"{name}.json").is_file():
            judged = json.loads((out / f"{name}.json").read_text(encoding="utf-8"))
            minutes = float((out / f"{name}.seconds").read_text(encoding="utf-8")) / 60
            seen = judged["attributes"].get("class", {}).get("model")
            table.append(row(f"`{name}`", f"{minutes:.0f}", f"{int(judged['checkpoint']):,}", judged, "model", seen))
    if judged:
        table.append(row("real images", "", "", judged, "real", judged["modes"]["class"]["accuracy"]))
    return table


def row(name: str, minutes: str, steps: str, judged: dict[str, Any], side: str, seen: float | None) -> str:
    """A line of it, of samples ("model") or of real images ("real")."""
    found, shown = judged[side], judged["modes"]["class"]
    figures = f"{1000 * found['kid']:.1f} ± {1000 * found['kid_sd']:.1f} | {found['frechet']:.2f} | {found['ms_ssim']:.3f}"
    classes = f"{shown[side]} of {shown['values']} | {shown[f'{side}_kl']:.3f}"
    return f"| {name} | {minutes} | {steps} | {figures} | {classes} | {'' if seen is None else f'{seen:.3f}'} |"


if __name__ == "__main__":
    main()
