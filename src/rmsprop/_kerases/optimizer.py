"""What `rmsprop.keras.RMSprop` and `rmsprop.tf_keras.RMSprop` have in common."""

import inspect
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, ClassVar, NamedTuple, Self, final

from rmsprop._core import slots
from rmsprop._core.explain import Explanation
from rmsprop._core.options import LearningRate, Options, check_learning_rate, refuse_attribute
from rmsprop._kerases import files
from rmsprop._kerases.attributes import COLLECTED, KERAS_ATTRIBUTES, exclusions, option
from rmsprop._kerases.configs import from_config, plain_number, to_config
from rmsprop._kerases.files import Contents
from rmsprop._kerases.restoring import LIST, Waiting, start_again_after


@final
class Library(NamedTuple):
    """What the two Kerases differ in.

    Attributes:
        module: `keras` or `tf_keras`.
        built: the attribute that is True when the state is made.
        stands_for: which models the optimizer is for, and who is for the others.
        ours: arguments that the library's own optimizer does not have; configs hold them if they are not the default.
        fixed: arguments that are no options, and that cannot be assigned.
        number_of: returns a learning rate's number if it is a tensor or a variable, else the learning rate itself.
        is_symbolic: whether a value is a tensor of a function that is being traced.
        cast: returns a tensor in another type.
        value_of: returns a variable's numbers as NumPy's.
    """

    module: Any
    built: str
    stands_for: str
    ours: Sequence[str]
    fixed: Sequence[str]
    number_of: Callable[[Any], Any]
    is_symbolic: Callable[[Any], bool]
    cast: Callable[[Any, Any], Any]
    value_of: Callable[[Any], Any]


def check_native(native: Any) -> bool | None:
    """Return the argument `native` of a constructor if it is one."""
    if native is not None and not isinstance(native, bool):
        raise TypeError(f"native={native!r} is not True, False or None")
    return native


