"""Stable-Baselines3: A2C with `policy_kwargs`, saving and loading, and the steps of `RMSpropTFLike`."""

import gymnasium
import pytest
import torch
from stable_baselines3 import A2C
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from stable_baselines3.common.utils import LinearSchedule

from rmsprop.torch import RMSprop

#: What A2C had in Stable-Baselines 2, in our words and in theirs.
OURS = {"rho": 0.99, "epsilon": 1e-5, "initial_velocity": 1.0}
THEIRS = {"alpha": 0.99, "eps": 1e-5}


def agent(kind, options, rate=7e-4):
    policy = {"optimizer_class": kind, "optimizer_kwargs": options, "net_arch": [16]}
    return A2C("MlpPolicy", gymnasium.make("CartPole-v1"), rate, policy_kwargs=policy, seed=0, device="cpu")


def weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.policy.parameters()])


def trained(kind, options, rate=7e-4):
    """Where the weights were, the model after 500 steps in the world, and where they are then."""
    model = agent(kind, options, rate)
    start = weights(model)
    model.learn(500)
    return start, model, weights(model)


def falling(remaining):
    return 1e-4 + 1e-3 * remaining


@pytest.mark.matrix(1)
@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("rate", [7e-4, falling])
def test_a2c_goes_the_way_of_their_own(rate, centered):
    start, model, ours = trained(RMSprop, OURS | {"centered": centered}, rate)
    expected, _, theirs = trained(RMSpropTFLike, THEIRS | {"centered": centered}, rate)
    assert torch.equal(start, expected)
    assert model.policy.optimizer.iterations == 100
    assert model.policy.optimizer.learning_rate == pytest.approx(1e-4 if rate is falling else 7e-4)
    # Measured: 1.9e-9, rounding, in weights that went 0.02 and more.
    assert (ours - theirs).abs().max() < 1e-8 < 1e-2 < (ours - start).abs().max()


def test_saved_and_loaded_it_goes_on(tmp_path):
    model = agent(RMSprop, OURS | {"momentum": 0.9, "use_ema": True})
    model.learn(100)
    model.save(tmp_path / "model")
    loaded = A2C.load(tmp_path / "model", env=gymnasium.make("CartPole-v1"), device="cpu")
    optimizer = loaded.policy.optimizer
    assert (type(optimizer), optimizer.iterations) == (RMSprop, 20)
    for one, other in zip(model.policy.parameters(), loaded.policy.parameters(), strict=True):
        before, after = model.policy.optimizer.state[one], optimizer.state[other]
        assert [*before] == [*after] == ["average", "velocity", "momentum"]
        assert all(torch.equal(before[slot], after[slot]) for slot in before)
    for each in (model, loaded):
        each.set_env(gymnasium.make("CartPole-v1"))
        each.set_random_seed(1)
        each.learn(50)
    assert optimizer.iterations == 30
    assert torch.equal(weights(model), weights(loaded))


def linear(remaining):
    return 7e-4 * remaining


def test_a_linear_rate_of_a_rollout_beyond_the_last_step_is_refused():
    """What `docs/tasks/names.md` says: 48 steps are 10 rollouts of 5, the last of which ends at 50."""
    model = agent(RMSprop, OURS, linear)
    with pytest.raises(ValueError, match="learning_rate=-.* is not a finite number at least 0"):
        model.learn(48)
    assert model.policy.optimizer.iterations == 9
    model = agent(RMSpropTFLike, THEIRS, linear)
    model.learn(48)
    assert model.policy.optimizer.param_groups[0]["lr"] < 0
    for rate, steps in ((linear, 50), (LinearSchedule(7e-4, 0.0, 1.0), 48)):
        model = agent(RMSprop, OURS, rate)
        model.learn(steps)
        assert model.policy.optimizer.iterations == 10
