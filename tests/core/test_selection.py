"""What a run of the suite may leave out where a package is not installed: see `tests/common/quick.py`."""

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

# None in `sys.modules` is, to imports and `find_spec`, a package that is not installed.
WITHOUT = "import sys\nsys.modules.update(torch=None, numba=None)\n"


def status_of(statement, folder, tmp_path, *options):
    """Run a module that begins with a statement, without torch and Numba; give pytest's status and its words."""
    (tmp_path / "conftest.py").write_text(WITHOUT + (TESTS / "conftest.py").read_text())
    markers = "".join(f"\n    {name}" for name in ("slow", "matrix", "quick"))
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {TESTS / 'common'}\nmarkers ={markers}\n")
    file = tmp_path / folder / "test_state_dict.py" if folder == "torch" else tmp_path / folder / "test_options.py"
    file.parent.mkdir()
    file.write_text(f"{statement}\n\ndef test_it():\n    pass\n")
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", file, *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize("folder", ["core", "torch"])
@pytest.mark.matrix(1)
def test_a_framework_may_be_missing_in_the_quick_selection_alone(folder, tmp_path):
    status, output = status_of("import torch", folder, tmp_path, "-m", "quick")
    assert status == pytest.ExitCode.NO_TESTS_COLLECTED
    assert "torch not installed" in output


@pytest.mark.parametrize("folder", ["core", "torch"])
@pytest.mark.matrix(1)
def test_a_framework_that_is_missing_is_an_error(folder, tmp_path):
    status, output = status_of("import torch", folder, tmp_path, "-m", "not slow")
    assert status == pytest.ExitCode.INTERRUPTED
    assert "import of torch halted" in output


@pytest.mark.parametrize("options", [[], ["-m", "quick"]], ids=str)
@pytest.mark.parametrize("statement", ["from arays import numbers", "import numba", "import rmsprop.no_such_module"])
@pytest.mark.matrix(2)
def test_any_other_import_that_fails_is_an_error(statement, options, tmp_path):
    assert status_of(statement, "core", tmp_path, *options)[0] == pytest.ExitCode.INTERRUPTED
