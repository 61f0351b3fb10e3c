"""RMSprop exactly as Keras 2 defines it, for every Python array framework."""

__version__ = "0.1.0"
