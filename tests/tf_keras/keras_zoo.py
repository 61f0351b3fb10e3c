"""Models of every style in which tf_keras's users write them; each starts the same way every time."""

import numpy
import tensorflow as tf
import tf_keras
from keras_models import BATCH, BATCHES, X, Y, mlp

layers = tf_keras.layers

#: The same data as one array.
INPUTS, TARGETS = X.reshape(-1, 4), Y.reshape(-1, 1)
_IMAGES = numpy.random.default_rng(1).normal(size=(BATCH * BATCHES, 6, 6, 1)).astype(numpy.float32)


def _functional():
    first = layers.Input((4,), name="first")
    hidden = layers.Dense(6, activation="tanh")(first)
    return tf_keras.Model(first, layers.Dense(1)(layers.Concatenate()([hidden, first])))


class _Subclassed(tf_keras.Model):
    """Its variables are made at the first call, in the middle of a traced step."""

    def __init__(self):
        super().__init__()
        self.hidden, self.last = layers.Dense(5, activation="tanh"), layers.Dense(1)

    def call(self, inputs):
        return self.last(self.hidden(inputs))


class _OwnStep(_Subclassed):
    """A training step of one's own, as the Keras guide writes it."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(self(x, training=True) - y))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return {"loss": loss}


def _normalized():
    # No bias before: its gradient would be 0 but for rounding, of which RMSprop makes steps of full length.
    return tf_keras.Sequential([
        layers.Input((4,)), layers.Dense(5, use_bias=False), layers.BatchNormalization(), layers.Activation("tanh"),
        layers.Dense(1),
    ])  # fmt: skip


def _convolutional():
    return tf_keras.Sequential([
        layers.Input((6, 6, 1)), layers.Conv2D(3, 3, activation="tanh"), layers.Flatten(), layers.Dense(1),
    ])  # fmt: skip


#: style -> (model, inputs)
ZOO = {
    "sequential": (mlp, INPUTS),
    "functional": (_functional, INPUTS),
    "subclassed": (_Subclassed, INPUTS),
    "own train_step": (_OwnStep, INPUTS),
    "normalized": (_normalized, INPUTS),
    "convolutional": (_convolutional, _IMAGES),
}


def fitted(style, optimizer, epochs=2, callbacks=None, fit=None, **arguments):
    """Train a model; give it and the losses of its epochs."""
    tf_keras.utils.set_random_seed(0)
    make, inputs = ZOO[style]
    model = make()
    model.compile(optimizer, "mse", **arguments)
    history = model.fit(
        inputs, TARGETS, batch_size=BATCH, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks, **(fit or {})
    )
    return model, history.history["loss"]
