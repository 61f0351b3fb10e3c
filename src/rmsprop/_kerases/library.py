"""What the two Kerases differ in, as values and functions that their optimizers' common methods call."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, final

import numpy

from rmsprop._core.options import Options


@final
class Library(NamedTuple):
    """One of the two Kerases."""

    module: Any  # `keras` or `tf_keras`
    places: str  # the attribute that maps a variable's key to its place among those of `build`
    stands_for: str  # which models the optimizer is for, and who is for the others
    advice: str  # what else to do about a variable that the optimizer is not built for
    between: str  # where files can be read and written
    ours: Sequence[str]  # arguments that the library's own optimizer lacks; configs hold them if not the default
    fixed: Sequence[str]  # arguments that are no options, and that cannot be assigned
    number_of: Callable[[Any], Any]  # a learning rate's number if it is a tensor or a variable, else itself
    is_symbolic: Callable[[Any], bool]  # whether a value is a tensor of a function that is being traced
    cast: Callable[[Any, Any], Any]  # a tensor in another type
    value_of: Callable[[Any], Any]  # a variable's numbers as NumPy's
    dtype_of: Callable[[Any], numpy.dtype[Any]]  # NumPy's type of a variable
    name_of: Callable[[Any], str]  # a variable's name in error texts
    saved_name: Callable[[Any], str]  # a variable's name in files
    as_list: Callable[[str, Any], list[Any]]  # the variables of an argument
    check_variables: Callable[[Sequence[Any]], None]  # refuses what cannot be stepped


def lacking(module: Any) -> list[str]:
    """Return the arguments that the library's own RMSprop lacks."""
    known = inspect.signature(module.optimizers.RMSprop.__init__).parameters
    return [name for name in (*Options.__dataclass_fields__, "native") if name not in known]
