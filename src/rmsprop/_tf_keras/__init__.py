"""What `rmsprop.tf_keras.RMSprop` is made of: learning rates, state, and the pairs of a step, as tf_keras has them."""

from rmsprop._core import versions

# Before the modules here import what an older version does not have.
versions.check("rmsprop.tf_keras", "tensorflow", "tf_keras")
