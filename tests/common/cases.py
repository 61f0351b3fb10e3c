"""The one table of cases that drives every front end's tests, and the gradients they are given.

`TABLE` are the settings whose results are compared, `ERRORS` the arguments that a constructor refuses. Parametrize
with ``ids=str``. A new option gets its rows here, and every front end is tested with it.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy

# Numbers of the table that pass through float32 in tf_keras, Keras and JAX are powers of two, so that float64
# variables can be compared: there 0.004 would be another number.
LEARNING_RATE = 2.0**-7
WEIGHT_DECAY = 2.0**-8


@dataclass(frozen=True)
class Case:
    """A setting whose results are compared.

    Attributes:
        desc: names the row.
        options: arguments of the constructor; `initial_velocity` is ours, tf_keras has none.
        exact: ``exact(variable, gradients)`` gives the variable after these gradients, bit for bit in its own dtype,
            fused multiply-add or not: only multiplications by powers of two and one addition a step. None where
            there is no such form.
        notes: what the row is for, where `desc` does not tell.
    """

    desc: str
    options: Mapping[str, Any] = field(repr=False)
    exact: Callable[..., Any] | None = field(default=None, repr=False)
    notes: str = field(default="", repr=False)

    def __str__(self):
        return self.desc


@dataclass(frozen=True)
class ErrorCase:
    """Arguments that the constructor refuses.

    Attributes:
        desc: names the row.
        options: arguments of the constructor.
        error: the exact class: TypeError for a wrong type or name, ValueError for a number out of range.
        match: regular expression found in the message, which names the argument and quotes the value.
        accepted_by: front ends that take this argument, so that the row is not for them.
    """

    desc: str
    options: Mapping[str, Any] = field(repr=False)
    error: type[Exception]
    match: str
    accepted_by: tuple[str, ...] = ()

    def __str__(self):
        return self.desc


# Results --------------------------------------------------------------------------------------------------------------

_MOMENTUM = {"": {}, "momentum": {"momentum": 0.9}}
_CENTERED = {"": {}, "centered": {"centered": True}}
_DECAY = {"": {}, "decay": {"weight_decay": WEIGHT_DECAY}}
# At most one of the three: two are in ERRORS. `gradients` is made so that each limit cuts some and lets others be.
_CLIP = {
    "": {},
    "clipnorm": {"clipnorm": 3.0},
    "clipvalue": {"clipvalue": 1.5},
    "global_clipnorm": {"global_clipnorm": 40.0},
}
_EMA = {
    "": {},
    "ema7": {"use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 7},
    "ema": {"use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": None},
}


_AXES = (_MOMENTUM, _CENTERED, _DECAY, _CLIP, _EMA)


def _combination(choice):
    options = {"learning_rate": LEARNING_RATE}
    for axis, name in zip(_AXES, choice, strict=True):
        options |= axis[name]
    return Case("-".join(filter(None, choice)) or "plain", options)


def _pairwise(choices):
    """Pick choices until every two values of different axes have met, each time the one with most new meetings."""
    meetings = {choice: set(itertools.combinations(enumerate(choice), 2)) for choice in choices}
    missing = set().union(*meetings.values())
    picked = []
    while missing:
        picked.append(max(choices, key=lambda choice: len(meetings[choice] & missing)))
        missing -= meetings[picked[-1]]
    return picked


#: Every combination of options being on and off: 2 * 2 * 2 * 4 * 3 = 96.
COMBINATIONS = [_combination(choice) for choice in itertools.product(*_AXES)]

#: Some of them, in which every two options meet, for what would take too long with all.
PAIRWISE = [_combination(choice) for choice in _pairwise(list(itertools.product(*_AXES)))]


def _descend(variable, gradients):
    for gradient in gradients:
        variable = variable - variable.dtype.type(LEARNING_RATE) * gradient
    return variable


def _stay(variable, gradients):
    return variable


def halving_schedule(step):
    """A learning rate that falls on a line to half its value at step 512; each value is a float32, too."""
    return LEARNING_RATE - step * (LEARNING_RATE / 1024)


def _extreme(desc, exact=None, notes="", **options):
    return Case(desc, {"learning_rate": LEARNING_RATE} | options, exact, notes)


#: One row for each end of an option's range.
EXTREMES = [
    Case("defaults", {"learning_rate": LEARNING_RATE, "rho": 0.9, "epsilon": 1e-7}),
    _extreme("rho 0", rho=0.0, notes="velocity is the last gradient's square: sign descent"),
    _extreme("rho 0, momentum", rho=0.0, momentum=0.9),
    _extreme("rho 1, epsilon 1", _descend, rho=1.0, epsilon=1.0, notes="exactly stochastic gradient descent"),
    _extreme("rho 1, epsilon 1, centered", _descend, rho=1.0, epsilon=1.0, centered=True),
    _extreme("rho 0.99", rho=0.99, notes="PyTorch's default"),
    _extreme("epsilon 1", epsilon=1.0, notes="Inception's; far from 1 outside the root"),
    _extreme("epsilon 1e-3, initial_velocity 1", epsilon=1e-3, initial_velocity=1.0, momentum=0.9, notes="TF1's"),
    _extreme("initial_velocity 1, centered", initial_velocity=1.0, centered=True),
    _extreme("momentum 1", momentum=1.0, notes="never forgets"),
    _extreme("learning_rate 0", _stay, learning_rate=0.0),
    _extreme("learning_rate 0, everything else", _stay, learning_rate=0.0, momentum=0.9, weight_decay=WEIGHT_DECAY,
             clipnorm=3.0, use_ema=True, ema_momentum=1.0),
    _extreme("learning_rate schedule", learning_rate=halving_schedule),
    _extreme("learning_rate schedule, momentum, decay", learning_rate=halving_schedule, momentum=0.9,
             weight_decay=WEIGHT_DECAY, notes="the rate is inside the momentum and scales the decay"),
    _extreme("weight_decay 0", weight_decay=0.0, notes="off, as None"),
    _extreme("weight_decay 1", weight_decay=1.0),
    _extreme("ema_momentum 0", use_ema=True, ema_momentum=0.0, ema_overwrite_frequency=7, notes="average = variable"),
    _extreme("ema_momentum 1, never written", use_ema=True, ema_momentum=1.0, ema_overwrite_frequency=None),
    _extreme("ema_momentum 1, overwriting", use_ema=True, ema_momentum=1.0, ema_overwrite_frequency=7,
             notes="back to the start every 7 steps"),
    _extreme("ema overwriting every step", use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=1),
    _extreme("ema defaults", use_ema=True, notes="0.99, overwriting every 100 steps"),
    _extreme("ema_momentum ignored", ema_momentum=0.5, ema_overwrite_frequency=3, notes="use_ema is off"),
    _extreme("clipnorm out of reach", clipnorm=1e6, notes="a scale of exactly 1"),
    _extreme("clipvalue tiny", clipvalue=2.0**-10, notes="next to every gradient becomes a sign or 0"),
]  # fmt: skip

#: What every front end is compared with the original on.
TABLE = COMBINATIONS + EXTREMES


# Errors ---------------------------------------------------------------------------------------------------------------

_ONE_CLIP = "{0}.*{1}|{1}.*{0}"


def _refused(argument, value, error, shown=None):
    """A row whose message names the argument and quotes the value as `repr` does."""
    shown = repr(value) if shown is None else shown
    return ErrorCase(f"{argument}={value!r}", {argument: value}, error, rf"(?s){argument}.*{shown}")


def _renamed(argument, value, *remedies, accepted_by=()):
    """A row with a name that other libraries use; the message gives ours."""
    match = "(?s)" + "".join(rf"(?=.*\b{remedy})" for remedy in (argument, *remedies))
    return ErrorCase(f"{argument}={value!r}", {argument: value}, TypeError, match, accepted_by)


def _two_clips(first, second):
    return ErrorCase(
        f"{first} and {second}",
        {first: 1.25, second: 2.75},
        ValueError,
        rf"(?s)(?=.*\b{first}\b.*1\.25)(?=.*{second}\b.*2\.75)",
    )


_NAN = float("nan")
_INF = float("inf")

ERRORS = [
    _refused("learning_rate", -1, ValueError),
    _refused("learning_rate", -1e-3, ValueError),
    _refused("learning_rate", _NAN, ValueError),
    _refused("learning_rate", "x", TypeError),
    _refused("learning_rate", True, TypeError),
    _refused("learning_rate", None, TypeError),
    _refused("rho", 1.5, ValueError),
    _refused("rho", -0.1, ValueError),
    _refused("rho", _NAN, ValueError),
    _refused("rho", "0.9", TypeError),
    _refused("rho", True, TypeError),
    _refused("rho", None, TypeError),
    _refused("momentum", 2.5, ValueError),
    _refused("momentum", -0.5, ValueError),
    _refused("momentum", _NAN, ValueError),
    _refused("momentum", [0.9], TypeError, r"\[0\.9\]"),
    _refused("epsilon", -1, ValueError),
    _refused("epsilon", _NAN, ValueError),
    _refused("epsilon", "small", TypeError),
    _refused("centered", "yes", TypeError),
    _refused("weight_decay", -1, ValueError),
    _refused("weight_decay", _NAN, ValueError),
    _refused("weight_decay", "x", TypeError),
    _refused("clipnorm", 0, ValueError),
    _refused("clipnorm", -1, ValueError),
    _refused("clipnorm", _NAN, ValueError),
    _refused("clipvalue", 0.0, ValueError),
    _refused("clipvalue", -1, ValueError),
    _refused("clipvalue", "x", TypeError),
    _refused("global_clipnorm", 0, ValueError),
    _refused("global_clipnorm", -1.5, ValueError),
    _refused("global_clipnorm", True, TypeError),
    _two_clips("clipnorm", "clipvalue"),
    _two_clips("clipnorm", "global_clipnorm"),
    _two_clips("clipvalue", "global_clipnorm"),
    _refused("use_ema", "yes", TypeError),
    _refused("ema_momentum", 9, ValueError),
    _refused("ema_momentum", -0.5, ValueError),
    _refused("ema_momentum", _NAN, ValueError),
    _refused("ema_overwrite_frequency", 0, ValueError),
    _refused("ema_overwrite_frequency", -7, ValueError),
    _refused("ema_overwrite_frequency", 1.5, TypeError),
    _refused("ema_overwrite_frequency", True, TypeError),
    _refused("initial_velocity", -1, ValueError),
    _refused("initial_velocity", _NAN, ValueError),
    _refused("initial_velocity", _INF, ValueError),
    _refused("initial_velocity", "one", TypeError),
    _refused("slot_dtype", "int8", ValueError),
    _refused("slot_dtype", numpy.dtype("float32"), TypeError, r"dtype\('float32'\)"),
    _refused("rho", 10**400, ValueError, "10000"),
    _renamed("lr", 0.5, "learning_rate", accepted_by=("torch",)),
    _renamed("decay", 0.5, "rho.*InverseTimeDecay.*weight_decay"),
    _renamed("alpha", 0.99, "rho"),
    _renamed("eps", 1e-8, "epsilon"),
    _renamed("beta", 0.9),
    _renamed("nesterov", True),
]


# Gradients ------------------------------------------------------------------------------------------------------------

#: Every test steps these tensors together: a number, nothing at all, and one to three dimensions.
SHAPES = {"number": (), "empty": (0,), "vector/bias": (5,), "matrix/kernel": (3, 4), "cube/kernel": (2, 3, 4)}

# Beside an epsilon of 1e-7 the vector's squares (1e-6) are small: there epsilon inside and outside the root differ.
_SCALES = {"number": 1.0, "empty": 1.0, "vector/bias": 1e-3, "matrix/kernel": 1.0, "cube/kernel": 8.0}


def variables(dtype=numpy.float64, seed=0):
    """Start values, name -> array; the same numbers in float32 and float64, and no element near nothing else."""
    random = numpy.random.default_rng(seed)
    return {
        name: numpy.asarray(random.normal(0, 2, shape) + 1).astype(numpy.float32).astype(dtype)
        for name, shape in SHAPES.items()
    }


def gradients(steps, dtype=numpy.float64, seed=0, spread=1.0):
    """Well-conditioned gradients, name -> array with a row a step; the same numbers in float32 and float64.

    Each element has a mean of its own whose standard deviation is at least `spread` times the mean; one element in ten
    of every step is exactly 0, and the first of each tensor always is. The first of many steps are those of fewer.
    """
    given = {}
    for tensor, (name, shape) in enumerate(SHAPES.items()):
        means, noise, zeros = (numpy.random.default_rng([seed, tensor, stream]) for stream in range(3))
        values = means.uniform(-1, 1, shape) / spread + noise.normal(0, 1, (steps, *shape))
        values[zeros.random(values.shape) < 0.1] = 0
        if shape and values[0].size:
            values.reshape(steps, -1)[:, 0] = 0
        given[name] = (values * _SCALES[name]).astype(numpy.float32).astype(dtype)
    return given


def at(stacked, step):
    """The gradients of one step, name -> array."""
    return {name: rows[step] for name, rows in stacked.items()}


def follow(step, variables, stacked):
    """Call ``step(gradients)`` for each row of `stacked`; name -> array with what ``variables()`` gives after each."""
    path = {name: [] for name in variables()}
    for i in range(len(next(iter(stacked.values())))):
        step(at(stacked, i))
        for name, variable in variables().items():
            path[name].append(numpy.array(variable))
    return {name: numpy.stack(rows) for name, rows in path.items()}


def deviation(path, expected):
    """The largest difference between two paths, relative to the largest element its tensor has had until then.

    Elements near 0 have no relative digits, and a rounding made while a tensor was large stays when it shrinks. A NaN
    on one side gives NaN, which no bound admits.
    """
    assert path.keys() == expected.keys()
    worst = [0.0]
    for name, rows in expected.items():
        assert path[name].shape == rows.shape
        if rows.size:
            flat = rows.reshape(len(rows), -1).astype(numpy.float64)
            difference = abs(path[name].reshape(len(rows), -1) - flat).max(1)
            largest = numpy.maximum.accumulate(abs(flat).max(1))
            worst.append(numpy.divide(difference, largest, out=0 * difference, where=difference != 0).max())
    return float(numpy.max(worst))


@dataclass(frozen=True)
class IllConditioned:
    """Gradients with next to no spread: centered, their variance is a difference of nearly equal numbers.

    Float32 and float64 part by any amount there, in tf_keras as well, whose weights may turn NaN. So trajectories are
    not compared; single steps are, by what an error of some ulp(velocity) in the denominator can do (`rounding`).
    """

    desc: str
    options: Mapping[str, Any] = field(repr=False)
    stream: Callable[..., Any] = field(repr=False)

    def __str__(self):
        return self.desc

    def gradients(self, steps, dtype=numpy.float32):
        """An array with a row a step, of elements that each fail in their own way."""
        return self.stream(steps).astype(dtype)


#: The three are the ones with which tf_keras fails at step 255, the others small, large and negative.
_CONSTANTS = numpy.array([1274.2864, 34.038742, 6.4742618, 1e-4, -3.0, 2000.0, -0.1])


def _constant(steps):
    return numpy.tile(_CONSTANTS, (steps, 1))


def _nearly_constant(steps):
    return _CONSTANTS * (1 + 1e-4 * numpy.random.default_rng(3).normal(size=(steps, _CONSTANTS.size)))


def _one_jump(steps):
    rows = _constant(steps)
    rows[steps // 2 :] *= 2
    return rows


ILL_CONDITIONED = [
    IllConditioned(
        f"{kind} gradients, rho {rho}", {"learning_rate": LEARNING_RATE, "rho": rho, "centered": True}, stream
    )
    for kind, stream in {"constant": _constant, "nearly constant": _nearly_constant, "jumping": _one_jump}.items()
    for rho in (0.9, 0.95, 0.99)
] + [IllConditioned("rho 0", {"learning_rate": LEARNING_RATE, "rho": 0.0, "centered": True}, _nearly_constant)]
