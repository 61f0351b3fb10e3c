"""Make the golden states anew: ``python tests/golden/make.py [folder...]``, folders as in `_FOLDERS`; without, all.

To be run where results are MEANT to change: a change of the numbers that the documentation promises, stated in
CHANGELOG.md, or cases that are added. Never to make a red test green: these files are what says that a change of the
code changed no number. Check then that the cases that were there have only changed where they were meant to:
``git diff --stat`` names the files, and a run of the tests before making says which cases differ.

Made twice by the same versions on the same processor, a file has the same bytes. What made it is kept in it.
"""

import importlib
import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]

#: A folder of tests -> the module there, or in `tests/common`, that does its steps, and what the environment says.
_FOLDERS = {
    "core": ("golden_runs", {}),
    "torch": ("golden_runs", {}),
    "jax": ("golden_runs", {}),
    "tf_keras": ("golden_runs", {}),
    "keras_jax": ("keras_golden", {"KERAS_BACKEND": "jax"}),
    "keras_tensorflow": ("keras_golden", {"KERAS_BACKEND": "tensorflow"}),
}


def make(folder):
    """Make the files of a folder, in this process."""
    # In the place of this folder.
    sys.path[:1] = [str(TESTS / folder), str(TESTS / "common")]
    import golden

    runs = importlib.import_module(_FOLDERS[folder][0])
    for file, (way, cases) in runs.KEEPS.items():
        golden.write(file, {str(case): runs.run(way, case) for case in cases})
        print(f"{file}: {len(cases)} cases, {(golden.FOLDER / file).stat().st_size / 1000:.0f} kB", flush=True)


def main():
    """Make those that are named, each in a process of its own."""
    folders = sys.argv[1:] or list(_FOLDERS)
    unknown = [folder for folder in folders if folder not in _FOLDERS]
    if unknown:
        sys.exit(f"{', '.join(unknown)}: must be of {', '.join(_FOLDERS)}")
    if len(folders) > 1:
        for folder in folders:
            subprocess.run([sys.executable, __file__, folder], check=True)
        return
    os.environ.update({"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", **_FOLDERS[folders[0]][1]})
    make(folders[0])


if __name__ == "__main__":
    main()
