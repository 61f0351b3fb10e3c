"""What the optimizer holds, how it is saved and copied, and what weight decay leaves alone."""

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from rmsprop._core.exclusion import excluded_by_name
from rmsprop._torch import files
from rmsprop._torch.arguments import DEFAULTS, make_plain
from rmsprop._torch.checkpoint import adopt
from rmsprop._torch.counter import Counter
from rmsprop._torch.engine import Engine
from rmsprop._torch.exclusion import Exclusion
from rmsprop._torch.groups import Common, LiveGroup
from rmsprop._torch.held import Held
from rmsprop._torch.import_order import warn_of_import_order
from rmsprop._torch.loading import check_and_keep, complete


class State(Held):
    """What `rmsprop.torch.RMSprop` holds, and how it is saved."""

    def exclude_from_weight_decay(
        self, var_list: Iterable[Tensor] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """Leave parameters out of weight decay; a second call replaces the first.

        Args:
            var_list: parameters.
            var_names: regular expressions, searched in the names of parameters that came from `named_parameters()`.

        Raises:
            TypeError: `var_list` is one tensor, or `var_names` one string.
            ValueError: a step has been done, the parameters have no names, a name is not a regular expression, or a
                tensor is not among the parameters.
        """
        exclusion = self._common.exclusion
        if self.state and not self._only_has_state and not exclusion.falls_back(self.param_groups):
            raise ValueError("exclude_from_weight_decay comes before the first step")
        if isinstance(var_list, Tensor):
            raise TypeError("var_list is one tensor: pass a list of tensors, [w]")
        if isinstance(var_names, str):
            raise TypeError(f"var_names={var_names!r} is one string: pass a list, [{var_names!r}]")
        tensors, names = list(var_list or ()), list(var_names or ())
        if names and "param_names" not in self.param_groups[0]:
            raise ValueError(f"var_names={names!r}: the parameters have no names; construct with named_parameters()")
        try:
            patterns = [re.compile(name) for name in names]
        except re.error as error:
            raise ValueError(f"var_names={names!r} holds no regular expression: {error}") from error
        self._find(tensors, "var_list")
        excluded_by_name(patterns, [[name] for group in self.param_groups for name in group.get("param_names", ())])
        exclusion = Exclusion(tensors, patterns)
        exclusion.start(self.param_groups)
        self._common.exclusion = exclusion
        self._renew()

    def _find(self, tensors: Iterable[Any], argument: str) -> None:
        mine = {id(parameter) for group in self.param_groups for parameter in group["params"]}
        for tensor in tensors:
            if id(tensor) not in mine:
                shown = f"a tensor of shape {list(tensor.shape)}" if isinstance(tensor, Tensor) else repr(tensor)
                raise ValueError(f"{argument} holds {shown}, which is not among the optimizer's parameters")

    def state_dict(self) -> dict[str, Any]:
        """Give the state as torch's optimizers do: per parameter the slots, per group its entries, the steps done too.

        A schedule is not in it: the constructor's rules again, at the steps done.
        """
        self.iterations  # noqa: B018 - brings the groups up to date
        groups = self._settled_groups()
        found = super().state_dict()
        for group, live in zip(found.get("param_groups", ()), groups, strict=False):
            if live.schedule is not None:
                group["lr"] = float(group["lr"])  # a tensor where a formula was computed on a device
            make_plain(group)
        return found

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave: state, steps done, and the groups' options.

        The state is copied, to the parameters' devices and rounded to the types in which it is kept here. A learning
        rate that is ruled by a schedule stays so, and parameters keep their names. Where both sides have names, state
        goes by them, and the names of wrappers in them (``_orig_mod``, ``module``) do not count. Otherwise it goes by
        position. A group takes the options of the group that holds its parameters.

        Warns:
            UserWarning: only one side has names, or no name is on both: it goes by position, and the pairs are listed.

        Raises:
            ValueError: some names are equal and others are not, parameters are in other groups, or their numbers or
                shapes differ; the state dict is of another optimizer, or it has other slots than the options here need.
                The error lists the differences. Nothing has changed then.
        """
        hook = self.register_load_state_dict_pre_hook(check_and_keep)
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
        files.save(self, path, variables, metadata)

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
        return files.load(self, path, variables, names)

    def __getstate__(self) -> dict[str, Any]:
        self.iterations  # noqa: B018 - brings the groups up to date
        groups, common = self._settled_groups(), self._common
        common.exclusion.falls_back(self.param_groups)  # brings it up to date
        return super().__getstate__() | {
            "_exclusion": (common.exclusion.tensors, common.exclusion.patterns),
            "_jit_compile": common.jit_compile,
            "name": self.name,
            "_schedule": self._schedule,
            "_schedules": [group.schedule for group in groups],
            "_is_wrapped": common.is_wrapped,
            "_only_has_state": self._only_has_state,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Comes from load_state_dict too, with tensors that are hidden in `Kept` then.
        state = dict(state)
        self._only_has_state = False
        if "defaults" in state:
            warn_of_import_order()
            self._unpickle(state)
        complete(state["param_groups"])
        adopt(state["state"], state["param_groups"])
        super().__setstate__(state)
        # In place, where graphs that were captured find it.
        self._count(self.param_groups[0]["iterations"])
        self._renew()

    def _unpickle(self, state: dict[str, Any]) -> None:
        """Begin with what is ours in a copy's state, and take it out; earlier versions knew less."""
        groups, defaults = state["param_groups"], state["defaults"]
        schedules = state.pop("_schedules", None)
        if schedules is None:
            schedules = [group.pop("schedule", None) for group in groups]
            state["_schedule"] = defaults.pop("schedule", None)
        complete(groups)
        for name, value in DEFAULTS.items():
            defaults.setdefault(name, value)
        self._common = Common(defaults, state.pop("_jit_compile", True))
        self._common.is_wrapped = state.pop("_is_wrapped", False)
        self._common.exclusion = Exclusion(*state.pop("_exclusion", ((), ())))
        self._common.exclusion.start(groups)
        self._engine, self._counter = Engine(), Counter()
        self._rate, self._schedule, self.name = None, None, "RMSprop"
        self._entries = []
        self._live = [
            LiveGroup(*one, self._common, schedules[one[1]]) for one in zip(groups, range(len(groups)), strict=True)
        ]
