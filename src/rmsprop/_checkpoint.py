"""Checkpoint files in the safetensors format: named state, the iteration and the config, written whole or not at all.

Tensors are called ``<slot>/<variable>``; the header's texts hold the iteration and the config under names that begin
with ``rmsprop.``, and whatever the user adds. Any program that reads safetensors reads these files.
"""

import contextlib
import glob
import json
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from rmsprop import _slots
from rmsprop._options import Options, check_learning_rate

Array = NDArray[Any]
PathLike = str | os.PathLike[str]

_OURS = "rmsprop."
_FORMAT = "1"
_DRAFT = ".draft"


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
        OSError: the folder is missing or cannot be written.
        TypeError: `metadata` holds something else than strings.
        ValueError: it uses a name of ours.
    """
    from safetensors.numpy import save

    for name, text in metadata.items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise TypeError(f"metadata has {name!r}: {text!r}, which are not both strings")
        if name.startswith(_OURS):
            raise ValueError(f"metadata has the name {name!r}: names that begin with {_OURS!r} are taken")
    texts = {"format": _FORMAT, "iterations": str(iterations), "config": json.dumps(_config(options))}
    # safetensors takes the bytes as they lie in memory, so what lies otherwise is copied first.
    ordered = {name: numpy.asarray(array, order="C") for name, array in tensors.items()}
    data = save(ordered, metadata={_OURS + name: text for name, text in texts.items()} | dict(metadata))
    _replace(Path(os.path.realpath(path)), data)


def _replace(target: Path, data: bytes) -> None:
    """Let `target` hold `data`, in one move: nobody ever finds a part of it."""
    _sweep(target)
    draft = target.with_name(f".{target.name}.{os.urandom(8).hex()}{_DRAFT}")
    try:
        with open(draft, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, target)
        _flush_names(target.parent)
    finally:
        draft.unlink(missing_ok=True)


def _sweep(target: Path) -> None:
    """Remove what killed processes left of saving to this target; an hour old, it is nobody's work any more."""
    for draft in target.parent.glob(f".{glob.escape(target.name)}.*{_DRAFT}"):
        with contextlib.suppress(OSError):
            if time.time() - draft.stat().st_mtime > 3600:
                draft.unlink()


def read(path: PathLike, needed: Mapping[str, Array]) -> Checkpoint:
    """Read the tensors that are `needed`, after checking that the file holds them and no other state.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a checkpoint, is damaged, or holds other tensors; the error lists the differences.
    """
    from safetensors import SafetensorError, safe_open

    shown = os.fspath(path)
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no checkpoint {shown!r}")
    try:
        with safe_open(path, framework="np") as file:
            texts = file.metadata() or {}
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names if name in needed or not _is_variable(name)}
    except SafetensorError as error:
        raise ValueError(f"{shown!r} is not a checkpoint, or is damaged: {error}") from error
    if texts.get(_OURS + "format") != _FORMAT:
        raise ValueError(f"{shown!r} is a safetensors file, but not a checkpoint of this optimizer")
    lines = _slots.differences(_summary(needed), _summary(tensors))
    if lines:
        raise ValueError(f"{shown!r} does not fit this optimizer:\n  " + "\n  ".join(lines))
    try:
        config, iterations = json.loads(texts[_OURS + "config"]), int(texts[_OURS + "iterations"])
        rate = config["learning_rate"]
        if iterations < 0:
            raise ValueError(f"{iterations} iterations")
        if isinstance(rate, float):
            check_learning_rate(rate)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{shown!r} is a checkpoint with damaged texts: {error}") from error
    metadata = {key: text for key, text in texts.items() if not key.startswith(_OURS)}
    return Checkpoint(tensors, iterations, rate if isinstance(rate, float) else None, metadata)


def _config(options: Options) -> dict[str, Any]:
    try:
        return options.get_config()
    except (ValueError, NotImplementedError):
        # A learning rate that cannot be written down is no reason to lose the state.
        return replace(options, learning_rate=0.0).get_config() | {"learning_rate": None}


def _is_variable(key: str) -> bool:
    return key.startswith(_slots.key("variable", ""))


def _summary(tensors: Mapping[str, Array]) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {name: (array.dtype.name, array.shape) for name, array in tensors.items()}


def _flush_names(folder: Path) -> None:
    """Wait until a folder's list of names is on the disk."""
    if os.name == "nt":  # Windows cannot open a folder for this
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
