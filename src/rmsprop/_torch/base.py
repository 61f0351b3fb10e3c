"""What `rmsprop.torch.RMSprop` has beside steps: groups, learning rate, number of steps, averages, state and files."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from rmsprop._core.checks import check_iterations
from rmsprop._core.rates import LearningRate
from rmsprop._torch import files, pickling
from rmsprop._torch.arguments import check_attribute, make_plain
from rmsprop._torch.averages import averages_of, copy_all
from rmsprop._torch.checkpoint import adopt
from rmsprop._torch.groups import made
from rmsprop._torch.import_order import warn_of_import_order
from rmsprop._torch.live_group import LiveGroup
from rmsprop._torch.loading import check_and_hide, complete
from rmsprop._torch.params import check_params
from rmsprop._torch.stepper import Stepper


class Base(torch.optim.Optimizer, ABC):
    """An optimizer without its step."""

    def __init__(
        self, params: Any, rate: Any, defaults: dict[str, Any], jit_compile: bool, native: bool | None, name: str
    ) -> None:
        check_params(params)
        self._groups = made(rate, defaults, jit_compile, native, name)
        self._stepper, self.name = Stepper(self._groups), name
        super().__init__(params, {"lr": self._groups.common.defaults["lr"], **defaults})

    @abstractmethod
    def _step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Do one step, without hooks."""

    def __setattr__(self, name: str, value: Any) -> None:
        # Properties are assignable, and what other libraries set is theirs.
        if not hasattr(type(self), name):
            check_attribute(name, value)
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        name = {} if self.name == "RMSprop" else {"name": self.name}
        lines = "".join(f"{word}: {value}\n" for word, value in (self._groups.settings() | name).items())
        return f"{super().__repr__().removesuffix(')')}{lines})"

    @property
    def _step_supports_amp_scaling(self) -> bool:
        """Whether `GradScaler` leaves the gradients scaled and hands over the scale, as torch calls it."""
        return all(group.get("fused") for group in self.param_groups)

    @_step_supports_amp_scaling.setter
    def _step_supports_amp_scaling(self, value: bool) -> None:
        for group in self.param_groups:
            group["fused"] = bool(value)

    def _settled_groups(self) -> list[LiveGroup]:
        return self._groups.settled(self.param_groups, lambda: self.iterations)

    @property
    def learning_rate(self) -> float:
        """The learning rate of the first group's next step; what is assigned, a number or a schedule, goes to all.

        Raises:
            TypeError: a number was assigned while a schedule rules, or something that is neither.
            ValueError: a number below 0 or not finite was assigned, or came from a function.
        """
        return self._settled_groups()[0].next_rate(lambda: self.iterations)

    @learning_rate.setter
    def learning_rate(self, value: LearningRate) -> None:
        """Give all groups a number >= 0, a schedule or a function; where a schedule rules, no number."""
        self._settled_groups()
        self._groups.set_rate(value, lambda: self.iterations)

    @property
    def iterations(self) -> int:
        """The number of steps that are done; assign a whole number from 0 to 2**63 - 1 to go on from there.

        Every group has it, so that a state dict does. Where a CUDA device leads and a `GradScaler` may skip steps, or
        a CUDA graph was captured, reading this waits for the device and brings the groups up to date.

        Raises:
            ValueError: something else was assigned.
        """
        return self._stepper.iterations(self.param_groups)

    @iterations.setter
    def iterations(self, value: int) -> None:
        """Assign a whole number from 0 to 2**63 - 1 to go on from there."""
        self._stepper.count(self.param_groups, check_iterations(value))

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a parameter group.

        Args:
            param_group: ``"params"`` and any of the constructor's arguments that shall differ in this group, with
                ``"lr"`` or ``"learning_rate"``; entries of your own are kept.

        Raises:
            TypeError: an argument is of the wrong type, or a word of another library.
            ValueError: a number is out of its range, or a parameter is in a group already. Nothing has changed then.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group={param_group!r} is not a dictionary")
        check_params(param_group.get("params"))
        done = self.iterations if self.param_groups else 0
        group, ruling = self._groups.prepare(self.param_groups, param_group, done)
        super().add_param_group(group)
        self._groups.add(self.param_groups, ruling)
        self._stepper.count(self.param_groups, done)

    def exclude_from_weight_decay(
        self, var_list: Iterable[Tensor] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """Leave parameters out of weight decay; a second call replaces the first.

        Args:
            var_list: parameters.
            var_names: regular expressions, searched in the names of parameters that came from `named_parameters()`.

        Raises:
            TypeError: `var_list` is one tensor, or `var_names` one string.
            ValueError: a step was done, parameters have no names, a name is no regular expression, a tensor is unknown.
        """
        is_stepped = bool(self.state) and not self._stepper.only_has_state
        self._groups.exclude(self.param_groups, var_list, var_names, is_stepped)
        self._stepper.renew(self.param_groups)

    @torch.no_grad()
    def finalize_variable_values(self, var_list: Iterable[Tensor] | None = None) -> None:
        """Write the averages into the parameters; where there is none, because no step was done, nothing happens.

        Args:
            var_list: which parameters; None: all.

        Raises:
            ValueError: a tensor is not among the parameters.
        """
        copy_all(self._averages(var_list))

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Replace the parameters by their averages within a ``with`` block, to evaluate, and restore them after it.

        A copy of the parameters is held meanwhile. What the block does to parameters that have an average is lost.

        Example:
            >>> import torch
            >>> from rmsprop.torch import RMSprop
            >>> w = torch.nn.Parameter(torch.tensor(10.0))
            >>> optimizer = RMSprop([w], lr=0.5, use_ema=True, ema_momentum=0.5)
            >>> _ = optimizer.minimize(w**2 / 2)
            >>> with optimizer.averaged_weights():
            ...     print(f"{w.item():.4f}")
            9.2094
            >>> print(f"{w.item():.4f}")
            8.4189
        """
        pairs = self._averages(None)
        with torch.no_grad():
            trained = [(parameter, parameter.clone()) for parameter, _ in pairs]
            copy_all(pairs)
        try:
            yield
        finally:
            with torch.no_grad():
                copy_all(trained)

    def _averages(self, var_list: Iterable[Tensor] | None) -> list[tuple[Tensor, Tensor]]:
        found = averages_of(self.param_groups, self.state, var_list)
        return [] if self._stepper.only_has_state else found

    def state_dict(self) -> dict[str, Any]:
        """Return the state as torch's optimizers do: per parameter the slots, per group its entries and the steps done.

        A schedule is not in it: after loading, the constructor's schedule rules, at the steps done.
        """
        self.iterations  # noqa: B018 - brings the groups up to date
        groups = self._settled_groups()
        found = super().state_dict()
        for group, live in zip(found.get("param_groups", ()), groups, strict=False):
            if live.ruling is not None:
                group["lr"] = float(group["lr"])  # a tensor where a formula was computed on a device
            make_plain(group)
        return found

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned: state, steps done, and the groups' options.

        The state is copied to the parameters' devices and rounded to the types of the state here. A learning rate that
        is ruled by a schedule stays so, and parameters keep their names. Where both sides have names, state goes by
        them, and the names of wrappers in them (``_orig_mod``, ``module``) do not count. Otherwise it goes by position.
        A group has the options of the saved group with its parameters.

        Warns:
            UserWarning: only one side has names, or no name is on both: it goes by position, and the pairs are listed.

        Raises:
            ValueError: some names are equal and others are not, parameters are in other groups, or their numbers or
                shapes differ; the state dict is of another optimizer, or it has other slots than the options here need.
                The error lists the differences. Nothing has changed then.
        """
        hook = self.register_load_state_dict_pre_hook(check_and_hide)
        try:
            super().load_state_dict(state_dict)
        finally:
            hook.remove()

    def save(
        self, path: str | os.PathLike[str], *, variables: bool = False, metadata: Mapping[str, str] | None = None
    ) -> None:
        """Write the state to a safetensors file, whole or not at all; `load` of every front end reads it.

        Parameters have the names of `named_parameters()`, or else their numbers over all groups. A parameter without
        state is in the file with the state that it would start with.

        Args:
            path: the file; an older one is replaced and keeps its mode, a link's target is.
            variables: whether to write the parameters too, so that file and model cannot fall apart.
            metadata: texts of your own to keep with it, which `load` and `rmsprop.checkpoint.read_metadata` return.

        Raises:
            OSError: the folder is missing or cannot be written, or a folder, a device or a fifo is in the file's place.
            TypeError: `metadata` is no mapping, or holds something else than strings.
            ValueError: a parameter is spread over processes, as DTensors are, or `metadata` uses a name that begins
                with ``rmsprop.`` or is longer than the format allows (100 MB).

        Example:
            >>> import tempfile, torch
            >>> from rmsprop.torch import RMSprop
            >>> layer = torch.nn.Linear(3, 2)
            >>> optimizer = RMSprop(layer.named_parameters(), lr=0.5)
            >>> again = RMSprop(layer.named_parameters())
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     optimizer.save(f"{folder}/run", metadata={"epoch": "7"})
            ...     print(again.load(f"{folder}/run"), again.learning_rate)
            {'epoch': '7'} 0.5
        """
        groups = self._settled_groups()
        self._stepper.start_averages(self.state)
        files.save(path, groups, self.state, self.iterations, variables, metadata)

    def load(
        self, path: str | os.PathLike[str], *, variables: bool = False, names: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Go on from a file that `save` of any front end wrote.

        What is read: the state, the iterations, and the learning rates unless a schedule rules here. The options stay
        those of the constructor. State goes by the parameters' names, in any order, if the file has the same; by
        position if no name is in common and all shapes agree. State that is not there yet is made.

        Args:
            path: the file.
            variables: whether to read the parameters too; the file must hold them.
            names: name in the file -> name here, for parameters that are called differently.

        Returns:
            The texts that were given to `save`.

        Warns:
            UserWarning: it goes by position, and the pairs are listed; or an option in the file is another than here.

        Raises:
            FileNotFoundError: there is no such file.
            OSError: it cannot be opened or read.
            TypeError: `names` is no mapping of strings.
            ValueError: a parameter is spread over processes, the file is damaged, or it holds other names, shapes,
                types or slots than this optimizer needs, or parameters of one group here in several that differ; the
                error lists the differences. Nothing has changed then.
        """
        found = files.load(path, self._settled_groups(), self.state, variables, names)
        self._stepper.only_has_state = False
        self._stepper.restart(self.param_groups, found.iterations)
        return found.metadata

    def __getstate__(self) -> dict[str, Any]:
        self.iterations  # noqa: B018 - brings the groups up to date
        rulings = [group.ruling for group in self._settled_groups()]
        own = pickling.to_state(self._groups, self.param_groups, rulings)
        return super().__getstate__() | own | {"name": self.name, "_only_has_state": self._stepper.only_has_state}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # `load_state_dict` calls this too, without defaults and with tensors that are hidden in `Hidden`.
        only_has_state = (state := dict(state)).pop("_only_has_state", False)
        if "defaults" in state:
            warn_of_import_order()
            self._groups, self.name = pickling.from_state(state), state.pop("name", "RMSprop")
            self._stepper = Stepper(self._groups)
        complete(state["param_groups"])
        adopt(state["state"], state["param_groups"])
        super().__setstate__(state)
        self._stepper.only_has_state = only_has_state
        # In place, where graphs that were captured find it.
        self._stepper.restart(self.param_groups, self.param_groups[0]["iterations"])
