"""The door: the verbs, and what a failure looks like: one line on stderr, exit code 2 (Ctrl-C: 130)."""

import argparse
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from dreamomni import __version__
from dreamomni.cli import control, data, demo, edit, evaluate, generate, info, marking, models, train
from dreamomni.errors import DreamOmniError

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    """A parser whose mistakes look like every other mistake: one line, and where to read on."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"dreamomni: error: {message} (see {self.prog} --help)\n")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all verbs. It imports nothing heavy, so that `--help` answers at once."""
    parser = _Parser(
        prog="dreamomni",
        description="Image generation and editing: make the data, train the model, run it, measure it.",
    )
    parser.add_argument("--version", action="version", version=f"dreamomni {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True, title="verbs")
    for verb in (generate, edit, marking, control, demo, info, models, train, data, evaluate):
        verb.add_parser(verbs)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code.

    Args:
        argv: The arguments after the program's name; None reads them from the process.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    args = build_parser().parse_args(words)
    args.argv = words
    try:
        with _messages():
            code = args.run(args)
        sys.stdout.flush()
    except DreamOmniError as error:
        if not error.told_elsewhere:
            print(f"dreamomni: error: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\ndreamomni: interrupted; nothing half-written was left behind", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of stdout has left (`dreamomni info ... | head`); Python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return int(code or 0)


@contextmanager
def _messages() -> Iterator[None]:
    """Show what the package logs on stderr, warnings marked as such."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    logger = logging.getLogger("dreamomni")
    level = logger.level
    logger.addHandler(handler)
    # Of the processes that a launcher starts for one training run, the first speaks for all.
    logger.setLevel(logging.INFO if os.environ.get("RANK", "0") == "0" else logging.ERROR)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        mark = f"dreamomni: {record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        return mark + super().format(record)


if __name__ == "__main__":
    raise SystemExit(main())
