"""Running a piece of Python in a process of its own, or in a child of a process that has loaded what it needs."""

import json
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import oldest

#: Python with warnings as errors.
_PYTHON = [sys.executable, "-W", "error"]
_PYTHON += ["-W", f"ignore:{oldest.WARNING}:UserWarning"] if oldest.jax_is_traced() else []


def path(*folders):
    """Give the PYTHONPATH for a process that imports from `folders` and from this folder.

    The folder above is not part of it: `tests/jax` would then be imported where JAX is not installed.
    """
    return os.pathsep.join(filter(None, [*map(str, folders), str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))


def run(source, *arguments, timeout=300, **environment):
    """Run `source` with warnings as errors and give what it printed; a failure shows what it wrote."""
    done = subprocess.run(
        [*_PYTHON, "-c", textwrap.dedent(source), *map(str, arguments)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


#: Loads what the first line says. Then each line is a source, its arguments, its environment, seconds after which a
#: signal ends it, and a file for what it prints; the answer is the exit status of the child that runs it.
_LOADED = """
import json, os, signal, sys, warnings
exec(json.loads(sys.stdin.readline()))
for line in sys.stdin:
    source, arguments, environment, timeout, printed = json.loads(line)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads
        child = os.fork()
    if child == 0:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    sys.exit()
signal.alarm(timeout)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
os.dup2(os.open(printed, os.O_CREAT | os.O_WRONLY | os.O_APPEND), 1)
os.dup2(os.open(f"{printed}.errors", os.O_CREAT | os.O_WRONLY | os.O_APPEND), 2)
os.environ.update(environment)
sys.argv[1:] = arguments
exec(compile(source, "<string>", "exec"))  # whose names live until the end, as those of any program do
"""


class Loaded:
    """A process that has loaded what pieces of Python need, which run in children of it: imports take seconds.

    Args:
        source: loads it, and starts no threads.
        environment: variables, besides those of this process.

    Attributes:
        errors: what the last child wrote to its standard error.
    """

    errors = ""

    def __init__(self, source, **environment):
        self._folder = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            [*_PYTHON, "-c", _LOADED],
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._say(textwrap.dedent(source))

    def _say(self, words):
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()

    def run(self, source, *arguments, timeout=300, **environment):
        """Run `source` in a child and give what it printed; a failure shows what it wrote."""
        printed = Path(self._folder.name) / "printed"
        self._say([textwrap.dedent(source), [*map(str, arguments)], environment, timeout, str(printed)])
        status = self._process.stdout.readline().strip()
        found, self.errors = (self._taken(file) for file in (printed, printed.with_name("printed.errors")))
        assert status == "0", f"exit status {status}\n{found}\n{self.errors}"
        return found.strip()

    @staticmethod
    def _taken(file):
        written = file.read_text()
        file.unlink()
        return written

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.communicate()  # which ends its input
        self._folder.cleanup()
