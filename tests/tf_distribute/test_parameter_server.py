"""ParameterServerStrategy: a cluster on this machine trains as one device, with whole variables and with pieces."""

import clusters
import numpy
import parameter_server_training
import pytest
import replicas

# A cluster of four processes; test_mirrored.py steps copies of variables in make test.
pytestmark = pytest.mark.slow

# Measured: 2e-7, roundings.
BOUND = 1e-6

KINDS = ("whole", "in pieces")

#: The norm of all gradients is the same however they are cut. That of one is not: each piece is clipped for itself,
#: with tf_keras too, which knows nothing of what it was cut from.
RUNS = (
    "plain, ours", "everything, ours", "global_clipnorm, ours", "clipvalue, ours", "schedule, ours",
    "schedule, tf_keras's",
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What the cluster made: kind -> run -> arrays."""
    path = tmp_path_factory.mktemp("trained") / "cluster.npz"
    clusters.run("parameter_server_training.py", path)
    found = {kind: {} for kind in KINDS}
    with numpy.load(path) as arrays:
        for key in sorted(arrays):
            kind, run, _ = key.split("|")
            found[kind].setdefault(run, []).append(arrays[key])
    return found


@pytest.fixture(scope="module")
def alone():
    """What one device makes: run -> arrays."""
    return parameter_server_training.runs(replicas.one_device(), lambda step, arguments: step(*arguments))


def apart(found, expected):
    """The largest difference, each array's relative to its largest element."""
    return max(
        float(numpy.abs(one - other).max() / numpy.abs(other).max())
        for one, other in zip(found, expected, strict=True)
        if numpy.abs(other).max()
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("run", RUNS)
def test_cluster_trains_as_one_device(trained, alone, kind, run):
    assert apart(trained[kind][run], alone[run]) <= BOUND


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("run", ["plain", "everything"])
def test_cluster_trains_as_with_tf_keras(trained, kind, run):
    assert apart(trained[kind][f"{run}, ours"], trained[kind][f"{run}, tf_keras"]) <= BOUND


@pytest.mark.parametrize("kind", KINDS)
def test_workers_that_do_not_wait_count_every_step_and_learn(trained, kind):
    iterations, before, after = trained[kind]["asynchronous"]
    assert iterations == 20
    assert after < 0.9 * before


@pytest.mark.parametrize("kind", KINDS)
def test_fit_counts_every_step(trained, kind):
    iterations, *losses = trained[kind]["fit"]
    assert iterations == 8
    assert numpy.isfinite(losses).all()


@pytest.mark.parametrize("reader", ["in pieces", "in pieces, tf_keras", "whole", "whole, tf_keras"])
def test_checkpoint_in_pieces_is_read_by_others(trained, reader):
    written, read = trained["in pieces"]["checkpoint"], trained["in pieces"][f"checkpoint, {reader}"]
    assert len(written) == len(read) == 4 + 1 + 3 * 4
    for one, other in zip(read, written, strict=True):
        numpy.testing.assert_array_equal(one, other)
