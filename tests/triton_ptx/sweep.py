"""Compile and check every combination of types, alignment and options that can be launched: some minutes.

`test_ptx.py` does all options for one type and all types for a few options.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "common")]

import test_ptx  # noqa: E402


def main():
    for storage in test_ptx.STORAGE:
        for aligned in (True, False):
            for on in test_ptx.OPTION_SETS:
                test_ptx.check_step(storage, aligned, on, scaled=False)
            print(*storage, "aligned" if aligned else "unaligned", "ok", flush=True)


if __name__ == "__main__":
    main()
