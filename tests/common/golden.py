"""States that are kept in `tests/golden`, and what comparing says. Which cases there are is in `golden_cases.py`.

A file holds for each case, slot and variable a digest of the bits and some of the numbers, by which a difference can
be told in units of the last place. ``bits.npz`` was made by NumPy, and every way whose bits are promised to be NumPy's
is compared with it; the other files hold what only a bound is promised of, or what one framework alone has.
"""

import hashlib
import io
import json
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import pytest
from golden_cases import CHOSEN, MILD
from golden_numbers import dtype

FOLDER = Path(__file__).parent.parent / "golden"

#: Differences relative to the largest element of a tensor that are allowed where bits are not promised; in float32.
#: Measured after these steps between NumPy, XLA, and JAX's and TensorFlow's operations one by one: up to 3.8e-7.
BOUND = 1e-6

#: How many numbers of a tensor are kept, at equal distances: of what `make test` looks at, of rows for a bound, of all
#: others.
_MANY, _SOME, _FEW = 1000, 200, 24

_PACKAGES = ("rmsprop", "numpy", "ml_dtypes", "numba", "torch", "jax", "jaxlib", "tensorflow", "tf_keras", "keras")


class Kept(NamedTuple):
    """What is kept of an array."""

    dtype: str
    shape: tuple[int, ...]
    digest: str
    sample: Any


def digest(array):
    """A text that differs if type, shape or bits do; NaNs are alike."""
    array = numpy.array(array, order="C")
    array[numpy.isnan(array)] = numpy.nan
    text = f"{array.dtype.name} {list(array.shape)} ".encode()
    return hashlib.sha256(text + array.tobytes()).hexdigest()[:16]


