"""Output under any encoding: a character that it lacks is spelled in another way, and never ends a run."""

import codecs
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import TextIOWrapper
from typing import Final

_NAME: Final = "rmsprop.readable"

#: Spellings of one letter each, so that columns stay below each other.
_SPELLINGS: Final = {"\N{MICRO SIGN}": "u", "\N{GREEK SMALL LETTER MU}": "u", "\N{MULTIPLICATION SIGN}": "x"}


@contextmanager
def readable() -> Iterator[None]:
    """Let standard output and error accept every character within a ``with`` block."""
    codecs.register_error(_NAME, _spell)
    with ExitStack() as before:
        for stream in (sys.stdout, sys.stderr):
            # A stream that the user has replaced or configured stays as it is.
            errors = getattr(stream, "errors", None)
            if errors in ("strict", "surrogateescape") and isinstance(stream, TextIOWrapper):
                before.callback(_restore, stream, errors)
                stream.reconfigure(errors=_NAME)
        yield


def _restore(stream: TextIOWrapper, errors: str) -> None:
    if not stream.closed:
        stream.reconfigure(errors=errors)


def _spell(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character, after = error.object[error.start], error.start + 1
    if "\udc80" <= character <= "\udcff":  # a byte of a file's name, as it was
        return bytes([ord(character) - 0xDC00]), after
    return _SPELLINGS.get(character, "?"), after
