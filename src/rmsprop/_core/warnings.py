"""Warnings that point at the user's line, beyond all calls of this package."""

import sys
import warnings
from pathlib import Path
from typing import Final

_PACKAGE: Final = str(Path(__file__).parents[1])

#: Modules between a step, or a decorated or overridden method, and the user's call.
_WRAPPERS: Final = ("tensorflow.python.", "torch.", "jax.", "keras.", "tf_keras.")


def warn(message: str, category: type[Warning] = UserWarning, through: str | None = None) -> None:
    """Warn at the first caller outside of this package, and of the package `through`, which called this one."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and (
        frame.f_code.co_filename.startswith(_PACKAGE)
        or (name := str(frame.f_globals.get("__name__"))).startswith(_WRAPPERS)
        or name.partition(".")[0] == through
    ):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
