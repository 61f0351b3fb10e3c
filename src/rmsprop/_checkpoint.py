"""Checkpoint files in the safetensors format: named state, the iteration and the config, written whole or not at all.

Tensors are called ``<slot>/<variable>``; the header's texts hold the iteration and the config under names that begin
with ``rmsprop.``, and whatever the user adds. Any program that reads safetensors reads these files.
"""

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from rmsprop import _files, _safetensors, _slots
from rmsprop._options import Options, check_iterations, check_learning_rate

Array = NDArray[Any]
PathLike = str | os.PathLike[str]

_OURS = "rmsprop."
_FORMAT = "1"

#: How many differences an error lists.
_SHOWN = 50


class Checkpoint(NamedTuple):
    """What `read` found; the learning rate is None if it was not a number."""

    tensors: dict[str, Array]
    iterations: int
    learning_rate: float | None
    metadata: dict[str, str]


def write(
    path: PathLike, tensors: Mapping[str, Array], iterations: int, options: Options, metadata: Mapping[str, str]
) -> None:
    """Write a checkpoint; whoever reads `path`, even after a crash, finds the old file or the new one.

    Raises:
        OSError: the folder is missing or cannot be written, or there is something else than a file.
        TypeError: `metadata` is no mapping, or holds something else than strings.
        ValueError: it uses a name of ours, is too long, or cannot be written as UTF-8.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save

    _check_metadata(metadata)
    texts = {"format": _FORMAT, "iterations": str(iterations), "config": _config(options)}
    # safetensors takes the bytes as they lie in memory, so what lies otherwise is copied first.
    ordered = {name: numpy.asarray(array, order="C") for name, array in tensors.items()}
    try:
        data = save(ordered, metadata={_OURS + name: text for name, text in texts.items()} | dict(metadata))
    except (SafetensorError, UnicodeError) as error:
        raise ValueError(f"{os.fspath(path)!r} cannot be written with these names and metadata: {error}") from error
    _files.replace(path, data)


def _check_metadata(metadata: Mapping[str, str]) -> None:
    if not isinstance(metadata, Mapping):
        raise TypeError(f"metadata={metadata!r} is no mapping of names to texts")
    for name, text in metadata.items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise TypeError(f"metadata has {name!r}: {text!r}, which are not both strings")
        if name.startswith(_OURS):
            raise ValueError(f"metadata has the name {name!r}: names that begin with {_OURS!r} are taken")


def read(path: PathLike, needed: Mapping[str, Array]) -> Checkpoint:
    """Read the tensors that are `needed`, after checking that the file holds them and no other state.

    What a later version adds to the texts under names of ours is passed over; an incompatible one has another format.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it cannot be opened or read.
        ValueError: the file is not a checkpoint, is damaged, or holds other tensors; the error lists the differences.
    """
    shown = os.fspath(path)
    try:
        file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no checkpoint {shown!r}") from None
    with file:
        try:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError("it is no regular file")
            header = _safetensors.read_header(file)
        except ValueError as error:
            raise ValueError(f"{shown!r} is not a checkpoint, or is damaged: {error}") from error
        _check_tensors(shown, header, needed)
        iterations, rate = _check_texts(shown, header.texts)
        try:
            tensors = {
                name: _safetensors.read_tensor(file, header.tensors[name], array.dtype)
                for name, array in needed.items()
            }
        except ValueError as error:
            raise ValueError(f"{shown!r} is damaged: {error}") from error
    metadata = {key: text for key, text in header.texts.items() if not key.startswith(_OURS)}
    return Checkpoint(tensors, iterations, rate, metadata)


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; a fifo, which has no end of its own, would be waited for."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_tensors(shown: str, header: _safetensors.Header, needed: Mapping[str, Array]) -> None:
    version = header.texts.get(_OURS + "format")
    if version is None:
        raise ValueError(f"{shown!r} is a safetensors file, but not a checkpoint of this optimizer")
    if version != _FORMAT:
        raise ValueError(f"{shown!r} is a checkpoint of the format {version!r}, this version reads {_FORMAT!r}")
    expected = {name: (array.dtype.name, array.shape) for name, array in needed.items()}
    found = {
        name: (entry.dtype, entry.shape)
        for name, entry in header.tensors.items()
        if name in needed or not name.startswith(_slots.key("variable", ""))
    }
    lines = _slots.differences(expected, found)
    if lines:
        more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
        raise ValueError(f"{shown!r} does not fit this optimizer:\n  " + "\n  ".join(lines[:_SHOWN] + more))


def _check_texts(shown: str, texts: Mapping[str, str]) -> tuple[int, float | None]:
    """Give the iterations and the learning rate, None if it was a schedule or a function."""
    try:
        config, count = json.loads(texts[_OURS + "config"]), texts[_OURS + "iterations"]
        if not (count.isascii() and count.isdigit()):
            raise ValueError(f"{count!r} iterations")
        return check_iterations(int(count)), _rate(config["learning_rate"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{shown!r} is a checkpoint with damaged texts: {error}") from error


def _rate(value: Any) -> float | None:
    if value is None or (isinstance(value, dict) and isinstance(value.get("class_name"), str)):
        return None
    rate = check_learning_rate(value)
    assert isinstance(rate, float)
    return rate


def _config(options: Options) -> str:
    try:
        return json.dumps(options.get_config())
    except (TypeError, ValueError, NotImplementedError):
        # A learning rate that cannot be written down is no reason to lose the state.
        return json.dumps(replace(options, learning_rate=0.0).get_config() | {"learning_rate": None})
