"""Print which sources of a step have changed since each measurement: ``make bench-check``.

It is no test: a change need not change the speed. But figures that are older than what they measure are to be measured
again before they are quoted.
"""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

#: What a step is made of.
SOURCES = tuple(
    f"src/rmsprop/{folder}"
    for folder in ("_core", "_numpy", "_torch", "_jax", "_tensorflow", "_kerases", "_keras", "_tf_keras")
)

#: Parts of it that only steps on some frameworks or of some front ends use, and their names.
ALONE = {
    "src/rmsprop/_core/cuda": {"torch"},
    "src/rmsprop/_numpy": {"numpy"},
    "src/rmsprop/_torch": {"torch"},
    "src/rmsprop/_jax": {"jax"},
    "src/rmsprop/_tensorflow": {"tensorflow"},
    "src/rmsprop/_kerases": {"keras", "tf_keras"},
    "src/rmsprop/_keras": {"keras"},
    "src/rmsprop/_tf_keras": {"tf_keras"},
}


def users(measurement: dict[str, Any]) -> set[str]:
    """Name the front end that stepped, and the framework whose arrays were stepped."""
    frontend = next((row["frontend"] for row in measurement["rows"] if "frontend" in row), "numpy")
    if frontend == "keras":
        return {frontend, str(measurement["machine"]["settings"]["KERAS_BACKEND"])}
    return {frontend, {"tf_keras": "tensorflow"}.get(frontend, frontend)}


def changed(commit: str, used_by: set[str], root: Path = ROOT) -> Counter[str]:
    """Count the commits since `commit` in which each source that a step of these uses was changed."""
    unused = [path for path, alone in ALONE.items() if not alone & used_by]
    others = [f":(exclude,glob){path}{end}" for path in unused for end in ("", "/**")]
    log = ["git", "log", "--no-merges", "--format=", "--name-only", f"{commit}..HEAD", "--", *SOURCES, *others]
    done = subprocess.run(log, cwd=root, capture_output=True, text=True, check=True)
    return Counter(filter(None, done.stdout.splitlines()))


def report(file: Path, root: Path = ROOT) -> list[str]:
    """Return the lines about one measurement."""
    measurement = json.loads(file.read_text(encoding="utf-8"))
    commit = measurement["machine"].get("commit")
    if not commit:
        return [f"{file.name}: does not say at which commit it was measured"]
    known = commit.removesuffix("-dirty")
    try:
        found = changed(known, users(measurement), root)
    except subprocess.CalledProcessError as problem:
        return [f"{file.name}: measured at {commit}, of which git says: {problem.stderr.strip()}"]
    lines = [f"{file.name}: measured at {known[:10]}{commit[len(known) :]}, {len(found)} sources changed since"]
    for path, count in sorted(found.items()):
        gone = "" if (root / path).exists() else ", not there any more"
        lines.append(f"  {path}: {count} commit{'s' if count > 1 else ''}{gone}")
    return lines


def main() -> None:
    """Print all of them, or those of the files that are named."""
    files = [Path(name) for name in sys.argv[1:]] or sorted((ROOT / "benchmarks").glob("*.json"))
    print(*(line for file in files for line in report(file)), sep="\n")


if __name__ == "__main__":
    main()
