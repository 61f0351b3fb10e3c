"""Running a command under encodings that cannot say all of what it prints."""

import os
import subprocess
import sys

import pytest

#: A terminal's encoding, by the variables that decide it.
POSIX = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}
ENCODINGS = {
    **{name: {"PYTHONIOENCODING": name} for name in ("gbk", "ascii", "utf-8", "shift_jis", "cp437", "ascii:strict")},
    "C": POSIX,
}


def slow(*names):
    """Encodings that `make test` leaves out."""
    return [pytest.param(name, marks=pytest.mark.slow) for name in names]


def run_under(encoding, command, folder):
    """Run Python with the arguments `command` in a folder; return exit status, output and errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *command],
        capture_output=True,
        env=os.environ | ENCODINGS[encoding],
        cwd=folder,
        timeout=300,
        check=False,
    )
    name = {"C": "ascii", "ascii:strict": "ascii"}.get(encoding, encoding)
    return done.returncode, done.stdout.decode(name, "surrogateescape"), done.stderr.decode(name, "surrogateescape")
