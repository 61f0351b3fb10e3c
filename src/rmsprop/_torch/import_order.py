"""TensorFlow imported before Triton: a warning before the process ends, since nothing can be caught afterwards."""

import sys
from importlib import metadata, util
from typing import Final

from rmsprop._core.versions import numbers
from rmsprop._core.warnings import warn

#: Both carry LLVM. From this version of Triton on, its copy does not load after TensorFlow's: 3.7 and 3.8 end in a
#: segmentation fault, 3.9 in LLVM's "Option registered more than once"; 3.6 loads. Tried with TensorFlow 2.21.
_FIRST: Final = (3, 7)


def warn_of_import_order() -> None:
    """Warn before torch imports Triton after TensorFlow, as it does with the first optimizer of a process."""
    if "tensorflow" not in sys.modules or "triton" in sys.modules:
        return
    spec = util.find_spec("triton")
    # A mere folder of that name on the path has no origin.
    if spec is None or spec.origin is None or _version() < _FIRST:
        return
    warn(
        "TensorFlow was imported before Triton, and torch imports Triton with the first optimizer of a process, its "
        "own too: from Triton 3.7 on this ends the process (LLVM ERROR or a segmentation fault). Write "
        "`import triton` before `import tensorflow`",
        RuntimeWarning,
    )


def _version() -> tuple[int, ...]:
    """Return Triton's version without an import; an unknown version counts as a new one."""
    try:
        return numbers(metadata.version("triton")) or _FIRST
    except metadata.PackageNotFoundError:
        return _FIRST
