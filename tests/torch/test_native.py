"""`native`: False is the step of `jit_compile=False`, None follows the environment, True overrides it."""

import copy
import pickle

import pytest
import torch
from arrays import EVERYTHING

from rmsprop.torch import RMSprop

OPTIONS = [{}, EVERYTHING, {"global_clipnorm": 0.5, "centered": True}]


def parameters():
    generator = torch.Generator().manual_seed(1)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((3, 4), (5,), ())]


def trained(mine, optimizer, steps=3):
    """All bits of parameters and state after some steps."""
    generator = torch.Generator().manual_seed(2)
    for _ in range(steps):
        for one in mine:
            one.grad = torch.randn(one.shape, generator=generator)
        optimizer.step()
    tensors = [*mine, *(slot for one in mine for slot in optimizer.state[one].values())]
    return [one.detach().numpy().tobytes() for one in tensors]


def ways(optimizer):
    return {(one.way, one.reason) for one in optimizer.explain().variables.values()}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.delenv("RMSPROP_NATIVE", raising=False)


@pytest.mark.parametrize("native", [0, 1, "yes", 1.0])
def test_other_values_are_refused(native):
    with pytest.raises(TypeError, match=rf"native={native!r} is not True, False or None"):
        RMSprop(parameters(), native=native)


def test_another_value_of_the_variable_is_refused(monkeypatch):
    monkeypatch.setenv("RMSPROP_NATIVE", "2")
    with pytest.raises(ValueError, match="RMSPROP_NATIVE='2' is neither 0 nor 1"):
        RMSprop(parameters())
    RMSprop(parameters(), native=True)


def test_it_is_by_keyword_alone():
    with pytest.raises(TypeError):
        RMSprop(
            parameters(), *[0.1, 0.9, 0.0, 1e-7, False, None, None, None, None, False, 0.99, 100, True, "it", False]
        )


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_step_without_kernels_is_that_of_jit_compile(options):
    found = []
    for way in ({"native": False}, {"jit_compile": False}, {}):
        mine = parameters()
        optimizer = (
            RMSprop(mine, 0.1, **options, **way) if "learning_rate" not in options else RMSprop(mine, **options, **way)
        )
        found.append(trained(mine, optimizer))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    ("native", "variable", "expected"),
    [
        (None, None, ("native", "")),
        (None, "1", ("native", "")),
        (None, "0", ("plain", "RMSPROP_NATIVE=0")),
        (True, "0", ("native", "")),
        (False, "1", ("plain", "native=False")),
        (False, "0", ("plain", "native=False")),
    ],
)
def test_the_variable_counts_where_the_argument_does_not(native, variable, expected, monkeypatch):
    if variable is not None:
        monkeypatch.setenv("RMSPROP_NATIVE", variable)
    mine = parameters()
    optimizer = RMSprop(mine, native=native)
    from rmsprop._core.run import Run

    compiled = []
    execute = Run.execute
    monkeypatch.setattr(Run, "execute", lambda run, *rest: compiled.append(run.compiled) or execute(run, *rest))
    trained(mine, optimizer)
    assert ways(optimizer) == {expected}
    assert {*compiled} == {expected[0] == "native"}


def test_jit_compile_is_the_reason_that_is_named_first():
    assert ways(RMSprop(parameters(), native=False, jit_compile=False)) == {("plain", "jit_compile=False")}
    assert ways(RMSprop(parameters(), native=True, jit_compile=False)) == {("plain", "jit_compile=False")}


@pytest.mark.parametrize("native", [True, False])
def test_copies_and_pickles_have_it(native, monkeypatch):
    mine = parameters()
    optimizer = RMSprop(mine, native=native)
    trained(mine, optimizer)
    monkeypatch.setenv("RMSPROP_NATIVE", "0" if native else "1")
    expected = {("native", "")} if native else {("plain", "native=False")}
    for again in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        assert ways(again) == expected
        assert f"native: {native}" in repr(again)


def test_a_copy_without_it_follows_its_own_process(monkeypatch):
    pickled = pickle.dumps(RMSprop(parameters()))
    monkeypatch.setenv("RMSPROP_NATIVE", "0")
    assert ways(pickle.loads(pickled)) == {("plain", "RMSPROP_NATIVE=0")}


def test_a_state_dict_has_none_of_it():
    one, other = (RMSprop(parameters(), native=native) for native in (False, None))
    assert "native" not in str(one.state_dict())
    other.load_state_dict(one.state_dict())
    assert ways(other) == {("native", "")}


def test_a_group_has_none_of_its_own():
    w = parameters()[:1]
    for native in (True, False):
        with pytest.raises(ValueError, match=f"native={native} in a parameter group: give it to the constructor"):
            RMSprop([{"params": w, "native": native}])
    # What has groups of its own, as `ZeroRedundancyOptimizer`, hands all of the constructor's words on in them.
    trained(w, RMSprop([{"params": w, "native": False}], native=False))


def test_it_cannot_be_assigned():
    optimizer = RMSprop(parameters())
    with pytest.raises(AttributeError, match="native=False cannot be assigned: give native to the constructor"):
        optimizer.native = False


def test_from_optimizer_hands_it_on():
    w = parameters()
    assert ways(RMSprop.from_optimizer(torch.optim.RMSprop(w, eps=0.1), native=False, epsilon=1e-7)) == {
        ("plain", "native=False")
    }


def test_repr_shows_what_groups_do_not():
    text = repr(RMSprop(parameters()))
    assert text == torch.optim.Optimizer.__repr__(RMSprop(parameters()))
    text = repr(RMSprop(parameters(), native=True, jit_compile=False, name="mine"))
    assert text.endswith("jit_compile: False\nnative: True\nname: mine\n)")
