"""What the oldest packages lack that pyproject.toml allows, and what tests expect of that."""

import re
from importlib.metadata import PackageNotFoundError, version

#: How the warning begins that a process has no native steps.
WARNING = "rmsprop steps without its compiled kernels in this process"

#: Folders whose tests step by JAX.
JAX = {"jax", "jax_sharded", "keras_jax"}


def jax_is_traced():
    """Whether JAX is there without native steps: XLA takes our handler since jaxlib 0.9."""
    try:
        found = version("jaxlib")
    except PackageNotFoundError:
        return False
    return tuple(map(int, re.findall(r"\d+", found)[:2])) < (0, 9)
