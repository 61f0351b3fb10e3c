"""The short way of NumPy steps: whatever is not as in the step before is noticed, as if there were no short way."""

import warnings

import ml_dtypes
import numpy
import pytest
from arrays import EVERYTHING, numbers

from rmsprop import RMSprop, RowSparse
from rmsprop._numpy import engine, looks

pytestmark = [
    pytest.mark.filterwarnings("ignore:variables without a gradient"),
    pytest.mark.filterwarnings("ignore:Setting the (shape|dtype|strides):DeprecationWarning"),
]


class Model:
    """Variables of several layouts, gradients, and their optimizer after two usual steps."""

    def __init__(self, short, monkeypatch, **options):
        monkeypatch.setattr(engine, "can_look", (lambda: True) if short else (lambda: False))
        self.base, self.around = numbers((8, 6), seed=1), numbers(64, seed=2)
        self.w, self.b, self.c = numbers((4, 5), seed=2), numbers(6, seed=3), self.base[:, ::2]
        self.v = self.around[20:40]
        self.h = numbers((), numpy.float64, seed=4)
        self.s, self.r = numbers(6, seed=5), numbers(6, seed=6)
        self.variables = [self.w, self.b, self.c, self.h, self.v, self.s, self.r]
        self.gradients = [numbers(one.shape, one.dtype, 10 + place) for place, one in enumerate(self.variables)]
        self.gradients[5:] = numbers(12, seed=15)[::2], numbers(12, seed=16)[::-2]
        self.optimizer = RMSprop(0.125, **options)
        self.optimizer.build(self.variables)
        for _ in range(2):
            self.optimizer.apply_gradients(self.pairs())
        assert (self.optimizer._state.engine.usual(self.pairs()) is not None) == short

    def pairs(self):
        return list(zip(self.gradients, self.variables, strict=True))

    def step(self, change):
        """Change something and step twice; give the error, or the bits of all numbers."""
        made = change(self)
        found = []
        for _ in range(2):
            try:
                self.optimizer.apply_gradients(made() if callable(made) else self.pairs() if made is None else made)
            except (TypeError, ValueError) as error:
                found.append((type(error), str(error)))
        arrays = [array for name, array in self.optimizer.variables.items() if name != "iterations"]
        found += [array.tobytes() for array in (*self.variables, self.base, self.around, *arrays)]
        return [*found, self.optimizer.iterations]


def gradient(place, make):
    """Put another gradient in a place."""

    def change(model):
        model.gradients[place] = make(model)

    return change


