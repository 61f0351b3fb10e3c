"""The errors that `make mutants` puts into the source: each is found where it is to be put."""

import subprocess
import sys
from pathlib import Path

MUTANTS = Path(__file__).parent.parent / "mutants" / "run.py"


def test_the_table_is_of_this_source():
    done = subprocess.run([sys.executable, MUTANTS, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
