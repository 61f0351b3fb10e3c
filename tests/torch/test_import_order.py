"""TensorFlow imported before Triton: torch's next optimizer ends the process, and ours warns before that.

TensorFlow is an empty module here and Triton a folder that does not import, so that nothing ends; the last test has the
true ones.
"""

import os
import pickle
import subprocess
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

import pytest
import torch
from processes import run

from rmsprop.torch import RMSprop

MAKE = """
import sys
if {tensorflow}:
    import tensorflow
if {triton}:
    sys.modules["triton"] = None
import pickle, torch
from rmsprop.torch import RMSprop
try:
    {make}
except RuntimeWarning as warning:
    print(warning)
else:
    print("made")
"""
CONSTRUCTED = "RMSprop([torch.nn.Parameter(torch.zeros(3))])"


def made(folder, version="3.9.0", tensorflow=True, triton=False, make=CONSTRUCTED):
    """Give what an optimizer's beginning printed where this Triton is installed."""
    for name, source in (("tensorflow", ""), ("triton", "raise ImportError('a stand-in')")):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(source)
    if version is not None:
        (folder / f"triton-{version}.dist-info").mkdir()
        metadata = f"Metadata-Version: 2.1\nName: triton\nVersion: {version}\n"
        (folder / f"triton-{version}.dist-info" / "METADATA").write_text(metadata)
    paths = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    return run(MAKE.format(tensorflow=tensorflow, triton=triton, make=make), PYTHONPATH=paths)


def test_warns_before_triton_is_imported(tmp_path):
    assert "`import triton` before `import tensorflow`" in made(tmp_path)


def test_warns_when_a_pickle_is_read(tmp_path):
    file = tmp_path / "optimizer.pickle"
    file.write_bytes(pickle.dumps(RMSprop([torch.nn.Parameter(torch.zeros(3))])))
    assert "`import triton` before" in made(tmp_path, make=f"pickle.load(open({str(file)!r}, 'rb'))")


@pytest.mark.slow
@pytest.mark.parametrize("circumstances", [{"tensorflow": False}, {"triton": True}, {"version": "3.6.0"}], ids=str)
def test_says_nothing_where_nothing_ends(tmp_path, circumstances):
    assert made(tmp_path, **circumstances) == "made"


def test_a_mere_folder_called_triton_is_none(monkeypatch):
    parameters = [torch.nn.Parameter(torch.zeros(3))]
    RMSprop(parameters)  # whatever torch imports with the first is there
    monkeypatch.setitem(sys.modules, "tensorflow", ModuleType("tensorflow"))
    monkeypatch.delitem(sys.modules, "triton", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: ModuleSpec(name, None))
    RMSprop(parameters)  # without a warning, which would be an error


@pytest.mark.slow
@pytest.mark.skipif(
    not (find_spec("tensorflow") and find_spec("triton")), reason="TensorFlow and Triton are not both installed"
)
def test_is_seen_before_the_process_ends():
    source = f"import tensorflow, torch\nfrom rmsprop.torch import RMSprop\n{CONSTRUCTED}"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=300, check=False)
    assert "RuntimeWarning: TensorFlow was imported before Triton" in done.stderr
