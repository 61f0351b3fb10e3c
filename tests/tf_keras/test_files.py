"""`save` and `load` of the files that every front end reads."""

import gc

import numpy
import pytest
import tensorflow as tf
from arrays import EVERYTHING
from safetensors.numpy import load_file

import rmsprop
from rmsprop import schedules
from rmsprop.tf_keras import RMSprop

SHAPES = {"layer/kernel": (3, 4), "layer/bias": (4,), "scale": ()}


def variables(dtype="float32", seed=0, names=tuple(SHAPES)):
    random = numpy.random.default_rng(seed)
    return [
        tf.Variable(tf.cast(random.normal(size=shape), dtype), name=name)
        for name, shape in zip(names, SHAPES.values(), strict=True)
    ]


def built(owners, *arguments, **options):
    optimizer = RMSprop(*arguments, **options)
    optimizer.build(owners)
    return optimizer


def steps(optimizer, owners, count, seed=1):
    random = numpy.random.default_rng(seed)
    for _ in range(count):
        gradients = [tf.cast(random.normal(size=one.shape), one.dtype) for one in owners]
        optimizer.apply_gradients(zip(gradients, owners, strict=True))


def numbers(optimizer):
    return [one.numpy().tolist() for one in optimizer.variables]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.matrix(2)
def test_a_run_goes_on_bit_exactly(tmp_path, dtype):
    owners, others = variables(dtype), variables(dtype, 7)
    optimizer, again = built(owners, 0.125, **EVERYTHING), built(others, **EVERYTHING)
    steps(optimizer, owners, 4)
    optimizer.save(tmp_path / "run", variables=True, metadata={"epoch": "3"})
    assert again.load(tmp_path / "run", variables=True) == {"epoch": "3"}
    assert (int(again.iterations), float(again.learning_rate)) == (4, 0.125)
    assert numbers(again) == numbers(optimizer)
    for one, its in ((optimizer, owners), (again, others)):
        steps(one, its, 4, seed=2)
    assert numbers(again) == numbers(optimizer)
    assert [one.numpy().tolist() for one in owners] == [one.numpy().tolist() for one in others]


def test_a_function_that_is_traced_goes_on_with_what_was_loaded(tmp_path):
    owners = variables()
    optimizer = built(owners, 0.125, momentum=0.5)

    @tf.function
    def step():
        optimizer.apply_gradients([(tf.ones_like(one), one) for one in owners])

    step()
    optimizer.save(tmp_path / "run", variables=True)
    step()
    once = [one.numpy() for one in owners]
    optimizer.load(tmp_path / "run", variables=True)
    step()
    for one, other in zip(owners, once, strict=True):
        numpy.testing.assert_array_equal(one, other)


def test_tensors_have_the_variables_names_or_numbers_if_one_is_repeated(tmp_path):
    owners = variables()
    built(owners).save(tmp_path / "run")
    assert sorted(load_file(tmp_path / "run")) == [f"velocity/{name}" for name in sorted(SHAPES)]
    owners = variables(names=["w", "w", "v"])
    built(owners).save(tmp_path / "run")
    assert sorted(load_file(tmp_path / "run")) == ["velocity/0", "velocity/1", "velocity/2"]


def test_the_rate_is_as_it_was_written(tmp_path):
    owners = variables()
    built(owners, 0.1).save(tmp_path / "run")
    plain = rmsprop.RMSprop()
    plain.build({name: numpy.zeros(shape, "f4") for name, shape in SHAPES.items()})
    plain.load(tmp_path / "run")
    assert plain.learning_rate == 0.1


def test_a_schedule_stays_and_is_no_number_in_the_file(tmp_path):
    owners, rate = variables(), schedules.CosineDecay(1.0, 10)
    plain, ruled = built(owners, 0.5), built(owners, rate)
    steps(plain, owners, 3)
    plain.save(tmp_path / "run")
    ruled.load(tmp_path / "run")
    assert float(ruled.learning_rate) == pytest.approx(rate(3))
    ruled.save(tmp_path / "run")
    plain.load(tmp_path / "run")
    assert float(plain.learning_rate) == 0.5


def test_averages_that_waited_for_another_file_are_those_that_were_loaded(tmp_path):
    """A Keras file from before the first step lets averages start at the weights that are read after it."""
    owners = variables()
    optimizer = built(owners, 0.125, use_ema=True, ema_momentum=0.5)
    steps(optimizer, owners, 2)
    optimizer.save(tmp_path / "run", variables=True)
    expected = numbers(optimizer)
    optimizer.load_own_variables({"0": numpy.int64(2)})
    optimizer.load(tmp_path / "run", variables=True)
    assert numbers(optimizer) == expected


class TestRefusals:
    def test_where_there_is_no_state(self, tmp_path):
        for method in ("save", "load"):
            with pytest.raises(ValueError, match=rf"{method} needs the variables: call build\(var_list\) first"):
                getattr(RMSprop(), method)(tmp_path / "run")

    def test_what_is_traced(self, tmp_path):
        owners = variables()
        optimizer = built(owners)
        optimizer.save(tmp_path / "run")
        for method in ("save", "load"):
            with pytest.raises(ValueError, match=f"{method} reads or writes a file: it cannot be traced"):
                tf.function(getattr(optimizer, method), autograph=False)(str(tmp_path / "run"))

    def test_variables_that_are_gone(self, tmp_path):
        owners = variables()
        optimizer = built(owners)
        del owners
        gc.collect()
        with pytest.raises(ValueError, match="a variable that the optimizer was built for is gone"):
            optimizer.save(tmp_path / "run")

    def test_more_steps_than_the_counter_can_hold(self, tmp_path):
        owners = variables()
        optimizer, small = built(owners), RMSprop()
        optimizer.iterations.assign(40_000)
        optimizer.save(tmp_path / "run")
        small.iterations = tf.Variable(0, dtype=tf.int16)
        small.build(owners)
        with pytest.raises(ValueError, match="run' has done 40000 steps, and the counter here holds at most 32767"):
            small.load(tmp_path / "run")

    def test_change_nothing(self, tmp_path):
        owners = variables()
        built(owners, 0.5).save(tmp_path / "run")
        optimizer = built(owners, 0.25, momentum=0.5)
        steps(optimizer, owners, 2)
        before = numbers(optimizer)
        with pytest.raises(ValueError, match=r"momentum/scale is missing, float32 \[\] is needed"):
            optimizer.load(tmp_path / "run", variables=True)
        assert numbers(optimizer) == before
        assert float(optimizer.learning_rate) == 0.25
