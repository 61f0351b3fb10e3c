"""What `apply_gradients` and `build` refuse, and that nothing has moved then."""

import numpy
import pytest
import runs
import tensorflow as tf
import tf_keras

from rmsprop.tf_keras import RMSprop

EVERYTHING = {
    "momentum": 0.9, "centered": True, "weight_decay": 0.01, "global_clipnorm": 1.0, "use_ema": True,
    "ema_overwrite_frequency": 3,
}  # fmt: skip


def pair():
    return tf.Variable(numpy.ones((2, 3), numpy.float32), name="w"), tf.Variable([1.0, 2.0], name="b")


G, H = tf.ones((2, 3)), tf.constant([1.0, -1.0])

REFUSED = {
    "shape": (lambda w, b: [(G, w), (tf.ones(3), b)], ValueError, r"'b:0' has the shape \(3,\), not \(2,\)"),
    "broadcast": (lambda w, b: [(G, w), (tf.ones(1), b)], ValueError, r"'b:0' has the shape \(1,\)"),
    "rank": (lambda w, b: [(tf.ones((1, 2, 3)), w), (H, b)], ValueError, r"'w:0' has the shape \(1, 2, 3\)"),
    "integers": (lambda w, b: [(G, w), (tf.constant([1, 2]), b)], TypeError, "'b:0' has the type int32"),
    "complex": (lambda w, b: [(G, w), (tf.complex(H, H), b)], TypeError, "'b:0' has the type complex64"),
    "truth": (lambda w, b: [(G, w), (tf.constant([True, False]), b)], TypeError, "'b:0' has the type bool"),
    "twice": (lambda w, b: [(G, w), (H, b), (H, b)], ValueError, "given twice"),
    "twice, once None": (lambda w, b: [(G, w), (None, b), (H, b)], ValueError, "given twice"),
    "unknown": (lambda w, b: [(G, w), (H, tf.Variable(H, name="c"))], ValueError, "'c:0' is not among"),
    "unknown, None": (lambda w, b: [(G, w), (None, tf.Variable(H, name="c"))], ValueError, "'c:0' is not among"),
    "no variable": (lambda w, b: [(G, w), (H, H)], (TypeError, ValueError), "variable"),
    "all None": (lambda w, b: [(None, w), (None, b)], ValueError, r"all gradients are None.*w:0, b:0"),
    "no pairs": (lambda w, b: [w, b], TypeError, "at place 0, which is no pair"),
    "triples": (lambda w, b: [(w, w, w)], TypeError, "at place 0, which is no pair"),
    "text": (lambda w, b: [(G, w), ("no", b)], (TypeError, ValueError), "'b:0'"),
}


@pytest.mark.parametrize("way", ["eager", "function"])
@pytest.mark.parametrize("native", [True, False], ids=["native", "traced"])
@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.matrix
def test_a_refused_step_changes_nothing(name, native, way):
    pairs, error, match = REFUSED[name]
    w, b = pair()
    optimizer = RMSprop(**EVERYTHING, native=native)
    optimizer.apply_gradients([(G, w), (H, b)])
    everything = [w, b, *optimizer.variables]
    before, bad = [variable.numpy() for variable in everything], pairs(w, b)
    with pytest.raises(error, match=match):
        runs.WAYS[way](lambda: optimizer.apply_gradients(bad))()
    for variable, array in zip(everything, before, strict=True):
        runs.assert_bits(variable.numpy(), array)


def test_where_the_original_moves_first_and_fails_then():
    """A new variable: its KeyError comes when the first variable has moved."""
    w, b = pair()
    optimizer = tf_keras.optimizers.RMSprop()
    optimizer.build([w])
    with pytest.raises(KeyError):
        optimizer.apply_gradients([(G, w), (H, b)])
    assert (w.numpy() != 1).all()


@pytest.mark.parametrize("name", ["shape", "integers", "twice", "all None", "no pairs", "no variable"])
def test_after_a_refused_first_step_a_right_one_is_done(name):
    pairs, error, _ = REFUSED[name]
    w, b = pair()
    optimizer = RMSprop(**EVERYTHING)
    with pytest.raises(error):
        optimizer.apply_gradients(pairs(w, b))
    (one, other), plain = pair(), RMSprop(**EVERYTHING)
    for mine, first, second in ((optimizer, w, b), (plain, one, other)):
        assert mine.apply_gradients([(G, first), (H, second)]).numpy() == 1
    runs.assert_bits(w.numpy(), one.numpy())
    assert len(optimizer.variables) == len(plain.variables)


def test_a_generator_of_pairs_and_lists_as_gradients():
    w, b = pair()
    assert RMSprop().apply_gradients(zip([G.numpy(), [1.0, -1.0]], [w, b], strict=True)).numpy() == 1
    assert (b.numpy() != [1, 2]).all()


def test_no_pairs_are_no_step():
    optimizer = RMSprop()
    assert optimizer.apply_gradients([]).numpy() == 0
    assert optimizer.apply_gradients(iter(())).numpy() == 0
    assert tf.function(lambda: optimizer.apply_gradients([]))().numpy() == 0


def test_unknown_keywords_are_refused():
    w, b = pair()
    with pytest.raises(TypeError, match="apply_gradients has no argument var_list"):
        RMSprop().apply_gradients([(G, w), (H, b)], var_list=[w])
    optimizer = RMSprop()
    optimizer.apply_gradients([(G, w), (H, b)], experimental_aggregate_gradients=False)
    optimizer.apply_gradients([(G, w), (H, b)], "scope", skip_gradients_aggregation=True)
    assert optimizer.iterations.numpy() == 2


