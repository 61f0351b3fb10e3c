"""Checkpoint files in the safetensors format: every front end writes and reads the same, whole or not at all.

Tensors are called ``<slot>/<variable>``. The header's texts hold the number of steps, the groups of variables with
their names, options and learning rate, and the front end that wrote them, under names that begin with ``rmsprop.``; and
the texts of the user. Any program that reads safetensors reads these files.
"""

import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from io import BufferedReader
from typing import Any, Final, NamedTuple, final

import numpy
from numpy.typing import NDArray

from rmsprop._core import slots
from rmsprop._core.checks import check_iterations
from rmsprop._core.options import Options
from rmsprop._core.rates import check_learning_rate
from rmsprop._core.saving import atomic, matching, safetensors
from rmsprop._core.saving.matching import Group, SavedGroup

Array = NDArray[Any]
PathLike = str | os.PathLike[str]

_OURS: Final = "rmsprop."
_FORMAT: Final = "1"

#: How many differences an error lists.
_SHOWN: Final = 50


@final
class Needed(NamedTuple):
    """The description of a tensor that is to be read."""

    dtype: numpy.dtype[Any]
    shape: tuple[int, ...]


@final
class Found(NamedTuple):
    """The result of `read`.

    Attributes:
        tensors: array by the reader's key, ``<slot>/<variable>``.
        iterations: steps done.
        rates: the learning rate of each of the reader's groups; None where the file has no number for it.
        metadata: the user's texts.
    """

    tensors: dict[str, Array]
    iterations: int
    rates: list[float | None]
    metadata: dict[str, str]


def write(
    path: PathLike,
    front_end: str,
    groups: Sequence[Group],
    tensors: Mapping[str, Array],
    iterations: int,
    metadata: Mapping[str, str] | None,
) -> None:
    """Write a checkpoint; a reader of `path`, even after a crash, finds the old file or the new one.

    Raises:
        OSError: the folder is missing or cannot be written, or `path` is not a regular file.
        TypeError, ValueError: `metadata` is no mapping of strings, uses a name of ours, or cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save

    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, Mapping):
        raise TypeError(f"metadata={metadata!r} is no mapping of names to texts")
    for name, text in metadata.items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise TypeError(f"metadata has {name!r}: {text!r}, which are not both strings")
        if name.startswith(_OURS):
            raise ValueError(f"metadata has the name {name!r}: names that begin with {_OURS!r} are taken")
    # safetensors writes the bytes in the order of memory, so any array not in C order is copied first.
    ordered = {name: numpy.asarray(array, order="C") for name, array in tensors.items()}
    try:
        data = save(ordered, metadata=_texts(front_end, groups, iterations) | dict(metadata))
    except (SafetensorError, UnicodeError) as error:
        raise ValueError(f"{os.fspath(path)!r} cannot be written with these names and metadata: {error}") from error
    atomic.replace(path, data)


def _texts(front_end: str, groups: Sequence[Group], iterations: int) -> dict[str, str]:
    """Return our texts of a header. A version without groups reads the config of the first."""
    from rmsprop import __version__

    configs = [_config(group.options) | ({"maximize": True} if group.maximize else {}) for group in groups]
    saved = [{"names": [*group.names], "config": config} for group, config in zip(groups, configs, strict=True)]
    return {
        f"{_OURS}format": _FORMAT,
        f"{_OURS}iterations": str(iterations),
        f"{_OURS}config": json.dumps(configs[0]),
        f"{_OURS}groups": json.dumps(saved),
        f"{_OURS}writer": json.dumps({"front_end": front_end, "version": __version__}),
    }


def _config(options: Options) -> dict[str, Any]:
    try:
        config = options.get_config()
        json.dumps(config)
    except (TypeError, ValueError, NotImplementedError):
        # A learning rate that cannot be written down is no reason to lose the state.
        config = replace(options, learning_rate=0.0).get_config() | {"learning_rate": None}
    return {field.name: config[field.name] for field in fields(Options)}


def read(
    path: PathLike,
    groups: Sequence[Group],
    needed: Mapping[str, Any],
    names: Mapping[str, str] | None = None,
    *,
    most: int | None = None,
) -> Found:
    """Read the tensors that are `needed`, after checking that the file holds them and no other state.

    Texts of a later version under names of ours are ignored; an incompatible file has another format.

    Args:
        path: the file.
        groups: the reader's variables, in order, and their options.
        needed: by ``<slot>/<variable>``, arrays or other objects with the dtype and the shape of what is to be read.
        names: name in the file -> name here, for those that differ; None: see `matching.match`.
        most: how many steps the reader can count; None: as many as a file can hold.

    Warns:
        UserWarning: variables are matched by position, or options differ.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it cannot be opened or read.
        TypeError: `names` is no mapping of strings.
        ValueError: the file is not a checkpoint, is damaged, or holds other variables, groups or tensors; the error
            lists the differences.
    """
    shown = os.fspath(path)
    with _opened(path) as (file, header):
        _check_format(shown, header)
        saved, iterations = _read_texts(shown, header)
        if most is not None and iterations > most:
            raise ValueError(f"{shown!r} has done {iterations} steps, and the counter here holds at most {most}")
        own = matching.match(shown, groups, needed, saved, header.tensors, names)
        entries = {_renamed(key, own): entry for key, entry in header.tensors.items()}
        _check_tensors(shown, entries, needed)
        rates = matching.compare_groups(shown, groups, saved, own)
        try:
            tensors = {
                key: safetensors.read_tensor(file, entries[key], numpy.dtype(one.dtype)) for key, one in needed.items()
            }
        except ValueError as error:
            raise ValueError(f"{shown!r} is damaged: {error}") from error
    return Found(tensors, iterations, rates, _users(header))


def read_metadata(path: PathLike) -> dict[str, str]:
    """Read the user's texts of a checkpoint; see `rmsprop.checkpoint.read_metadata`."""
    with _opened(path) as (_, header):
        _check_format(os.fspath(path), header)
    return _users(header)


