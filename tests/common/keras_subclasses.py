"""Subclasses of `rmsprop.keras.RMSprop`, on any backend; a folder for each subclasses this."""

import keras
import keras_runs as runs
import numpy
import pytest

from rmsprop.keras import RMSprop

OPTIONS = {"momentum": 0.5, "use_ema": True, "ema_overwrite_frequency": 5, "weight_decay": 0.01}


@keras.saving.register_keras_serializable(package="tests")
class Scaled(RMSprop):
    """It multiplies gradients by a number, and counts the calls of its hooks."""

    def __init__(self, *args, factor=1.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.factor, self.called = factor, []

    def get_config(self):
        return super().get_config() | {"factor": self.factor}

    def build(self, var_list):
        self.called.append("build")
        super().build(var_list)

    def apply(self, grads, trainable_variables=None):
        self.called.append("apply")
        super().apply([gradient * self.factor for gradient in grads], trainable_variables)


class Plain(RMSprop):
    """It changes nothing."""


class Subclasses:
    """Hooks, numbers and files."""

    @pytest.mark.parametrize("kind", [Plain, Scaled])
    @pytest.mark.matrix(1)
    def test_hooks_that_change_nothing_change_no_bits(self, kind):
        found, expected = (runs.model(make(0.01, **OPTIONS)) for make in (kind, RMSprop))
        for one in (found, expected):
            runs.fit(one)
        runs.assert_same(runs.weights(found), runs.weights(expected))
        if kind is Scaled:
            assert {*found.optimizer.called} == {"build", "apply"}

    def test_a_hook_counts_in_every_way_to_step(self):
        found, expected = keras.Variable([1.0, 2.0]), keras.Variable([1.0, 2.0])
        scaled, plain = Scaled(0.5, factor=4.0, epsilon=1.0), RMSprop(0.5, epsilon=1.0)
        for row in ([1.0, -1.0], [0.5, 2.0]):
            scaled.apply_gradients([(runs.tensor(numpy.float32(row)), found)])
            plain.apply_gradients([(runs.tensor(numpy.float32(row) * 4), expected)])
        assert (runs.array(found) == runs.array(expected)).all()
        assert scaled.called.count("apply") == 2

    def test_a_saved_model_brings_the_subclass_and_its_arguments_back(self, tmp_path):
        model = runs.model(Scaled(0.01, factor=2.0, **OPTIONS))
        runs.fit(model, epochs=1)
        model.save(tmp_path / "model.keras")
        again = keras.models.load_model(tmp_path / "model.keras")
        assert type(again.optimizer) is Scaled
        assert again.optimizer.get_config() == model.optimizer.get_config()
        assert again.optimizer.factor == 2.0
        for one in (model, again):
            runs.fit(one)
        runs.assert_same(runs.weights(again), runs.weights(model))

    def test_files_of_every_front_end(self, tmp_path):
        variables = [keras.Variable([1.0, 2.0], name="w") for _ in range(2)]
        optimizer, again = Scaled(0.5, momentum=0.5), Scaled(0.25, momentum=0.5)
        for one, variable in zip((optimizer, again), variables, strict=True):
            one.apply_gradients([(keras.ops.ones_like(variable.value), variable)])
        optimizer.save(tmp_path / "run", metadata={"epoch": "1"})
        assert again.load(tmp_path / "run") == {"epoch": "1"}
        assert float(keras.ops.convert_to_numpy(again.learning_rate.value)) == 0.5

    def test_unknown_arguments_are_refused(self):
        config = Scaled(factor=2.0).get_config()
        assert Scaled.from_config(config).factor == 2.0
        with pytest.raises(TypeError, match="factor"):
            RMSprop.from_config(config)
        with pytest.raises(TypeError, match="RMSprop has no argument lr=0.1: use learning_rate"):
            Scaled(lr=0.1)

    def test_what_it_prints(self):
        text = "for Keras 3: a model of tf_keras takes rmsprop.tf_keras.RMSprop"
        assert repr(RMSprop(name="mine")) == f"<rmsprop.keras.RMSprop 'mine', {text}>"
        options = {"momentum": 0.5, "native": False, "loss_scale_factor": 2.0}
        shown = "; learning_rate=0.5; momentum=0.5; native=False; loss_scale_factor=2.0"
        optimizer = RMSprop(**options)
        optimizer.learning_rate = 0.5
        assert repr(optimizer) == f"<rmsprop.keras.RMSprop 'RMSprop', {text}{shown}>"
        assert repr(Plain()).startswith(f"<{__name__}.Plain ")

    def test_its_bases_are_none_that_one_makes(self):
        for base in RMSprop.__mro__[1:-1]:
            if base.__module__.startswith("rmsprop."):
                with pytest.raises(TypeError, match="abstract"):
                    base()
