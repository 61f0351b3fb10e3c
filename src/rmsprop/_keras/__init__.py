"""What `rmsprop.keras` is made of."""

from rmsprop._core import versions

# Before the modules here import what an older version does not have.
versions.check("rmsprop.keras", "keras")
