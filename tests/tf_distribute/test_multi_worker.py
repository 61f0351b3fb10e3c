"""MultiWorkerMirroredStrategy: two processes on this machine end alike, and as one process does."""

import clusters
import multi_worker_training
import numpy
import pytest
import replicas

# Two processes of TensorFlow's; test_mirrored.py steps copies of variables in make test.
pytestmark = pytest.mark.slow

# Measured: 2e-7; what two workers sum is summed in another order.
BOUND = 1e-6

RUNS = ("gradients, ours", "fit, ours", "schedule, ours", "schedule, function")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What two workers and one process for itself made, each run -> name -> array."""
    folder = tmp_path_factory.mktemp("trained")
    clusters.workers("multi_worker_training.py", 2, folder / "worker")
    alone = multi_worker_training.runs(replicas.one_device())
    return _read(folder / "worker0.npz"), _read(folder / "worker1.npz"), alone


def _read(path):
    found = {}
    with numpy.load(path) as arrays:
        for key in arrays:
            run, _, name = key.partition("|")
            found.setdefault(run, {})[name] = arrays[key]
    return found


def apart(found, expected):
    """The largest difference, each array's relative to its largest element."""
    assert len(found) == len(expected)
    return max(
        float(numpy.abs(one - other).max() / numpy.abs(other).max())
        for one, other in zip(found.values(), expected.values(), strict=True)
    )


@pytest.mark.parametrize("run", RUNS)
def test_workers_end_alike(trained, run):
    first, second, _ = trained
    assert list(first[run]) == list(second[run])
    for name, one in first[run].items():
        numpy.testing.assert_array_equal(second[run][name], one, name)


@pytest.mark.parametrize("run", RUNS)
def test_workers_end_as_one_process(trained, run):
    worker, _, alone = trained
    assert apart(worker[run], alone[run]) <= BOUND


@pytest.mark.parametrize("run", ["gradients", "fit"])
def test_workers_end_as_with_tf_keras(trained, run):
    worker, _, _ = trained
    assert apart(worker[f"{run}, ours"], worker[f"{run}, tf_keras"]) <= BOUND


def test_schedules_that_say_the_same_do_the_same(trained):
    worker, _, _ = trained
    assert apart(worker["schedule, function"], worker["schedule, ours"]) <= BOUND
