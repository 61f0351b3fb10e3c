"""Running the programs in `examples/`, each in a process of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"

#: Test accuracy that every example reaches.
ENOUGH = 0.97


def accuracy(name):
    """Run an example to its end, and return the test accuracy that its last line names."""
    # One thread: matrices this small are no work for two, which would wait for each other beside other tests.
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, EXAMPLES / name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert "UserWarning" not in done.stderr, done.stderr  # as of names that no variable has
    found = re.fullmatch(r"test accuracy (\d+\.\d+)%", done.stdout.splitlines()[-1])
    assert found, done.stdout
    return float(found[1]) / 100
