"""What `save` replaces and how, and what `load` opens: rights, links, long names, and the system's own errors."""

import contextlib
import os
import resource
import socket
import stat
import tempfile
from pathlib import Path

import numpy
import pytest
from processes import run

from rmsprop import RMSprop

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has neither modes nor fifos nor links for everybody")

ROOT = os.name != "nt" and os.geteuid() == 0


@pytest.fixture
def optimizer():
    made = RMSprop(jit_compile=False)
    made.build({"w": numpy.ones(4, numpy.float32)})
    return made


@pytest.fixture
def folder():
    """A folder that every user may reach, unlike `tmp_path`."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("rights", [0o600, 0o640, 0o400, 0o666, 0o755, 0o2750], ids=oct)
def test_a_replaced_file_keeps_its_mode(optimizer, tmp_path, rights):
    before = os.umask(0o027)
    try:
        optimizer.save(tmp_path / "run")
        assert mode(tmp_path / "run") == 0o640
        os.chmod(tmp_path / "run", rights)
        optimizer.iterations = 5
        optimizer.save(tmp_path / "run")
    finally:
        os.umask(before)
    assert mode(tmp_path / "run") == rights
    optimizer.iterations = 0
    optimizer.load(tmp_path / "run")
    assert optimizer.iterations == 5


@pytest.mark.skipif(not ROOT, reason="only root may give files away")
def test_a_replaced_file_keeps_its_owner(optimizer, tmp_path):
    optimizer.save(tmp_path / "run")
    os.chmod(tmp_path / "run", 0o640)
    os.chown(tmp_path / "run", 65534, 65533)
    optimizer.save(tmp_path / "run")
    found = (tmp_path / "run").stat()
    assert (found.st_uid, found.st_gid, mode(tmp_path / "run")) == (65534, 65533, 0o640)


@pytest.mark.skipif(not ROOT, reason="only root may give files away")
def test_what_was_for_one_group_is_not_for_another(folder):
    """Who may neither keep a file's owner nor its group takes the group's rights away."""
    source = """
        import os, stat, sys, numpy
        from rmsprop import RMSprop
        o = RMSprop(jit_compile=False); o.build([numpy.ones(4)])
        o.save(sys.argv[1])  # imports what another user may not
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
        o.save(sys.argv[1])
        found = os.stat(sys.argv[1])
        print(found.st_uid, found.st_gid, oct(stat.S_IMODE(found.st_mode)))
    """
    (folder / "run").touch()
    os.chmod(folder / "run", 0o664)
    os.chmod(folder, 0o777)
    assert run(source, folder / "run", RMSPROP_CACHE_DIR="") == "65534 65534 0o604"


def devices():
    return [pytest.param("device", marks=pytest.mark.skipif(not ROOT, reason="only root may make devices"))]


@pytest.mark.parametrize("kind", ["folder", "full folder", "fifo", "socket", *devices()])
@pytest.mark.parametrize("through", ["name", "link"])
def test_what_is_no_file_is_refused_and_stays(optimizer, tmp_path, kind, through, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's name is short
    if "folder" in kind:
        os.mkdir("thing")
        if kind == "full folder":
            optimizer.save("thing/run")
    elif kind == "fifo":
        os.mkfifo("thing")
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind("thing")
    else:
        os.mknod("thing", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.symlink("thing", "link")
    before = os.lstat("thing")
    error = IsADirectoryError if "folder" in kind else OSError
    name = "thing" if through == "name" else "link"
    with pytest.raises(error, match="thing") as caught:
        optimizer.save(name)
    assert not isinstance(caught.value, FileExistsError | FileNotFoundError)
    with pytest.raises((error, ValueError), match=name):
        optimizer.load(name)
    after = os.lstat("thing")
    assert (after.st_ino, after.st_mode, after.st_mtime_ns) == (before.st_ino, before.st_mode, before.st_mtime_ns)
    assert sorted(os.listdir()) == ["link", "thing"]


@pytest.mark.parametrize("chain", [1, 2])
@pytest.mark.parametrize("there", [True, False])
def test_links_stay_and_their_target_is_replaced(optimizer, tmp_path, chain, there):
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "run", tmp_path / "link"
    if there:
        target.write_text("old")
        os.chmod(target, 0o600)
    link.symlink_to("folder/run")
    if chain == 2:
        (tmp_path / "second").symlink_to("link")
        link = tmp_path / "second"
    optimizer.save(link)
    assert link.is_symlink()
    assert not target.is_symlink()
    if there:
        assert mode(target) == 0o600
    optimizer.load(link)
    assert os.listdir(tmp_path / "folder") == ["run"]


def test_a_link_to_itself_is_refused(optimizer, tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    for action in (optimizer.save, optimizer.load):
        with pytest.raises(OSError, match="loop"):
            action(tmp_path / "loop")
    assert (tmp_path / "loop").is_symlink()


@pytest.mark.parametrize("name", ["n" * 200, "n" * 235, "n" * 255, "é" * 127, "\N{GRINNING FACE}" * 63, ".hidden"])
def test_any_name_that_a_file_may_have_is_saved_to(optimizer, tmp_path, name):
    for count in (1, 2):
        optimizer.iterations = count
        optimizer.save(tmp_path / name)
        optimizer.iterations = 0
        optimizer.load(tmp_path / name)
        assert optimizer.iterations == count
    assert os.listdir(tmp_path) == [name]


def test_a_name_that_no_file_may_have_is_the_systems_error(optimizer, tmp_path):
    for action in (optimizer.save, optimizer.load):
        with pytest.raises(OSError, match="name too long"):
            action(tmp_path / ("n" * 256))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "name", [".run.my notes.draft", ".run.draft", ".run.0123456789abcdeg.draft", ".run.0123.draft", ".walrus.0.draft"]
)
def test_hidden_files_of_the_user_stay(optimizer, tmp_path, name):
    (tmp_path / name).write_text("mine")
    os.utime(tmp_path / name, (1, 1))
    optimizer.save(tmp_path / "run")
    assert (tmp_path / name).read_text() == "mine"


# Errors of the system -------------------------------------------------------------------------------------------------

UNPRIVILEGED = """
    import os, sys, numpy
    from rmsprop import RMSprop
    o = RMSprop(jit_compile=False); o.build({"w": numpy.ones(4, numpy.float32)})
    o.save(sys.argv[1] + "/open")
    o.load(sys.argv[1] + "/open")  # imports what another user may not
    if os.geteuid() == 0:
        os.setgroups([]); os.setgid(65534); os.setuid(65534)  # root may do everything
    def attempt(action, name):
        try:
            action(sys.argv[1] + "/" + name)
        except Exception as error:
            return type(error).__name__
        return "done"
    print(attempt(o.load, "closed"), attempt(o.load, "shut/run"), attempt(o.save, "shut/run"))
    print(attempt(o.save, "blind/run"), attempt(o.save, "blind/run"), attempt(o.load, "blind/run"))
    print(attempt(o.save, "fixed/run"), attempt(o.load, "fixed/run"))
