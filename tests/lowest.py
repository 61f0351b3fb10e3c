"""Run the quick selection with the oldest packages that pyproject.toml allows: `make test-lowest`.

pip has no resolution that takes the oldest versions, so each lower bound of ours becomes an exact version, read from
pyproject.toml, where alone they stand. What our dependencies need themselves is as new as pip finds it. There is an
environment for each framework, as a user has it: frameworks at their bounds need not fit beside each other, and each
front end must do without the others. torch and the tools of the tests are those of constraints.txt, since another torch
brings gigabytes with it.

Arguments are names of environments, all without.
"""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

#: Environment -> extras that are installed together in it.
ENVIRONMENTS = {
    "numpy": ("cli",),
    "tensorflow": ("tf-keras", "keras"),
    "jax": ("jax", "keras"),
    "torch": ("torch", "keras"),
}

#: Besides, in each: bfloat16 for NumPy, which the tables of the tests name. Frameworks bring it along.
TYPES = "ml-dtypes"

#: What the tests need besides; not a promise of ours.
TOOLS = ("pytest", "hypothesis")

#: What stands in constraints.txt counts for these.
PINNED = ("torch", *TOOLS)


def bounds() -> dict[str, str]:
    """Give the lower bound of each package that we need, in any extra but those of the tests and of the site."""
    extras = PROJECT["optional-dependencies"]
    needed = [
        *PROJECT["dependencies"],
        *(one for name in extras if name not in ("test", "docs") for one in extras[name]),
    ]
    found = {}
    for requirement in needed:
        match = re.fullmatch(r"([\w.-]+)>=([\d.]+)", requirement)
        if match is None:
            raise ValueError(f"{requirement!r} in pyproject.toml is not of the form name>=version")
        name, version = match.groups()
        if found.setdefault(name, version) != version:
            raise ValueError(f"{name} has two lower bounds in pyproject.toml, {found[name]} and {version}")
    return found


def constraints() -> str:
    """Give constraints for pip: each bound as an exact version."""
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    chosen = bounds() | {name: pinned[name] for name in PINNED}
    return "".join(f"{name}=={version}\n" for name, version in sorted(chosen.items()))


def check(python: Path, name: str) -> None:
    """Fail if a package of an environment is not there: an old pip says no more than a warning of an unknown extra."""
    extras = PROJECT["optional-dependencies"]
    needed = [re.split("[>=]", requirement)[0] for extra in ENVIRONMENTS[name] for requirement in extras[extra]]
    look = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
    subprocess.run([python, "-c", look, *needed], check=True)


def python(name: str) -> Path:
    """Give the interpreter of an environment, which is made first if it is not there as pyproject.toml wants it."""
    folder, wanted = ROOT / ".venv-lowest" / name, [f"[{','.join(ENVIRONMENTS[name])}]", TYPES, *TOOLS]
    text = f"# {' '.join(wanted)}\n{constraints()}"
    found, file = folder / "bin" / "python", folder / "lowest.txt"
    if file.exists() and file.read_text() == text:
        return found
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    draft = folder / "constraints.txt"
    draft.write_text(text)
    install = [found, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--constraint", draft]
    subprocess.run([*install, "--editable", f"{ROOT}{wanted[0]}", *wanted[1:]], check=True)
    check(found, name)
    draft.rename(file)  # when all is there
    return found


def main() -> int:
    """Run the selection in every environment, the later ones also after a failure."""
    oldest = PROJECT["requires-python"].removeprefix(">=")
    if sys.version_info[:2] != tuple(map(int, oldest.split("."))):
        print(f"Python {oldest} is needed, the oldest that pyproject.toml allows; this is {sys.version.split()[0]}")
        return 1
    wanted = sys.argv[1:] or [*ENVIRONMENTS]
    if unknown := set(wanted) - set(ENVIRONMENTS):
        print(f"{', '.join(sorted(unknown))}: the environments are {', '.join(ENVIRONMENTS)}")
        return 1
    failed = []
    for name in wanted:
        print(f"\n##### the oldest packages, with {', '.join(ENVIRONMENTS[name])}", flush=True)
        try:
            found = python(name)
        except subprocess.CalledProcessError as error:  # pip has said why
            print(f"the environment could not be made: {error}", flush=True)
            failed.append(f"{name} (no environment)")
            continue
        command = [found, ROOT / "tests" / "run.py", "-m", "quick"]
        environment = os.environ | {"RMSPROP_CACHE_DIR": str(found.parents[1] / "kernels")}
        if subprocess.run(command, env=environment, check=False).returncode:
            failed.append(name)
    print("failed: " + ", ".join(failed) if failed else "all passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
