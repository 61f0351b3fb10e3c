"""Each recipe against the update rule of its source, written down here from that source."""

import pickle
import pydoc

import numpy
import pytest

import rmsprop
from rmsprop import recipes


def tensorflow1(w, gradients, learning_rate, decay, momentum, epsilon, centered=False, clip=None):
    """TensorFlow 1's RMSProp: the mean square starts at one."""
    mean_square, mean, moment = numpy.ones_like(w), numpy.zeros_like(w), numpy.zeros_like(w)
    for g in gradients:
        if clip is not None:
            g = g * clip / max(clip, numpy.sqrt((g * g).sum()))
        mean_square = decay * mean_square + (1 - decay) * g**2
        mean = decay * mean + (1 - decay) * g
        moment = momentum * moment + learning_rate * g / numpy.sqrt(mean_square - centered * mean**2 + epsilon)
        w = w - moment
    return w


def dqn_nature(w, gradients):
    """The published Lua code: g and g2 from zero, 0.95 and 0.05, 0.01 under the root."""
    g, g2 = numpy.zeros_like(w), numpy.zeros_like(w)
    for dw in gradients:
        g = 0.95 * g + 0.05 * dw
        g2 = 0.95 * g2 + 0.05 * dw * dw
        w = w - 0.00025 * dw / numpy.sqrt(g2 - g * g + 0.01)
    return w


SOURCES = {
    "DQN_NATURE": dqn_nature,
    "DQN_DOPAMINE": lambda w, g: tensorflow1(w, g, 0.00025, 0.95, 0.0, 0.00001, centered=True),
    "A2C": lambda w, g: tensorflow1(w, g, 7e-4, 0.99, 0.0, 1e-5, clip=0.5),
    "IMPALA": lambda w, g: tensorflow1(w, g, 0.00048, 0.99, 0.0, 0.1),
    "EFFICIENTNET": lambda w, g: tensorflow1(w, g, 0.016, 0.9, 0.9, 0.001),
    "EFFICIENTNET_B0_TIMM": lambda w, g: tensorflow1(w, g, 0.048, 0.9, 0.9, 0.001),
    "MOBILENETV3_LARGE_TIMM": lambda w, g: tensorflow1(w, g, 0.064, 0.9, 0.9, 0.001),
    "INCEPTION": lambda w, g: tensorflow1(w, g, 0.01, 0.9, 0.9, 1.0),
}


def test_every_recipe_has_its_source():
    assert {name for name in vars(recipes) if name.isupper() and not name.startswith("_")} == set(SOURCES)


@pytest.mark.parametrize("name", SOURCES)
def test_a_recipe_follows_its_source(name):
    random = numpy.random.default_rng(0)
    w = random.normal(size=50)
    gradients = random.normal(0.1, 0.3, size=(60, 50))
    expected = SOURCES[name](w, gradients)
    optimizer = rmsprop.RMSprop(**getattr(recipes, name))
    for g in gradients:
        optimizer.apply_gradients([(g, w)])
    # 2e-15 was measured: the order of a few float64 operations.
    numpy.testing.assert_allclose(w, expected, rtol=0, atol=2e-14)


@pytest.mark.parametrize("name", ["EFFICIENTNET_B0_TIMM", "MOBILENETV3_LARGE_TIMM"])
def test_timms_averages_are_for_evaluation(name):
    random = numpy.random.default_rng(0)
    w = random.normal(size=5)
    average = w.copy()
    optimizer = rmsprop.RMSprop(**getattr(recipes, name))
    for g in random.normal(size=(120, 5)):
        optimizer.apply_gradients([(g, w)])
        average = 0.9999 * average + 0.0001 * w
    optimizer.finalize_variable_values([w])
    numpy.testing.assert_allclose(w, average, rtol=1e-13)


def test_recipes_are_read_only():
    with pytest.raises(TypeError):
        recipes.A2C["rho"] = 0.5
    for change in (lambda: setattr(recipes.A2C, "rho", 3), lambda: delattr(recipes.A2C, "_arguments")):
        with pytest.raises(AttributeError, match="a recipe is read-only"):
            change()


@pytest.mark.parametrize("name", SOURCES)
def test_help_shows_a_recipes_text_and_source(name):
    alone, together = (pydoc.render_doc(one, renderer=pydoc.plaintext) for one in (getattr(recipes, name), recipes))
    text = getattr(recipes, name).__doc__
    assert "Source: " in text
    for line in text.splitlines():
        assert line in alone
        assert line in together


def test_a_recipe_is_a_mapping():
    recipe = recipes.A2C
    assert recipe == dict(recipe) == pickle.loads(pickle.dumps(recipe))
    assert recipe | {"rho": 0.5} == {**recipe, "rho": 0.5}
    assert {"rho": 0.5, "name": "A2C"} | recipe == {"name": "A2C", **recipe}
    assert list(reversed(recipe)) == list(recipe)[::-1]
    changed = recipe.copy()
    changed["rho"] = 0.5
    assert (type(changed), recipe["rho"]) == (dict, 0.99)
