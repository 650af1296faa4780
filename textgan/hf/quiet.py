"""transformers and the hub's client without what they print on the way."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from huggingface_hub.utils import logging as hub
from transformers.utils import logging


@contextlib.contextmanager
def no_bars() -> Iterator[None]:
    """Without transformers' progress bars, which are of no use where nothing takes long."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without bars, and without warnings of weights that were or were not there and of attempts to reach the hub."""
    levels = [(library, library.get_verbosity()) for library in (logging, hub)]
    for library, _ in levels:
        library.set_verbosity_error()
    try:
        with no_bars():
            yield
    finally:
        for library, level in levels:
            library.set_verbosity(level)
