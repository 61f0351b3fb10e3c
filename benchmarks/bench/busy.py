"""Other work on every core: what a step takes on a machine that it does not have for itself."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rmsprop._core.switches import processors

#: Computes until the process that started it is gone.
_COMPUTE: Final = """\
import os, sys
parent = int(sys.argv[1])
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""


@contextmanager
def every_core(wanted: bool = True) -> Iterator[int]:
    """Let a process compute on each core within a ``with`` block; yields how many do.

    Args:
        wanted: False starts none.
    """
    command = [sys.executable, "-S", "-c", _COMPUTE, str(os.getpid())]
    others = [subprocess.Popen(command) for _ in range(processors() if wanted else 0)]
    try:
        yield len(others)
    finally:
        # Waited for, so that the system counts their time as that of children.
        for other in others:
            other.kill()
            other.wait()
