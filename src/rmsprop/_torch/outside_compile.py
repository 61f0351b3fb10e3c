"""Where a compiled train step breaks its graph: torch's compiler cannot trace kernels of ours.

A module of its own, imported while something is being compiled: such a function loads torch's compiler, which takes
longer than the import of all the rest of torch.
"""

from collections.abc import Callable
from typing import Any

import torch


@torch.compiler.disable  # type: ignore[untyped-decorator]
def run_outside_compile(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function that the compiler does not trace."""
    return function(*arguments)
