"""One step: what others have done since the last is looked at, then somebody leads, a device or the host."""

from collections.abc import Callable

import torch
from torch import Tensor

from rmsprop._torch import first_step
from rmsprop._torch.groups import LiveGroup
from rmsprop._torch.state import State


class Stepper(State):
    """What `rmsprop.torch.RMSprop` does at a step, without hooks."""

    def _step(self, closure: Callable[[], float] | None = None) -> float | None:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        known = self.__dict__
        found_inf, scale = known.get("found_inf"), known.get("grad_scale")
        groups = self._ready_groups()
        if self._only_has_state:
            self._first_step(groups, scale, found_inf)
        elif not self.state and closure is None and first_step.only_makes_state(groups):
            self._only_has_state = True
            first_step.make_state(groups, self.state)
        else:
            self._advance(groups, scale, found_inf)
        return loss

    def _first_step(self, groups: list[LiveGroup], grad_scale: Tensor | None, found_inf: Tensor | None) -> None:
        """Do a step where state was made before it, for others to look at."""
        first_step.start_averages(self.state)
        self._only_has_state = False
        try:
            self._only_has_state = not self._advance(groups, grad_scale, found_inf)
        except (TypeError, ValueError):  # refused, before anything was written
            self._only_has_state = True
            raise

    def _advance(self, groups: list[LiveGroup], grad_scale: Tensor | None, found_inf: Tensor | None) -> bool:
        """Do a step, and tell whether there was one, as far as is known here."""
        engine = self._engine
        for group in groups:
            if group.schedule is not None:
                break  # a function of the user's, which may do anything between a look and the step
            group.update()
        else:
            short = engine.short
            held = None if short is None else short.gradients(groups, self.state, grad_scale is not None, None)
            if held is not None:
                if found_inf is not None and bool(found_inf):
                    return False
                done = self.param_groups[0]["iterations"] if self._counter.is_off else self.iterations
                for group in groups:
                    group.read_rate(done)
                engine.run_again(groups, None if grad_scale is None else 1 / float(grad_scale), done)
                if self._counter.is_off:
                    self._write_iterations(done + 1)
                else:
                    self._count(done + 1)
                return True
        device = self._engine.leader(groups)
        if device is not None:
            self._step_on(device, groups, grad_scale, found_inf)
            return True
        if found_inf is not None and bool(found_inf):
            return False
        done = self.iterations
        for group in groups:
            group.read(done)
        if not self._engine.step(groups, self.state, None if grad_scale is None else 1 / float(grad_scale), done):
            return False
        self._count(done + 1)
        return True

    def _ready_groups(self) -> list[LiveGroup]:
        """Give the groups, after what others have done to them since the last step was looked at."""
        done, exclusion = self.param_groups[0].get("iterations"), self._common.exclusion
        if done is None or done != self._counter.told:
            self._take_over()
        if exclusion.is_on:
            exclusion.follow(self.param_groups)
            if exclusion.has_other_names(self.param_groups):
                self._engine.forget()
        return self._groups()

    def _step_on(
        self, device: torch.device, groups: list[LiveGroup], grad_scale: Tensor | None, found_inf: Tensor | None
    ) -> None:
        """Do a step of which the device decides whether it is skipped, without asking it."""
        counter = self._counter
        if not counter.is_on(device):
            counter.start(device, self.iterations)
        with torch.no_grad():
            for group in groups:
                group.read(lambda: self.iterations, counter.tensor)
        is_known = not counter.is_ahead
        counter.is_ahead = True  # until the step has come to its end here: who is interrupted has to ask
        self._engine.step_on_device(groups, self.state, counter.tensor, grad_scale, found_inf)
        is_captured = device.type == "cuda" and torch.cuda.is_current_stream_capturing()
        if found_inf is not None or is_captured:
            counter.lose(is_captured)
        elif is_known:
            self._write_iterations(self.param_groups[0]["iterations"] + 1)
            counter.is_ahead = False
