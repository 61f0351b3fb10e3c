"""Small arrays and settings that many tests use."""

import ml_dtypes
import numpy

EVERYTHING = {
    "momentum": 0.9, "centered": True, "weight_decay": 0.01, "global_clipnorm": 1.0, "use_ema": True,
    "ema_overwrite_frequency": 3,
}  # fmt: skip
TYPES = [numpy.float16, ml_dtypes.bfloat16, numpy.float32, numpy.float64]


def numbers(shape, dtype=numpy.float32, seed=0):
    return numpy.random.default_rng(seed).normal(size=shape).astype(dtype)
