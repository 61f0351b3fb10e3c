"""Keras on jax, quiet and on the CPU; the environment must say so before the import."""

import os

os.environ["KERAS_BACKEND"] = "jax"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import compiled_once

compiled_once.keep()
