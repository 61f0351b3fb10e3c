"""Keras on torch, quiet and on the CPU; the environment must say so before the import."""

import os

import pytest

os.environ["KERAS_BACKEND"] = "torch"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_collection_modifyitems(items):
    """Keras's own way from its torch variables to NumPy lacks a keyword that NumPy 2 wants."""
    for item in items:
        item.add_marker(
            pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
        )
