"""Schedules' configs that nobody's `get_config` gave: a TypeError or a ValueError, of the library's and of ours.

For tf_keras and for Keras 3 on TensorFlow: what a front end has of its own is its class.
"""

import pytest

GOOD = {"initial_learning_rate": 0.5, "decay_steps": 10, "decay_rate": 0.5}
JUNK = [None, 3, "x", [1, 2], {}, {"a": 1}, [["a", 1]], {1: 2}, {"initial_learning_rate": None}, object(), True]


class Configs:
    """A front end's folder takes these over, with its class as `kind`."""

    @pytest.fixture(params=["keras.optimizers.schedules", "rmsprop.schedules.decay"])
    def config(self, request):
        return {"module": request.param, "class_name": "ExponentialDecay", "config": GOOD, "registered_name": None}

    def test_what_is_sound_is_read(self, config):
        assert self.kind.from_config({"learning_rate": config}).learning_rate is not None

    @pytest.mark.parametrize("junk", JUNK, ids=repr)
    def test_a_config_that_is_no_schedules(self, config, junk):
        with pytest.raises((TypeError, ValueError)):
            self.kind.from_config({"learning_rate": config | {"config": junk}})

    @pytest.mark.parametrize("entry", ["class_name", "module", "registered_name"])
    @pytest.mark.parametrize("junk", [3, [1, 2], {"a": 1}, object(), True], ids=repr)
    def test_names_that_are_no_strings(self, config, entry, junk):
        with pytest.raises(TypeError, match=f"{entry} must be a string"):
            self.kind.from_config({"learning_rate": config | {entry: junk}})

    @pytest.mark.parametrize("entry", ["class_name", "config"])
    def test_entries_that_are_missing(self, config, entry):
        del config[entry]
        with pytest.raises(ValueError, match="must have the entries 'class_name' and 'config'"):
            self.kind.from_config({"learning_rate": config})

    @pytest.mark.parametrize("junk", [None, 3, "x", [1]], ids=repr)
    def test_an_optimizers_config_that_is_no_mapping(self, junk):
        with pytest.raises((TypeError, ValueError)):
            self.kind.from_config(junk)
