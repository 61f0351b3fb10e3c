"""What `rmsprop.numpy.RMSprop` writes and reads: configs, files, pickles, and how it is printed."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Self

from rmsprop._core.options import Options, options_repr
from rmsprop._core.rates import LearningRate, rate_function
from rmsprop._numpy.build import Exclusion, built
from rmsprop._numpy.state import State


class Saved(ABC):
    """The part of an optimizer that writes and reads it; a subclass steps."""

    _options: Options
    _native: bool | None
    _state: State | None
    _iterations: int
    _exclusion: Exclusion
    _rate: Callable[[int], float]

    @property
    @abstractmethod
    def learning_rate(self) -> float:
        """The learning rate of the next step."""

    @learning_rate.setter
    @abstractmethod
    def learning_rate(self, value: LearningRate) -> None: ...

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, with the learning rate as it is now, as values that JSON can hold.

        Raises:
            ValueError: the learning rate is a plain function.
        """
        return self._options.get_config() | ({} if self._native is None else {"native": self._native})

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        """Make an optimizer from `get_config`'s result, or from one that tf_keras wrote.

        Args:
            config: the arguments.
            custom_objects: class name -> class of your own schedules.

        Raises:
            TypeError: an entry is unknown or of the wrong type.
            ValueError: a number is out of its range, or a schedule's class is unknown.
        """
        options = Options.from_config(config, custom_objects, ("native",))
        make: Any = cls
        made: Self = make(**vars(options), native=config.get("native"))
        return made

    def save(
        self, path: str | os.PathLike[str], *, variables: bool = False, metadata: Mapping[str, str] | None = None
    ) -> None:
        """Write the state to a safetensors file, whole or not at all; `load` of every front end reads it.

        Args:
            path: the file; an older one is replaced with its mode unchanged, also at the target of a link.
            variables: whether to write the variables too, so that state and model are in one file.
            metadata: your own texts, which `load` and `rmsprop.checkpoint.read_metadata` return.

        Raises:
            OSError: the folder is missing or cannot be written, or a folder, a device or a fifo is in the file's place.
            TypeError: `metadata` is no mapping, or holds something else than strings.
            ValueError: the optimizer is not built, or `metadata` uses a name that begins with ``rmsprop.`` or is longer
                than the format allows (100 MB).

        Example:
            >>> import tempfile, numpy as np
            >>> from rmsprop import RMSprop
            >>> optimizer, again = RMSprop(learning_rate=0.5), RMSprop()
            >>> for one in optimizer, again:
            ...     one.build({"w": np.zeros(3)})
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     optimizer.save(f"{folder}/run", metadata={"epoch": "7"})
            ...     print(again.load(f"{folder}/run"), again.learning_rate)
            {'epoch': '7'} 0.5
        """
        built(self._state, "save").save(path, self._options, self._iterations, variables, metadata)

    def load(
        self, path: str | os.PathLike[str], *, variables: bool = False, names: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Read a file that `save` of any front end wrote.

        This reads the state, the iterations, and the learning rate unless a schedule rules here. The options stay those
        of the constructor. Variables are matched by name, in any order, if the file has the same names; by position if
        no name is in common and all shapes agree.

        Args:
            path: the file.
            variables: whether to read the variables too; the file must hold them.
            names: name in the file -> name here, for variables that are called differently.

        Returns:
            The texts that were given to `save`.

        Warns:
            UserWarning: variables are matched by position, and listed; or an option in the file is another than here.

        Raises:
            FileNotFoundError: there is no such file.
            OSError: it cannot be opened or read.
            TypeError: `names` is no mapping of strings.
            ValueError: the optimizer is not built, the file is damaged, or it holds other names, shapes, types or slots
                than this optimizer needs, or groups of variables that differ in their options; the error lists the
                differences. Nothing has changed then.
        """
        found = built(self._state, "load").load(path, self._options, variables, names)
        self._iterations, (rate,) = found.iterations, found.rates
        if not callable(self._options.learning_rate) and rate is not None:
            self.learning_rate = rate
        return found.metadata

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_rate"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Attributes that a pickle of an earlier version lacks are those of a new optimizer.
        self.__init__()  # type: ignore[misc]
        self.__dict__ |= state
        self._rate = rate_function(self._options.learning_rate)
        if isinstance(self._exclusion, tuple):  # of an earlier version
            self._exclusion = Exclusion(*self._exclusion)

    def __repr__(self) -> str:
        return options_repr(self._options, "RMSprop", native=self._native)
