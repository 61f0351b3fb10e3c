"""`save` and `load` of the files that every front end reads, on each of Keras's backends."""

import keras
import numpy
import pytest
from arrays import EVERYTHING
from safetensors.numpy import load_file

import rmsprop
from rmsprop import schedules
from rmsprop.keras import RMSprop

SHAPES = {"kernel": (3, 4), "bias": (4,), "scale": ()}


def variables(dtype="float32", seed=0, names=tuple(SHAPES)):
    random = numpy.random.default_rng(seed)
    return [
        keras.Variable(random.normal(size=shape), dtype=dtype, name=name)
        for name, shape in zip(names, SHAPES.values(), strict=True)
    ]


def built(owners, *arguments, **options):
    optimizer = RMSprop(*arguments, **options)
    optimizer.build(owners)
    return optimizer


def steps(optimizer, owners, count, seed=1):
    random = numpy.random.default_rng(seed)
    for _ in range(count):
        gradients = [keras.ops.convert_to_tensor(random.normal(size=one.shape), one.dtype) for one in owners]
        optimizer.apply_gradients(zip(gradients, owners, strict=True))


def numbers(variables):
    return [keras.ops.convert_to_numpy(one).astype("float64").tolist() for one in variables]


class Files:
    """What the folders of the backends run."""

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
    def test_a_run_goes_on_bit_exactly(self, tmp_path, dtype):
        owners, others = variables(dtype), variables(dtype, 7)
        optimizer, again = built(owners, 0.125, **EVERYTHING), built(others, **EVERYTHING)
        steps(optimizer, owners, 4)
        optimizer.save(tmp_path / "run", variables=True, metadata={"epoch": "3"})
        assert load_file(tmp_path / "run")["velocity/kernel"].dtype == dtype
        assert again.load(tmp_path / "run", variables=True) == {"epoch": "3"}
        assert float(keras.ops.convert_to_numpy(again.learning_rate)) == 0.125
        assert numbers(again.variables) == numbers(optimizer.variables)
        for one, its in ((optimizer, owners), (again, others)):
            steps(one, its, 4, seed=2)
        assert numbers(again.variables) == numbers(optimizer.variables)
        assert numbers(owners) == numbers(others)

    def test_a_fit_goes_on_after_it(self, tmp_path):
        random = numpy.random.default_rng(0)
        data = random.normal(size=(32, 3)).astype("f4"), random.normal(size=(32, 1)).astype("f4")

        def model():
            layers = [keras.Input((3,)), keras.layers.Dense(4, name="a"), keras.layers.Dense(1, name="b")]
            made = keras.Sequential(layers, name="net")
            made.compile(RMSprop(0.125, **EVERYTHING), "mse")
            made.optimizer.build(made.trainable_variables)
            return made

        one, other = model(), model()
        one.fit(*data, batch_size=16, epochs=2, shuffle=False, verbose=0)
        one.optimizer.save(tmp_path / "run", variables=True)
        assert "velocity/net/a/kernel" in load_file(tmp_path / "run")
        other.fit(*data, batch_size=16, epochs=1, shuffle=False, verbose=0)
        other.optimizer.load(tmp_path / "run", variables=True)
        for each in (one, other):
            each.fit(*data, batch_size=16, epochs=2, shuffle=False, verbose=0)
        for mine, theirs in zip(one.get_weights(), other.get_weights(), strict=True):
            numpy.testing.assert_array_equal(mine, theirs)

    def test_repeated_names_count_as_none(self, tmp_path):
        built(variables(names=["w", "w", "v"])).save(tmp_path / "run")
        assert sorted(load_file(tmp_path / "run")) == ["velocity/0", "velocity/1", "velocity/2"]

    def test_the_rate_is_as_it_was_written(self, tmp_path):
        built(variables(), 0.1).save(tmp_path / "run")
        plain = rmsprop.RMSprop()
        plain.build({name: numpy.zeros(shape, "f4") for name, shape in SHAPES.items()})
        plain.load(tmp_path / "run")
        assert plain.learning_rate == 0.1

    @pytest.mark.parametrize(
        "rate", [schedules.CosineDecay(1.0, 10), keras.optimizers.schedules.CosineDecay(1.0, 10)], ids=["ours", "keras"]
    )
    def test_a_schedule_stays_and_is_no_number_in_the_file(self, tmp_path, rate):
        owners = variables()
        plain, ruled = built(owners, 0.5), built(owners, rate)
        steps(plain, owners, 3)
        plain.save(tmp_path / "run")
        ruled.load(tmp_path / "run")
        now = float(keras.ops.convert_to_numpy(ruled.learning_rate))
        assert now == pytest.approx(schedules.CosineDecay(1.0, 10)(3), rel=1e-6)
        ruled.save(tmp_path / "run")
        plain.load(tmp_path / "run")
        assert float(keras.ops.convert_to_numpy(plain.learning_rate)) == 0.5

    def test_calls_that_are_collected_are_no_steps(self, tmp_path):
        owners = variables()
        optimizer = built(owners, 0.125, gradient_accumulation_steps=2)
        steps(optimizer, owners, 6)
        optimizer.save(tmp_path / "run")
        plain = built(owners, 0.5)
        plain.load(tmp_path / "run")
        assert int(plain.iterations) == 3
        steps(optimizer, owners, 1)
        with pytest.raises(ValueError, match="save cannot keep gradients that are collected, of 1 of 2 calls"):
            optimizer.save(tmp_path / "run")
        optimizer.load(tmp_path / "run")
        again = built(owners, 0.5, gradient_accumulation_steps=2)
        again.load(tmp_path / "run")
        assert numbers(again.variables) == numbers(optimizer.variables)

    def test_variables_without_state(self, tmp_path):
        owners = variables()
        owners[1].overwrite_with_gradient = True
        optimizer = built(owners, 0.125)
        optimizer.save(tmp_path / "state")
        optimizer.save(tmp_path / "all", variables=True)
        assert sorted(load_file(tmp_path / "state")) == ["velocity/kernel", "velocity/scale"]
        for name in ("state", "all"):
            again = built(owners)
            again.load(tmp_path / name)
            assert float(keras.ops.convert_to_numpy(again.learning_rate)) == 0.125
        built(owners).load(tmp_path / "all", variables=True)

    def test_where_there_is_no_state(self, tmp_path):
        for method in ("save", "load"):
            with pytest.raises(ValueError, match=rf"{method} needs the variables: call build\(var_list\) first"):
                getattr(RMSprop(), method)(tmp_path / "run")

    def test_more_steps_than_the_counter_can_hold(self, tmp_path):
        owners = variables()
        optimizer, small = built(owners), built(owners, gradient_accumulation_steps=2)
        most = numpy.iinfo(optimizer._iterations.dtype).max
        plain = rmsprop.RMSprop()
        plain.build({name: numpy.zeros(shape, "f4") for name, shape in SHAPES.items()})
        plain.iterations = most // 2 + 1
        plain.save(tmp_path / "run")
        optimizer.load(tmp_path / "run")
        assert int(optimizer.iterations) == most // 2 + 1
        with pytest.raises(
            ValueError, match=f"has done {most // 2 + 1} steps, and the counter here holds at most {most // 2}"
        ):
            small.load(tmp_path / "run")

    def test_a_refusal_changes_nothing(self, tmp_path):
        owners = variables()
        built(owners, 0.5).save(tmp_path / "run")
        optimizer = built(owners, 0.25, momentum=0.5)
        steps(optimizer, owners, 2)
        before = numbers(optimizer.variables)
        with pytest.raises(ValueError, match=r"momentum/scale is missing, float32 \[\] is needed"):
            optimizer.load(tmp_path / "run", variables=True)
        assert numbers(optimizer.variables) == before
