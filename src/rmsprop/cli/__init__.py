"""The command line ``rmsprop``: a module a subcommand.

A subcommand's module has ``add_parser(subparsers)``, which sets ``run`` to a function from the parsed options to the
exit code. It imports what is heavy inside of that function: ``rmsprop --help`` answers without loading NumPy's
friends.

Exit codes: 0 done, 2 something that the user can put right, 130 stopped by Ctrl-C.
"""

import argparse
import sys
from collections.abc import Sequence

from rmsprop import __version__
from rmsprop._extras import advice

_DESCRIPTION = """\
RMSprop exactly as Keras 2 defines it.
"""

_EPILOG = """\
examples:
  rmsprop train                 train a network on handwritten digits, see it learn
  rmsprop bench                 measure a step beside other optimizers
  rmsprop train --help          what can be chosen there
"""


class CommandError(Exception):
    """Something that the user can put right; `main` prints it as one line and returns 2."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give the exit code.

    Args:
        arguments: those of the command line without the program's name; None: those of this process.
    """
    from rmsprop.cli._output import readable

    with readable():
        return _main(arguments)


def _main(arguments: Sequence[str] | None) -> int:
    parser = _make_parser()
    options = parser.parse_args(arguments)
    if options.run is None:
        parser.print_help()
        return 0
    try:
        code: int = options.run(options)
    except CommandError as problem:
        return _fail(options.command, str(problem))
    except ModuleNotFoundError as missing:
        text = advice(missing)
        if not text:
            raise
        return _fail(options.command, text)
    except KeyboardInterrupt:
        print(f"rmsprop {options.command}: stopped", file=sys.stderr)
        return 130
    return code


def _fail(command: str, problem: str) -> int:
    print(f"rmsprop {command}: error: {problem}", file=sys.stderr)
    return 2


def _make_parser() -> argparse.ArgumentParser:
    from rmsprop.cli import bench, train

    parser = argparse.ArgumentParser(
        "rmsprop",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"rmsprop {__version__}")
    parser.set_defaults(run=None)
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for command in (train, bench):
        command.add_parser(subparsers)
    return parser
