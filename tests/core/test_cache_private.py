"""The cache of kernels runs what it reads, so what others may write to is not read, and what it makes is private."""

import hashlib
import os
import pickle
import shutil
import stat
import textwrap
from pathlib import Path

import pytest
from processes import run

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has neither modes nor fifos")

STEP = """
    import os, sys, warnings
    os.umask(int(sys.argv[1], 8))
    import numpy
    from rmsprop import RMSprop
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        w = numpy.zeros(3)
        RMSprop(learning_rate=1.0, rho=1.0, epsilon=1.0).apply_gradients([(numpy.ones(3), w)])
        assert w[0] == -1.0
    for warning in caught:
        print(warning.filename, warning.category.__name__, warning.message)
"""


class Planted:
    """What runs code when it is unpickled: it makes a folder."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return os.mkdir, (self.mark,)


@pytest.fixture(scope="module")
def step(forked):
    """A function that does a step in a process, and gives the warnings that there were."""

    def done(cache, umask="022"):
        return forked(STEP, umask, RMSPROP_CACHE_DIR=str(cache)).splitlines()

    return done


@pytest.fixture(scope="module")
def filled(step, tmp_path_factory):
    """A cache with the kernels of a step."""
    cache = tmp_path_factory.mktemp("filled") / "cache"
    assert step(cache) == []
    return cache


@pytest.fixture
def planted(filled, tmp_path):
    """The files of the folder `cache` in `tmp_path`: instead of kernels they hold code that makes the folder `mark`."""
    cache, mark = tmp_path / "cache", tmp_path / "mark"
    shutil.copytree(filled, cache)
    files = [file for file in cache.rglob("*") if file.is_file()]
    assert files
    payload = pickle.dumps(Planted(mark))
    for file in files:
        file.write_bytes(hashlib.sha256(payload).digest() + payload)
    return files


def snapshot(cache):
    return {path: (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in cache.rglob("*")}


@pytest.fixture
def refused(step, tmp_path):
    """A function that asserts: steps warn once at the user's line, run nothing of what is there, and write nothing."""

    def check():
        cache = tmp_path / "cache"
        before = snapshot(cache)
        (warning,) = step(cache)  # though reading is refused, and then writing
        assert warning.startswith("<string> UserWarning the cache of compiled kernels in ")
        assert str(cache) in warning
        assert "chmod go-w" in warning
        assert not (tmp_path / "mark").exists()
        assert snapshot(cache) == before

    return check


def test_planted_code_would_run(planted, step, tmp_path):
    """What the tests below plant does run where the cache is the user's own."""
    assert step(tmp_path / "cache") == []
    assert (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    ("place", "mode"),
    [
        ("parent", 0o1777), ("folder", 0o775),
        *(pytest.param(*one, marks=pytest.mark.slow) for one in (
            ("parent", 0o777), ("parent", 0o775), ("parent", 0o722), ("folder", 0o777), ("folder", 0o757),
        )),
    ],
)  # fmt: skip
def test_a_folder_that_others_may_write_to_is_refused(planted, refused, tmp_path, place, mode):
    os.chmod(tmp_path / "cache" if place == "parent" else planted[0].parent, mode)
    refused()


@pytest.mark.parametrize("mode", [0o666, pytest.param(0o620, marks=pytest.mark.slow)])
def test_a_file_that_others_may_write_to_is_refused(planted, refused, mode):
    for file in planted:
        os.chmod(file, mode)
    refused()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away")
@pytest.mark.parametrize("place", ["parent", "folder", "file"])
def test_what_belongs_to_another_user_is_refused(planted, refused, tmp_path, place):
    for path in {"parent": [tmp_path / "cache"], "folder": [planted[0].parent], "file": planted}[place]:
        os.chown(path, 65534, 65534)
    refused()


def test_a_cache_that_others_may_read_is_used(planted, step, tmp_path):
    """As folders are that were made under the usual umask."""
    for path in (tmp_path / "cache", planted[0].parent):
        os.chmod(path, 0o755)
    for file in planted:
        os.chmod(file, 0o644)
    assert step(tmp_path / "cache") == []
    assert (tmp_path / "mark").exists()


@pytest.mark.parametrize("thing", ["fifo", "link", pytest.param("folder", marks=pytest.mark.slow)])
def test_only_regular_files_are_read(planted, step, tmp_path, thing):
    """A fifo would be waited for, and a link may lead to what has no end, or to what was planted."""
    for number, file in enumerate(planted):
        if thing == "fifo":
            file.unlink()
            os.mkfifo(file)
        elif thing == "link":
            file.rename(tmp_path / f"planted{number}")
            file.symlink_to(tmp_path / f"planted{number}")
        else:
            file.unlink()
            file.mkdir()
    assert step(tmp_path / "cache") == []
    assert not (tmp_path / "mark").exists()


@pytest.mark.slow
@pytest.mark.parametrize("thing", ["fifo", "link"])
@pytest.mark.parametrize("place", ["parent", "folder"])
def test_what_is_no_folder_is_passed_over(planted, step, tmp_path, place, thing):
    path = tmp_path / "cache" if place == "parent" else planted[0].parent
    path.rename(tmp_path / "elsewhere")
    if thing == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    assert step(tmp_path / "cache") == []
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("umask", ["000", pytest.param("077", marks=pytest.mark.slow)])
def test_folders_are_made_for_the_user_alone(step, tmp_path, umask):
    cache = tmp_path / "some" / "where"
    assert step(cache, umask) == []
    made = [tmp_path / "some", *(tmp_path / "some").rglob("*")]
    modes = {path.is_dir(): stat.S_IMODE(path.stat().st_mode) for path in made}
    assert modes == {True: 0o700, False: 0o600}
    assert step(cache, umask) == []  # and are read again


def test_the_default_folder_is_made_for_the_user_alone(forked, tmp_path):
    source = "import os\nos.environ.pop('RMSPROP_CACHE_DIR')\n" + textwrap.dedent(STEP)
    assert forked(source, "000", RMSPROP_CACHE_DIR="", XDG_CACHE_HOME=str(tmp_path), HOME=str(tmp_path)) == ""
    folders = [path for path in tmp_path.rglob("*") if path.is_dir()]
    assert any(path.name.startswith("kernels-") for path in folders)
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}


def test_a_warning_that_is_an_error_leaves_the_variables_as_they_were(tmp_path):
    os.chmod(tmp_path, 0o777)
    source = """
        import numpy
        from rmsprop import RMSprop
        w, g = numpy.zeros(3), numpy.ones(3)
        optimizer = RMSprop(learning_rate=1.0, rho=1.0, epsilon=1.0)
        try:
            optimizer.apply_gradients([(g, w)])
        except UserWarning as warning:
            print(type(warning).__name__, w, optimizer.iterations)
        optimizer.apply_gradients([(g, w)])
        print(w, optimizer.iterations)
    """
    assert run(source, RMSPROP_CACHE_DIR=str(tmp_path)).splitlines() == ["UserWarning [0. 0. 0.] 0", "[-1. -1. -1.] 1"]
    assert list(Path(tmp_path).iterdir()) == []