class KerasRMSprop(ABC):
    """Arguments, configs, files and checkpoints of an optimizer of Keras 2 or 3, of which a subclass is one too.

    A subclass sets `_options` and `_native` before it calls the constructor of Keras.
    """

    _library: ClassVar[Library]
    _options: Options
    _native: bool | None
    _learning_rate: Any
    name: str

    rho = option("rho")
    momentum = option("momentum")
    epsilon = option("epsilon")
    centered = option("centered")
    weight_decay = option("weight_decay")
    clipnorm = option("clipnorm")
    clipvalue = option("clipvalue")
    global_clipnorm = option("global_clipnorm")
    use_ema = option("use_ema")
    ema_momentum = option("ema_momentum")
    ema_overwrite_frequency = option("ema_overwrite_frequency")

    def __setattr__(self, name: str, value: Any) -> None:
        # Keras's attributes and those of subclasses stay what they are; an option that nobody reads is refused.
        if not hasattr(type(self), name):
            if name in self._library.fixed:
                raise AttributeError(f"{name}={value!r} cannot be assigned: give {name} to the constructor")
            if name != "jit_compile" or "jit_compile" in self._library.ours:
                refuse_attribute(f"rmsprop.{self._library.module.__name__}.RMSprop", name, value)
        super().__setattr__(name, value)

    def _is_built(self) -> bool:
        return bool(getattr(self, self._library.built, False))

    def _set_option(self, name: str, value: Any) -> None:
        options = replace(self._options, **{name: value})
        if self._is_built() and slots.slots(options) != slots.slots(self._options):
            raise ValueError(f"{name}={value!r} needs other state than the optimizer was built with: set it before")
        self._forget()  # before the write: an interrupt in between leaves nothing that was made of the old value
        self._options = options

    @abstractmethod
    def _forget(self) -> None:
        """Drop what was made of the arguments."""

    @property
    def learning_rate(self) -> Any:
        """The learning rate of the next step: a variable, or a tensor or number if a schedule or function rules.

        Raises:
            TypeError: a number was assigned while a schedule rules, or something that is neither.
            ValueError: a number below 0 or not finite was assigned.
        """
        return self._get_current_learning_rate()

    @learning_rate.setter
    def learning_rate(self, value: LearningRate) -> None:
        now = self._options.learning_rate
        symbolic = self._library.is_symbolic(value) and not callable(now)
        checked = value if symbolic else check_learning_rate(self._library.number_of(value))
        if not symbolic and callable(checked):
            self._set_schedule(checked)
        elif callable(now):
            raise TypeError(
                f"learning_rate={value!r} cannot be set while the schedule {now!r} rules: "
                "assign another schedule, or construct the optimizer with a number"
            )
        else:
            self._learning_rate.assign(self._library.cast(checked, self._learning_rate.dtype) if symbolic else checked)

    @abstractmethod
    def _get_current_learning_rate(self) -> Any:
        """Return the learning rate of the next step."""

    @abstractmethod
    def _set_schedule(self, rate: Any) -> None:
        """Let a schedule or function rule from now on."""

    def _rate(self) -> LearningRate:
        """Return the schedule or function that rules, or the present number as the user wrote it."""
        rate = self._options.learning_rate
        return rate if callable(rate) else plain_number(rate, self._library.value_of(self._learning_rate)[()])

    def exclude_from_weight_decay(
        self, var_list: Iterable[Any] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """Leave variables out of weight decay; a second call replaces the first.

        Args:
            var_list: variables.
            var_names: regular expressions, searched in the variables' names, which end in ":0" in tf_keras, and in
                Keras 3 in their paths too: "bias", "norm/", "^dense_1/". One that is found in none is warned of when
                the state is built.

        Raises:
            TypeError: `var_list` is one variable, or `var_names` one string.
            ValueError: the state is built already, or a name is not a regular expression.
        """
        variables, names = exclusions(var_list, var_names, lambda one: hasattr(one, "assign"))
        self._exclude(variables, names)

    @abstractmethod
    def _exclude(self, variables: list[Any], names: list[str]) -> None:
        """Leave variables out of weight decay, by themselves or by names."""

    def get_config(self) -> dict[str, Any]:
        """Return the arguments as values that JSON can hold; the `from_config` of Keras's own accepts them too.

        Raises:
            ValueError: `learning_rate` is a plain function.
        """
        rate = self._rate()
        config = replace(self._options, learning_rate=0.0).get_config()
        config["learning_rate"] = to_config(rate, self._library.module) if callable(rate) else rate
        config["native"] = self._native
        default = {**Options().get_config(), "native": None}
        for name in self._library.ours:
            if config[name] == default[name]:
                del config[name]
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        """Make an optimizer from what `get_config` returned, or from a config that an RMSprop of Keras's wrote.

        Args:
            config: the arguments by name; those of a subclass's constructor may be among them. A clip of 0 or less is
                read as None. `jit_compile` is ignored in a config of tf_keras's own optimizer: it is False wherever
                there was no GPU, whatever the user had chosen.
            custom_objects: your own classes of schedules, by name.

        Raises:
            TypeError: an entry is unknown or of the wrong type.
            ValueError: a number is out of its range, or a schedule's class is unknown.
        """
        arguments = dict(config)
        others = {name: arguments.pop(name) for name in cls._other_arguments() if name in arguments}
        if isinstance(rate := arguments.get("learning_rate"), Mapping):
            arguments["learning_rate"] = from_config(rate, custom_objects, cls._library.module)
        options = Options.from_config(arguments, custom_objects, cls._other_arguments())
        make: Any = cls
        return make(**{field.name: getattr(options, field.name) for field in fields(options)}, **others)  # type: ignore[no-any-return]

    @classmethod
    def _other_arguments(cls) -> list[str]:
        """List the arguments of the constructors, those of subclasses too, that are no options."""
        own = [kind for kind in cls.__mro__ if issubclass(kind, KerasRMSprop) and "__init__" in vars(kind)]
        found = [one for kind in own for one in inspect.signature(vars(kind)["__init__"]).parameters.values()]
        named = [one.name for one in found if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
        return [name for name in dict.fromkeys(named) if name != "self" and name not in Options.__dataclass_fields__]

    def explain(self, var_list: Sequence[Any] | None = None) -> Explanation:
        """Return for each variable whether one of our kernels steps it, and if not, why.

        Gradients are taken to be dense and of the variables' types. Called in a function that is being traced, or in
        the scope of a strategy, it explains a step there. Nothing is built or compiled; Numba is loaded, which needs a
        moment.

        Args:
            var_list: as for `build`, before that; later some of the variables that `build` got. None: all of them.

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
        return self._explain(var_list)

    @abstractmethod
    def _explain(self, var_list: Sequence[Any] | None) -> Explanation:
        """Explain a step, out of what the framework traces."""

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
        return files.load(self._contents("load", variables), path, variables, names, self._begin_load)

    @abstractmethod
    def _contents(self, method: str, variables: bool) -> Contents:
        """Return what a file holds; ValueError where `method` cannot read or write one."""

    @abstractmethod
    def _begin_load(self) -> None:
        """Drop what waits for values or for a step."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any = None) -> None:
        """Not a step: Keras asks for this method, but a step here moves all variables at once.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("call apply_gradients([(gradient, variable)])")

    def __repr__(self) -> str:
        # A model of the other Keras, which does not take this optimizer, shows this and nothing else.
        given = {field.name: getattr(self._options, field.name) for field in fields(Options) if field.name != "name"}
        if not callable(given["learning_rate"]) and self._count() is not None:  # None: numbers cannot be read now
            given["learning_rate"] = self._rate()
        given |= {"native": self._native}
        changed = [f"; {name}={value!r}" for name, value in given.items() if value != getattr(_DEFAULT, name, None)]
        kind = f"{type(self).__module__}.{type(self).__qualname__}"
        return f"<{kind} {self.name!r}, {self._library.stands_for}{''.join(changed)}>"

    @abstractmethod
    def _count(self) -> int | None:
        """Return the number of calls so far, or None where it has no value."""

    @abstractmethod
    def _start_again(self) -> None:
        """Set the state to its start, in place: traced functions hold its variables."""

    @abstractmethod
    def _start_averages(self) -> None:
        """Set the averages to their variables' present values."""

    # TensorFlow's checkpoints bring the state by the names of attributes: see `rmsprop._kerases.restoring`.

    def _lookup_dependency(self, name: str, *args: Any, **kwargs: Any) -> Any:
        found: Any = None if name == LIST else super()._lookup_dependency(name, *args, **kwargs)  # type: ignore[misc]
        return found

    @property
    def _deferred_dependencies(self) -> Waiting:
        return Waiting(super()._deferred_dependencies, self._find_list)  # type: ignore[misc]

    @abstractmethod
    def _find_list(self, position: Any) -> None:
        """Read what the list of the state tells of a checkpoint that is being restored."""

    def _go_back(self, position: Any) -> None:
        """Restore a checkpoint from before the first step, whose list is at `position`."""
        if self._is_built():
            start_again_after(position.checkpoint, self._count, self._start_again, self._start_averages)
            return
        # What earlier checkpoints hold is out of date.
        for name in (*KERAS_ATTRIBUTES.values(), COLLECTED):
            self._deferred_dependencies.pop(name, None)


_DEFAULT = Options()
