"""The page as a whole: its tabs, its looks, and the server, which is for this machine and needs no network."""

from __future__ import annotations

import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

import gradio as gr

from ..cli.parse import say
from ..errors import UserError
from ..evaluate.labels import UNITS
from . import compare, fill, generate, lab, live, nearest, parts
from .runs import Given

FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")  # no font is fetched from elsewhere
LARGEST = "2mb"  # of a file that a user gives
WAITING = 50  # calls; more are refused
CSS = """
.gradio-container{width:100%!important;max-width:1240px!important;margin:0 auto!important}
.gradio-container>main{width:100%!important;max-width:none!important}
.found{list-style:decimal;padding-left:1.8rem;margin:0}
.found li{padding:.4rem 0;border-bottom:1px solid #e4e9ee;line-height:1.45}
.found li>span:first-child{font-size:1.02rem}
.found small{color:#5b6b7a;margin-left:.7rem;white-space:nowrap}
.found .word{display:inline-block;background:#eaf2f9;border-radius:.6rem;padding:0 .5rem;margin:.2rem .3rem 0 0;font-size:.9rem}
.found.filled li>span{display:block}.found .word small{margin-left:.2rem}
.remark{color:#42525f;margin:.3rem 0}
.blanks label.selected{background:#fff2cc!important;border-style:dashed!important}
.blanks label.selected span{text-decoration:underline dashed;color:#7a5b00}
.maps,.report .curves{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:1rem}
.maps svg,.report svg{width:100%;height:auto}
.report .moment{border-left:3px solid #d5dce3;padding-left:1rem;margin:.8rem 0}.report .moment img{max-width:100%}
.report ol{list-style:decimal;padding-left:1.6rem}
.report h3{font-size:1.1rem;font-weight:600;margin:1.2rem 0 .4rem}
img.between{image-rendering:pixelated;min-width:256px}
img.frame{width:100%;height:auto;min-height:18rem}
.phases button{white-space:nowrap}
pre{overflow-x:auto;font-size:.75rem}
footer{display:none!important}
"""
LIGHT = "() => document.body.classList.remove('dark')"


def build(given: Sequence[Given], device: str) -> gr.Blocks:
    """The page for these folders; without any, the GAN lab alone.

    Args:
        given: what they hold.
        device: where models run.
    """
    models = parts.Models()
    generators = [g.path for g in given if g.holds == "a generator"]
    fillers = [g.path for g in given if g.fills]
    searched = [g.path for g in given if g.holds in ("a sentence encoder", "word vectors")]
    compared = [g.path for g in given if g.holds == "a generator" and g.training]
    followed = [g.path for g in given if g.training]
    page = blocks("textgan")
    with page:
        gr.Markdown("# textgan")
        with gr.Tabs():
            if generators:
                with gr.Tab("Write"):
                    generate.tab(generators, models, device)
            if fillers:
                with gr.Tab("Fill blanks"):
                    fill.tab(fillers, models, device)
            if searched:
                with gr.Tab("Nearest"):
                    nearest.tab(searched, models, device)
            if len(compared) > 1:
                with gr.Tab("Compare"):
                    compare.tab(compared)
            if followed:
                with gr.Tab("Training"):
                    live.tab(followed, UNITS)
            with gr.Tab("GAN lab"):
                lab.tab(page)
    return page


def blocks(title: str) -> gr.Blocks:
    """An empty page."""
    page: gr.Blocks = gr.Blocks(title=title, fill_width=True, analytics_enabled=False, delete_cache=(3600, 3600))
    return page


def free_port(host: str, port: int) -> int:
    """The port, or a free one for 0.

    Raises:
        UserError: it is taken, or there is no such address here.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            if isinstance(error, socket.gaierror) or getattr(error, "errno", 0) == 99:
                raise UserError(f"--host {host} is no address of this machine; expected 127.0.0.1, or 0.0.0.0 for all") from error
            why = getattr(error, "strerror", None) or str(error)
            raise UserError(
                f"--port {port} cannot be used ({why}); expected a free port; name another, or 0 for any free one"
            ) from error
        return int(probe.getsockname()[1])


def serve(make: Callable[[], gr.Blocks], host: str, port: int) -> int:
    """Show a page until Ctrl-C or SIGTERM; gives the exit code.

    Args:
        make: builds it.
        host: the address to listen at.
        port: 0 for any free one.

    Raises:
        UserError: the port cannot be used.
    """
    port = free_port(host, port)
    page = make()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    _, url, _ = page.queue(max_size=WAITING, default_concurrency_limit=1, api_open=False).launch(
        server_name=host, server_port=port, share=False, quiet=True, prevent_thread_lock=True, ssr_mode=False,
        max_file_size=LARGEST, footer_links=[], enable_monitoring=False, state_session_capacity=200, theme=theme(), css=CSS,
        js=LIGHT,
    )  # fmt: skip
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()
    if host not in ("127.0.0.1", "localhost", "::1"):
        say("everybody who can reach this address can use the page; there is no password")
    say("Ctrl-C ends it")
    with suppress(KeyboardInterrupt):
        stop.wait()
    page.close(verbose=False)
    return 0


def theme() -> gr.themes.Base:
    """Light, with the fonts of the system."""
    found: gr.themes.Base = gr.themes.Default(
        primary_hue="blue", neutral_hue="slate", font=list(FONTS), font_mono=["ui-monospace", "monospace"]
    ).set(body_background_fill="#ffffff")
    return found
