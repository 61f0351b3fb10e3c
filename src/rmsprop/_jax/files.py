"""The optimizer outside of steps: files, which every front end reads, configs, pickles, and wrong attributes."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Self

import jax
import jax.numpy as jnp
import numpy
from numpy.typing import NDArray

from rmsprop._core import slots as _slots
from rmsprop._core.options import options_repr, refuse_attribute
from rmsprop._core.saving import checkpoint
from rmsprop._core.saving.checkpoint import Needed
from rmsprop._core.saving.matching import Group, plain_names
from rmsprop._core.slots import slot_dtype
from rmsprop._core.switches import SWITCH
from rmsprop._jax.array_options import ArrayOptions
from rmsprop._jax.state import FIELDS, RMSpropState, check_state, slots_of
from rmsprop._jax.trees import Leaves, is_traced, parameters, rebuild, templates

#: The counter of a state is an int32.
_MOST: Final = 2**31 - 1


class Saved(ABC):
    """The part of `rmsprop.jax.RMSprop` that writes and reads it."""

    _options: ArrayOptions
    _native: bool | None

    @abstractmethod
    def init(self, params: Any) -> RMSpropState:
        """Return the state for parameters, before the first step."""

    @abstractmethod
    def _with_rate(self, state: RMSpropState) -> RMSpropState:
        """Return a state with the learning rate of the next step."""

    def save(
        self, path: str | os.PathLike[str], params: Any, state: RMSpropState, *, variables: bool = False,
        metadata: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """Write a state to a safetensors file, whole or not at all; `load` of every front end reads it.

        Parameters have the names of their key paths joined by slashes, as "encoder/layers/0/bias".

        Args:
            path: the file; an older one is replaced and keeps its mode, a link's target is.
            params: the parameters.
            state: what `init` or a step returned.
            variables: whether to write the parameters too, so that file and model cannot fall apart.
            metadata: texts of your own to keep with it, which `rmsprop.checkpoint.read_metadata` returns.

        Raises:
            OSError: the folder is missing or cannot be written, or a folder, a device or a fifo is in the file's place.
            TypeError: `state` is no state or is being traced, `metadata` is no mapping, or holds something else than
                strings.
            ValueError: the state was made with other options or for other parameters, a part of an array is on a device
                of another process, or `metadata` uses a name that begins with ``rmsprop.`` or is longer than the format
                allows (100 MB).

        Example:
            >>> import tempfile, jax.numpy as jnp
            >>> from rmsprop.jax import RMSprop
            >>> params = {"w": jnp.zeros(3)}
            >>> optimizer, again = RMSprop(learning_rate=0.5), RMSprop()
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     optimizer.save(f"{folder}/run", params, optimizer.init(params))
            ...     state = again.load(f"{folder}/run", params)
            >>> print(again.rate(state))
            0.5
        """
        check_state(state, "save", params=params)
        if not is_traced(state):
            state = self._with_rate(state)
        _check_whole("save", params, state)
        options, leaves = self._options, parameters(params)
        names = plain_names(leaves.names)
        tensors: dict[str, NDArray[Any]] = {}
        for name, variable, slots in zip(names, leaves.values, slots_of(options, state, leaves), strict=True):
            arrays = slots | ({"variable": variable} if variables else {})
            tensors |= {_slots.key(slot, name): numpy.asarray(array) for slot, array in arrays.items()}
        if not callable(options.learning_rate) and state.rate is not None:
            options = replace(options, learning_rate=float(state.rate))
        checkpoint.write(path, "jax", [Group(names, options)], tensors, int(state.iterations), metadata)

    def load(
        self, path: str | os.PathLike[str], params: Any, *, variables: bool = False,
        names: Mapping[str, str] | None = None,
    ) -> Any:  # fmt: skip
        """Make a state from a file that `save` of any front end wrote.

        What is read: the state, the iterations, and the learning rate unless a schedule rules here. The options stay
        those of the constructor. State goes by the parameters' names, in any order, if the file has the same; by
        position if no name is in common and all shapes agree. Arrays are put on the devices on which `init` would have
        them.

        Args:
            path: the file.
            params: the parameters, or `jax.ShapeDtypeStruct` in their places.
            variables: whether to read the parameters too; the file must hold them.
            names: name in the file -> name here, for parameters that are called differently.

        Returns:
            The state; with `variables`, the pair of the parameters and the state.

        Warns:
            UserWarning: it goes by position, and the pairs are listed; or an option in the file is another than here.

        Raises:
            FileNotFoundError: there is no such file.
            OSError: it cannot be opened or read.
            TypeError: a parameter is no array of a float type, or `names` is no mapping of strings.
            ValueError: the file is damaged, or it holds other names, shapes, types or slots than this optimizer needs,
                or groups of variables that differ in their options; the error lists the differences. Or a part of an
                array is on a device of another process.
        """
        params = templates(params)
        _check_whole("load", params)
        options, leaves = self._options, parameters(params)
        own = plain_names(leaves.names)
        found = checkpoint.read(
            path, [Group(own, options)], _needed(options, leaves, own, variables), names, most=_MOST
        )

        def placed(slot: str, like: Sequence[jax.Array]) -> Any:
            values = [found.tensors[_slots.key(slot, name)] for name in own]
            return rebuild(leaves, list(map(_put, values, like)))

        # Not before the file is known to fit.
        state = self.init(params)
        fields = {
            FIELDS[slot.name]: placed(slot.name, leaves.match(getattr(state, FIELDS[slot.name]), FIELDS[slot.name]))
            for slot in _slots.slots(options)
        }
        state = state._replace(iterations=jnp.asarray(found.iterations, state.iterations.dtype), **fields)
        (rate,) = found.rates
        if rate is not None and state.rate is not None and not callable(options.learning_rate):
            state = state._replace(rate=jnp.array(rate, state.rate.dtype))
        return (placed("variable", leaves.values), state) if variables else state

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, as values that JSON can hold; `axis_name` and `native` only if they are given.

        Raises:
            ValueError: the learning rate is a plain function.
        """
        given = {} if self._native is None else {"native": self._native}
        return self._options.get_config() | given

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        """Make an optimizer from `get_config`'s result, or from one that another front end or tf_keras wrote.

        Args:
            config: the arguments.
            custom_objects: class name -> class of your own schedules.

        Raises:
            TypeError: an entry is unknown or of the wrong type.
            ValueError: a number is out of its range, or a schedule's class is unknown.
        """
        options = ArrayOptions.from_config(config, custom_objects, ("native",))
        made: Any = cls  # whose constructor is the subclass's
        found: Self = made(**vars(options), native=config.get("native"))
        return found

    if not TYPE_CHECKING:  # for which any attribute would exist

        def __getattr__(self, name: str) -> Any:
            """Name the function for `optax.chain` and its like, which look for a transformation's method."""
            if hasattr(type(self), name):  # a property, which raises its own error once more
                return object.__getattribute__(self, name)
            advice = ": it is no transformation of optax, which rmsprop.jax.rmsprop(...) makes"
            said = f"rmsprop.jax.RMSprop has no attribute {name!r}{advice if name == 'update' else ''}"
            raise AttributeError(said, name=name, obj=self)

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse an attribute that nothing would read."""
        if name[:1] != "_" and name != "learning_rate":
            refuse_attribute("rmsprop.jax.RMSprop", name, value, "learning_rate is what may be assigned")
            raise AttributeError(
                f"rmsprop.jax.RMSprop has no attribute {name!r} to set to {value!r}: learning_rate may be assigned, "
                "options are given to the constructor"
            )
        super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        # What was compiled belongs to this process.
        return self.__dict__ | {"_compiled": None, "_compiled_rate": None, "_replaced": None}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        # What another version wrote may lack an entry.
        vars(self).update(vars(type(self)()) | dict(state))
        if "_off" not in state:  # there was no argument: `_native` was what the environment said
            vars(self).update(_native=None, _off="" if state.get("_native", True) else f"{SWITCH}=0")

    def __repr__(self) -> str:
        return options_repr(self._options, "RMSprop", native=self._native)


def _check_whole(method: str, *trees: Any) -> None:
    """Refuse arrays whose numbers are unknown here.

    Raises:
        TypeError: an array is being traced.
        ValueError: a part of an array is on a device of another process.
    """
    for leaf in jax.tree_util.tree_leaves(trees):
        if isinstance(leaf, jax.core.Tracer):
            raise TypeError(f"{method} reads or writes a file: it cannot be traced, call it outside of jax.jit")
        if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
            raise ValueError(
                f"{method} cannot see all of an array of shape {leaf.shape}, whose parts are on devices of other "
                "processes: save RMSpropState, which is a tree of arrays, with orbax.checkpoint, or gather it by "
                "jax.experimental.multihost_utils.process_allgather(state, tiled=True)"
            )


def _needed(options: ArrayOptions, leaves: Leaves, names: list[str], variables: bool) -> dict[str, Needed]:
    needed: dict[str, Needed] = {}
    for name, variable in zip(names, leaves.values, strict=True):
        types = {slot.name: slot_dtype(options, variable.dtype) for slot in _slots.slots(options)}
        if variables:
            types["variable"] = numpy.dtype(variable.dtype)
        needed |= {_slots.key(slot, name): Needed(dtype, variable.shape) for slot, dtype in types.items()}
    return needed


def _put(value: NDArray[Any], like: jax.Array) -> jax.Array:
    """Return an array on the devices of another; committed only if that is, so that a second step compiles nothing."""
    array = jnp.array(value)
    placed: jax.Array = jax.device_put(array, like.sharding) if like.committed else array
    return placed
