"""What a type checker finds in calls of each front end: exactly the wrong ones."""

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import rmsprop

ROOT = Path(__file__).parents[2]

#: A line that is wrong says so in a comment, as mypy does.
CALLS = """
import rmsprop
from rmsprop import jax, keras, recipes, tf_keras, torch

rmsprop.RMSprop(0.1, rho=0.9, weight_decay=None, slot_dtype="float32")
rmsprop.RMSprop(**recipes.A2C)
rmsprop.RMSprop(lr=0.1)  # Unexpected keyword argument "lr"
rmsprop.RMSprop(momentun=0.9)  # Unexpected keyword argument "momentun"
rmsprop.RMSprop(rho="0.9")  # Argument "rho" to "RMSprop" has incompatible type "str"
rmsprop.tf_keras.RMSprop(native=True, mesh=None)
tf_keras.RMSprop(lr=0.1)  # Unexpected keyword argument "lr"
tf_keras.RMSprop(alpha=0.1)  # Unexpected keyword argument "alpha"
rmsprop.torch.RMSprop([], lr=0.1, maximize=True)
torch.RMSprop([], alpha=0.1)  # Unexpected keyword argument "alpha"
torch.RMSprop(lr=0.1)  # Missing positional argument "params"
rmsprop.jax.RMSprop(axis_name="rows")
jax.RMSprop(alpha=0.1)  # Unexpected keyword argument "alpha"
jax.RMSprop().update  # "RMSprop" has no attribute "update"
jax.rmsprop(mask={"w": True})
jax.rmsprop(decay=0.1)  # Unexpected keyword argument "decay"
rmsprop.keras.RMSprop(loss_scale_factor=2.0)
keras.RMSprop(lr=0.1)  # Unexpected keyword argument "lr"
rmsprop.RMSprop().explain([]).variables["w"].way
torch.RMSprop([]).explain([])  # Too many arguments for "explain" of "RMSprop"
rmsprop.toch  # Module has no attribute "toch"
"""

#: The frameworks are not looked into, which takes minutes and changes no call.
CONFIG = """
[mypy]
strict = true
[mypy-jax.*,jaxlib.*,keras.*,llvmlite.*,ml_dtypes.*,numba.*,optax.*,tensorflow.*,tf_keras.*,torch.*,triton.*]
follow_imports = skip
ignore_missing_imports = true
"""


def test_mypy_finds_exactly_the_wrong_calls(tmp_path, monkeypatch):
    (tmp_path / "calls.py").write_text(CALLS)
    (tmp_path / "mypy.ini").write_text(CONFIG)
    monkeypatch.setenv("MYPYPATH", str(ROOT / "src"))
    command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--hide-error-codes", "calls.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    found = dict(re.findall(r"^calls\.py:(\d+): error: (.*)$", done.stdout, re.MULTILINE))
    lines = enumerate(CALLS.splitlines(), 1)
    expected = {str(number): line.partition("  # ")[2] for number, line in lines if "  # " in line}
    assert found.keys() == expected.keys(), done.stdout + done.stderr
    for number, error in expected.items():
        assert found[number].startswith(error)


def test_annotations_can_be_resolved_at_run_time():
    """As libraries do that make configurations of signatures: the name of a class that is not loaded, too."""
    learning_rate = get_type_hints(rmsprop.RMSprop.__init__)["learning_rate"]
    assert rmsprop.schedules.LearningRateSchedule in get_args(learning_rate)
