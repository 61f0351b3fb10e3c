"""What `rmsprop.tf_keras.RMSprop` is made of: learning rates, state, and the pairs of a step, as tf_keras has them."""

from rmsprop import _versions

# Before the modules here import what an older version does not have.
_versions.check("rmsprop.tf_keras", "tensorflow", "tf_keras")
