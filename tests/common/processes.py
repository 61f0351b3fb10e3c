"""Running a piece of Python in a process of its own."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import oldest


def path(*folders):
    """Give the PYTHONPATH for a process that imports from `folders` and from this folder.

    The folder above is not part of it: `tests/jax` would then be imported where JAX is not installed.
    """
    return os.pathsep.join(filter(None, [*map(str, folders), str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))


def run(source, *arguments, timeout=300, **environment):
    """Run `source` with warnings as errors and give what it printed; a failure shows what it wrote."""
    filters = ["-W", "error", *(["-W", f"ignore:{oldest.WARNING}:UserWarning"] if oldest.jax_is_traced() else [])]
    done = subprocess.run(
        [sys.executable, *filters, "-c", textwrap.dedent(source), *map(str, arguments)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()
