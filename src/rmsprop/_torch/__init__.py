"""What `rmsprop.torch.RMSprop` is made of: arguments, parameter groups and checkpoints, as torch has them."""

from rmsprop import _versions

# Before the modules here import what an older version does not have.
_versions.check("rmsprop.torch", "torch")
