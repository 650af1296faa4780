"""The command ``image-bridge``: help at once, and everything heavy only when a command needs it."""

from __future__ import annotations

import sys

from textgan.__main__ import command_line

HELP = """\
image-bridge turns captions into images with GANs conditioned on sentence vectors, and trains GANs of images alone.

  image-bridge data NAME OUT       write a folder of images with captions (shapes, faces, emoji, fashion-mnist,
                                   digits, svhn-mnist, imagefolder, cub, coco)
  image-bridge train ALGORITHM --data FOLDER --text ENCODER --run DIR
                                   train (cgan, stackgan, stackgan_v2; joint: an encoder)
  image-bridge train ALGORITHM --data FOLDER --run DIR
                                   train without text (gan, dcgan, wgan, wgan_gp, sngan, infogan, vaegan, pggan;
                                   acgan, which is told a class; colorgan, which colours line drawings)
  image-bridge resume DIR          go on with a run that was stopped or killed
  image-bridge report DIR [DIR ...]
                                   one HTML page with curves and the grids of samples
  image-bridge generate RUN "a red circle" -n 8 --out red.png
                                   draw sentences: one picture with captions, or a folder with a file an image
  image-bridge generate RUN -n 64 --out grid.png
                                   of a run without text; --class NAME of one that is told classes
  image-bridge interpolate RUN "a red circle" "a blue star" --out walk.gif
                                   the way from one sentence to another, as a strip or an animation
  image-bridge translate RUN IN --to DOMAIN --out OUT
                                   images to images of another domain, of a run of cyclegan, combogan, stargan, dtn or xgan
  image-bridge color RUN LINE.png --hint HINT.png --out out.png
                                   colour a line drawing, or a folder of them, with a run of colorgan; or restore mosaics
  image-bridge evaluate RUN        how good its images are, beside real ones: attributes, KID, R-precision, copies;
                                   translations and coloured drawings beside the truth
  image-bridge compare RUN RUN ...
                                   one HTML page: figures beside real images, cost, losses, samples of the same noise
  image-bridge ui RUN              a page in the browser: captions to images, a slider between two, trainings
  image-bridge completion bash     a script with which the shell completes all this; or zsh

Try it:
  image-bridge data shapes shapes --images 2000 --size 32
  image-bridge train cgan --data shapes --run runs/shapes --size 32 --width 32 --d-width 32 --steps 2000

Options of a command: image-bridge COMMAND --help.  Results as JSON: --json.  --debug anywhere shows the traceback of an error.
"""
COMMANDS = (
    "data", "train", "resume", "report", "generate", "interpolate", "translate", "color", "evaluate", "compare", "ui",
    "completion",
)  # fmt: skip


def main(argv: list[str] | None = None) -> None:
    """The command ``image-bridge``."""

    def run(command: str, words: list[str]) -> int:
        from . import cli

        return cli.run(command, words)

    command_line("image-bridge", HELP, COMMANDS, run, list(sys.argv[1:] if argv is None else argv))


if __name__ == "__main__":
    main()
