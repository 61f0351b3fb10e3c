"""A step that is interrupted, at any of its lines: what follows is what the visible state says."""

import numpy
import pytest
from arrays import EVERYTHING, numbers
from interrupts import check_each_line, every_line, interrupted

from rmsprop import RMSprop, RowSparse, schedules
from rmsprop._core import forks
from rmsprop._core import run as run_of
from rmsprop._core.plan import Plan

pytestmark = pytest.mark.filterwarnings("ignore:variables without a gradient")


#: Arguments, and whether gradients come and go.
OPTIONS = {
    "schedule": ({"learning_rate": schedules.ExponentialDecay(0.25, 3, 0.5), "clipnorm": 0.5}, True),
    "everything": (EVERYTHING | {"ema_overwrite_frequency": 2}, False),
    "uncompiled": (EVERYTHING | {"jit_compile": False}, True),
}


class Run:
    """An optimizer and its variables: of several types, in several orders, one with gradients of a few rows."""

    def __init__(self, options, patterns=False, variables=None):
        self.options, self.patterns = options, patterns
        self.variables = variables or {
            "a": numbers(5),
            "b": numpy.asfortranarray(numbers((4, 3), numpy.float64, 1)),
            "c": numbers((6, 2), seed=3),
        }
        self.optimizer = RMSprop(**options)

    def gradients(self):
        """Gradients of the next step, of all variables or of those whose turn it is."""
        found, step = {}, self.optimizer.iterations
        for place, (name, w) in enumerate(self.variables.items()):
            g = numbers(w.shape, w.dtype, 10 * step + place)
            found[name] = RowSparse([5, 0, 5], g[:3], w.shape) if name == "c" else g
            if self.patterns and (step + place) % 3 == 0:
                found[name] = None
        return found


def step(run):
    given = run.gradients()
    run.optimizer.minimize(lambda: (0.0, given), run.variables)


def state(run):
    found = {f"variable/{name}": w.copy() for name, w in run.variables.items()}
    return found | {name: array.copy() for name, array in run.optimizer.variables.items()}


def anew(run):
    """Make another run from what this one shows."""
    other = Run(run.options, run.patterns, {name: w.copy("K") for name, w in run.variables.items()})
    other.optimizer.iterations = run.optimizer.iterations
    if not callable(run.options.get("learning_rate")):
        other.optimizer.learning_rate = run.optimizer.learning_rate
    if len(run.optimizer.variables) > 1:
        other.optimizer.build(other.variables)
        for name, array in run.optimizer.variables.items():
            other.optimizer.variables[name][...] = array
    return other


@every_line
@pytest.mark.parametrize("steps", [0, 2], ids=["first", "third"])
@pytest.mark.parametrize(("options", "patterns"), OPTIONS.values(), ids=OPTIONS)
@pytest.mark.matrix(4)
def test_what_follows_is_what_the_state_says(options, patterns, steps, every):
    """An interrupt in the first step, and in a later one with another learning rate."""

    def make():
        run = Run(options, patterns)
        for _ in range(steps):
            step(run)
        if steps and not callable(options.get("learning_rate")):
            run.optimizer.learning_rate = 0.125
        return run

    for _ in range(2):  # what is loaded once in a process is loaded
        step(make())
    # A first step has hundreds of lines that make its tables.
    assert check_each_line(make, step, anew, state, every if steps or every == 1 else 3 * every) > 0


def test_a_run_is_told_its_numbers_again():
    """Whichever line of that was interrupted, also where the next step has the numbers of the one before."""
    old, new, line = (0.5, 2.0), (0.25, 4.0), 0
    while True:
        run = run_of.Run(Plan(()))
        run.set_rate_and_factor(0, *old)
        if not interrupted(lambda run=run: run.set_rate_and_factor(0, *new), line):
            break
        for told in [(new, old), (old, new)][line % 2]:
            run.set_rate_and_factor(0, *told)
            assert (run.groups["learning_rate"][0], run.groups["factor"][0]) == told, f"line {line}"
        line += 1
    assert line > 4


@every_line
@pytest.mark.parametrize("options", [EVERYTHING, EVERYTHING | {"jit_compile": False}], ids=["compiled", "uncompiled"])
def test_a_first_step_keeps_the_state_of_what_it_has_written(options, every):
    """If a variable has moved, its state is there and has moved, too."""
    line, written = 0, 0
    while True:
        run = Run(options)
        before = {name: w.copy() for name, w in run.variables.items()}
        if not interrupted(lambda run=run: step(run), line):
            break
        moved = [name for name, w in run.variables.items() if (w != before[name]).any()]
        assert all(run.optimizer.variables[f"velocity/{name}"].any() for name in moved), f"line {line}"
        written += bool(moved)
        line += every
    assert written > 0 or every > 1


def test_a_refused_first_step_leaves_the_optimizer_unbuilt():
    a, b = numbers(3), numbers(4)
    optimizer = RMSprop()
    with pytest.raises(ValueError, match="shape"):
        optimizer.apply_gradients([(numbers(3), a), (numbers(3), b)])
    assert list(optimizer.variables) == ["iterations"]
    optimizer.build({"others": numbers(2)})


def test_a_warning_raised_as_an_error_is_raised_again():
    """A rate beyond float32 is refused each time, before anything moves, and a smaller one is taken by all."""
    a, b = numpy.ones(4, numpy.float32), numpy.ones(4)
    pairs = [(numpy.full(4, 0.5, numpy.float32), a), (numpy.full(4, 0.5), b)]
    for built in (False, True):
        optimizer = RMSprop(0.5, rho=0.0)
        if built:
            optimizer.build([a, b])
            optimizer.apply_gradients(pairs)
        before, steps = (a.copy(), b.copy()), optimizer.iterations
        optimizer.learning_rate = 1e39
        for _ in range(3):
            with pytest.raises(RuntimeWarning, match="overflow"):
                optimizer.apply_gradients(pairs)
            assert all(numpy.array_equal(w, old) for w, old in zip((a, b), before, strict=True))
            assert optimizer.iterations == steps
        optimizer.learning_rate = 0.25
        optimizer.apply_gradients(pairs)
        numpy.testing.assert_allclose(before[0] - a, 0.25, rtol=1e-5)
        numpy.testing.assert_allclose(before[1] - b, 0.25, rtol=1e-5)


def test_no_interrupt_comes_where_no_signal_does():
    """Between a block of `with` and the release of its lock, where tracing could put one."""
    line = 0
    while interrupted(forks.loading, line):
        assert not forks._imports._lock._is_owned()
        line += 1
    assert line > 1
