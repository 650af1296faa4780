"""The command ``image-bridge``."""

from __future__ import annotations

import sys

from . import __version__

HELP = """\
image-bridge will turn captions into images with GANs conditioned on sentence vectors.
It has no command yet: this release trains text GANs (see `textgan --help`).
"""


def main() -> None:
    """Say what there is; anything else is refused with exit code 2."""
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help"):
        sys.stdout.write(HELP)
    elif words[0] in ("-V", "--version"):
        sys.stdout.write(f"image-bridge {__version__}\n")
    else:
        sys.stderr.write(f"image-bridge: there is no command yet; received {words[0]!r}; see `image-bridge --help`\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
