"""What `import rmsprop` loads, and when Numba comes."""

import re

import pytest
import quick
from processes import path, run

from rmsprop._core.extras import EXTRAS, FRONT_ENDS
from rmsprop._core.versions import TRIED

HEAVY = {
    "numba", "llvmlite", "torch", "jax", "tensorflow", "tf_keras", "keras", "triton", "scipy", "sklearn", "matplotlib",
    "rich", "autograd", "safetensors", "platformdirs", "ml_dtypes",
}  # fmt: skip


def installed(front_end):
    """Whether all that a front end imports is there; in the suite's environment it is."""
    return not quick.missing(EXTRAS[front_end])


def needing(front_end, *rest, marks=()):
    """A row that is for environments which have the front end's packages."""
    reason = f"{' and '.join(quick.missing(EXTRAS[front_end]))} not installed"
    return pytest.param(front_end, *rest, marks=[pytest.mark.skipif(not installed(front_end), reason=reason), *marks])


def test_import_loads_numpy_and_nothing_heavier():
    loaded = run("import rmsprop, sys; print(*{name.split('.')[0] for name in sys.modules})").split()
    assert "numpy" in loaded
    assert not HEAVY & set(loaded)


def test_everything_but_a_step_does_without_numba():
    run(
        """
        import sys, numpy, rmsprop
        w = numpy.ones(3)
        optimizer = rmsprop.RMSprop(use_ema=True)
        optimizer.build([w])
        optimizer.finalize_variable_values([w])
        rmsprop.RMSprop(jit_compile=False).apply_gradients([(w.copy(), w)])
        assert "numba" not in sys.modules
        optimizer.apply_gradients([(w.copy(), w)])
        assert "numba" in sys.modules
        """
    )


def test_a_step_loads_no_framework():
    loaded = run(
        """
        import sys, numpy, rmsprop
        w = numpy.ones(3)
        rmsprop.RMSprop(rmsprop.schedules.CosineDecay(0.1, 10)).apply_gradients([(w.copy(), w)])
        print(*{name.split('.')[0] for name in sys.modules})
        """
    ).split()
    assert not {"torch", "jax", "tensorflow", "tf_keras", "keras", "triton"} & set(loaded)


def test_numbas_own_switch_runs_the_rule_in_plain_numpy():
    source = """
        import numpy, rmsprop
        w = numpy.array(10.0)
        rmsprop.RMSprop(learning_rate=0.1, clipnorm=100.0).minimize(lambda: (0, [w]), [w])
        print(w.round(6))
    """
    assert run(source, NUMBA_DISABLE_JIT="1", RMSPROP_NATIVE="0") == "9.683772"


def test_what_completes_after_the_import():
    """The public names and nothing that the module itself needs; looking loads nothing."""
    found = run(
        """
        import rmsprop, sys
        print(*(name for name in dir(rmsprop) if name[:2] != "__"))
        print(*{name.split(".")[0] for name in sys.modules})
        """
    ).splitlines()
    front_ends = {name for name in FRONT_ENDS if installed(name)}
    public = {"Explained", "Explanation", "RMSprop", "RowSparse", "checkpoint", "numpy", "recipes", "schedules"}
    assert found[0].split() == sorted(public | front_ends)
    assert not HEAVY & set(found[1].split())


@pytest.mark.parametrize("front_end", [needing("torch"), needing("jax")])
def test_a_front_end_is_loaded_when_it_is_first_used(front_end):
    source = f"""
        import sys, rmsprop
        assert "{front_end}" not in sys.modules
        assert rmsprop.{front_end}.RMSprop.__module__.startswith("rmsprop.")
        assert rmsprop.{front_end} is sys.modules["rmsprop.{front_end}"]
    """
    run(source)


def test_a_star_import_loads_no_framework():
    run(
        """
        from rmsprop import *
        import sys
        assert checkpoint and recipes and schedules
        assert not {"torch", "jax", "tensorflow", "tf_keras", "keras"} & set(sys.modules)
        """
    )


@pytest.mark.parametrize(
    ("front_end", "package"),
    [
        # Where the second package is missing, TensorFlow is loaded, and JAX without Optax is such a row.
        needing(name, package, marks=[pytest.mark.slow] * (package == "tf_keras"))
        for name in FRONT_ENDS
        for package in EXTRAS[name]
        if package != "jaxlib"
    ],
)
def test_a_front_end_without_its_framework_names_the_extra(front_end, package):
    source = f"""
        import rmsprop
        from missing import hide
        hide("{package}")
        import warnings
        warnings.simplefilter("ignore")  # those of frameworks that are loaded before the one that is missing
        for load in (lambda: rmsprop.{front_end}, lambda: __import__("rmsprop.{front_end}")):
            try:
                load()
            except ModuleNotFoundError as error:
                print(error.name, error)
        print("{front_end}" in dir(rmsprop))
    """
    remedy = f'pip install ".[{front_end.replace("_", "-")}]" in the folder of rmsprop\'s sources'
    line = f"{package} rmsprop.{front_end} needs the package {package}: {remedy}"
    assert run(source, PYTHONPATH=path()).splitlines() == [line, line, "False"]


#: Imports that a front end might do, the kind of error, and what is not there.
GONE = [
    ("import jax.experimental.no_such_module", "ModuleNotFoundError", "jax.experimental.no_such_module"),
    ("from jax.experimental import no_such_name", "ImportError", "jax.experimental.no_such_name"),
]


@pytest.mark.parametrize(("front_end", "statement", "kind", "lost"), [needing("jax", *one) for one in GONE])
def test_a_part_of_a_framework_that_is_gone(front_end, statement, kind, lost):
    """Not a word of installing the package, which is there."""
    said = run(
        f"""
        from rmsprop._core.extras import naming_the_extra
        try:
            with naming_the_extra("rmsprop.{front_end}"):
                {statement}
        except ImportError as error:
            print(type(error).__name__, error)
        """
    )
    oldest, newest = TRIED[front_end]
    assert re.fullmatch(
        rf"{kind} rmsprop\.{front_end} needs {re.escape(lost)}, which {front_end} \S+ does not have: "
        rf"{front_end} {re.escape(oldest)} to {re.escape(newest)} were tried",
        said,
    )
