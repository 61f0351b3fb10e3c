"""What `explain()` of `rmsprop.keras.RMSprop` says on every backend."""

import explanations
import keras
import pytest
from arrays import EVERYTHING

from rmsprop.keras import RMSprop


def variables():
    return [keras.Variable(array, name=name) for name, array in explanations.arrays().items()]


def cases():
    return explanations.TABLE[f"keras on {keras.backend.backend()}"]


class Explain:
    """The same on every backend."""

    @pytest.mark.parametrize("case", cases(), ids=str)
    @pytest.mark.parametrize("built", [False, True], ids=["before build", "built"])
    def test_switches(self, case, built, monkeypatch):
        given = variables()

        def explain(**arguments):
            optimizer = RMSprop(**arguments)
            if not built:
                return optimizer.explain(given)
            optimizer.build(given)
            return optimizer.explain()

        explanations.check(f"keras on {keras.backend.backend()}", case, monkeypatch, explain)

    @pytest.mark.parametrize("options", [{}, EVERYTHING, {"loss_scale_factor": 2.0}], ids=["plain", "all", "scaled"])
    def test_launches_are_those_of_a_step(self, options, monkeypatch):
        given, optimizer = variables(), RMSprop(**options)
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        before = optimizer.explain(given)
        optimizer.build(given)
        assert optimizer.explain() == before
        gradients = [keras.ops.ones(variable.shape) for variable in given]
        assert self.launches_of(lambda: optimizer.apply(gradients, given), monkeypatch) == before.launches

    def launches_of(self, step, monkeypatch):
        """Count the kernel calls of a step."""
        counted = explanations.Counted(monkeypatch)
        step()
        return counted.launches

    def test_some_of_those_that_it_was_built_for(self):
        given, optimizer = variables(), RMSprop()
        optimizer.build(given)
        assert list(optimizer.explain(given[1:]).variables) == ["bias"]
        with pytest.raises(ValueError, match="not among those the optimizer was built for"):
            optimizer.explain(variables())

    def test_without_variables(self):
        with pytest.raises(ValueError, match=r"call explain\(variables\), or build\(variables\) before it"):
            RMSprop().explain()
        with pytest.raises(TypeError, match="is one variable: pass a list"):
            RMSprop().explain(variables()[0])
        with pytest.raises(TypeError, match="is no variable of Keras 3"):
            RMSprop().explain([1.0])

    def test_nothing_is_built_or_told(self):
        given, optimizer = variables(), RMSprop(weight_decay=0.1)
        optimizer.exclude_from_weight_decay(var_names=["no such name"])
        optimizer.explain(given)
        assert not optimizer.built
        with pytest.warns(UserWarning, match="'no such name', which is found in no variable's name"):
            optimizer.build(given)
