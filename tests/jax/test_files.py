"""`save` and `load` of the files that every front end reads."""

import jax
import jax.numpy as jnp
import numpy
import pytest
from arrays import EVERYTHING
from safetensors.numpy import load_file

import rmsprop
from rmsprop import schedules
from rmsprop.checkpoint import read_metadata
from rmsprop.jax import RMSprop


def tree(dtype="float32", seed=0):
    random = numpy.random.default_rng(seed)
    return {
        "layers": [jnp.array(random.normal(size=shape), dtype) for shape in ((3, 4), (4,))],
        "scale": jnp.array(random.normal(), dtype),
    }


def steps(optimizer, params, state, count, seed=1):
    for number in range(count):
        grads = tree(params["scale"].dtype, seed + number)
        params, state = optimizer.apply_gradients(grads, params, state)
    return params, state


def equal(one, other):
    assert jax.tree_util.tree_structure(one) == jax.tree_util.tree_structure(other)
    for mine, theirs in zip(*map(jax.tree_util.tree_leaves, (one, other)), strict=True):
        assert mine.dtype == theirs.dtype
        numpy.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_a_run_goes_on_bit_exactly(tmp_path, dtype):
    optimizer = RMSprop(0.125, **EVERYTHING)
    params = tree(dtype)
    params, state = steps(optimizer, params, optimizer.init(params), 4)
    optimizer.save(tmp_path / "run", params, state, variables=True, metadata={"epoch": "3"})
    assert read_metadata(tmp_path / "run") == {"epoch": "3"}
    again = RMSprop(**EVERYTHING)
    loaded = again.load(tmp_path / "run", tree(dtype, 7), variables=True)
    equal(loaded, (params, state))
    equal(again.load(tmp_path / "run", params), state)
    equal(steps(again, *loaded, 4), steps(optimizer, params, state, 4))


def test_tensors_have_the_names_of_key_paths(tmp_path):
    params = tree()
    optimizer = RMSprop()
    optimizer.save(tmp_path / "run", params, optimizer.init(params))
    assert sorted(load_file(tmp_path / "run")) == ["velocity/layers/0", "velocity/layers/1", "velocity/scale"]
    optimizer.save(tmp_path / "run", params["scale"], optimizer.init(params["scale"]))
    assert sorted(load_file(tmp_path / "run")) == ["velocity/0"]


def test_the_next_step_compiles_nothing(tmp_path):
    optimizer = RMSprop(0.125, **EVERYTHING)
    step = jax.jit(optimizer.apply_gradients)
    params = tree()
    params, state = step(tree(seed=1), params, optimizer.init(params))
    params, state = step(tree(seed=1), params, state)
    count = step._cache_size()
    optimizer.save(tmp_path / "run", params, state, variables=True)
    params, state = optimizer.load(tmp_path / "run", params, variables=True)
    step(tree(seed=1), params, state)
    assert step._cache_size() == count


def test_arrays_are_put_where_those_of_init_are(tmp_path):
    device = jax.devices()[0]
    optimizer = RMSprop(0.125)
    for params in (tree(), jax.device_put(tree(), device)):
        state = optimizer.init(params)
        optimizer.save(tmp_path / "run", params, state, variables=True)
        loaded, again = optimizer.load(tmp_path / "run", params, variables=True)
        pairs = (params, state), (loaded, again)
        for mine, theirs in zip(*map(jax.tree_util.tree_leaves, pairs), strict=True):
            assert (mine.committed, mine.sharding) == (theirs.committed, theirs.sharding)


def test_descriptions_of_arrays_will_do(tmp_path):
    optimizer, params = RMSprop(0.125), tree()
    params, state = steps(optimizer, params, optimizer.init(params), 2)
    optimizer.save(tmp_path / "run", params, state, variables=True)
    described = jax.eval_shape(lambda: tree())
    equal(RMSprop().load(tmp_path / "run", described, variables=True), (params, state))


class TestTheRate:
    def test_is_that_of_the_state(self, tmp_path):
        optimizer, params = RMSprop(0.5), tree()
        state = optimizer.set_learning_rate(optimizer.init(params), 0.25)
        optimizer.save(tmp_path / "run", params, state)
        assert RMSprop().load(tmp_path / "run", params).rate == 0.25

    def test_that_was_assigned_is_the_next_steps(self, tmp_path):
        optimizer, params = RMSprop(0.5), tree()
        state = optimizer.init(params)
        optimizer.learning_rate = 0.125
        optimizer.save(tmp_path / "run", params, state)
        assert RMSprop().load(tmp_path / "run", params).rate == 0.125

    def test_is_none_where_a_schedule_rules(self, tmp_path):
        params, rate = tree(), schedules.CosineDecay(1.0, 10)
        optimizer, ruled = RMSprop(0.5), RMSprop(rate)
        optimizer.save(tmp_path / "run", params, optimizer.init(params))
        assert ruled.load(tmp_path / "run", params).rate is None
        ruled.save(tmp_path / "run", params, ruled.init(params))
        assert optimizer.load(tmp_path / "run", params).rate == 0.5


class TestRefusals:
    def test_what_is_traced(self, tmp_path):
        optimizer, params = RMSprop(), tree()
        optimizer.save(tmp_path / "run", params, optimizer.init(params))

        def save(params, state):
            optimizer.save(tmp_path / "other", params, state)

        def load(params):
            return optimizer.load(tmp_path / "run", params)

        with pytest.raises(TypeError, match="save reads or writes a file: it cannot be traced"):
            jax.jit(save)(params, optimizer.init(params))
        with pytest.raises(TypeError, match="load reads or writes a file: it cannot be traced"):
            jax.jit(load)(params)
        assert not (tmp_path / "other").exists()

    def test_arrays_whose_parts_are_elsewhere(self, tmp_path, monkeypatch):
        optimizer, params = RMSprop(), tree()
        state = optimizer.init(params)
        optimizer.save(tmp_path / "run", params, state)
        monkeypatch.setattr(type(params["scale"]), "is_fully_addressable", property(lambda array: False))
        with pytest.raises(ValueError, match="save cannot see all of an array.*orbax"):
            optimizer.save(tmp_path / "run", params, state)
        with pytest.raises(ValueError, match="load cannot see all of an array.*process_allgather"):
            optimizer.load(tmp_path / "run", params)

    def test_more_steps_than_a_state_can_count(self, tmp_path):
        many = rmsprop.RMSprop()
        many.build({"w": numpy.zeros(2, "f4")})
        many.iterations = 2**31
        many.save(tmp_path / "run")
        with pytest.raises(
            ValueError, match="run' has done 2147483648 steps, and the counter here holds at most 2147483647"
        ):
            RMSprop().load(tmp_path / "run", {"w": jnp.zeros(2)})

    def test_of_a_file_leave_the_optimizer_free(self, tmp_path):
        params = tree()
        optimizer = RMSprop(momentum=0.5)
        RMSprop().save(tmp_path / "run", params, RMSprop().init(params))
        with pytest.raises(ValueError, match="momentum/scale is missing"):
            optimizer.load(tmp_path / "run", params)
        optimizer.exclude_from_weight_decay(var_names=["scale"])  # which comes before init

    def test_what_is_no_state(self, tmp_path):
        optimizer, params = RMSprop(), tree()
        with pytest.raises(
            TypeError, match=r"^save: params is an RMSpropState.* optimizer\.save\(path, params, state\)"
        ):
            optimizer.save(tmp_path / "run", optimizer.init(params), params)
        with pytest.raises(ValueError, match="it was made with other options"):
            optimizer.save(tmp_path / "run", params, RMSprop(momentum=0.5).init(params))
