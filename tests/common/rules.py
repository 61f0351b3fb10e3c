"""Numbers to call the rule with, and every set of options that it can be compiled for."""

import itertools

import numpy
import pytest

from rmsprop._core import rule

#: Arguments that belong together: on or off as one.
GROUPS = {
    "clip_scale": ("clip_scale",),
    "clip_value": ("clip_value",),
    "weight_decay": ("weight_decay",),
    "momentum": ("momentum", "mu"),
    "average_gradient": ("average_gradient",),
    "average": ("average", "ema_momentum", "ema_momentum_c"),
    "overwrite": ("overwrite",),
}

SCALARS = {
    "learning_rate": 0.01, "clip_scale": 0.5, "clip_value": 0.75, "weight_decay": 0.004, "rho": 0.9, "rho_c": 0.1,
    "mu": 0.9, "epsilon": 1e-7, "ema_momentum": 0.99, "ema_momentum_c": 0.01, "overwrite": True,
}  # fmt: skip


def _variants():
    for chosen in itertools.product((False, True), repeat=len(GROUPS)):
        on = {name for name, is_on in zip(GROUPS, chosen, strict=True) if is_on}
        if not {"clip_scale", "clip_value"} <= on and ("average" in on or "overwrite" not in on):
            yield on


#: Every set of options that can be on together: not both clips, overwriting only with an average.
VARIANTS = [pytest.param(on, id="-".join(sorted(on)) or "plain") for on in _variants()]


def arguments(on, dtype=numpy.float32, size=64, seed=0):
    """Give the rule's arguments by name; off is None. Values include zeros, tiny, huge, infinite and NaN ones."""
    random = numpy.random.default_rng(seed)
    off = {name for group, names in GROUPS.items() if group not in on for name in names}
    given = {}
    for name in ("gradient", *rule.STATE):
        values = random.normal(0, 1, size).astype(dtype)
        # A velocity well above the squared mean: their difference is no test of the compiler where it cancels.
        if name == "velocity":
            values = values * values + dtype(1)
        if name == "average_gradient":
            values /= 10
        if name in ("gradient", "variable"):
            values[:6] = [0, -0.0, 1e-30, 1e15, numpy.inf, numpy.nan]
        given[name] = values
    for name, value in SCALARS.items():
        given[name] = value if name == "overwrite" else dtype(value)
    return {name: None if name in off else value for name, value in given.items()}


def expected(on, dtype=numpy.float32):
    """Give the rule's results on plain arrays."""
    with numpy.errstate(all="ignore"):
        return rule.update(**arguments(on, dtype))
