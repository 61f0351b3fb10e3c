"""A cluster of two workers and a parameter server, all in this process; its coordinator trains with several optimizers.

The argument is a file for what comes out. Gradients are sparse and dense, so `train` may be given any strategy.
"""

import os
import sys

import cases
import clusters
import numpy
import original
import tensorflow as tf
import tf_keras

import rmsprop.schedules
from rmsprop.tf_keras import RMSprop

# Without a clip, as tf_keras clips the rows of a sparse gradient before it sums those that are one.
EVERYTHING = {
    "learning_rate": cases.LEARNING_RATE, "momentum": 0.9, "centered": True, "weight_decay": cases.WEIGHT_DECAY,
    "use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 5,
}  # fmt: skip
SCHEDULES = {
    "ours": rmsprop.schedules.ExponentialDecay(2.0**-6, 2, 0.5),
    "tf_keras's": tf_keras.optimizers.schedules.ExponentialDecay(2.0**-6, 2, 0.5),
}

STEPS = 8
SHAPES = {"table": (10, 4), "kernel": (8, 3), "bias": (3,), "scale": ()}


def ours(options):
    return RMSprop(**options)


def parts(variables):
    """The variables, and of those that are cut in pieces the pieces: what an optimizer steps."""
    return [part for one in variables.values() for part in getattr(one, "variables", [one])]


def whole(variables):
    return [tf.convert_to_tensor(one).numpy() for one in variables]


def loss(variables, tokens):
    rows = tf.reshape(tf.nn.embedding_lookup(variables["table"], tokens), (4, 8))
    outputs = tf.matmul(rows, tf.convert_to_tensor(variables["kernel"])) + tf.convert_to_tensor(variables["bias"])
    return tf.reduce_sum((outputs * variables["scale"] - 1) ** 2)


class Training:
    """An optimizer and variables in the scope of a strategy; ``run(function, arguments)`` does a step of it."""

    def __init__(self, strategy, make, options):
        random = numpy.random.default_rng(0)
        with strategy.scope():
            self.variables = {
                name: tf.Variable(random.normal(1, 1, shape).astype(numpy.float32), name=name)
                for name, shape in SHAPES.items()
            }
            self.optimizer = make(options)
            self.optimizer.exclude_from_weight_decay(var_names=["bias"])
            self.optimizer.build(parts(self.variables))
        self.step = tf.function(lambda tokens: strategy.run(self._step, args=(tokens,)), autograph=False)

    def _step(self, tokens):
        stepped = parts(self.variables)
        with tf.GradientTape() as tape:
            value = loss(self.variables, tokens)
        self.optimizer.apply_gradients(zip(tape.gradient(value, stepped), stepped, strict=True))
        return value

    def train(self, run):
        random = numpy.random.default_rng(1)
        for _ in range(STEPS):
            run(self.step, (tf.constant(random.integers(0, 9, (4, 2))),))
        return self

    def finalize(self):
        self.optimizer.finalize_variable_values(parts(self.variables))
        return self

    def now(self):
        return whole(self.variables.values()) + whole(self.optimizer.variables)


def runs(strategy, run):
    """Everything there is to compare with one device, run -> arrays."""
    found = {}
    for name, make in (("ours", ours), ("tf_keras", original.optimizer)):
        for kind, options in (("plain", {}), ("everything", EVERYTHING)):
            found[f"{kind}, {name}"] = Training(strategy, make, options).train(run).finalize().now()
    for clip in ({"global_clipnorm": 1.0}, {"clipvalue": 1.0}):
        found[f"{next(iter(clip))}, ours"] = Training(strategy, ours, clip).train(run).now()
    for name, schedule in SCHEDULES.items():
        found[f"schedule, {name}"] = Training(strategy, ours, {"learning_rate": schedule}).train(run).now()
    return found


# The cluster ----------------------------------------------------------------------------------------------------------


