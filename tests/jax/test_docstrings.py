"""The examples in the docstrings of what needs JAX run and print what they say; nothing public is without."""

import doctest
import importlib

import pytest

import rmsprop.jax


@pytest.mark.parametrize("name", ["optimizer", "rate", "files", "transformation", "rows", "renaming"])
def test_docstrings(name):
    found = doctest.testmod(importlib.import_module(f"rmsprop._jax.{name}"))
    assert found.failed == 0
    assert found.attempted > 0


def test_everything_public_is_documented():
    for name in rmsprop.jax.__all__:
        assert getattr(rmsprop.jax, name).__doc__
