"""Running a piece of Python in a process of its own."""

import os
import subprocess
import sys
import textwrap


def run(source, *arguments, timeout=300, **environment):
    """Run `source` with warnings as errors and give what it printed; a failure shows what it wrote."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(source), *map(str, arguments)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()
