"""The golden cases: which steps are made, with which options. `golden.py` keeps and compares states.

Every front end makes the same steps, of the variables and gradients in `golden_numbers.py`.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from zlib import crc32

import cases
import numpy
import quick
from golden_numbers import SHAPES, TABLE, Storage, gradient, numbers, rows

#: Averages overwrite variables after the third and the sixth step. The learning rate is another from the fourth on,
#: and at the sixth one variable has no gradient.
STEPS, OVERWRITE, CHANGED, ABSENT, NO_GRADIENT = 7, 3, 3, 5, "c_thousand"

#: Regular expressions of variables that weight decay leaves alone.
EXCLUDED = "^c_", "matrix$"

#: float32 numbers, as some front ends hold them so; no powers of two, whose products are exact in any order.
RATE, LATER_RATE, DECAY = (float(numpy.float32(value)) for value in (0.0123, 0.0047, 0.0371))


@dataclass(frozen=True)
class Golden:
    """A case: what an optimizer is made with.

    Attributes:
        desc: names the options.
        options: arguments of the constructor.
        storage: types of variables and state.
        exclude: regular expressions for `exclude_from_weight_decay`.
        sparse: whether the table's gradients are rows.
        groups: torch's parameter groups, pairs of the variables' first letters and of options.
        mild: whether gradients are without huge and tiny numbers, for ways that only a bound is promised of.
    """

    desc: str
    options: Mapping[str, Any] = field(repr=False)
    storage: Storage
    exclude: tuple[str, ...] = ()
    sparse: bool = False
    groups: tuple[tuple[str, Mapping[str, Any]], ...] = field(default=(), repr=False)
    mild: bool = False

    def __str__(self):
        return f"{self.desc}-{self.storage}" + ("-mild" if self.mild else "")

    def variables(self):
        """Start values, name -> array in C order."""
        return {name: numbers(name, 0, self.storage.of(name)) for name in SHAPES}

    def gradients(self, step):
        """What a step is given, name -> array, `Rows` or None."""
        found = {name: gradient(name, step, self.storage.of(name), self.mild) for name in SHAPES}
        if step == ABSENT:
            found[NO_GRADIENT] = None
        if self.sparse:
            found[TABLE] = rows(step, self.storage.of(TABLE))
        return found


def follow(run, case):
    """Do a case's steps and give the state, slot -> name -> array, "variables" among the slots.

    `run` has the methods ``set_rate(rate)``, ``step(gradients)`` and ``state()``.
    """
    for step in range(STEPS):
        if step == CHANGED and not callable(case.options["learning_rate"]):
            run.set_rate(LATER_RATE)
        with warnings.catch_warnings():
            if step == ABSENT:
                warnings.simplefilter("ignore", UserWarning)  # that a gradient is not there
            run.step(case.gradients(step))
    return run.state()


# Options --------------------------------------------------------------------------------------------------------------

#: What our own values take the place of, see `RATE`, and limits that cut some of these gradients and let others be.
_INSTEAD = {
    ("learning_rate", cases.LEARNING_RATE): RATE,
    ("weight_decay", cases.WEIGHT_DECAY): DECAY,
    ("ema_overwrite_frequency", 7): OVERWRITE,
    ("clipnorm", 3.0): 3.3,
    ("clipvalue", 1.5): 1.1,
    ("global_clipnorm", 40.0): 41.7,
}


def _ours(case, deals):
    """A row of `cases` with our numbers; numbers that no kernel is compiled for are dealt out by the row's name."""
    options = {name: _INSTEAD.get((name, value), value) for name, value in case.options.items()}
    if deals:
        mixed = crc32(case.desc.encode())
        options["rho"] = (0.9, 0.95)[mixed // 7 % 2]
        options["epsilon"] = (1e-7, 1e-3, 1.0)[mixed // 17 % 3]
        options["initial_velocity"] = (0.0, 1.0)[mixed // 29 % 2]
        if mixed % 4 == 0:
            options["learning_rate"] = cases.halving_schedule
    return options


def _with(case, storage, **arguments):
    options = dict(case.options, slot_dtype=storage.slot_dtype)
    return replace(case, options=options, storage=storage, **arguments)


FLOAT32, FLOAT64, FLOAT16, BFLOAT16 = (Storage(name, (name,)) for name in ("float32", "float64", "float16", "bfloat16"))
BFLOAT16_AND_SLOTS = Storage("bfloat16, float32 slots", ("bfloat16",), "float32")
MIXED = Storage("mixed", ("float32", "float64", "float16", "float32", "bfloat16"))
STORAGES = [
    FLOAT32, FLOAT64, FLOAT16, BFLOAT16, BFLOAT16_AND_SLOTS,
    Storage("float16, float32 slots", ("float16",), "float32"),
    Storage("float32, float64 slots", ("float32",), "float64"),
    Storage("float64, float32 slots", ("float64",), "float32"),
    Storage("float32, bfloat16 slots", ("float32",), "bfloat16"),
    MIXED,
]  # fmt: skip

_COMBINATIONS = {case.desc: Golden(case.desc, _ours(case, True), FLOAT32) for case in cases.COMBINATIONS}
_EXTREMES = [Golden(case.desc, _ours(case, False), FLOAT32) for case in cases.EXTREMES]

#: Every two options, in float32.
PAIRWISE = [_COMBINATIONS[case.desc] for case in cases.PAIRWISE]

_EVERYTHING = _COMBINATIONS["momentum-centered-decay-global_clipnorm-ema7"]

#: Everything at once, in every storage but float32.
ONE_PER_STORAGE = [_with(_EVERYTHING, storage) for storage in STORAGES[1:]]

#: Rows, with each kind of clip.
SPARSE = [
    replace(_with(_COMBINATIONS[desc], storage, sparse=True), desc=f"rows-{desc}")
    for storage in (FLOAT32, FLOAT64)
    for desc in ("plain", "momentum-centered-decay-ema7", "clipnorm", "momentum-global_clipnorm", "clipvalue-ema")
]

#: Variables that weight decay leaves alone.
EXCLUDING = [
    replace(_COMBINATIONS[desc], desc=f"excluding-{desc}", exclude=EXCLUDED)
    for desc in ("decay", "momentum-centered-decay-global_clipnorm-ema7")
]

#: What is kept with more numbers, and looked at in `make test` where no kernel is compiled for it.
CHOSEN = [*PAIRWISE, *ONE_PER_STORAGE, SPARSE[1], EXCLUDING[0]]

#: What is looked at in `make test` where kernels are compiled, which takes a second or two for each set of options:
#: in float32 the rows that other tests of these folders compile, too.
QUICK = [*(case for case in CHOSEN if case.desc in quick.CASES), *ONE_PER_STORAGE, SPARSE[1]]
QUICK = list({str(case): case for case in QUICK}.values())

#: And in `make test-all`.
COMPILED = [
    *CHOSEN, *_EXTREMES, *SPARSE, *EXCLUDING,
    *(_with(case, storage) for case in PAIRWISE for storage in (FLOAT64, BFLOAT16_AND_SLOTS)),
]  # fmt: skip

#: Every case whose bits are promised in all front ends.
ALL = [
    *COMPILED, *_COMBINATIONS.values(),
    *(_with(case, FLOAT64) for case in _EXTREMES),
    *(_with(case, storage) for case in PAIRWISE for storage in STORAGES),
]  # fmt: skip
COMPILED, ALL = (list({str(case): case for case in chosen}.values()) for chosen in (COMPILED, ALL))

#: For ways that only a bound is promised of.
MILD = [replace(case, mild=True) for case in PAIRWISE]
