"""Run the suite: each folder beside this file in a process of its own, and one line for all of them.

Frameworks get in each other's way: each takes memory and threads on import, registers CUDA libraries, and sets
floating-point and logging state for the process; Triton's interpreter is chosen when Triton is imported. So a folder
holds the tests of one framework, and `tests/core` those of none. Three folders run at a time on two cores, because many
tests wait for processes that they start; each folder is shown when it is done. What Triton compiles is looked at twice,
with the version of the environment and with an older one that `make env` puts beside it. The benchmark's tests, in
`benchmarks/tests`, are one process for those without a framework and one for each framework's module; Keras's runs on
each backend. The last lines name the slowest tests of all.

Arguments are handed to pytest: `make test` leaves out what is marked `slow`, `make test-all` runs that too. With
`-m quick` only the folders of that selection are run, and a folder whose framework is not installed is left out: a line
says which. Without, a framework that is missing is an error.
"""

import os
import re
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent

# In the place of this folder, whose folders have the names of frameworks and would pass for them.
sys.path[0] = str(HERE / "common")

import quick  # noqa: E402

#: Those that take longest come first, so that nothing long is left for the end.
FIRST = (
    "core", "tf_keras", "jax", "torch", "tensorflow", "keras_jax", "keras_tensorflow", "keras_torch", "tf_distribute",
)  # fmt: skip


#: Pytest's exit status where no test was run: nothing is wrong if all were deselected, as `-m "not slow"` does.
_NONE_CHOSEN = 5

#: Folder -> packages besides the environment's own: then it is run with each of them, too.
AGAIN = {"triton_ptx": [*Path(sys.prefix).glob("triton-*")]}


#: The benchmark's tests. Those of a framework are all marked `slow`.
BENCHMARK = HERE.parent / "benchmarks" / "tests"

#: How many of the slowest tests are printed at the end.
SLOWEST = 10

#: Asks pytest for the slowest tests of a folder; and what its lines look like: "1.23s call tests/core/test_x.py::test".
_DURATIONS = f"--durations={SLOWEST}"
_DURATION = re.compile(r"^(\d+\.\d+)s (setup|call|teardown) +(\S.*)\n", re.MULTILINE)
_HEADING = re.compile(r"^=+ slowest \d+ durations =+\n(\n?\(\d+ durations .*\n)?", re.MULTILINE)

#: The backends of Keras that the benchmark is tested on.
KERAS_BACKENDS = ("jax", "tensorflow", "torch")


class Run(NamedTuple):
    """A folder or module, packages that come before those of the environment, and the backend that Keras runs on."""

    path: Path
    packages: Path | None = None
    backend: str | None = None

    def __str__(self) -> str:
        name = str(self.path.relative_to(HERE if HERE in self.path.parents else HERE.parent))
        name += f" with {self.packages.name}" if self.packages else ""
        return name + (f" on {self.backend}" if self.backend else "")


class Done(NamedTuple):
    """The exit status of a folder or module, its output without the lines of durations, its counts, and durations.

    Attributes:
        status: exit status of pytest.
        output: what pytest printed, without the slowest tests.
        counts: how many tests passed, failed, and so on.
        slowest: seconds, "setup", "call" or "teardown", and the test.
    """

    status: int
    output: str
    counts: Counter[str]
    slowest: list[tuple[float, str, str]]


def runs(arguments: list[str]) -> list[Run]:
    """List what is run, in the order in which it starts."""
    found = sorted({file.parent for file in HERE.glob("*/test_*.py")})
    selection = "quick" if "quick" in arguments else ""
    if selection:
        found = [folder for folder in found if folder.name in quick.CHOSEN]
    found = [folder for folder in found if not _left_out(folder.name, selection)]
    found.sort(key=lambda folder: FIRST.index(folder.name) if folder.name in FIRST else len(FIRST))
    suite = [Run(folder, packages) for folder in found for packages in (None, *AGAIN.get(folder.name, []))]
    return suite if selection else [*suite, *_benchmark(arguments)]


def _benchmark(arguments: list[str]) -> list[Run]:
    """List the runs of the benchmark's tests."""
    if "not slow" in arguments:
        return [Run(BENCHMARK)]
    modules = sorted(BENCHMARK.glob("test_on_*.py"))
    keras = BENCHMARK / "test_on_keras.py"
    on_keras = [Run(keras, backend=backend) for backend in KERAS_BACKENDS]
    return [Run(BENCHMARK), *(Run(module) for module in modules if module != keras), *on_keras]


def _left_out(folder: str, selection: str) -> bool:
    excused = quick.excused(quick.NEEDS.get(folder, ()), selection)
    if excused:
        print(f"tests/{folder} is left out: {' and '.join(excused)} not installed", flush=True)
    return bool(excused)


def do(one: Run, arguments: list[str]) -> Done:
    """Run one folder or module."""
    command = [sys.executable, "-m", "pytest", "--quiet", _DURATIONS, str(one.path), *arguments]
    paths = [str(one.packages)] if one.packages else []
    paths += filter(None, [os.environ.get("PYTHONPATH")])
    environment = {"PYTHONPATH": os.pathsep.join(paths)} if paths else {}
    environment |= {"KERAS_BACKEND": one.backend} if one.backend else {}
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=HERE.parent,
        env=os.environ | environment,
        check=False,
    )
    closing = re.findall(r"^.* in \d+\.\d+s.*$", done.stdout, re.MULTILINE)
    counts = re.findall(r"(\d+) (\w+)", closing[-1].rpartition(" in ")[0]) if closing else []
    slowest = [(float(seconds), phase, test) for seconds, phase, test in _DURATION.findall(done.stdout)]
    output = _HEADING.sub("", _DURATION.sub("", done.stdout))
    return Done(done.returncode, output, Counter({kind: int(count) for count, kind in counts}), slowest)


def show_slowest(slowest: list[tuple[float, str, str]]) -> None:
    """Print the slowest tests of the whole run."""
    print("\nslowest tests")
    for seconds, phase, test in sorted(slowest, reverse=True)[:SLOWEST]:
        print(f"{seconds:7.1f} s  {test}" + (f" ({phase})" if phase != "call" else ""))


def main() -> int:
    """Run all folders, the later ones also after a failure."""
    started, total, failed = time.monotonic(), Counter[str](), list[str]()
    slowest: list[tuple[float, str, str]] = []
    with ThreadPoolExecutor(min(2, os.cpu_count() or 1) + 1) as pool:
        running = {pool.submit(do, one, sys.argv[1:]): str(one) for one in runs(sys.argv[1:])}
        for future in as_completed(running):
            done = future.result()
            print(f"\n=== {running[future]}\n{done.output}", flush=True)
            total += done.counts
            slowest += done.slowest
            if done.status and not (done.status == _NONE_CHOSEN and done.counts["deselected"]):
                failed.append(running[future])
    show_slowest(slowest)
    bad = total["failed"] + total["error"] + total["errors"]
    print(f"{time.monotonic() - started:.0f} s" + (f"; failed: {', '.join(failed)}" if failed else ""))
    print(f"{total['passed']} passed, {bad} failed, {total['skipped']} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
