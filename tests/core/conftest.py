"""A process that has loaded what a step needs besides its kernel: tests that start processes fork that one."""

import pytest
from processes import Loaded

# One function is compiled, after which Numba takes half the time for the next; the others come from the cache of the
# suite. Then the process forgets which folder that was.
LOADED = """
import numpy, rmsprop.numpy
from rmsprop._core import plan, run
from rmsprop._core.cpu import cache, kernels
usual = os.environ.get("RMSPROP_CACHE_DIR")
os.environ["RMSPROP_CACHE_DIR"] = ""
kernels.entry("serve")
if usual is None:
    del os.environ["RMSPROP_CACHE_DIR"]
else:
    os.environ["RMSPROP_CACHE_DIR"] = usual
cache.cache_folder.cache_clear()
for name in kernels._ENTRIES:
    kernels.entry(name)
cache.cache_folder.cache_clear()
"""


@pytest.fixture(scope="module")
def forked():
    """A function that runs a piece of Python as `processes.run` does, in a child of that process."""
    with Loaded(LOADED) as loaded:
        yield loaded.run
