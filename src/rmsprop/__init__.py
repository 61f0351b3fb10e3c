"""RMSprop exactly as Keras 2 defines it, for every Python array framework.

`RMSprop` here is the one for NumPy arrays. Importing this loads NumPy and nothing heavier.
"""

from rmsprop import recipes, schedules
from rmsprop._rows import RowSparse
from rmsprop.numpy import RMSprop

__version__ = "0.1.0"

__all__ = ["RMSprop", "RowSparse", "__version__", "recipes", "schedules"]
