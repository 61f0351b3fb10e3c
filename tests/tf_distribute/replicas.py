"""Steps under a strategy, beside the same steps on one device.

On import the process gets two logical CPUs, which TensorFlow allows once, before anything has run. DTensor's tests have
a folder, and so a process, of their own: its collectives and those of strategies get in each other's way.
"""

from functools import cache

import numpy
import tensorflow as tf

from rmsprop.tf_keras import RMSprop

_CPU = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(_CPU, [tf.config.LogicalDeviceConfiguration()] * 2)


@cache
def mirrored():
    """Two replicas. One strategy serves the process: TensorFlow mixes up the collectives of several."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def one_device():
    """No strategy: what runs outside of all."""
    return tf.distribute.get_strategy()


def ours(options):
    return RMSprop(**options)


class Run:
    """An optimizer and its variables, made in the scope of a strategy.

    Args:
        make: gives the optimizer.
        strategy: gives the replicas; a sum over them is a step's gradient.
        arrays: name -> start value.
        aggregation: how replicas' assignments to a variable are put together; constraints need one.
    """

    def __init__(self, make, strategy, arrays, aggregation=tf.VariableAggregation.NONE, constraint=None):
        self.strategy = strategy
        with strategy.scope():
            self.variables = {
                name: tf.Variable(array, name=name, aggregation=aggregation, constraint=constraint)
                for name, array in arrays.items()
            }
            self.optimizer = make()
        self._run = tf.function(lambda gradients: strategy.run(self._apply, args=(gradients,)), autograph=False)

    def _apply(self, gradients):
        # Every replica but the first takes off what the first has too much, so the sum is exact.
        context = tf.distribute.get_replica_context()
        replicas = context.num_replicas_in_sync
        share = tf.where(tf.equal(context.replica_id_in_sync_group, 0), replicas, -1)
        pairs = [(gradients[name], variable) for name, variable in self.variables.items()]
        self.optimizer.apply_gradients([(_times(gradient, share), variable) for gradient, variable in pairs])

    def step(self, gradients):
        """Do a step; a gradient is an array, `tf.IndexedSlices` or None."""
        self._run({name: _tensor(gradient, self.variables[name].dtype) for name, gradient in gradients.items()})

    def finalize(self):
        """Write the averages into the variables."""
        with self.strategy.scope():
            self.optimizer.finalize_variable_values(list(self.variables.values()))

    def now(self):
        """The variables and the state, name -> array; all replicas hold the same."""
        named = dict(self.variables)
        for i, variable in enumerate(self.optimizer.variables):
            named[f"state {i}: {variable.name}"] = variable
        return {name: self._one(name, variable) for name, variable in named.items()}

    def copies(self, variable):
        """What each replica holds."""
        return [copy.numpy() for copy in self.strategy.experimental_local_results(variable)]

    def _one(self, name, variable):
        first, *others = self.copies(variable)
        for other in others:
            numpy.testing.assert_array_equal(other, first, name)
        return first

    def path(self, stacked, finalize=False):
        """Do a step for each row; name -> what is there after each, and after finalizing if that is asked for."""
        found = []
        for i in range(len(next(iter(stacked.values())))):
            self.step({name: rows[i] for name, rows in stacked.items()})
            found.append(self.now())
        if finalize:
            self.finalize()
            found.append(self.now())
        return {name: numpy.stack([now[name] for now in found]) for name in found[0]}


def _tensor(gradient, dtype):
    return gradient if gradient is None or isinstance(gradient, tf.IndexedSlices) else tf.constant(gradient, dtype)


def _times(gradient, share):
    if gradient is None:
        return None
    if isinstance(gradient, tf.IndexedSlices):
        values = gradient.values * tf.cast(share, gradient.values.dtype)
        return tf.IndexedSlices(values, gradient.indices, gradient.dense_shape)
    return gradient * tf.cast(share, gradient.dtype)


def deviation(found, expected):
    """The largest difference of two paths, each tensor's relative to its largest element."""
    assert [name.partition(" ")[0] for name in found] == [name.partition(" ")[0] for name in expected]
    worst = 0.0
    for here, there in zip(found.values(), expected.values(), strict=True):
        assert here.shape == there.shape
        if there.size and (largest := numpy.abs(there.astype(float)).max()):
            worst = max(worst, float(numpy.abs(here.astype(float) - there.astype(float)).max() / largest))
        else:
            numpy.testing.assert_array_equal(here, there)
    return worst
