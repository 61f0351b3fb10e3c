"""The golden cases: which steps are made, with which options, on which numbers. `golden.py` keeps and compares states.

Every front end makes the same steps with the same variables and gradients. Their numbers come from the raw bits of a
generator that NumPy keeps as it is, so that they are the same with every version.
"""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple
from zlib import crc32

import cases
import ml_dtypes
import numpy
import quick

#: Averages overwrite variables after the third and the sixth step.
STEPS, OVERWRITE = 7, 3

#: At the second step the gradients are small, so that no norm clips; at the fourth some are huge, and the learning
#: rate is another from there on; at the sixth, which overwrites, one variable has no gradient.
QUIET, HUGE, CHANGED, ABSENT = 1, 3, 3, 5

#: float32 numbers, as some front ends hold them so; no powers of two, whose products are exact in any order.
RATE, LATER_RATE, DECAY = (float(numpy.float32(value)) for value in (0.0123, 0.0047, 0.0371))

#: A number, tails of vectors, nothing, three chunks, and two axes. In the order in which JAX sorts names. `d` and `e`
#: are parts of one block of memory where a front end steps memory that is given to it, and `g` lies by columns there.
SHAPES = {
    "a_number": (), "b_seven": (7,), "c_thousand": (1000,), "d_left": (33,), "e_right": (64,), "f_large": (40000,),
    "g_matrix": (30, 20), "h_table": (12, 6), "i_empty": (0,),
}  # fmt: skip
NO_GRADIENT, MATRIX, ROWS, EXCLUDED = "c_thousand", "g_matrix", "h_table", ("^c_", "matrix$")

#: Each gradient's size; beside an epsilon of 1e-7 the squares of one are small.
_SCALES = dict.fromkeys(SHAPES, 1.0) | {"b_seven": 1e-3, "g_matrix": 8.0}

#: The exponent of the least normal number.
_LEAST = {"float32": -126, "float64": -1022, "float16": -14, "bfloat16": -126}


class Rows(NamedTuple):
    """A gradient of a few rows; no row is there more than twice, so that the order of sums does not matter."""

    indices: Any
    values: Any
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Storage:
    """The types of variables, one after the other and from the start again, and of their state."""

    name: str
    types: tuple[str, ...]
    slot_dtype: str | None = None

    def __str__(self):
        return self.name

    def of(self, name):
        """The type of a variable."""
        return dtype(self.types[list(SHAPES).index(name) % len(self.types)])

    @property
    def is_double(self):
        """Whether JAX needs its 64-bit mode."""
        return "float64" in (*self.types, self.slot_dtype)


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
        return {name: _numbers(name, 0, self.storage.of(name)) for name in SHAPES}

    def gradients(self, step):
        """What a step is given, name -> array, `Rows` or None."""
        found = {name: self._gradient(name, step) for name in SHAPES}
        if step == ABSENT:
            found[NO_GRADIENT] = None
        if self.sparse:
            found[ROWS] = _rows(step, self.storage.of(ROWS))
        return found

    def _gradient(self, name, step):
        scale = _SCALES[name] * (2.0**-7 if step == QUIET else 1)
        given = _numbers(name, step + 1, self.storage.of(name), scale)
        flat = given.reshape(-1)
        flat[2::11], flat[3::97] = 0.0, -0.0
        if self.mild:
            if not SHAPES[name]:
                # An average of one number that is now positive, now negative has no relative digits.
                flat[:] = abs(flat)
        else:
            flat[5::97] = math.ldexp(0.375, _LEAST[flat.dtype.name])  # subnormal
            if step == HUGE:
                flat[4::500] = -200 if flat.dtype == numpy.float16 else -3e9
        return given


def dtype(name):
    """A type by its name."""
    return numpy.dtype(getattr(ml_dtypes, name) if name == "bfloat16" else name)


def _numbers(name, stream, kind, scale=1.0):
    """Numbers from -2 to 2, times `scale`."""
    shape = SHAPES[name]
    raw = numpy.random.PCG64([list(SHAPES).index(name), stream]).random_raw(math.prod(shape))
    values = ((raw >> numpy.uint64(11)).astype(numpy.float64) * 2.0**-51 - 2) * scale
    # By float32, so that there is one way to round to half types.
    return (values if kind == numpy.float64 else values.astype(numpy.float32).astype(kind)).reshape(shape)


def _rows(step, kind):
    indices = (numpy.array([3, 0, 3, 11]) + step) % SHAPES[ROWS][0]
    values = _numbers(ROWS, step + 1, kind)[: len(indices)]
    return Rows(indices.astype(numpy.int64), values, SHAPES[ROWS])


def laid_out(arrays, gaps):
    """The same numbers in other memory: two arrays in one block, where they are of one type, and the matrix by columns.

    Its columns have gaps, or none: then it is a block of memory, as most are, and needs no kernel of its own.
    """
    found = dict(arrays)
    left, right = arrays["d_left"], arrays["e_right"]
    if left.dtype == right.dtype:
        block = numpy.concatenate([left, right])
        found["d_left"], found["e_right"] = block[: left.size], block[left.size :]
    return found | {MATRIX: by_columns(arrays[MATRIX], gaps)}


def by_columns(array, gaps=False):
    """A copy whose columns are one after the other, or one after a gap."""
    if array is None:
        return None
    rows, columns = array.shape
    found = numpy.zeros((columns * (1 + gaps), rows), array.dtype)[:: 1 + gaps].T
    found[...] = array
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


FLOAT32, FLOAT64, FLOAT16, BFLOAT16 = (Storage(name, (name,)) for name in _LEAST)
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
TABLE = [
    *COMPILED, *_COMBINATIONS.values(),
    *(_with(case, FLOAT64) for case in _EXTREMES),
    *(_with(case, storage) for case in PAIRWISE for storage in STORAGES),
]  # fmt: skip
COMPILED, TABLE = (list({str(case): case for case in chosen}.values()) for chosen in (COMPILED, TABLE))

#: For ways that only a bound is promised of.
MILD = [replace(case, mild=True) for case in PAIRWISE]
