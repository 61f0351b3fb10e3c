"""What `rmsprop.keras` is made of."""

from rmsprop import _versions

# Before the modules here import what an older version does not have.
_versions.check("rmsprop.keras", "keras")
