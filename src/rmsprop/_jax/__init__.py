"""What `rmsprop.jax` is made of."""

from rmsprop import _versions

# Before the modules here import what an older version does not have.
_versions.check("rmsprop.jax", "jax", "optax")
