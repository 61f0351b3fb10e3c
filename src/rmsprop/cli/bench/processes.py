"""Fresh interpreters, for what is only what it is in a process that has done nothing else."""

import json
import os
import subprocess
import sys
from typing import Any

from rmsprop.cli import CommandError


def measure_in_child(*arguments: str, cache: str | None = None) -> dict[str, Any]:
    """Run ``python -m rmsprop.cli.bench.child WHAT ...`` and give what it found.

    Args:
        arguments: what to measure, and of what.
        cache: the folder where it keeps its kernels; None: the user's.

    Raises:
        CommandError: the process failed.
    """
    return run_python("-m", "rmsprop.cli.bench.child", *arguments, cache=cache)


def run_python(*arguments: str, cache: str | None = None) -> dict[str, Any]:
    """Run Python and give the JSON object that it prints.

    Raises:
        CommandError: the process failed.
    """
    environment = {**os.environ, "RMSPROP_CACHE_DIR": cache} if cache else None
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, errors="replace", env=environment, check=False
    )
    if done.returncode:
        sys.stderr.write(done.stderr)
        raise CommandError(f"a process of the measurement failed, with the exit status {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found
