"""The examples in the docstrings of what needs torch run and print what they say."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["rmsprop.torch", "rmsprop._torch.base"])
def test_docstrings(name):
    found = doctest.testmod(importlib.import_module(name))
    assert found.failed == 0
    assert found.attempted > 0 or name != "rmsprop.torch"