def _users(header: safetensors.Header) -> dict[str, str]:
    return {key: text for key, text in header.texts.items() if not key.startswith(_OURS)}


@contextmanager
def _opened(path: PathLike) -> Iterator[tuple[BufferedReader, safetensors.Header]]:
    """Open a file and read its header."""

    def without_waiting(path: str, flags: int) -> int:
        # A fifo, which has no end of its own, would be waited for.
        return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))

    shown = os.fspath(path)
    try:
        file = open(path, "rb", opener=without_waiting)  # noqa: SIM115 - closed below
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no checkpoint {shown!r}") from None
    with file:
        try:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError("it is no regular file")
            header = safetensors.read_header(file)
        except ValueError as error:
            raise ValueError(f"{shown!r} is not a checkpoint, or is damaged: {error}") from error
        yield file, header


def _check_format(shown: str, header: safetensors.Header) -> None:
    version = header.texts.get(_OURS + "format")
    if version is None:
        raise ValueError(f"{shown!r} is a safetensors file, but not a checkpoint of this optimizer")
    if version != _FORMAT:
        raise ValueError(f"{shown!r} is a checkpoint of the format {version!r}, this version reads {_FORMAT!r}")


def _renamed(key: str, own: Mapping[str, str]) -> str:
    """Return the reader's key of a tensor; the key of an unknown variable stays."""
    slot, _, name = key.partition("/")
    return slots.key(slot, own[name]) if name in own else key


def _check_tensors(shown: str, entries: Mapping[str, safetensors.Entry], needed: Mapping[str, Any]) -> None:
    expected = {key: (numpy.dtype(one.dtype).name, tuple(one.shape)) for key, one in needed.items()}
    found = {
        key: (entry.dtype, entry.shape)
        for key, entry in entries.items()
        if key in needed or not key.startswith(slots.key("variable", ""))
    }
    lines = slots.differences(expected, found)
    if lines:
        more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
        raise ValueError(f"{shown!r} does not fit this optimizer:\n  " + "\n  ".join(lines[:_SHOWN] + more))


def _read_texts(shown: str, header: safetensors.Header) -> tuple[list[SavedGroup], int]:
    """Return the groups and the number of steps."""
    texts = header.texts
    try:
        count, groups = texts[_OURS + "iterations"], texts.get(_OURS + "groups")
        if not (count.isascii() and count.isdigit()):
            raise ValueError(f"{count!r} iterations")
        # An earlier version knew neither groups nor an order.
        first = SavedGroup(None, *_read_config(json.loads(texts[_OURS + "config"])))
        saved = [first] if groups is None else _read_groups(json.loads(groups), header)
        if saved and saved[0][1:] != first[1:]:
            raise ValueError("the config is not that of the first group")
        return saved, check_iterations(int(count))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{shown!r} is a checkpoint with damaged texts: {error}") from error


def _read_groups(groups: Any, header: safetensors.Header) -> list[SavedGroup]:
    """Read the groups, and refuse names that are repeated, or lack one with state; missing tensors are listed later."""
    saved, names = [], []
    for one in groups:
        mine = one["names"]
        if not isinstance(mine, list) or not all(isinstance(name, str) for name in mine):
            raise TypeError(f"names={mine!r} are no strings")
        saved.append(SavedGroup(mine, *_read_config(one["config"])))
        names += mine
    stepped = {name for slot, _, name in (key.partition("/") for key in header.tensors) if slot == "velocity"}
    if len(set(names)) < len(names) or not stepped <= set(names):
        raise ValueError(f"the groups hold {len(names)} variables, the tensors are of {len(stepped)}, or others")
    return saved


def _read_config(config: Any) -> tuple[dict[str, Any], float | None]:
    """Return a group's options, and its learning rate, None if it was a schedule or a function."""
    if not isinstance(config, dict):
        raise TypeError(f"config={config!r} is no object")
    value = config["learning_rate"]
    if value is None or (isinstance(value, dict) and isinstance(value.get("class_name"), str)):
        return config, None
    rate = check_learning_rate(value)
    assert isinstance(rate, float)
    return config, rate
