"""Learning-rate schedules: Keras 2's six, as pure functions of the step, for every framework's kind of step.

A schedule is an immutable description; a call with a step returns the learning rate of that step. The type of the
result follows that of the step:

=====================================  ===========================================================
step                                   learning rate
=====================================  ===========================================================
Python ``int`` or ``float``            Python ``float``, computed in double precision
NumPy scalar or array                  float64, of the same shape
JAX array or tracer                    JAX's default float type (float32, float64 under x64)
TensorFlow tensor or variable          float32 (float64 for a float64 step), eager or in a graph
torch tensor                           float32 (float64 for a float64 step), on the step's device
=====================================  ===========================================================

Arrays are evaluated element by element. In float32, steps above 2**24 are rounded to the next float32. The module
imports NumPy and no framework: a step can only be a framework's if the user has imported it.

>>> from rmsprop import schedules
>>> schedule = schedules.PiecewiseConstantDecay([30, 60], [0.1, 0.01, 0.001])
>>> schedule(30), schedule(31)
(0.1, 0.01)
>>> schedules.deserialize(schedules.serialize(schedule)) == schedule
True
"""

from rmsprop.schedules._base import LearningRateSchedule
from rmsprop.schedules._serialization import deserialize, serialize
from rmsprop.schedules.cosine import CosineDecay, CosineDecayRestarts
from rmsprop.schedules.decay import ExponentialDecay, InverseTimeDecay, PiecewiseConstantDecay, PolynomialDecay

__all__ = [
    "CosineDecay", "CosineDecayRestarts", "ExponentialDecay", "InverseTimeDecay", "LearningRateSchedule",
    "PiecewiseConstantDecay", "PolynomialDecay", "deserialize", "serialize",
]  # fmt: skip