def cluster():
    first, second, parameters = clusters.addresses(3)
    spec = tf.train.ClusterSpec({"worker": [first, second], "ps": [parameters]})
    # A worker waits for others within its operations, so one thread would wait for itself.
    threads = tf.compat.v1.ConfigProto(inter_op_parallelism_threads=4)
    servers = [
        tf.distribute.Server(spec, job_name=job, task_index=index, config=threads)
        for job, index in (("worker", 0), ("worker", 1), ("ps", 0))
    ]
    return servers, tf.distribute.cluster_resolver.SimpleClusterResolver(spec, rpc_layer="grpc")


def together(coordinator):
    def run(step, arguments):
        coordinator.schedule(step, args=arguments)
        coordinator.join()

    return run


def checkpoints(strategy, run, path):
    """What was written in pieces, and what others read of it: arrays by reader."""
    options = {"momentum": 0.9, "centered": True}
    written = Training(strategy, ours, options).train(run)
    saved = tf.train.Checkpoint(optimizer=written.optimizer, **written.variables).write(path)
    found = {"checkpoint": written.now()}
    alone = tf.distribute.get_strategy()
    for name, where, make in (
        ("in pieces", strategy, ours), ("in pieces, tf_keras", strategy, original.optimizer), ("whole", alone, ours),
        ("whole, tf_keras", alone, original.optimizer),
    ):  # fmt: skip
        read = Training(where, make, options)
        tf.train.Checkpoint(optimizer=read.optimizer, **read.variables).read(saved).assert_consumed()
        found[f"checkpoint, {name}"] = read.now()
    return found


def asynchronous(strategy, coordinator):
    """Steps in no order; what comes out is only how many there were, and what the loss was before and after."""
    training = Training(strategy, ours, {"learning_rate": 2.0**-7} | EVERYTHING)
    tokens = tf.reshape(tf.range(8), (4, 2))
    before = loss(training.variables, tokens)
    for _ in range(20):
        coordinator.schedule(training.step, args=(tokens,))
    coordinator.join()
    return {"asynchronous": [training.optimizer.iterations.numpy(), before, loss(training.variables, tokens)]}


def fit(strategy):
    with strategy.scope():
        model = tf_keras.Sequential([tf_keras.layers.Dense(4, input_shape=(5,)), tf_keras.layers.Dense(1)])
        model.compile(RMSprop(use_ema=True, ema_overwrite_frequency=3, clipnorm=1.0), "mse")
    inputs = numpy.random.default_rng(0).normal(size=(32, 5)).astype(numpy.float32)

    def data(context):
        return tf.data.Dataset.from_tensor_slices((inputs, inputs.sum(1))).repeat().batch(8)

    creator = tf_keras.utils.experimental.DatasetCreator(data)
    history = model.fit(creator, epochs=2, steps_per_epoch=4, verbose=0).history["loss"]
    return {"fit": [model.optimizer.iterations.numpy(), *history]}


def main(path):
    servers, resolver = cluster()
    found = {}
    halves = tf.distribute.experimental.partitioners.FixedShardsPartitioner(2)
    for kind, partitioner in (("whole", None), ("in pieces", halves)):
        strategy = tf.distribute.ParameterServerStrategy(resolver, variable_partitioner=partitioner)
        coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
        all_runs = runs(strategy, together(coordinator)) | asynchronous(strategy, coordinator) | fit(strategy)
        if partitioner is not None:
            all_runs |= checkpoints(strategy, together(coordinator), path)
        found |= {f"{kind}|{run}": arrays for run, arrays in all_runs.items()}
    assert len(servers) == 3
    numpy.savez(path, **{f"{run}|{i:02}": one for run, arrays in found.items() for i, one in enumerate(arrays)})


if __name__ == "__main__":
    main(sys.argv[1])
    # TensorFlow has no way to end a server, whose threads would keep the process.
    sys.stdout.flush()
    os._exit(0)
