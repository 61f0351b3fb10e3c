"""The number of steps on a device: it counts steps of which the host does not know whether they were skipped."""

import torch
from torch import Tensor


class Counter:
    """Counts on a device.

    The host counts along. It loses count where a step may have been skipped, because it did not look, and where a step
    was captured in a CUDA graph, whose replays it does not see; then it has to read the number, and to wait.

    Attributes:
        is_ahead: whether the number on the device has to be read.
        told: the number that groups were told; what else is in them somebody has loaded. None: none for certain.
    """

    def __init__(self) -> None:
        self.is_ahead = False
        self.told: int | None = None
        self._is_captured = False
        self._tensor: Tensor | None = None

    @property
    def is_off(self) -> bool:
        """Whether it counts on no device."""
        return self._tensor is None

    def is_on(self, device: torch.device) -> bool:
        """Whether it counts on this device."""
        return self._tensor is not None and self._tensor.device == device

    def start(self, device: torch.device, done: int) -> None:
        """Count on another device from here on."""
        self._tensor = torch.full((), done, dtype=torch.int64, device=device)
        self.is_ahead = self._is_captured = False

    @property
    def tensor(self) -> Tensor:
        """The number, which kernels count up; always the same tensor on a device, as graphs need it."""
        assert self._tensor is not None
        return self._tensor

    def lose(self, is_captured: bool) -> None:
        """Take note that the host does not know the number any more."""
        self.is_ahead = True
        self._is_captured = self._is_captured or is_captured

    def read(self) -> int:
        """Wait for the device and give the number."""
        done = int(self.tensor.item())
        self.is_ahead = self._is_captured  # a replay may count at any time
        return done

    def set(self, done: int) -> None:
        """Tell the number; it goes to the device without waiting."""
        self.is_ahead = self._is_captured
        if self._tensor is not None:
            self._tensor.fill_(done)
