"""The command ``ui``: a page in the browser, served on this machine."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from ..errors import UserError
from .parse import parse, say


@dataclass(frozen=True)
class UiOptions:
    """Options of ui."""

    runs: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="RUN ...")] = ()
    """Runs, or folders with a saved generator or encoder; a run that is being trained may be among them."""
    host: str = "127.0.0.1"
    """The address to listen at. 127.0.0.1 is this machine alone; with 0.0.0.0 everybody in the network can use the page,
    without a password."""
    port: int = 7860
    """The port to listen at; 0 takes a free one."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    threads: int = 0
    """CPU threads; 0 leaves the choice to torch."""


TOLD = (
    "A page in the browser, on this machine alone unless --host says otherwise; Ctrl-C ends it. Which tabs there are follows "
    "from the runs: a generator writes sentences, a maskgan run fills blanks, an encoder or word vectors find what is near, "
    "several generators are compared, every run's training can be followed while it goes on. The GAN lab, a GAN of points that "
    "is trained step by step, is always there. Needs the extra [ui]. Examples:\n\n"
    "  textgan ui\n  textgan ui runs/mle runs/gan\n  textgan ui runs/gan --port 8000 --threads 2"
)


def ui(argv: list[str]) -> int:
    """``textgan ui``."""
    given = parse(UiOptions, argv, "textgan ui", TOLD)

    def make(device: str) -> Any:
        from ..ui.page import build
        from ..ui.runs import look

        runs = [look(path.rstrip("/") or path) for path in dict.fromkeys(given.runs)]
        for run in runs:
            if not run.holds:
                say(f"{run.path} has no checkpoint yet: its training can be followed; start the page again for the rest")
        return build(runs, device)

    return start(given, make)


def start(given: UiOptions, make: Any) -> int:
    """Serve the page that ``make`` builds for a device, until it is ended; gives the exit code.

    Raises:
        UserError: an option is wrong, gradio is not installed, or what ``make`` raises.
    """
    if not 0 <= given.port <= 65535:
        raise UserError(f"--port must lie between 0 and 65535; received {given.port}")
    if given.threads < 0:
        raise UserError(f"--threads must be 0 or more; received {given.threads}")
    with tempfile.TemporaryDirectory(prefix="textgan-ui-") as folder:
        # Gradio reads these when it is imported. Nothing is sent or fetched, and its files go when the page ends.
        os.environ.update(GRADIO_ANALYTICS_ENABLED="False", GRADIO_TEMP_DIR=folder, HF_HUB_OFFLINE="1", GRADIO_SHARE="False")
        try:
            import gradio  # noqa: F401
        except ModuleNotFoundError as error:
            raise UserError(
                f"the page needs {error.name}, which is not installed; expected the extra [ui]: pip install 'textgan[ui]'"
            ) from error
        import torch

        from ..runtime.workers import choose_device
        from ..ui.page import serve

        if given.threads:
            torch.set_num_threads(given.threads)
        try:
            device = str(choose_device(given.device))
        except ValueError as error:
            raise UserError(f"--device: {error}") from error
        return serve(lambda: make(device), given.host, given.port)
