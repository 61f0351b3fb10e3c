"""State, files and checkpoints of `rmsprop.keras.RMSprop` and `rmsprop.tf_keras.RMSprop`."""

import os
from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rmsprop._core.explain import Explanation
from rmsprop._core.slots import KERAS_ATTRIBUTES
from rmsprop._kerases import files
from rmsprop._kerases.arguments import Arguments
from rmsprop._kerases.attributes import COLLECTED
from rmsprop._kerases.files import Contents
from rmsprop._kerases.restoring import LIST, Waiting, start_again_after


class KerasRMSprop(Arguments, ABC):
    """An optimizer with its state; a subclass is one of Keras 2 or 3 too, and sets `_state` when it is built."""

    _iterations: Any
    _var_key: Any

    # What a subclass has besides.
    _explain: Any  # explain a step, out of what the framework traces
    _check_readable: Any  # refuse a file where not all numbers can be read
    _write_averages: Any  # write averages into variables, which have these places among those of `build`
    _find_list: Any  # read what the list of the state tells of a checkpoint that is being restored

    def explain(self, var_list: Sequence[Any] | None = None) -> Explanation:
        """Return for each variable whether one of our kernels steps it, and if not, why.

        Gradients are taken to be dense and of the variables' types. Called in a function that is being traced, or in
        the scope of a strategy, it explains a step there. Nothing is built or compiled; Numba is loaded, which needs a
        moment.

        Args:
            var_list: as for `build`, before that; later a part of the variables that `build` got. None: all of them.

        Returns:
            A table as text, and attributes: see `rmsprop.Explanation`. Variables are called by their paths, in tf_keras
            by their names without the ending ":0"; or else, if one is repeated, by their numbers.

        Raises:
            TypeError: something is no variable, or of another type, or `var_list` is one variable.
            ValueError: `var_list` is None before `build`, or a variable is unknown or given twice.

        Example:
            >>> import keras  # or: import tf_keras
            >>> from rmsprop.keras import RMSprop  # or: from rmsprop.tf_keras import RMSprop
            >>> kernel = keras.Variable(keras.ops.ones((3, 4)), name="kernel")  # or: tf.Variable(tf.ones((3, 4)))
            >>> found = RMSprop(momentum=0.9, jit_compile=False, native=False).explain([kernel])
            >>> print(found.variables["kernel"].way == "native", found.variables["kernel"].slots)
            False {'velocity': 'float32', 'momentum': 'float32'}
        """
        found: Explanation = self._explain(var_list)
        return found

    def save(
        self, path: str | os.PathLike[str], *, variables: bool = False, metadata: Mapping[str, str] | None = None
    ) -> None:
        """Write the state to a safetensors file, whole or not at all; `load` of every front end reads it.

        Variables are called by their paths, in tf_keras by their names without the ending ":0"; or else, if one is
        repeated, by their numbers.

        Args:
            path: the file; an older one is replaced and keeps its mode, a link's target is.
            variables: whether to write the variables too, so that file and model cannot fall apart.
            metadata: texts of your own to store with it, which `load` and `rmsprop.checkpoint.read_metadata` return.

        Raises:
            OSError: the folder is missing or cannot be written, or a folder, a device or a fifo is in the file's place.
            TypeError: `metadata` is no mapping, or holds something else than strings.
            ValueError: the optimizer is not built, a function is being traced, gradients of an unfinished step are
                collected, the state is on a mesh of DTensor's, or `metadata` uses a name that begins with ``rmsprop.``
                or is longer than the format allows (100 MB).

        Example:
            >>> import tempfile, keras  # with tf_keras, rmsprop.tf_keras and tf.Variable it is the same
            >>> from rmsprop.keras import RMSprop
            >>> w, optimizer, again = keras.Variable([1.0, 2.0], name="w"), RMSprop(learning_rate=0.5), RMSprop()
            >>> for one in optimizer, again:
            ...     one.build([w])
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     optimizer.save(f"{folder}/run", metadata={"epoch": "7"})
            ...     print(again.load(f"{folder}/run"), float(again.learning_rate.value))
            {'epoch': '7'} 0.5
        """
        files.save(self._contents("save", variables), path, variables, metadata)

    def load(
        self, path: str | os.PathLike[str], *, variables: bool = False, names: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Go on from a file that `save` of any front end wrote.

        What is read: the state, the iterations, and the learning rate unless a schedule rules here. The options stay
        those of the constructor. State is matched by the variables' names, in any order, if the file has the same; by
        position if no name is in common and all shapes agree. Collected gradients of an unfinished step are dropped.

        Args:
            path: the file.
            variables: whether to read the variables too; the file must hold them.
            names: name in the file -> name here, for variables with another name.

        Returns:
            The texts that were passed to `save`.

        Warns:
            UserWarning: it is matched by position, and the pairs are listed; or an option in the file is another than
                here.

        Raises:
            FileNotFoundError: there is no such file.
            OSError: it cannot be opened or read.
            TypeError: `names` is no mapping of strings.
            ValueError: the optimizer is not built, a function is being traced, the state is on a mesh of DTensor's, the
                file is damaged, or it holds other names, shapes, types or slots than this optimizer needs, or groups of
                variables that differ in their options; the error lists the differences. Nothing has changed then.
        """
        return files.load(self._contents("load", variables), path, variables, names, self._count)

    def _contents(self, method: str, variables: bool) -> Contents:
        library, state = self._library, self._state
        if state is None:
            raise ValueError(f"{method} needs the variables: call build(var_list) first")
        if self._count() is None:
            raise ValueError(f"{method} reads or writes a file: it cannot be traced, call it {library.between}")
        self._check_readable(method, state, variables)
        rate, each = self._rate(), getattr(self, "gradient_accumulation_steps", None) or 1
        options, variable = replace(self._options, learning_rate=rate), None if callable(rate) else self._learning_rate
        return Contents(library, state, options, self._iterations, each, variable)

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        """Write the averages into variables, if `use_ema`; `fit` does it at its end.

        Args:
            var_list: variables that the optimizer was built for.

        Raises:
            TypeError: `var_list` is one variable.
            ValueError: the optimizer is not built, or a variable is unknown to it.
        """
        variables = self._library.as_list("var_list", var_list)
        if not self._options.use_ema or not variables:
            return  # `fit` comes here with a model that has nothing to train, too
        if self._state is None:
            raise ValueError("finalize_variable_values needs the averages: call build(var_list) first")
        self._write_averages(variables, self._numbers(variables))

    def _numbers(self, variables: Sequence[Any]) -> list[int]:
        """Return the places of variables among those of `build`; ValueError for one unknown or given twice."""
        library, places = self._library, getattr(self, self._library.places)
        library.check_variables(variables)
        found = [places.get(self._var_key(variable)) for variable in variables]
        for number, variable in zip(found, variables, strict=True):
            if number is None:
                raise ValueError(
                    f"variable {library.name_of(variable)!r} is not among those the optimizer was built for: "
                    f"pass all variables to build() first{library.advice}"
                )
        if len(set(found)) < len(found):
            raise ValueError(f"a variable is given twice among {', '.join(map(library.name_of, variables))}")
        return found

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any = None) -> None:
        """Not a step: Keras has this method for one variable, but a step here moves all at once.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("call apply_gradients([(gradient, variable)])")

    # TensorFlow's checkpoints bring the state by the names of attributes: see `rmsprop._kerases.restoring`.

    def _lookup_dependency(self, name: str, *args: Any, **kwargs: Any) -> Any:
        found: Any = None if name == LIST else super()._lookup_dependency(name, *args, **kwargs)  # type: ignore[misc]
        return found

    @property
    def _deferred_dependencies(self) -> Waiting:
        return Waiting(super()._deferred_dependencies, self._find_list)  # type: ignore[misc]

    def _go_back(self, position: Any) -> None:
        """Restore a checkpoint from before the first step, whose list is at `position`."""
        if self._state is not None:
            start_again_after(position.checkpoint, self._count, self._state)
            return
        # What earlier checkpoints hold is out of date.
        for name in (*KERAS_ATTRIBUTES.values(), COLLECTED):
            self._deferred_dependencies.pop(name, None)
