"""Fresh interpreters, for what is only what it is in a process that has done nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from rmsprop.cli import CommandError

#: On the import path of a child, which finds this package there.
_HOME: Final = str(Path(__file__).parents[1])


def measure_in_child(*arguments: str, cache: str | None = None) -> dict[str, Any]:
    """Run ``python -m bench.child WHAT ...`` and return what it found.

    Args:
        arguments: what to measure, and of what.
        cache: the folder where it keeps its kernels; None: the user's.

    Raises:
        CommandError: the process failed.
    """
    return run_python("-m", "bench.child", *arguments, cache=cache)


def run_python(*arguments: str, cache: str | None = None) -> dict[str, Any]:
    """Run Python and return the JSON object that it prints.

    Raises:
        CommandError: the process failed.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [_HOME, os.environ.get("PYTHONPATH")]))}
    environment |= {"RMSPROP_CACHE_DIR": cache} if cache else {}
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, errors="replace", env=environment, check=False
    )
    if done.returncode:
        sys.stderr.write(done.stderr)
        raise CommandError(f"a process of the measurement failed, with the exit status {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found