def sample(array, most):
    """At most so many numbers of an array, at equal distances in C order."""
    return numpy.asarray(array).reshape(-1)[:: max(1, -(-numpy.size(array) // most))]


# Files ----------------------------------------------------------------------------------------------------------------


def versions():
    """What made a file: packages that are installed, Python and the processor, by which XLA chooses instructions."""
    from llvmlite import binding

    found = {"python": platform.python_version(), "machine": platform.machine(), "cpu": binding.get_host_cpu_name()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def write(file, states):
    """Keep states, case -> slot -> name -> array; the same states make the same bytes."""
    index, numbers = {}, []
    many, some = ({str(case) for case in chosen} for chosen in (CHOSEN, MILD))
    for case, state in states.items():
        most = _MANY if case in many else _SOME if case in some else _FEW
        for slot, named in state.items():
            for name, array in named.items():
                chosen = numpy.ascontiguousarray(sample(array, most))
                row = slot, name, array.dtype.name, list(array.shape), digest(array), chosen.size
                index.setdefault(case, []).append(row)
                numbers.append(chosen.view(numpy.uint8))
    texts = {"versions": versions(), "index": index}
    arrays = {name: numpy.frombuffer(json.dumps(text).encode(), numpy.uint8) for name, text in texts.items()}
    whole = io.BytesIO()
    numpy.savez_compressed(whole, **arrays, numbers=numpy.concatenate(numbers))
    (FOLDER / file).write_bytes(whole.getvalue())


@cache
def read(file):
    """Give the versions that made a file, and what it keeps: case -> (slot, name) -> `Kept`."""
    with numpy.load(FOLDER / file) as stored:
        made_by, index = (json.loads(stored[name].tobytes()) for name in ("versions", "index"))
        numbers = stored["numbers"].tobytes()
    found, begin = {}, 0
    for case, rows in index.items():
        for slot, name, kind, shape, text, count in rows:
            chosen = numpy.frombuffer(numbers, dtype(kind), count, begin)
            found.setdefault(case, {})[slot, name] = Kept(kind, tuple(shape), text, chosen)
            begin += chosen.nbytes
    return made_by, found


# Comparing ------------------------------------------------------------------------------------------------------------


def rows(ways):
    """Rows of a test, from way -> (cases for `make test`, cases for `make test-all`)."""
    found = []
    for way, (quick, whole) in ways.items():
        names = {str(case) for case in quick}
        rest = [case for case in whole if str(case) not in names]
        found += [pytest.param(way, case, id=f"{way}-{case}") for case in quick]
        found += [pytest.param(way, case, id=f"{way}-{case}", marks=pytest.mark.slow) for case in rest]
    return pytest.mark.parametrize(("way", "case"), found)


def check_bits(file, case, state):
    """Every bit of a state is as it is kept; NaNs are alike."""
    lines = _compare(file, case, state, _bits)
    assert not lines, f"{case}: not the bits that tests/golden/{file} keeps\n" + "\n".join(lines)


def check_bound(file, case, state, bound=BOUND):
    """No number that is kept differs by more than a part of the largest of its tensor."""
    lines = _compare(file, case, state, lambda array, kept: _farther(array, kept, bound))
    if lines:
        made_by, running = read(file)[0], versions()
        others = [
            f"{name} {old}, now {running.get(name, 'none')}"
            for name, old in made_by.items()
            if running.get(name) != old
        ]
        lines.append(f"made with {'; '.join(others)}" if others else "made with the same versions")
    assert not lines, f"{case}: farther than {bound:g} from what tests/golden/{file} keeps\n" + "\n".join(lines)


def _compare(file, case, state, difference):
    assert str(case) in read(file)[1], f"tests/golden/{file} does not keep {case}: tests/golden/make.py adds a new case"
    kept = read(file)[1][str(case)]
    found = {(slot, name): array for slot, named in state.items() for name, array in named.items()}
    lines = [f"{slot} of {name}: there is none" for slot, name in kept.keys() - found.keys()]
    lines += [f"{slot} of {name}: not expected" for slot, name in found.keys() - kept.keys()]
    for place in kept.keys() & found.keys():
        array, expected = numpy.asarray(found[place]), kept[place]
        if (array.dtype.name, array.shape) != (expected.dtype, expected.shape):
            told = f"{array.dtype.name} {array.shape}, not {expected.dtype} {expected.shape}"
        else:
            told = difference(array, expected)
        if told:
            lines.append(f"{place[0]} of {place[1]}: {told}")
    return sorted(lines)


def _bits(array, kept):
    if digest(array) == kept.digest:
        return ""
    count = kept.sample.size
    found = sample(array, max(1, count))
    assert found.size == count
    apart = _ulps(found, kept.sample)
    if not apart.any():
        return f"only the digest differs, none of the {count} of {array.size} numbers that are kept"
    worst = int(apart.argmax())
    values = " and not ".join(str(one[worst]) for one in (found, kept.sample))
    return (
        f"{numpy.count_nonzero(apart)} of {count} kept numbers differ, at most by {apart[worst]:.0f} units in the last "
        f"place: {values}"
    )


def _ulps(found, expected):
    """How many numbers of their type two arrays are apart, as float64; infinite where one is NaN."""
    size = found.dtype.itemsize
    one, other = (array.view(f"i{size}").astype(object) for array in (found, expected))
    # Integers in the order of the numbers; -0.0 is one below 0.0, so that their difference shows.
    one, other = (numpy.where(array < 0, -(2 ** (8 * size - 1)) - 1 - array, array) for array in (one, other))
    apart = abs(one - other).astype(numpy.float64)
    nans = numpy.isnan(found), numpy.isnan(expected)
    return numpy.where(nans[0] | nans[1], numpy.where(nans[0] & nans[1], 0, numpy.inf), apart)


def _farther(array, kept, bound):
    found = sample(array, max(1, kept.sample.size)).astype(numpy.float64)
    expected = kept.sample.astype(numpy.float64)
    if not expected.size:
        return ""
    apart, largest = abs(found - expected).max(), abs(expected).max()
    # Written so that a NaN is farther.
    return "" if apart <= bound * largest else f"differs by {apart:.3g} where the largest number is {largest:.3g}"
