"""Show that the tests of `make test` notice errors: put one into a copy of the source, and see them fail.

    python tests/mutants/run.py                    # all mutants, about half an hour
    python tests/mutants/run.py --only plan,"cpu:" # those whose names hold one of these texts
    python tests/mutants/run.py --check            # only whether each one's text is found

`table.py` lists the mutants. The test files of each are run without what is marked `slow`, as `make test` does, until
the first test fails; a mutant that no test notices has survived. Before, the same files are run on the source as it is,
since what fails there says nothing. Nothing is written to the working tree.

Exit status: 0 if every mutant is noticed, 1 if one survives, 2 if there is nothing to be learned: a text is not found
exactly once, or tests fail without a mutant.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from table import MUTANTS, Mutant

TESTS = Path(__file__).parent.parent
SOURCE = TESTS.parent / "src"

#: Seconds after which tests that have not come to an end count as failed: a mutant may make a step wait for ever.
LIMIT = 900

#: Pytest's exit status where no test was run.
_NONE_CHOSEN = 5


def main() -> int:
    """Run mutants, and print a table of them."""
    arguments = _parse()
    chosen = [one for one in MUTANTS if any(text in one.name for text in arguments.only.split(","))]
    if not chosen:
        sys.exit(f"no mutant has a name with {arguments.only}")
    wrong = [line for one in MUTANTS for line in _misses(one)]
    if wrong:
        print("\n".join(wrong), "tests/mutants/table.py is to be brought up to date", sep="\n")
        return 2
    if arguments.check:
        print(f"{len(MUTANTS)} mutants, each text found once")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        return _run(chosen, Path(folder), arguments.limit)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Put errors into the source and see whether tests notice.")
    parser.add_argument("--only", default="", help="parts of names, separated by commas; without, all mutants")
    parser.add_argument("--check", action="store_true", help="only see whether the texts of all mutants are found")
    parser.add_argument("--limit", type=int, default=LIMIT, help="seconds that a mutant's tests may take (%(default)s)")
    return parser.parse_args()


def _misses(mutant: Mutant) -> list[str]:
    """Say what of a mutant does not fit the source and the tests any more."""
    file = SOURCE / "rmsprop" / mutant.file
    found = file.read_text(encoding="utf-8").count(mutant.old) if file.is_file() else 0
    lines = [f"{mutant.name}: {mutant.file} holds its text {found} times, not once"] if found != 1 else []
    if mutant.old == mutant.new:
        lines.append(f"{mutant.name}: it changes nothing")
    return lines + [
        f"{mutant.name}: there is no {test}" for test in mutant.tests if not (TESTS / test.partition("::")[0]).exists()
    ]


def _run(mutants: list[Mutant], folder: Path, limit: int) -> int:
    for tests in dict.fromkeys(one.tests for one in mutants):
        said, _, _ = _test(tests, folder, SOURCE, limit)
        if said:
            print(f"without a mutant {' '.join(tests)} fails: {said}")
            return 2
    survived = []
    for mutant in mutants:
        said, output, seconds = _test(mutant.tests, folder, _mutated(mutant, folder), limit)
        print(f"{'killed' if said else 'SURVIVED':8}  {seconds:4.0f} s  {mutant.name:60}  {said}", flush=True)
        if not said:
            survived.append(mutant.name)
            print(output, flush=True)
    print(f"{len(mutants) - len(survived)} of {len(mutants)} mutants are noticed")
    return 1 if survived else 0


def _mutated(mutant: Mutant, folder: Path) -> Path:
    """Copy the source, with one error in it."""
    source = folder / "src"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(SOURCE, source, ignore=shutil.ignore_patterns("__pycache__"))
    file = source / "rmsprop" / mutant.file
    file.write_text(file.read_text(encoding="utf-8").replace(mutant.old, mutant.new), encoding="utf-8")
    return source


def _test(tests: tuple[str, ...], folder: Path, source: Path, limit: int) -> tuple[str, str, float]:
    """Run test files until one fails.

    Returns:
        What failed, "" if nothing did; the last lines of the output; and the seconds that it took.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "not slow"]
    command += [str(TESTS / test) for test in tests]
    # Kernels in a cache of this run alone; CI's profile, so that Hypothesis looks at the same examples in every run.
    environment = {"PYTHONPATH": str(source), "RMSPROP_CACHE_DIR": str(folder / "kernels"), "CI": "1"}
    started = time.monotonic()
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            cwd=TESTS.parent,
            env=os.environ | environment | {"PYTHONDONTWRITEBYTECODE": "1"},
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no end within {limit} s", "", time.monotonic() - started
    seconds, lines = time.monotonic() - started, done.stdout.splitlines()[-5:]
    if done.returncode == 0:
        return "", "\n".join(lines), seconds
    if done.returncode == _NONE_CHOSEN:
        return "no test was run", "\n".join(lines), seconds
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    return failed[1] if failed else f"exit status {done.returncode}", "\n".join(lines), seconds


if __name__ == "__main__":
    sys.exit(main())
