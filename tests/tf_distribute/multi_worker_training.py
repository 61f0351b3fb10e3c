"""What each worker of a cluster runs: several optimizers train, one after the other.

The argument begins the name of a file for what comes out; the worker's index ends it.
"""

import json
import os
import sys

import cases
import numpy
import original
import tensorflow as tf
import tf_keras

import rmsprop.schedules
from rmsprop.tf_keras import RMSprop

EVERYTHING = {
    "learning_rate": cases.LEARNING_RATE, "momentum": 0.9, "centered": True, "weight_decay": cases.WEIGHT_DECAY,
    "global_clipnorm": 1.0, "use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 5,
}  # fmt: skip
SCHEDULES = {
    "ours": rmsprop.schedules.ExponentialDecay(2.0**-6, 2, 0.5),
    "function": lambda step: 2.0**-6 * 0.5 ** (step / 2),
}

STEPS = 8
EXAMPLES = 32

# Without the empty one: a worker that tells others the start value of an empty variable is killed by TensorFlow.
START = {name: one for name, one in cases.variables(numpy.float32).items() if one.size}


def ours(options):
    return RMSprop(**options)


def numbers(*shape):
    return numpy.random.default_rng(0).normal(size=shape).astype(numpy.float32)


def given_gradients(strategy, make, options):
    """Steps with the table's gradients; the first worker hands in twice as much, the second takes it off."""
    stacked = {name: rows for name, rows in cases.gradients(STEPS, numpy.float32).items() if name in START}
    with strategy.scope():
        variables = {name: tf.Variable(one, name=name) for name, one in START.items()}
        optimizer = make(options)
        optimizer.exclude_from_weight_decay(var_names=["bias"])

    def apply(gradients):
        context = tf.distribute.get_replica_context()
        first = tf.equal(context.replica_id_in_sync_group, 0)
        share = tf.where(first, float(context.num_replicas_in_sync), -1.0)
        optimizer.apply_gradients([(gradients[name] * share, one) for name, one in variables.items()])

    step = tf.function(lambda gradients: strategy.run(apply, args=(gradients,)), autograph=False)
    for i in range(STEPS):
        step({name: tf.constant(rows[i]) for name, rows in stacked.items()})
    with strategy.scope():
        optimizer.finalize_variable_values(list(variables.values()))
    state = {f"state {i}": one.numpy() for i, one in enumerate(optimizer.variables)}
    return {name: one.numpy() for name, one in variables.items()} | state


def fit(strategy, make, options):
    """A model with an embedding; each worker reads its half of each batch."""
    with strategy.scope():
        tf_keras.utils.set_random_seed(0)
        model = tf_keras.Sequential([
            tf_keras.layers.Embedding(20, 4, input_length=3), tf_keras.layers.Flatten(), tf_keras.layers.Dense(1),
        ])  # fmt: skip
        model.compile(make(options), "mse")
    tokens = numpy.random.default_rng(1).integers(0, 15, (EXAMPLES, 3))
    data = tf.data.Dataset.from_tensor_slices((tokens, numbers(EXAMPLES, 1))).batch(8)
    sharding = tf.data.Options()
    sharding.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    model.fit(data.with_options(sharding), epochs=2, verbose=0)
    return {f"weight {i}": one for i, one in enumerate(model.get_weights())}


def runs(strategy):
    """Everything there is to compare, run -> name -> array."""
    # An epsilon that keeps roundings of tiny gradients from being made steps of.
    plain = {"learning_rate": cases.LEARNING_RATE, "momentum": 0.9, "epsilon": 1e-3}
    found = {
        "gradients, ours": given_gradients(strategy, ours, EVERYTHING),
        "gradients, tf_keras": given_gradients(strategy, original.optimizer, EVERYTHING),
        "fit, ours": fit(strategy, ours, plain),
        "fit, tf_keras": fit(strategy, original.optimizer, plain),
    }
    for name, schedule in SCHEDULES.items():
        found[f"schedule, {name}"] = given_gradients(strategy, ours, {"learning_rate": schedule})
    return found


def main():
    found = runs(tf.distribute.MultiWorkerMirroredStrategy())
    index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
    arrays = {f"{run}|{name}".replace("/", " "): one for run, named in found.items() for name, one in named.items()}
    numpy.savez(f"{sys.argv[1]}{index}.npz", **arrays)


if __name__ == "__main__":
    main()
