"""The commit of a measurement: the benchmark writes it, ``make bench-check`` says what has changed since."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bench_runs import RUN

import check

ROOT = Path(__file__).parents[2]
MEASURE = ["--model", "mlp", "--variant", "plain", "--part", "steps", "--peer", "none"]

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture
def checkout(tmp_path):
    """A repository with the package in it, and a way to call git there."""

    def git(*arguments):
        who = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", *who, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout.strip()

    package = tmp_path / "src" / "rmsprop"
    shutil.copytree(ROOT / "src" / "rmsprop", package, ignore=shutil.ignore_patterns("__pycache__"))
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "all")
    return tmp_path, git


def measured_commit(source, folder):
    """Measure a step of the package in `source`, and return the commit that the report names."""
    file = folder / "bench.json"
    command = [sys.executable, RUN, *MEASURE, "--repeat", "1", "--json", file]
    environment = os.environ | {"PYTHONPATH": str(source)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    commit = json.loads(file.read_text())["machine"]["commit"]
    assert commit is None or f"commit {commit}" in " ".join(done.stdout.split())
    return commit


@pytest.mark.slow
class TestTheCommitOfAMeasurement:
    def test_is_that_of_the_checkout(self, checkout, tmp_path_factory):
        folder, git = checkout
        there = tmp_path_factory.mktemp("figures")
        assert measured_commit(folder / "src", there) == git("rev-parse", "HEAD")
        with open(folder / "src" / "rmsprop" / "_core/rule.py", "a") as rule:
            rule.write("# changed\n")
        assert measured_commit(folder / "src", there) == git("rev-parse", "HEAD") + "-dirty"

    def test_is_not_that_of_a_repository_that_holds_an_environment(self, checkout, tmp_path_factory):
        folder, git = checkout
        git("rm", "-r", "--quiet", "--cached", "src")
        (folder / ".gitignore").write_text("src\n")
        git("add", ".gitignore")
        git("commit", "--quiet", "--message", "somebody else's")
        assert measured_commit(folder / "src", tmp_path_factory.mktemp("figures")) is None


class TestWhatHasChangedSince:
    @pytest.fixture
    def since(self, checkout):
        """A checkout in which the rule was changed twice, sources of some frameworks once, and the documentation."""
        folder, git = checkout
        start = git("rev-parse", "HEAD")
        for paths in (
            ["_core/rule.py"],
            ["_core/rule.py", "_torch/engine.py", "_core/cuda/launches.py"],
            ["_jax/native.py", "_keras/steps.py", "_kerases/built.py", "_tf_keras/untraced.py"],
        ):
            for path in paths:
                with open(folder / "src" / "rmsprop" / path, "a") as source:
                    source.write("# changed\n")
            git("commit", "--quiet", "--all", "--message", "a change")
        git("rm", "--quiet", "src/rmsprop/_core/cpu/team.py")
        (folder / "README.md").write_text("words")
        git("add", ".")
        git("commit", "--quiet", "--message", "words, and a source less")
        return folder, start

    @pytest.mark.parametrize(
        ("frontend", "settings", "own"),
        [
            ("numpy", {}, []),
            ("torch", {}, ["_core/cuda/launches.py: 1 commit", "_torch/engine.py: 1 commit"]),
            (
                "keras",
                {"KERAS_BACKEND": "jax"},
                ["_jax/native.py: 1 commit", "_keras/steps.py: 1 commit", "_kerases/built.py: 1 commit"],
            ),
            ("tf_keras", {}, ["_kerases/built.py: 1 commit", "_tf_keras/untraced.py: 1 commit"]),
        ],
    )
    def test_is_what_its_framework_uses(self, since, frontend, settings, own):
        folder, start = since
        file = folder / "figures.json"
        machine = {"commit": start + "-dirty", "settings": settings}
        file.write_text(json.dumps({"machine": machine, "rows": [{"frontend": frontend}]}))
        head, *lines = check.report(file, folder)
        everybodys = ["_core/rule.py: 2 commits", "_core/cpu/team.py: 1 commit, not there any more"]
        assert lines == [f"  src/rmsprop/{line}" for line in sorted(everybodys + own)]
        assert head == f"figures.json: measured at {start[:10]}-dirty, {len(lines)} sources changed since"

    @pytest.mark.parametrize(
        ("commit", "message"), [(None, "does not say at which commit"), ("0" * 40, f"measured at {'0' * 40}, of which")]
    )
    def test_an_unknown_commit_is_said(self, since, commit, message):
        folder, _ = since
        file = folder / "figures.json"
        file.write_text(json.dumps({"machine": {"commit": commit}, "rows": []}))
        (line,) = check.report(file, folder)
        assert message in line

    def test_every_measurement_names_a_commit_and_a_machine(self):
        for file in (ROOT / "benchmarks").glob("*.json"):
            machine = json.loads(file.read_text())["machine"]
            assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", machine["commit"]), file
            assert all(machine[entry] for entry in ("processor", "cores", "system", "versions")), file