def anew(array):
    """Make an array with the same strides."""
    if array.ndim == 1 and array.strides != (array.itemsize,):
        return numbers(12, seed=9)[:: array.strides[0] // array.itemsize]
    return numbers(array.shape, array.dtype, 9)


def resize(model):
    model.w.resize((2, 5), refcheck=False)


def reshape(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        model.w.shape = (5, 4)


def retype(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        model.w.dtype = numpy.int32


def lock(model):
    model.b.flags.writeable = False


def moved(model):
    """A variable's values elsewhere, so that its address is another."""
    model.b.resize(100_000, refcheck=False)
    model.b.resize(6, refcheck=False)


def lists(model):
    return [[*pair] for pair in model.pairs()]


class Odd(numpy.ndarray):
    pass


CHANGES = {
    "nothing": lambda model: None,
    "new gradients": lambda model: setattr(model, "gradients", [anew(g) for g in model.gradients]),
    "resized": resize,
    "reshaped": reshape,
    "retyped": retype,
    "read-only": lock,
    "moved": moved,
    "a gradient in float64": gradient(0, lambda model: model.gradients[0].astype(numpy.float64)),
    "a gradient in float16": gradient(0, lambda model: model.gradients[0].astype(numpy.float16)),
    "a gradient in bfloat16": gradient(0, lambda model: model.gradients[0].astype(ml_dtypes.bfloat16)),
    "a gradient of whole numbers": gradient(0, lambda model: model.gradients[0].view(numpy.int32)),
    "a gradient in the other byte order": gradient(0, lambda model: model.gradients[0].astype(">f4")),
    "a gradient of another shape": gradient(0, lambda model: numbers((5, 4))),
    "a gradient of more axes": gradient(1, lambda model: numbers((6, 1))),
    "a gradient of fewer axes": gradient(0, lambda model: numbers(20)),
    "a gradient that is longer": gradient(1, lambda model: numbers(7)),
    "a gradient in Fortran order": gradient(0, lambda model: numpy.asfortranarray(model.gradients[0])),
    "a gradient with gaps": gradient(1, lambda model: numbers(12)[::2]),
    "a gradient in reverse": gradient(1, lambda model: model.gradients[1][::-1]),
    "a gradient that is repeated": gradient(0, lambda model: numpy.broadcast_to(numbers(5), (4, 5))),
    "a gradient without gaps any more": gradient(5, lambda model: numbers(6)),
    "a gradient with its variable's gaps": gradient(2, lambda model: numbers((8, 6))[:, ::2]),
    "a gradient that is the variable": gradient(0, lambda model: model.w),
    "a gradient that is a view of the variable": gradient(0, lambda model: model.w[:]),
    "a gradient on the variable's memory": gradient(1, lambda model: model.b[::-1]),
    "a gradient on another variable's memory": gradient(1, lambda model: model.w.reshape(-1)[3:9]),
    "a gradient that begins in a variable": gradient(2, lambda model: model.base.reshape(-1)[-24:].reshape(8, 3)),
    "a gradient between a variable's numbers": gradient(2, lambda model: model.base[:, 1::2]),
    "a gradient that reaches into a variable": gradient(5, lambda model: model.around[11:23:2]),
    "a gradient that reaches back into a variable": gradient(6, lambda model: model.around[48:36:-2]),
    "a gradient that reaches to a variable": gradient(5, lambda model: model.around[9:20:2]),
    "a gradient on a slot": gradient(1, lambda model: model.optimizer.variables["velocity/1"]),
    "a gradient that is a slot of another": gradient(0, lambda model: model.optimizer.variables["velocity/0"]),
    "a gradient of another class": gradient(0, lambda model: model.gradients[0].view(Odd)),
    "a masked gradient": gradient(0, lambda model: numpy.ma.array(model.gradients[0])),
    "a gradient that is a list": gradient(1, lambda model: model.gradients[1].tolist()),
    "a gradient that is a number": gradient(3, lambda model: 0.5),
    "a gradient that is a scalar of NumPy's": gradient(3, lambda model: numpy.float64(0.5)),
    "a gradient of rows": gradient(0, lambda model: RowSparse([2, 0], numbers((2, 5)), (4, 5))),
    "a gradient that is None": gradient(0, lambda model: None),
    "all gradients are None": lambda model: setattr(model, "gradients", [None] * 7),
    "a view of a variable": lambda model: [(model.gradients[0], model.w[:]), *model.pairs()[1:]],
    "a transposed view of a variable": lambda model: [(model.gradients[0].T, model.w.T), *model.pairs()[1:]],
    "a copy of a variable": lambda model: [(model.gradients[0], model.w.copy()), *model.pairs()[1:]],
    "a part of a variable": lambda model: [(model.gradients[0][:2], model.w[:2]), *model.pairs()[1:]],
    "a swapped pair": lambda model: [model.pairs()[0][::-1], *model.pairs()[1:]],
    "all pairs swapped": lambda model: [pair[::-1] for pair in model.pairs()],
    "gradients exchanged": lambda model: [
        (g, w) for g, (_, w) in zip(model.gradients[::-1], model.pairs(), strict=True)
    ],
    "pairs as lists": lists,
    "a generator": lambda model: lambda: (pair for pair in model.pairs()),
    "a zip": lambda model: lambda: zip(model.gradients, model.variables, strict=True),
    "a tuple of pairs": lambda model: tuple(model.pairs()),
    "triples": lambda model: [(*pair, None) for pair in model.pairs()],
    "a single": lambda model: [*model.pairs()[:6], (model.r,)],
    "a name for a variable": lambda model: [*model.pairs()[:6], (model.gradients[6], "r")],
    "no variable": lambda model: [*model.pairs()[:6], (model.gradients[6], None)],
    "fewer pairs": lambda model: model.pairs()[1:],
    "no pairs": lambda model: [],
    "a pair twice": lambda model: [*model.pairs(), model.pairs()[0]],
    "a pair in another's place": lambda model: [*model.pairs()[:6], model.pairs()[0]],
    "one more pair": lambda model: [*model.pairs(), (numbers(3), numbers(3))],
    "another order": lambda model: model.pairs()[::-1],
    "no pair": lambda model: (model.gradients[1], model.b),
}


@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["plain", "everything"])
@pytest.mark.parametrize("name", CHANGES)
def test_a_step_unlike_the_one_before_is_as_without_the_short_way(name, options, monkeypatch):
    short, long = (Model(one, monkeypatch, **options) for one in (True, False))
    monkeypatch.setattr(engine, "can_look", lambda: True)
    found = short.step(CHANGES[name])
    monkeypatch.setattr(engine, "can_look", lambda: False)
    assert found == long.step(CHANGES[name])


def test_the_changes_differ():
    """Of changes that must be noticed, which would show nothing if all were refused, or none."""
    with pytest.MonkeyPatch.context() as patch:
        errors = {name for name in CHANGES if isinstance(Model(False, patch).step(CHANGES[name])[0], tuple)}
    assert {"resized", "reshaped", "retyped", "read-only", "a swapped pair", "triples", "one more pair"} <= errors
    assert not {"nothing", "a zip", "another order", "fewer pairs", "a gradient in float64"} & errors


def test_arrays_of_numpy_are_as_expected_here():
    assert looks.can_look()


@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["plain", "everything"])
def test_without_the_short_way_the_numbers_are_the_same(options, monkeypatch):
    found = []
    for short in (True, False):
        model = Model(short, monkeypatch, **options)
        for step in range(5):
            for place, g in enumerate(model.gradients):
                g[...] = numbers(g.shape, g.dtype, 100 * step + place)
            model.optimizer.learning_rate = 0.5 / (1 + step)
            model.optimizer.apply_gradients(model.pairs())
        found.append(model.step(CHANGES["nothing"]))
    assert found[0] == found[1]


def test_a_usual_step_goes_the_short_way_and_every_other_one_does_not(monkeypatch):
    for name, change in CHANGES.items():
        model = Model(True, monkeypatch)
        made = change(model)
        pairs = made() if callable(made) else model.pairs() if made is None else made
        usual = model.optimizer._state.engine.usual([*pairs])
        assert (usual is not None) == (name in USUAL), name


#: Changes after which a step is as usual.
USUAL = {
    "a gradient that reaches to a variable",
    "nothing",
    "new gradients",
    "a generator",
    "a zip",
    "a tuple of pairs",
}


def test_gradients_that_are_made_anew_are_not_kept_alive(monkeypatch):
    """Only what stays is compared by its address: memory that is given back may be another array's."""
    import weakref

    model = Model(True, monkeypatch)
    gone = weakref.ref(model.gradients[0])
    model.gradients = [anew(g) for g in model.gradients]
    assert gone() is None
    assert model.optimizer._state.engine.usual(model.pairs()) is not None
