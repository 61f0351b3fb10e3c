"""Keras on torch, quiet and on the CPU; the environment must say so before the import."""

import os

import pytest

os.environ["KERAS_BACKEND"] = "torch"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""


#: Keras's own way from its torch variables to NumPy lacks a keyword that NumPy 2 wants; and torch's word on Python
#: 3.13.0, about its own guards.
QUIET = (
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning",
    "ignore:Guards may run slower on Python 3.13.0:RuntimeWarning",
)


def pytest_collection_modifyitems(items):
    """Let no warning of the frameworks' own be an error."""
    for item in items:
        for text in QUIET:
            item.add_marker(pytest.mark.filterwarnings(text))
