"""Whether a profiler or a hook wants to know of a step."""

from typing import Any, Final

from torch.autograd import profiler

from rmsprop._core import versions

#: Hooks of all optimizers, before and after a step.
_PRE: Final = versions.lookup("rmsprop.torch", "torch", "torch.optim.optimizer", "_global_optimizer_pre_hooks")
_POST: Final = versions.lookup("rmsprop.torch", "torch", "torch.optim.optimizer", "_global_optimizer_post_hooks")


def is_watched(optimizer: Any) -> bool:
    """Return whether an optimizer's step has to go through torch's wrapper."""
    return bool(
        profiler._is_profiler_enabled
        or optimizer._optimizer_step_pre_hooks
        or optimizer._optimizer_step_post_hooks
        or _PRE
        or _POST
    )
