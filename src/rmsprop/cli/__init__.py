"""The command line ``rmsprop``: a module a subcommand.

A subcommand's module has ``add_parser(subparsers)``, which sets ``run`` to a function from the parsed options to the
exit code. Heavy imports are inside of that function: ``rmsprop --help`` loads NumPy alone.

Exit codes: 0 done, 2 an error that the user can correct, 130 stopped by Ctrl-C.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import final

from rmsprop import __version__
from rmsprop._core.extras import advice

_DESCRIPTION = """\
RMSprop exactly as Keras 2 defines it.
"""

_EPILOG = """\
examples:
  rmsprop train                 train a network on handwritten digits, see it learn
  rmsprop train --help          what can be chosen there
"""


@final
class CommandError(Exception):
    """An error that the user can correct; `exit_code` prints it as one line and returns 2."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Args:
        arguments: the command line without the program's name; None: that of this process.
    """
    from rmsprop.cli._output import readable

    with readable():
        parser = _make_parser()
        options = parser.parse_args(arguments)
        if options.run is None:
            parser.print_help()
            return 0
        return exit_code(f"rmsprop {options.command}", lambda: options.run(options))


def exit_code(command: str, run: Callable[[], int]) -> int:
    """Run a command and return its exit code; an error that the user can correct is printed as one line.

    Args:
        command: its name, which begins the line.
        run: returns the exit code of a run without such an error.
    """
    try:
        return run()
    except KeyboardInterrupt:
        print(f"{command}: stopped", file=sys.stderr)
        return 130
    except (CommandError, ModuleNotFoundError) as error:
        text = advice(error) if isinstance(error, ModuleNotFoundError) else str(error)
        if not text:
            raise
        print(f"{command}: error: {text}", file=sys.stderr)
        return 2


def _make_parser() -> argparse.ArgumentParser:
    from rmsprop.cli import train

    parser = argparse.ArgumentParser(
        "rmsprop", description=_DESCRIPTION, epilog=_EPILOG, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"rmsprop {__version__}")
    parser.set_defaults(run=None)
    train.add_parser(parser.add_subparsers(dest="command", metavar="COMMAND", title="commands"))
    return parser
