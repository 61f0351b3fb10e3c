"""Folders of tests are named after frameworks, and must not be taken for them."""

import os
import sys
from importlib.machinery import PathFinder
from pathlib import Path

import processes

TESTS = Path(__file__).parents[1]
FOLDERS = [folder.name for folder in TESTS.iterdir() if folder.is_dir()]


def found_here(entries):
    """Give the folders of tests that entries of an import path make modules of."""
    entries = [entry for entry in entries if Path(entry).resolve().is_relative_to(TESTS.parent)]
    specs = {name: PathFinder.find_spec(name, entries) for name in FOLDERS}
    places = {name: spec.submodule_search_locations or [] for name, spec in specs.items() if spec}
    return {name for name, found in places.items() if any(Path(one).is_relative_to(TESTS) for one in found)}


def test_no_folder_of_tests_stands_in_for_a_package():
    assert {"jax", "torch", "tensorflow", "tf_keras", "triton"} <= set(FOLDERS)
    assert found_here(["", str(TESTS)]) >= {"jax", "torch"}
    assert not found_here(["", *sys.path])


def test_nor_in_the_processes_that_tests_start():
    assert not found_here(processes.path(TESTS / "jax").split(os.pathsep))
    source = "import sys; print('\\n'.join(sys.path))"
    assert not found_here(processes.run(source, PYTHONPATH=processes.path()).splitlines())
