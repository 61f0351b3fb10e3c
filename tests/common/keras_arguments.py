"""What `rmsprop.keras.RMSprop` takes, says and refuses, on any backend; a folder for each subclasses this."""

import copy
import doctest
import importlib
import json
import warnings

import cases
import keras
import keras_runs as runs
import numpy
import ours
import pytest

import rmsprop
from rmsprop.keras import RMSprop

ALL = {
    "learning_rate": 0.25, "rho": 0.75, "momentum": 0.5, "epsilon": 1e-3, "centered": True, "weight_decay": 0.125,
    "global_clipnorm": 2.0, "use_ema": True, "ema_momentum": 0.875, "ema_overwrite_frequency": 7, "name": "mine",
    "loss_scale_factor": 4.0, "gradient_accumulation_steps": 3, "initial_velocity": 1.0, "slot_dtype": "float32",
    "jit_compile": False, "native": False,
}  # fmt: skip


def scalar(value=10.0, **arguments):
    return keras.Variable(value, dtype="float32", **arguments)


def ones(variable):
    return keras.ops.ones_like(variable.value)


class Arguments:
    """Each of them honoured or refused."""

    @pytest.mark.parametrize("case", cases.ERRORS, ids=str)
    def test_refused(self, case):
        with pytest.raises(case.error, match=case.match):
            RMSprop(**case.options)

    @pytest.mark.parametrize(
        ("name", "value", "error"),
        [
            ("loss_scale_factor", 0, ValueError), ("loss_scale_factor", "x", TypeError),
            ("gradient_accumulation_steps", 1, ValueError), ("gradient_accumulation_steps", 2.5, TypeError),
            ("gradient_accumulation_steps", True, TypeError), ("native", 1, TypeError),
        ],
    )  # fmt: skip
    def test_refused_here(self, name, value, error):
        with pytest.raises(error, match=f"{name}={value!r}"):
            RMSprop(**{name: value})

    def test_config_both_ways(self):
        config = json.loads(json.dumps(RMSprop(**ALL).get_config()))
        assert config == ALL | {"clipnorm": None, "clipvalue": None}
        assert RMSprop.from_config(config).get_config() == config

    def test_configs_of_keras_and_for_keras(self):
        theirs = keras.optimizers.RMSprop(0.25, momentum=0.5, use_ema=True, clipnorm=1.0, name="mine")
        mine = RMSprop.from_config(theirs.get_config())
        assert mine.ema_overwrite_frequency is None
        assert keras.optimizers.RMSprop.from_config(mine.get_config()).get_config() == theirs.get_config()

    @pytest.mark.parametrize("library", ["keras", "rmsprop"])
    def test_schedules_in_configs(self, library):
        schedules = keras.optimizers.schedules if library == "keras" else rmsprop.schedules
        config = json.loads(json.dumps(RMSprop(schedules.ExponentialDecay(0.5, 10, 0.9)).get_config()))
        rate = RMSprop.from_config(config)._learning_rate
        assert type(rate) is schedules.ExponentialDecay
        assert rate.get_config() == schedules.ExponentialDecay(0.5, 10, 0.9).get_config()
        with pytest.raises(ValueError, match="plain function"):
            RMSprop(lambda: 0.1).get_config()

    def test_the_class_comes_back_from_kerass_registry(self):
        again = keras.optimizers.deserialize(keras.optimizers.serialize(RMSprop(0.25, momentum=0.5)))
        assert type(again) is RMSprop
        assert again.momentum == 0.5

    def test_options_can_be_read_and_set(self):
        optimizer = RMSprop(rho=0.5)
        optimizer.rho = 0.25
        assert optimizer.rho == optimizer.get_config()["rho"] == 0.25
        with pytest.raises(ValueError, match=r"rho=7"):
            optimizer.rho = 7
        optimizer.build([scalar()])
        with pytest.raises(ValueError, match="momentum=0.5 needs other state"):
            optimizer.momentum = 0.5
        with pytest.raises(ValueError, match="gradient_accumulation_steps=2 needs other state"):
            optimizer.gradient_accumulation_steps = 2

    def test_an_option_set_later_counts(self):
        found, expected = scalar(), scalar()
        late, early = RMSprop(0.5, epsilon=1e-7), RMSprop(0.5, epsilon=1.0)
        late.build([found])
        late.epsilon = 1.0
        for optimizer, variable in ((late, found), (early, expected)):
            optimizer.apply([ones(variable)], [variable])
        assert runs.array(found) == runs.array(expected)

    def test_learning_rate_is_set(self):
        optimizer = RMSprop(0.5)
        optimizer.learning_rate = 0.25
        assert float(optimizer.learning_rate) == optimizer.get_config()["learning_rate"] == 0.25
        optimizer.learning_rate = keras.ops.convert_to_tensor(0.125)
        assert float(optimizer.learning_rate) == 0.125
        with pytest.raises(ValueError, match="learning_rate=-1"):
            optimizer.learning_rate = -1
        optimizer.learning_rate = rmsprop.schedules.ExponentialDecay(0.5, 1, 0.5)
        assert [one.name for one in optimizer.variables] == ["iteration"]
        variable = scalar()
        optimizer.apply([ones(variable)], [variable])
        assert float(optimizer.learning_rate) == 0.25
        with pytest.raises(TypeError, match="learning_rate=1.0 cannot be set while the schedule"):
            optimizer.learning_rate = 1.0

    @pytest.mark.parametrize(
        "rate",
        [
            lambda: lambda: 0.25, lambda: lambda step: 0.25, lambda: lambda: keras.ops.convert_to_tensor(0.25),
            lambda: lambda: keras.Variable(0.25),
            lambda: keras.optimizers.schedules.PiecewiseConstantDecay([9], [0.25, 1.0]),
            lambda: rmsprop.schedules.PiecewiseConstantDecay([9], [0.25, 1.0]), lambda: keras.Variable(0.25),
        ],
        ids=["nothing", "step", "tensor", "variable-returned", "Keras's schedule", "ours", "variable"],
    )  # fmt: skip
    def test_ways_to_give_a_learning_rate(self, rate):
        found, expected = scalar(), scalar()
        for optimizer, variable in ((RMSprop(rate()), found), (RMSprop(0.25), expected)):
            optimizer.apply([ones(variable)], [variable])
        assert runs.array(found) == runs.array(expected)

    def test_a_function_is_called_at_every_step(self):
        rates = iter([0.5, 0.25])
        found, expected = scalar(), scalar()
        called, changed = RMSprop(lambda: next(rates)), RMSprop(0.5)
        for rate in (0.5, 0.25):
            changed.learning_rate = rate
            called.apply([ones(found)], [found])
            changed.apply([ones(expected)], [expected])
        assert runs.array(found) == runs.array(expected)

    def test_exclude_from_weight_decay(self):
        kernel, bias, other = scalar(1, name="kernel"), scalar(1, name="bias"), scalar(1, name="other")
        optimizer = RMSprop(0.5, weight_decay=0.5)
        with pytest.raises(TypeError, match="one variable"):
            optimizer.exclude_from_weight_decay(var_list=kernel)
        with pytest.raises(TypeError, match="one string"):
            optimizer.exclude_from_weight_decay(var_names="bias")
        with pytest.raises(ValueError, match="no regular expression"):
            optimizer.exclude_from_weight_decay(var_names=["("])
        optimizer.exclude_from_weight_decay(var_list=[other], var_names=["^bi.s$"])
        optimizer.apply([keras.ops.zeros_like(one.value) for one in (kernel, bias, other)], [kernel, bias, other])
        assert [float(runs.array(one)) for one in (kernel, bias, other)] == [0.75, 1, 1]
        with pytest.raises(ValueError, match="before"):
            optimizer.exclude_from_weight_decay(var_names=["kernel"])

    @pytest.mark.parametrize(
        ("name", "advice"),
        [
            ("lr", "learning_rate"),
            ("eps", "epsilon"),
            ("alpha", "rho"),
            ("decay", "weight_decay"),
            ("slot_dtype", "constructor"),
            ("initial_velocity", "constructor"),
            ("jit_compile", "constructor"),
            ("native", "constructor"),
        ],
    )
    def test_attributes_that_nobody_reads_are_refused(self, name, advice):
        optimizer = RMSprop()
        with pytest.raises(AttributeError, match=advice):
            setattr(optimizer, name, 0.5)
        assert not hasattr(optimizer, name)

    def test_other_attributes_are_free_and_tracked(self):
        optimizer = RMSprop()
        optimizer.label, optimizer.rho, optimizer.epsilon, optimizer.weight_decay = "mine", 0.5, 1e-3, 0.1
        assert (optimizer.label, optimizer.rho, optimizer.epsilon, optimizer.weight_decay) == ("mine", 0.5, 1e-3, 0.1)
        optimizer.extra = scalar()
        assert any(one is optimizer.extra for one in optimizer.variables)

    def test_gradients_that_are_missing(self):
        one, other = scalar(1, name="one"), scalar(1, name="other")
        optimizer = RMSprop(use_ema=True, weight_decay=0.5)
        with pytest.raises(ValueError, match=r"all gradients are None, of the variables one, other"):
            optimizer.apply_gradients([(None, one), (None, other)])
        with pytest.warns(UserWarning, match="No gradients for the variables other"):
            optimizer.apply_gradients([(ones(one), one), (None, other)])
        assert runs.array(other) == 1
        assert runs.array(one) < 1
        assert int(optimizer.iterations) == 1
        assert int(optimizer.apply_gradients([])) == 1
        optimizer.apply([])

    def test_what_is_refused_changes_nothing(self):
        known, late = scalar(1, name="known"), scalar(1, name="late")
        optimizer = RMSprop()
        with pytest.raises(ValueError, match="build"):
            optimizer.apply([ones(known)])
        optimizer.build([known])
        for pairs, error, match in [
            ([(ones(known), known), (ones(late), late)], ValueError, "'late' is not among those"),
            ([(ones(known), known), (ones(known), known)], ValueError, "given twice"),
            ([(ones(known), numpy.ones(()))], TypeError, "rmsprop.RMSprop steps NumPy's arrays"),
            ([(keras.ops.ones((2,)), known)], ValueError, "the gradient of variable 'known"),
            ([(keras.ops.ones((), "int32"), known)], TypeError, "the gradient of variable 'known"),
            ([("x", known)], (TypeError, ValueError), "the gradient of variable 'known"),
            ([(keras.ops.ones((), "complex64"), known)], TypeError, "the gradient of variable 'known"),
            ([known], TypeError, "no pair"),
            ([(known, ones(known))], TypeError, r"\(variable, gradient\) at place 0: the gradient comes first"),
            ([(known, None)], TypeError, r"\(variable, gradient\) at place 0"),
        ]:
            with pytest.raises(error, match=match):
                optimizer.apply_gradients(pairs)
        for call in (lambda: optimizer.apply([ones(known)], known), lambda: RMSprop().build(known)):
            with pytest.raises(TypeError, match="='known' is one variable: pass a list"):
                call()
        with pytest.raises(TypeError, match="grads holds a variable at place 0, and trainable_variables its gradient"):
            optimizer.apply([known], [ones(known)])
        with pytest.raises(ValueError, match="2 gradients for 1 variables"):
            optimizer.apply([ones(known), ones(known)])
        assert runs.array(known) == 1
        assert int(optimizer.iterations) == 0
        with pytest.raises(TypeError, match="type int32"):
            RMSprop().build([keras.Variable(1, dtype="int32", trainable=False)])
        with pytest.raises(NotImplementedError):
            optimizer.update_step(None, known, 0.1)

    def test_the_order_of_pairs_does_not_show(self):
        arrays = {f"w{place}": numpy.full(3, place + 1, numpy.float32) for place in range(3)}
        results = []
        for order in (1, -1):
            optimizer, named = runs.build({"global_clipnorm": 0.1}, arrays)
            optimizer.apply_gradients([(ones(one), one) for one in list(named.values())[::order]])
            results.append([runs.array(one) for one in named.values()])
        runs.assert_same(*results)

    def test_gradient_accumulation(self):
        """Calls that are no step move nothing; the step is that of the mean, for averages and schedules, too."""
        schedule = rmsprop.schedules.PiecewiseConstantDecay([4], [0.25, 0.125])  # of calls: 2, 5, 8
        options = {
            "momentum": 0.5,
            "centered": True,
            "weight_decay": 0.125,
            "use_ema": True,
            "ema_overwrite_frequency": 3,  # of steps: of calls, it would come with the first
        }
        optimizer, named = runs.build(
            options,
            {"w": numpy.linspace(1, 2, 5, dtype="float32")},
            learning_rate=schedule,
            gradient_accumulation_steps=3,
        )
        w = numpy.linspace(1, 2, 5, dtype="float32")
        plain = ours.build(options | {"learning_rate": lambda step: schedule(3 * step + 2)}, {"w": w})
        rows = numpy.random.default_rng(0).integers(-8, 8, (9, 5)).astype("float32") * 3
        for place, row in enumerate(rows):
            before = runs.array(named["w"])
            runs.step(optimizer, named, {"w": row})
            assert int(optimizer.iterations) == (place + 1) // 3
            if place % 3 < 2:
                numpy.testing.assert_array_equal(runs.array(named["w"]), before)
                continue
            plain.apply_gradients([(rows[place - 2 : place + 1].sum(0) / 3, w)])
            bound = runs.NATIVE_DIFFERS_BY * abs(w).max()
            numpy.testing.assert_allclose(runs.array(named["w"]), w, rtol=0, atol=bound)
            for slot, home in runs.KERAS_ATTRIBUTES.items():
                kept, expected = runs.array(getattr(optimizer, home)[0]), plain.variables[f"{slot}/w"]
                bound = runs.NATIVE_DIFFERS_BY * abs(expected).max()
                numpy.testing.assert_allclose(kept, expected, rtol=0, atol=bound)

    def test_loss_scale_factor(self):
        found, expected = scalar(), scalar()
        options = {"clipnorm": 0.5, "rho": 1.0, "epsilon": 1.0}  # gradient descent, whose steps show a gradient's size
        scaled, plain = RMSprop(loss_scale_factor=8.0, **options), RMSprop(**options)
        assert float(scaled.scale_loss(keras.ops.convert_to_tensor(2.0))) == 16
        for size in (1.0, 0.25, 0.125):  # beyond the limit, and within it
            scaled.apply([ones(found) * (8 * size)], [found])
            plain.apply([ones(expected) * size], [expected])
            assert runs.array(found) == runs.array(expected)

    def test_constraints(self):
        variable = scalar(0.01)
        variable.constraint = keras.constraints.NonNeg()
        RMSprop(1.0).apply([ones(variable)], [variable])
        assert runs.array(variable) == 0

    def test_variables_that_become_their_gradients(self):
        """As Keras's float8 layers have them."""
        variable, other = scalar(1, name="scale"), scalar(1, name="w")
        variable.overwrite_with_gradient = True
        optimizer = RMSprop(use_ema=True, momentum=0.5)
        optimizer.apply([ones(variable) * 5, ones(other)], [variable, other])
        assert runs.array(variable) == 5
        assert runs.array(other) < 1
        assert [one.path.rpartition("/")[2] for one in optimizer.variables[2:]] == [
            "w_average",
            "w_velocity",
            "w_momentum",
        ]
        optimizer.finalize_variable_values([variable, other])
        assert runs.array(variable) == 5

    def test_finalize(self):
        optimizer, named = runs.build(
            {"use_ema": True, "ema_momentum": 0.5, "learning_rate": 0.5}, {"w": numpy.float32(1)}
        )
        late = scalar(name="late")
        runs.step(optimizer, named, {"w": numpy.float32(1)})
        average = runs.array(optimizer._model_variables_moving_average[0])
        assert average == (1 + runs.array(named["w"])) / 2
        with pytest.raises(ValueError, match="'late' is not among"):
            optimizer.finalize_variable_values([late])
        optimizer.finalize_variable_values(list(named.values()))
        assert runs.array(named["w"]) == average
        with pytest.raises(ValueError, match="build"):
            RMSprop(use_ema=True).finalize_variable_values([late])
        RMSprop().finalize_variable_values([late])

    def test_names_and_order_are_kerass_own(self):
        options = {"momentum": 0.5, "centered": True, "use_ema": True, "gradient_accumulation_steps": 2, "name": "same"}
        arrays = {"a": numpy.ones(2, "float32"), "b": numpy.ones(3, "float32")}
        found, expected = (
            [(one.path, one.shape, one.dtype) for one in runs.build(options, arrays, make)[0].variables]
            for make in (RMSprop, keras.optimizers.RMSprop)
        )
        assert found == expected
        assert RMSprop(name=None).name.split("_")[:2] == keras.optimizers.RMSprop(name=None).name.split("_")[:2]

    def test_a_copy_is_as_kerass_own(self):
        """Keras copies and pickles an optimizer by its config alone."""
        optimizer, _ = runs.build(ALL | {"slot_dtype": None}, {"w": numpy.ones(2, "float32")})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that it leaves the state behind
            again = copy.deepcopy(optimizer)
        assert type(again) is RMSprop
        assert again.get_config() == optimizer.get_config()

    @pytest.mark.parametrize("name", ["rmsprop.keras", "rmsprop._kerases.saved"])
    def test_docstrings(self, name):
        found = doctest.testmod(importlib.import_module(name))
        assert found.failed == 0
        assert found.attempted > 0