"""


def test_missing_rights_are_told_as_such(optimizer, folder):
    for name in ("open", "closed", "shut/run", "blind/run", "fixed/run"):
        (folder / name).parent.mkdir(exist_ok=True)
        optimizer.save(folder / name)
    (folder / "blind" / "run").unlink()
    for name, rights in (("closed", 0), ("shut", 0), ("blind", 0o333), ("fixed", 0o555)):
        os.chmod(folder / name, rights)
    try:
        said = run(UNPRIVILEGED, folder, RMSPROP_CACHE_DIR="").splitlines()
    finally:
        for name in ("shut", "blind", "fixed"):
            os.chmod(folder / name, 0o755)
    # What may be written to but not listed is saved to all the same.
    assert said == ["PermissionError PermissionError PermissionError", "done done done", "PermissionError done"]
    assert os.listdir(folder / "blind") == ["run"]


def test_no_descriptor_left_is_told_as_such(optimizer, tmp_path):
    optimizer.save(tmp_path / "run")
    optimizer.load(tmp_path / "run")
    old = (tmp_path / "run").read_bytes()
    optimizer.iterations = 3
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    kept = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, limits[0]), limits[1]))
        with contextlib.suppress(OSError):
            while True:
                kept.append(os.dup(0))
        for action in (optimizer.load, optimizer.save):
            with pytest.raises(OSError, match="Too many open files"):
                action(tmp_path / "run")
    finally:
        for handle in kept:
            os.close(handle)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert (tmp_path / "run").read_bytes() == old
    assert os.listdir(tmp_path) == ["run"]


def test_what_is_below_a_file_is_told_as_such(optimizer, tmp_path):
    optimizer.save(tmp_path / "run")
    for action in (optimizer.save, optimizer.load):
        with pytest.raises(NotADirectoryError):
            action(tmp_path / "run" / "below")


# Metadata -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metadata", [3, 0, "", "text", b"", [], [("a", "b")], {"a"}, False], ids=repr)
def test_metadata_that_is_no_mapping_is_refused(optimizer, tmp_path, metadata):
    with pytest.raises(TypeError, match="metadata="):
        optimizer.save(tmp_path / "run", metadata=metadata)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("metadata", [{3: "x"}, {"x": None}, {"x": b"y"}, {"x": ["y"]}, {None: "x"}], ids=repr)
def test_metadata_of_something_else_than_strings_is_refused(optimizer, tmp_path, metadata):
    with pytest.raises(TypeError, match="not both strings"):
        optimizer.save(tmp_path / "run", metadata=metadata)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "metadata", [{"x": "y" * 101_000_000}, {"x": "\udcff"}, {"\ud800": "x"}], ids=["long", "", "a"]
)
def test_metadata_that_no_file_can_hold_is_refused(optimizer, tmp_path, metadata):
    with pytest.raises(ValueError, match=r"run' cannot be written"):
        optimizer.save(tmp_path / "run", metadata=metadata)
    assert os.listdir(tmp_path) == []


def test_metadata_of_every_character_is_kept(optimizer, tmp_path):
    texts = {"": "", 'quote " \\': "\0\n\t\x7f é \N{GRINNING FACE}", "__metadata__": "{}", "format": "pt"}
    optimizer.save(tmp_path / "run", metadata=texts)
    assert optimizer.load(tmp_path / "run") == texts
