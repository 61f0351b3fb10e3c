"""Versions that front ends do not run on are refused by name when a front end is imported."""

import json
import re
import subprocess
import sys
import tomllib
import types
from functools import cache
from pathlib import Path

import pytest
import quick
from processes import run

from rmsprop._core.extras import EXTRAS
from rmsprop._core.versions import TRIED, check

ROOT = Path(__file__).parents[2]

#: A front end, what Keras runs on, a package, a version before the oldest, and what the message calls the front end.
OLD = [
    ("numpy", "", "numpy", "1.26.4", "rmsprop"),
    ("tf_keras", "", "tensorflow", "2.18.0", "rmsprop.tf_keras"),
    ("tf_keras", "", "tf_keras", "2.17.0", "rmsprop.tf_keras"),
    ("torch", "", "torch", "2.5.1+cpu", "rmsprop.torch"),
    ("jax", "", "jax", "0.7.2", "rmsprop.jax"),
    ("jax", "", "optax", "0.2.3", "rmsprop.jax"),
    ("keras", "torch", "keras", "3.10.0", "rmsprop.keras"),
    ("keras", "torch", "torch", "2.5.1", "rmsprop.keras on torch"),
    ("keras", "jax", "jax", "0.7.2", "rmsprop.keras on jax"),
    ("keras", "tensorflow", "tensorflow", "2.17.1", "rmsprop.keras on tensorflow"),
]

#: A front end, what Keras runs on, a package, and what it may lose.
LOST = [
    ("torch", "", "torch", "torch.optim.optimizer", "_global_optimizer_pre_hooks"),
    ("keras", "torch", "keras", "keras.src.backend.common.stateless_scope", "in_stateless_scope"),
    ("keras", "jax", "jax", "jax.experimental.sparse", "BCOO"),
]


#: Front ends and backends of Keras in `make test`: each pair takes a process some seconds, and `check` is the same.
TRIED_QUICKLY = [("numpy", ""), ("torch", ""), ("keras", "jax")]


def installed(front_end, backend, *rest):
    missing = quick.missing({front_end, *filter(None, [backend]), *rest[:1]})
    marks = [pytest.mark.skipif(bool(missing), reason=f"{missing} not installed")]
    marks += [pytest.mark.slow] * ((front_end, backend) not in TRIED_QUICKLY)
    return pytest.param(front_end, backend, *rest, marks=marks)


def _make_older(package, version):
    return f"import {package}; {package}.__version__ = {version!r}"


def _take_away(module, name):
    return f"import sys, {module}; delattr(sys.modules[{module!r}], {name!r})"


@cache
def _messages(front_end, backend):
    """What the import of a front end says after each change to what it imports: change -> message.

    Each is tried in a child of one process, which has loaded the packages: they take seconds.
    """
    changes = {
        _make_older(package, version): package for *one, package, version, _ in OLD if one == [front_end, backend]
    }
    lost = [one for one in LOST if one[:2] == (front_end, backend)]
    changes |= {_take_away(module, name): package for *_, package, module, name in lost}
    printed = run(
        f"""
        import json, os, sys, warnings
        if {backend!r}:
            os.environ["KERAS_BACKEND"] = {backend!r}
            import keras
        packages, changes = map(json.loads, sys.argv[1:])
        for package in packages:
            __import__(package)
        for change in changes:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # forking with threads
                child = os.fork()
            if child == 0:
                exec(change)
                message = ""
                try:
                    import rmsprop.{front_end}
                except ImportError as error:
                    message = str(error)
                print(json.dumps(message), flush=True)
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, change
        """,
        json.dumps(sorted(set(changes.values()))), json.dumps([*changes]), TF_CPP_MIN_LOG_LEVEL="3",
    )  # fmt: skip
    return dict(zip(changes, map(json.loads, printed.splitlines()), strict=True))


@pytest.mark.parametrize(
    ("front_end", "backend", "package", "version", "named"), [installed(*one) for one in OLD], ids=str
)
def test_an_older_one_is_refused(front_end, backend, package, version, named):
    said = _messages(front_end, backend)[_make_older(package, version)]
    oldest = TRIED[package][0]
    assert said.startswith(f"{named} needs {package} {oldest} or newer, and this is {package} {version}: pip install")


def test_a_folder_with_the_name_of_a_package():
    module = types.ModuleType("optax")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "optax", module)
        with pytest.raises(
            ImportError, match="rmsprop.jax needs optax .* or newer, and <module 'optax'> has no version"
        ):
            check("rmsprop.jax", "optax")


@pytest.mark.parametrize(
    ("front_end", "backend", "package", "module", "name"), [installed(*one) for one in LOST], ids=str
)
def test_a_newer_one_that_has_lost_something(front_end, backend, package, module, name):
    said = _messages(front_end, backend)[_take_away(module, name)]
    assert re.search(
        rf"needs {module}\.{name}, which {package} \S+ does not have: {package} \S+ to \S+ were tried", said
    )


def test_the_oldest_are_those_of_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(one for ones in project["optional-dependencies"].values() for one in ones)]
    bounds = {name.replace("-", "_"): bound for name, _, bound in (line.partition(">=") for line in lines)}
    assert {name: bounds[name] for name in TRIED} == {name: oldest for name, (oldest, _) in TRIED.items()}


def test_the_extras_are_those_of_pyproject():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    names = {"scikit_learn": "sklearn"}  # a package -> what is imported, where the two differ
    found = {}
    for extra in extras.keys() - {"test", "docs"}:  # what works on the package, and is not used by it
        assert "_" not in extra  # which a pip before 23.3 does not find
        packages = {line.partition(">=")[0].replace("-", "_") for line in extras[extra]}
        # Front ends do without bfloat16 for NumPy.
        found[extra.replace("-", "_")] = {names.get(package, package) for package in packages} - {"ml_dtypes"}
    found["jax"].add("jaxlib")  # which JAX brings along and may lack, as its own extras choose it
    assert {extra: {*modules} for extra, modules in EXTRAS.items()} == found


def test_the_newest_are_those_of_constraints_newest():
    """`make newest` renews that file: then this table of `rmsprop._core.versions`, too."""
    pinned = dict(re.findall(r"^(\S+)==(\S+)$", (ROOT / "constraints-newest.txt").read_text(), re.MULTILINE))
    assert {name: pinned[name] for name in TRIED} == {name: newest for name, (_, newest) in TRIED.items()}


def test_every_lower_bound_is_one_that_the_oldest_environments_can_have():
    """`make test-lowest` makes them from pyproject.toml: a bound of another form would end it."""
    source = "import runpy, json; print(json.dumps(runpy.run_path('tests/lowest.py')['bounds']()))"
    found = json.loads(subprocess.run([sys.executable, "-c", source], capture_output=True, cwd=ROOT, check=True).stdout)
    assert {"numpy", "jax", "torch", "tensorflow", "keras"} <= set(found)
