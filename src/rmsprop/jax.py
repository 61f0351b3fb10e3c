"""RMSprop for JAX: a transformation for optax, and an optimizer with the methods of Keras's."""

from rmsprop._core import versions
from rmsprop._core.extras import naming_the_extra

with naming_the_extra("rmsprop.jax"):
    # Before modules import what an older version does not have.
    versions.check("rmsprop.jax", "jax", "optax")

    from rmsprop._jax.optimizer import RMSprop
    from rmsprop._jax.renaming import renamed_state
    from rmsprop._jax.rows import row_sparse
    from rmsprop._jax.state import RMSpropState
    from rmsprop._jax.transformation import rmsprop

__all__ = ["RMSprop", "RMSpropState", "renamed_state", "rmsprop", "row_sparse"]
