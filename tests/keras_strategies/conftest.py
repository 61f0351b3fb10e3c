"""Keras on TensorFlow, quiet and on the CPU, which has to be parted before anything runs on it."""

import os

import pytest

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_collection_modifyitems(items):
    """Keras's own way from its variables to NumPy lacks a keyword that NumPy 2 wants."""
    for item in items:
        item.add_marker(
            pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
        )
