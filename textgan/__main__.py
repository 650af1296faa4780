"""The command ``textgan``: help at once, and everything heavy only when a command needs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

HELP = """\
textgan trains text GANs and language models on your text, and says how good they are.

  textgan train ALGORITHM --data FILE --run DIR   train (mle, seqgan, word2vec, skipthought, ...)
  textgan resume DIR                              go on with a run that was stopped or killed
  textgan generate DIR -n 20                      write sentences, from a run or any checkpoint
  textgan fill DIR "the ___ sat on the ___2"      words for the blanks of a sentence; maskgan runs
  textgan encode DIR in.txt out.npy               vectors of sentences, from a skipthought or quickthought run
  textgan nearest DIR "a red car" --among in.txt  the nearest sentences; or words, from a word2vec run
  textgan analogy DIR king man woman              what is to the third as the first to the second; word2vec runs
  textgan next DIR "he opened the door ."         the sentence that follows; skipthought runs
  textgan expand DIR OUT --vectors glove.txt      teach an encoder the words of other vectors
  textgan combine DIR DIR --out OUT               the vectors of several encoders side by side
  textgan export DIR OUT                          for transformers, sentence-transformers, onnxruntime, gensim
  textgan evaluate DIR                            how good it is beside real text; --suite sts for encoders
  textgan compare DIR DIR --out both.html         quality against diversity over temperatures; does a GAN beat its baseline?
  textgan report DIR [DIR ...]                    one HTML page with curves and samples
  textgan ui DIR [DIR ...]                        a page in the browser to play with them; without DIR, the GAN lab
  textgan prepare --data FILE --out DIR           tokenise a corpus once, for several runs
  textgan completion bash                         a script with which the shell completes all this; or zsh

Try it, on 102 Wikipedia articles that came with the installation:
  textgan train mle --data wikipedia-sample --run runs/first --epochs 3
  textgan generate runs/first -n 10 --temperature 0.8

Options of a command: textgan COMMAND --help.  Results as JSON: --json.  --debug anywhere shows the traceback of an error.
"""
COMMANDS = (
    "train",
    "resume",
    "generate",
    "fill",
    "encode",
    "nearest",
    "analogy",
    "next",
    "expand",
    "combine",
    "export",
    "evaluate",
    "compare",
    "report",
    "ui",
    "prepare",
    "completion",
)


def command_line(prog: str, told: str, commands: Sequence[str], run: Callable[[str, list[str]], int], argv: list[str]) -> None:
    """Run one command of a program; ends with exit code 2 and one line where the user made a mistake.

    Args:
        prog: the program's name.
        told: its help.
        commands: what there is.
        run: runs a command with its words and gives the exit code.
        argv: the words, of which the first is the command.
    """
    debug = "--debug" in argv
    argv = [word for word in argv if word != "--debug"]
    if not argv or argv[0] in ("-h", "--help", "help"):
        sys.stdout.write(told)
        return
    if argv[0] in ("-V", "--version"):
        from . import __version__

        sys.stdout.write(f"{prog} {__version__}\n")
        return
    from .errors import UserError

    try:
        if argv[0] not in commands:
            import difflib

            near = difflib.get_close_matches(argv[0], commands, 1)
            hint = f"did you mean `{prog} {near[0]}`?" if near else f"see `{prog} --help`"
            raise UserError(f"unknown command; expected one of {', '.join(commands)}; received {argv[0]!r}; {hint}")
        code = run(argv[0], argv[1:])
    except BrokenPipeError:  # the reader of our output left
        sys.stderr.close()
        code = 0
    except KeyboardInterrupt:  # before or after training, which saves and says so itself
        sys.stderr.write(f"{prog}: stopped\n")
        code = 130
    except (UserError, OSError, ModuleNotFoundError) as error:
        if debug:
            raise
        text = str(error)
        if isinstance(error, ModuleNotFoundError):
            text = f"this needs the package {error.name}, which is not installed; pip install {error.name}"
        elif isinstance(error, OSError):
            text = (
                f"{error.filename or 'a file'} cannot be used: {error.strerror or error}; check the path, its rights and the disk"
            )
        sys.stderr.write(f"{prog}: " + " ".join(text.split()) + "\n")
        code = 2
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:  # threads of gloo abort now and then while Python is taken down
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)
    sys.exit(code)


def main(argv: list[str] | None = None) -> None:
    """The command ``textgan``."""

    def run(command: str, words: list[str]) -> int:
        from . import cli

        return cli.run(command, words)

    command_line("textgan", HELP, COMMANDS, run, list(sys.argv[1:] if argv is None else argv))


if __name__ == "__main__":
    main()
