"""The number of steps that are done, in the groups and on a device."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, final

import torch
from torch import Tensor

from rmsprop._core.checks import check_iterations

Entries = list[dict[str, Any]]


@final
class Counter:
    """Counts the steps: in each group, so that a state dict has the number, and on a CUDA device that leads.

    The host counts along with the device. It loses count after a step that may have been skipped, and where a step is
    captured in a CUDA graph, whose replays it does not see. Then `_is_ahead` is True: the number has to be read from
    the device, which waits.
    """

    def __init__(self) -> None:
        self._is_ahead = False
        self._is_captured = False
        self._tensor: Tensor | None = None
        # What was written into the groups; any other number there was written by a user. None: nothing is certain.
        self._written: int | None = None

    def is_current(self, entries: Entries) -> bool:
        """Return whether the groups have the number that was written last."""
        done = entries[0].get("iterations")
        return done is not None and done == self._written

    def adopt(self, entries: Entries) -> None:
        """Go on from the number that a user has written into the groups, after a check."""
        found = entries[0].get("iterations")
        self.set(entries, (self._written or 0) if found is None else check_iterations(found))

    def read(self, entries: Entries) -> int:
        """Return the number, after waiting for the device if it is ahead."""
        if self._is_ahead:
            assert self._tensor is not None
            done = int(self._tensor.item())
            self._is_ahead = self._is_captured  # a replay may count at any time
            self.write(entries, done)
        found: int = entries[0]["iterations"]
        return found

    def set(self, entries: Entries, done: int) -> None:
        """Set the number, in the groups and on the device, without waiting for it."""
        self._written, self._is_ahead = None, self._is_captured
        if self._tensor is not None:
            self._tensor.fill_(done)
        self.write(entries, done)

    def write(self, entries: Entries, done: int) -> None:
        """Set the number in the groups alone."""
        self._written = None
        for entry in entries:
            entry["iterations"] = done
        self._written = done

    def on(self, device: torch.device, entries: Entries) -> Tensor:
        """Return the number on a device, where kernels advance it; always the same tensor, as CUDA graphs need it."""
        if self._tensor is None or self._tensor.device != device:
            done = self.read(entries)
            self._tensor = torch.full((), done, dtype=torch.int64, device=device)
            self._is_ahead = self._is_captured = False
        return self._tensor

    @contextmanager
    def stepping(self, device: torch.device, entries: Entries, may_skip: bool) -> Iterator[None]:
        """Count a step that the device does within a ``with`` block; after an interrupt the number is read."""
        is_known, self._is_ahead = not self._is_ahead, True
        yield
        is_captured = device.type == "cuda" and torch.cuda.is_current_stream_capturing()
        self._is_captured = self._is_captured or is_captured
        if is_known and not may_skip and not is_captured:
            self.write(entries, entries[0]["iterations"] + 1)
            self._is_ahead = False
