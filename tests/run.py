"""Run the whole suite: each folder beside this file in a process of its own, and one line for all of them.

Frameworks get in each other's way: each takes memory and threads on import, registers CUDA libraries, and sets
floating-point and logging state for the process; Triton's interpreter is chosen when Triton is imported. So a folder
holds the tests of one framework, and `tests/core` those of none. Arguments are handed to pytest.
"""

import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent


def folders() -> list[Path]:
    """List the folders with tests, the one without framework first."""
    found = sorted({file.parent for file in HERE.glob("*/test_*.py")})
    return sorted(found, key=lambda folder: folder.name != "core")


def run(folder: Path, arguments: list[str]) -> tuple[int, Counter[str]]:
    """Run one folder, show what it prints, and count."""
    command = [sys.executable, "-m", "pytest", "--quiet", str(folder), *arguments]
    counts: Counter[str] = Counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE.parent) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            if re.search(r" in \d+\.\d+s", line):
                counts = Counter({kind: int(count) for count, kind in re.findall(r"(\d+) (\w+)", line)})
    return process.returncode, counts


def main() -> int:
    """Run all folders, the later ones also after a failure."""
    started, total, failed = time.monotonic(), Counter[str](), []
    for folder in folders():
        print(f"\n=== {folder.name}", flush=True)
        status, counts = run(folder, sys.argv[1:])
        total += counts
        if status:
            failed.append(folder.name)
    bad = total["failed"] + total["error"] + total["errors"]
    print(f"\n{time.monotonic() - started:.0f} s" + (f"; failed: {', '.join(failed)}" if failed else ""))
    print(f"{total['passed']} passed, {bad} failed, {total['skipped']} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
