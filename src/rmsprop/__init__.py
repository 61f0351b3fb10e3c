"""RMSprop exactly as Keras 2 defines it, for NumPy, tf_keras, PyTorch, JAX and Keras 3.

`RMSprop` here is the one for NumPy arrays. Importing this loads NumPy and nothing heavier; the submodules `schedules`,
`recipes` and `checkpoint`, and the front ends `tf_keras`, `torch`, `jax` and `keras`, are loaded when they are first
used.
"""

from typing import TYPE_CHECKING, Any

from rmsprop._core.explain import Explained, Explanation
from rmsprop._core.extras import FRONT_ENDS, installed
from rmsprop._core.rows import RowSparse
from rmsprop.numpy import RMSprop

if TYPE_CHECKING:
    from rmsprop import checkpoint, jax, keras, numpy, recipes, schedules, tf_keras, torch  # noqa: F401 - for editors and checkers

__version__ = "0.1.0"

__all__ = ["Explained", "Explanation", "RMSprop", "RowSparse", "__version__", "checkpoint", "recipes", "schedules"]

#: Loaded when they are first used. Front ends are no part of ``import *``, which would load every framework.
_LAZY = ("checkpoint", "recipes", "schedules", *FRONT_ENDS)


if not TYPE_CHECKING:  # to which any name would be one of the module's

    def __getattr__(name: str) -> Any:
        if name in _LAZY:
            from importlib import import_module

            return import_module(f"rmsprop.{name}")
        raise AttributeError(f"module 'rmsprop' has no attribute {name!r}")


def __dir__() -> list[str]:
    # `help` and the like read all of it, which must be there then.
    own = {name for name in globals() if name[:2] == "__"} | {*__all__, "numpy"}
    return sorted(own | {name for name in FRONT_ENDS if installed(name)})
