"""Compiled kernels on disk: found again, never stale, never an error."""

import ast
import os
import shutil
import sys
import textwrap
from pathlib import Path

import pytest
from processes import run

import rmsprop
from rmsprop._core.cpu import cache, kernels

#: Prints a number that a step makes, and of how many kernels of steps there was a sound file, and was none.
STEP = """
    import sys, numpy
    from rmsprop import RMSprop
    from rmsprop._core.cpu.cache import KernelCache
    found, load = [], KernelCache.load_overload

    def counted(self, *arguments):
        loaded = load(self, *arguments)
        if self._name.startswith("step_"):
            found.append(loaded is not None)
        return loaded

    KernelCache.load_overload = counted
    w = numpy.zeros(3)
    RMSprop(learning_rate=1.0, rho=1.0, epsilon=1.0).apply_gradients([(numpy.ones(3), w)])
    print(w[0], found.count(True), found.count(False))
"""


def step(folder, run=run, **environment):
    value, hits, misses = run(STEP, RMSPROP_CACHE_DIR=str(folder), **environment).split()
    return float(value), int(hits), int(misses)


@pytest.fixture
def package(tmp_path):
    """A copy of the package whose files may be edited, beside a cache."""
    copy = tmp_path / "copy" / "rmsprop"
    shutil.copytree(Path(rmsprop.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def step_of(package):
    """Do the step of a copy of the package."""
    cache = package.parents[1] / "cache"
    return step(cache, PYTHONPATH=str(package.parent), PYTHONDONTWRITEBYTECODE="1")


def test_the_second_process_loads_what_the_first_compiled(tmp_path):
    assert step(tmp_path) == (-1.0, 0, 1)
    assert step(tmp_path) == (-1.0, 1, 0)


def test_an_edited_rule_gives_new_numbers(package):
    """Another rule of the same length and time stamp."""
    assert step_of(package) == (-1.0, 0, 1)
    rule = package / "_core" / "rule.py"
    stamp = rule.stat().st_mtime_ns
    text = rule.read_text()
    assert text.count("variable = variable - increment") == 1
    rule.write_text(text.replace("variable = variable - increment", "variable = variable + increment"))
    os.utime(rule, ns=(stamp, stamp))
    assert step_of(package) == (1.0, 0, 1)
    assert len(list((package.parents[1] / "cache").iterdir())) == 2


#: The modules that a kernel of steps is made of, of those that all kernels are, and its own.
SHARED = ("rule", "tables", *(f"cpu/{one}" for one in ("half", "memory", "modes", "target", "words")))
OWN = tuple(f"cpu/{one}" for one in ("step", "gather", "pieces"))


@pytest.mark.parametrize(
    "edited", [("cpu/memory",), pytest.param(SHARED + OWN, marks=pytest.mark.slow)], ids=["one", "all"]
)
def test_an_edit_of_what_a_kernel_is_made_of_compiles_it_anew_and_no_other_edit_does(package, edited):
    assert step_of(package) == (-1.0, 0, 1)
    for file in package.rglob("*.py"):
        if file not in [package / "_core" / f"{name}.py" for name in SHARED + OWN]:
            file.write_text(file.read_text() + "# edited\n")
    assert step_of(package) == (-1.0, 1, 0)
    for name in edited:
        file = package / "_core" / f"{name}.py"
        file.write_text(file.read_text() + "# edited\n")
        assert (name, *step_of(package)) == (name, -1.0, 0, 1)
    assert step_of(package) == (-1.0, 1, 0)


@pytest.fixture(scope="module")
def filled(forked, tmp_path_factory):
    """A cache with the kernels of a step."""
    cache = tmp_path_factory.mktemp("filled")
    step(cache, forked)
    return cache


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b[:-1] + bytes([b[-1] ^ 1]),
        *(pytest.param(one, marks=pytest.mark.slow) for one in (lambda b: b[: len(b) // 2], lambda b: b"")),
    ],
)
def test_a_damaged_file_is_compiled_again(filled, forked, tmp_path, damage):
    cache = shutil.copytree(filled, tmp_path / "cache")
    (file,) = cache.rglob("step_*")
    file.write_bytes(damage(file.read_bytes()))
    assert step(cache, forked) == (-1.0, 0, 1)
    assert step(cache, forked) == (-1.0, 1, 0)


def test_a_folder_in_the_way_is_no_error(forked, tmp_path):
    """Whoever runs the tests may be allowed to write anywhere, so the cache is a file, where no folder can be made."""
    (tmp_path / "file").write_text("not a folder")
    assert step(tmp_path / "file", forked) == (-1.0, 0, 1)


def test_an_unwritable_folder_is_no_error(forked, tmp_path):
    folder = Path("/proc/nowhere") if Path("/proc").is_dir() else tmp_path / "missing" / "\0"
    assert step(folder, forked) == (-1.0, 0, 1)


def test_an_empty_name_turns_the_cache_off(tmp_path):
    assert step("", HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path)) == (-1.0, 0, 1)
    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_the_users_cache_by_default(tmp_path):
    source = """
        import os
        os.environ.pop("RMSPROP_CACHE_DIR", None)
        from rmsprop._core.cpu.cache import cache_folder
        print(cache_folder())
    """
    found = Path(run(source, XDG_CACHE_HOME=str(tmp_path)))
    assert found.name.startswith("kernels-")
    assert found.parent.name == "rmsprop"


def test_many_processes_may_start_at_once(forked, tmp_path):
    source = """
        import os, sys
        for _ in range(3):
            if os.fork() == 0:
                exec(sys.argv[1])
                break
        else:
            print(*{os.wait()[1] for _ in range(3)})
    """
    printed = forked(source, textwrap.dedent(STEP), RMSPROP_CACHE_DIR=str(tmp_path)).splitlines()
    assert [line.split()[0] for line in printed] == ["-1.0"] * 3 + ["0"]
    assert not [file.name for file in tmp_path.rglob("tmp*")]


def imported(module):
    """The modules of the core that a module imports, or imports names of."""
    tree = ast.parse(Path(module.__file__).read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    found = {
        sys.modules.get(f"{one.module}.{name.name}", sys.modules[one.module]) for one in imports for name in one.names
    }
    return {one for one in found if one.__name__.startswith("rmsprop._core.")}


@pytest.mark.parametrize("name", kernels._ENTRIES)
def test_an_edit_of_any_module_that_a_function_of_every_step_is_made_of_compiles_it_anew(name):
    """Otherwise an old one would be loaded that looks for words where they are no more."""
    own = set(kernels._ENTRIES[name][2])
    assert set().union(*map(imported, own)) <= own | set(cache._SHARED)
