"""What `import rmsprop` loads, and when Numba comes."""

from processes import run

HEAVY = {
    "numba", "llvmlite", "torch", "jax", "tensorflow", "tf_keras", "keras", "triton", "scipy", "sklearn", "matplotlib",
    "rich", "autograd", "safetensors", "platformdirs", "ml_dtypes",
}  # fmt: skip


def test_import_loads_numpy_and_nothing_heavier():
    loaded = run("import rmsprop, sys; print(*{name.split('.')[0] for name in sys.modules})").split()
    assert "numpy" in loaded
    assert not HEAVY & set(loaded)


def test_everything_but_a_step_does_without_numba():
    run(
        """
        import sys, numpy, rmsprop
        w = numpy.ones(3)
        optimizer = rmsprop.RMSprop(use_ema=True)
        optimizer.build([w])
        optimizer.finalize_variable_values([w])
        rmsprop.RMSprop(jit_compile=False).apply_gradients([(w.copy(), w)])
        assert "numba" not in sys.modules
        optimizer.apply_gradients([(w.copy(), w)])
        assert "numba" in sys.modules
        """
    )


def test_a_step_loads_no_framework():
    loaded = run(
        """
        import sys, numpy, rmsprop
        w = numpy.ones(3)
        rmsprop.RMSprop(rmsprop.schedules.CosineDecay(0.1, 10)).apply_gradients([(w.copy(), w)])
        print(*{name.split('.')[0] for name in sys.modules})
        """
    ).split()
    assert not {"torch", "jax", "tensorflow", "tf_keras", "keras", "triton"} & set(loaded)


def test_numbas_own_switch_runs_the_rule_in_plain_numpy():
    source = """
        import numpy, rmsprop
        w = numpy.array(10.0)
        rmsprop.RMSprop(learning_rate=0.1, clipnorm=100.0).minimize(lambda: (0, [w]), [w])
        print(w.round(6))
    """
    assert run(source, NUMBA_DISABLE_JIT="1", RMSPROP_NATIVE="0") == "9.683772"