@pytest.mark.parametrize("way", ["eager", "function"])
@pytest.mark.parametrize("native", [True, False], ids=["native", "traced"])
def test_a_variable_without_gradient_is_left_out_of_everything(native, way, caplog):
    """Weight decay, averages, overwriting; and the log names it."""
    w, b = pair()
    optimizer = RMSprop(**EVERYTHING | {"ema_overwrite_frequency": 1}, native=native)
    optimizer.build([w, b])
    of_b = [variable for variable in optimizer.variables if variable.shape == b.shape]
    assert len(of_b) == 4
    before = [variable.numpy() for variable in (b, *of_b)]
    tf.get_logger().propagate = True
    try:
        runs.WAYS[way](lambda: optimizer.apply_gradients([(G, w), (None, b)]))()
    finally:
        tf.get_logger().propagate = False
    for variable, array in zip((b, *of_b), before, strict=True):
        runs.assert_bits(variable.numpy(), array)
    assert (w.numpy() != 1).all()
    assert "No gradients for the variables b:0" in caplog.text
    assert "w:0" not in caplog.text


@pytest.mark.parametrize(
    ("variables", "error", "match"),
    [
        (lambda: [tf.Variable([1, 2], name="n")], TypeError, "variable 'n:0' has the type int32"),
        (lambda: [tf.Variable([1j], name="n")], TypeError, "variable 'n:0' has the type complex128"),
        (lambda: [tf.Variable([True], name="n")], TypeError, "variable 'n:0' has the type bool"),
        (lambda: [tf.constant([1.0])], TypeError, "is no variable"),
        (lambda: [1.0], TypeError, "1.0 is no variable"),
        (lambda: [tf.Variable(1.0, name="n")] * 2, ValueError, "given twice among n:0, n:0"),
    ],
)
def test_unusable_variables_are_refused(variables, error, match):
    optimizer = RMSprop()
    with pytest.raises(error, match=match):
        optimizer.build(variables())
    w, b = pair()
    optimizer.build([w, b])
    assert len(optimizer.variables) == 3


def test_a_second_build_does_nothing():
    """As in tf_keras, also with other variables: those are refused in the step."""
    (w, b), optimizer = pair(), RMSprop()
    optimizer.build([w, b])
    made = list(optimizer.variables)
    optimizer.build([w, b])
    optimizer.build([tf.Variable(1.0)])
    assert [id(one) for one in optimizer.variables] == [id(one) for one in made]


def test_finalize_needs_known_variables():
    w, b = pair()
    optimizer = RMSprop(use_ema=True)
    with pytest.raises(ValueError, match="call build"):
        optimizer.finalize_variable_values([w])
    optimizer.build([w])
    with pytest.raises(ValueError, match="'b:0' is not among"):
        optimizer.finalize_variable_values([w, b])
    RMSprop().finalize_variable_values([w, b])  # no averages, nothing to do


@pytest.mark.parametrize("native", [True, False], ids=["native", "traced"])
def test_variables_of_every_type_in_one_step(native):
    """Each as it would be alone."""
    types = ("float16", "bfloat16", "float32", "float64")
    variables = [tf.Variable(tf.constant([1.0, 2.0], dtype)) for dtype in types]
    together = RMSprop(0.5, momentum=0.5, native=native)
    together.apply_gradients([(tf.ones_like(one), one) for one in variables])
    for dtype, variable in zip(types, variables, strict=True):
        alone = tf.Variable(tf.constant([1.0, 2.0], dtype))
        RMSprop(0.5, momentum=0.5, native=native).apply_gradients([(tf.ones_like(alone), alone)])
        runs.assert_bits(variable.numpy(), alone.numpy())


@pytest.mark.parametrize("way", ["eager", "function"])
@pytest.mark.parametrize("native", [True, False], ids=["native", "traced"])
def test_gradients_may_be_variables_in_which_they_were_summed(native, way):
    """Whole ones, of another type as well, and rows."""
    variables = [tf.Variable(tf.ones(3)), tf.Variable(tf.ones(3)), tf.Variable(tf.ones((4, 2)))]
    sums = [tf.Variable(tf.zeros(3)), tf.Variable(tf.zeros(3, tf.float64)), tf.Variable(tf.zeros((2, 2)))]
    rows = tf.Variable([3, 1])
    optimizer = RMSprop(1.0, rho=1.0, epsilon=1.0, native=native)
    optimizer.build(variables)

    def step():
        for one in sums:
            one.assign_add(tf.ones_like(one))
        optimizer.apply_gradients(zip([*sums[:2], tf.IndexedSlices(sums[2], rows)], variables, strict=True))

    run = runs.WAYS[way](step)
    for _ in range(3):
        run()
    # TensorFlow's quotient by a root is an ulp off on processors with AVX-512.
    near = {"rtol": 0, "atol": 0 if native else 5e-6}
    for variable in variables[:2]:
        numpy.testing.assert_allclose(variable.numpy(), numpy.full(3, 1.0 - (1 + 2 + 3)), **near)
    numpy.testing.assert_allclose(variables[2].numpy()[:, 0], [1, -5, 1, -5], **near)
