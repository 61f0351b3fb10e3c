"""What a compiled train step breaks its graph for: what runs in kernels of ours cannot be traced.

A module of its own, imported where something is being compiled: torch loads its compiler to make such a function, which
takes longer than to import all the rest of torch.
"""

from collections.abc import Callable
from typing import Any

import torch


@torch.compiler.disable  # type: ignore[untyped-decorator]
def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function, into which the compiler does not look."""
    return function(*arguments)
