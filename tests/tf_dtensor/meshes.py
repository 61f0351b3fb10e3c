"""A DTensor mesh of two by two logical CPUs, arrays brought to it and back, and steps on it.

On import the process gets its four logical CPUs, which TensorFlow allows once, before anything has run.
"""

import numpy
import tensorflow as tf
from tensorflow.experimental import dtensor

from rmsprop.tf_keras import RMSprop

_CPU = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(_CPU, [tf.config.LogicalDeviceConfiguration()] * 4)

MESH = dtensor.create_mesh([("batch", 2), ("model", 2)], devices=[f"CPU:{i}" for i in range(4)])

#: Variables by name: the axis of the mesh, if any, along which each of their axes is cut.
CUTS = {
    "one axis/kernel": ("model", dtensor.UNSHARDED),
    "both axes/kernel": ("batch", "model"),
    "whole/bias": (dtensor.UNSHARDED,),
    "number": (),
}
SHAPES = {"one axis/kernel": (4, 3), "both axes/kernel": (2, 6), "whole/bias": (3,), "number": ()}


def arrays(seed=0, dtype=numpy.float32):
    """Values for the variables, name -> array."""
    random = numpy.random.default_rng(seed)
    return {name: numpy.asarray(random.normal(0, 2, shape), dtype) for name, shape in SHAPES.items()}


def gradients(steps):
    """Gradients of some steps, each name -> array; norms from 2 to 8."""
    return [arrays(100 + i) for i in range(steps)]


def place(array, cuts):
    """Bring an array to the mesh."""
    tensor = tf.convert_to_tensor(array)
    whole = dtensor.copy_to_mesh(tensor, dtensor.Layout.replicated(MESH, tensor.shape.rank))
    return dtensor.relayout(whole, dtensor.Layout(list(cuts), MESH))


def fetch(value):
    """Bring a tensor or variable back."""
    tensor = value.read_value() if hasattr(value, "read_value") else value
    whole = dtensor.Layout.replicated(dtensor.fetch_layout(tensor).mesh, tensor.shape.rank)
    return dtensor.relayout(tensor, whole).numpy()


def cuts_of(variable):
    return tuple(variable.layout.sharding_specs)


class OnMesh:
    """An optimizer with the mesh, and the variables above as DVariables."""

    def __init__(self, make, options, start=None, graph=True, **arguments):
        start = arrays() if start is None else start
        self.variables = {
            name: dtensor.DVariable(place(array, CUTS[name]), name=name, **arguments) for name, array in start.items()
        }
        self.optimizer = make(options | {"mesh": MESH})
        self.optimizer.exclude_from_weight_decay(var_names=["bias"])
        self._apply = tf.function(self._step, autograph=False) if graph else self._step

    def _step(self, gradients):
        self.optimizer.apply_gradients([(gradients[name], one) for name, one in self.variables.items()])

    def step(self, gradients):
        """Do a step with ``{name: array}``."""
        dtypes = {name: one.dtype for name, one in self.variables.items()}
        self._apply({name: place(tf.cast(one, dtypes[name]), CUTS[name]) for name, one in gradients.items()})

    def finalize(self):
        """Write the averages into the variables."""
        self.optimizer.finalize_variable_values(list(self.variables.values()))

    def now(self):
        """The variables and the state, name -> array."""
        state = {f"state {i}": fetch(one) for i, one in enumerate(self.optimizer.variables)}
        return {name: fetch(one) for name, one in self.variables.items()} | state


class Alone(OnMesh):
    """The same on one device, without a mesh."""

    def __init__(self, make, options, start=None, **arguments):
        start = arrays() if start is None else start
        self.variables = {name: tf.Variable(array, name=name, **arguments) for name, array in start.items()}
        self.optimizer = make(options)
        self.optimizer.exclude_from_weight_decay(var_names=["bias"])
        self._apply = tf.function(self._step, autograph=False)

    def step(self, gradients):
        """Do a step with ``{name: array}``."""
        self._apply({name: tf.cast(one, self.variables[name].dtype) for name, one in gradients.items()})

    def now(self):
        """The variables and the state, name -> array."""
        state = {f"state {i}": one.numpy() for i, one in enumerate(self.optimizer.variables)}
        return {name: one.numpy() for name, one in self.variables.items()} | state


def ours(options):
    return RMSprop(**options)


def path(run, given, finalize=False):
    """Do steps; name -> what is there after each, and after finalizing."""
    found = []
    for gradients in given:
        run.step(gradients)
        found.append(run.now())
    if finalize:
        run.finalize()
        found.append(run.now())
    return {name: numpy.stack([now[name] for now in found]) for name in found[0]}


def deviation(found, expected):
    """The largest difference of two sets of arrays, relative to the largest element of each array."""
    assert list(found) == list(expected)
    return max(float(numpy.abs(one - expected[name]).max() / numpy.abs(expected[name]).max())
               for name, one in _wide(found).items() if numpy.abs(expected[name]).max())  # fmt: skip


def _wide(arrays):
    return {name: one.astype(numpy.float64) for name, one in arrays.items()}
