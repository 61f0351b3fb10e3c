"""Arguments and state as attributes of an optimizer, by the names that users of Keras 2 and 3 know."""

from collections.abc import Callable, Iterable
from typing import Any, Final

from rmsprop._core.exclusion import compile_patterns

#: The attribute in which Keras 3 collects gradients.
COLLECTED: Final = "_accumulated_gradients"


def option(name: str) -> Any:
    """Make the attribute by which users read an argument of `_options`, and may change it."""

    def read(self: Any) -> Any:
        return getattr(self._options, name)

    def write(self: Any, value: Any) -> None:
        self._set_option(name, value)

    return property(read, write, doc=f"The argument `{name}`; a function that is traced already keeps the old value.")


def exclusions(
    var_list: Iterable[Any] | None, var_names: Iterable[str] | None, is_variable: Callable[[Any], bool]
) -> tuple[list[Any], list[str]]:
    """Check the arguments of `exclude_from_weight_decay`, and return them as lists."""
    if is_variable(var_list):
        raise TypeError(f"var_list={getattr(var_list, 'name', var_list)!r} is one variable: pass a list")
    variables, names = list(var_list or ()), list(var_names or ())
    for variable in variables:
        if not is_variable(variable):
            raise TypeError(f"var_list={variables!r} holds {variable!r}, which is no variable")
    compile_patterns(var_names if isinstance(var_names, str) else names)
    return variables, names
