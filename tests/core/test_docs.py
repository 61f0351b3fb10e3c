"""Every example that a reader finds runs, in a process of its own, and prints what stands below it."""

import doctest
import importlib.util
import json
import re
from codeop import compile_command
from functools import cache
from pathlib import Path
from textwrap import dedent

import pytest
import quick
from processes import run

import rmsprop

ROOT = Path(__file__).parents[2]
#: An example and what it prints; within a tab of a page both are indented.
EXAMPLE = re.compile(r"^( *)```python\n(.*?)^\1```\n(?:\1```text\n(.*?)^\1```)?", re.DOTALL | re.MULTILINE)
ALL_PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
CHINESE = {page: page.with_name(page.name.replace(".zh", "")) for page in ALL_PAGES if ".zh" in page.suffixes}
CHINESE |= {ROOT / "README.zh-CN.md": ROOT / "README.md"}
#: Those whose examples are run.
PAGES = [page for page in ALL_PAGES if page not in CHINESE]

# Keras's own way from its variables to NumPy lacks a keyword that NumPy 2 wants.
OF_KERAS = "import warnings; warnings.filterwarnings('ignore', '__array__ implementation', DeprecationWarning)\n"

#: timm imports torchvision.
OF_TIMM = f"import sys; sys.path.insert(0, {str(ROOT / 'tests' / 'common')!r}); import operators\n"
OF_TIMM += "library = operators.declare_operators()\n"

# Modules of the command line import what only the extra [cli] brings, and hold no examples. Those of a framework are
# for the tests of that framework.
ELSEWHERE = (
    "rmsprop.cli", "rmsprop.__main__", "rmsprop._core.cuda", "rmsprop._kerases", "rmsprop.tf_keras",
    "rmsprop._tf_keras",
    "rmsprop._tensorflow", "rmsprop.torch", "rmsprop._torch", "rmsprop.jax", "rmsprop._jax", "rmsprop.engines.jax",
    "rmsprop.keras", "rmsprop._keras",
)  # fmt: skip
PACKAGE = Path(rmsprop.__file__).parent
# By their files: to walk through packages imports them, and so the frameworks.
NAMES = sorted(
    ".".join(("rmsprop", *path.relative_to(PACKAGE).with_suffix("").parts)) for path in PACKAGE.rglob("*.py")
)
MODULES = [name for name in (name.removesuffix(".__init__") for name in NAMES) if not name.startswith(ELSEWHERE)]


# What an example imports or asks Keras for, of the frameworks.
USED = re.compile(
    r'(?:^import |^from rmsprop\.|KERAS_BACKEND"] = ")(tensorflow|tf_keras|torch|jax|keras)\b', re.MULTILINE
)


#: The libraries that an example hands an optimizer to.
CLIENTS = re.compile(r"^from (timm|stable_baselines3)\b", re.MULTILINE)


def examples_of(page):
    """List the examples of a page, and what stands below each."""
    found = EXAMPLE.findall(page.read_text())
    return [(dedent(code), dedent(output)) for _, code, output in found]


def left_out(code):
    """A mark that leaves an example out where its framework is not installed; the suite's environment has all."""
    missing = quick.missing([*USED.findall(code), *CLIENTS.findall(code)])
    return pytest.mark.skipif(bool(missing), reason=f"{' and '.join(missing)} not installed")


def examples(others=()):
    """List the examples of all pages; `others` are marks for those that are not on the README page."""
    return [
        pytest.param(
            code, output, id=f"{page.relative_to(ROOT)}-{number}",
            marks=[left_out(code), *(others if page.name != "README.md" else ())],
        )
        for page in PAGES
        for number, (code, output) in enumerate(examples_of(page))
    ]  # fmt: skip


#: Runs examples in a folder each, in children of a process that has loaded a framework: that takes seconds.
CHILDREN = """
import json, os, sys, warnings
from pathlib import Path
folder, framework, codes = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    if framework:
        __import__(framework)
    code = None
    for number, one in enumerate(codes):
        if (child := os.fork()) == 0:
            code = one
            break
        (Path(folder) / f"{number}.status").write_text(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
if code is not None:
    os.mkdir(f"{folder}/{number}")
    os.chdir(f"{folder}/{number}")
    for handle, kind in ((1, "printed"), (2, "errors")):
        os.dup2(os.open(f"{folder}/{number}.{kind}", os.O_CREAT | os.O_WRONLY), handle)
    exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
"""


def framework_of(code):
    """Name what may be loaded before an example; Keras may not, which the example tells its backend."""
    used = set(USED.findall(code))
    if "\nimport keras\n" in code or "KERAS_BACKEND" in code:
        return "keras"
    return "tensorflow" if used & {"tensorflow", "tf_keras"} else next(iter(used), "")


@pytest.fixture(scope="module")
def printed(request, tmp_path_factory):
    """Give a function: what an example prints. All of its framework that were chosen are run with the first of them."""
    chosen = [one.callspec.params["code"] for one in request.session.items if "printed" in one.fixturenames]

    @cache
    def all_of(framework):
        folder = tmp_path_factory.mktemp("examples")
        codes = list(dict.fromkeys(code for code in chosen if framework_of(code) == framework))
        before = [OF_KERAS * ("\nimport keras\n" in one) + OF_TIMM * ("from timm" in one) for one in codes]
        loaded = "" if framework == "keras" else framework
        all_codes = json.dumps([some + one for some, one in zip(before, codes, strict=True)])
        run(CHILDREN, folder, loaded, all_codes, timeout=60 * len(codes))
        return {
            code: [(folder / f"{number}.{kind}").read_text() for kind in ("status", "printed", "errors")]
            for number, code in enumerate(codes)
        }

    def printed_by(code):
        status, found, errors = all_of(framework_of(code))[code]
        assert status == "0", f"exit status {status}\n{found}\n{errors}"
        return found.strip()

    return printed_by


# Those of the README page in make test. A Chinese
# page's examples are the English one's, with the same lines below them: a test below holds that.
@pytest.mark.parametrize(("code", "output"), examples([pytest.mark.slow]))
def test_an_example_prints_what_stands_below_it(code, output, printed):
    assert printed(code) == output.strip()


@pytest.mark.parametrize(("code", "output"), examples())
def test_an_example_can_be_pasted_into_an_interpreter(code, output):
    """Line by line, as a shell gets it: a blank line ends a compound statement, and nothing else does."""
    lines = []
    for line in [*code.splitlines(), ""]:
        lines.append(line)
        if compile_command("\n".join(lines)) is not None:
            lines = []
    assert lines == []


@pytest.mark.parametrize("page", CHINESE, ids=lambda page: str(page.relative_to(ROOT)))
def test_both_languages_have_the_same_examples(page):
    english, chinese = CHINESE[page], page

    def code(page):
        # comments are translated
        return [(re.sub(r"#.*", "", source), output) for source, output in examples_of(page)]

    assert code(english) == code(chinese)
    assert english.read_text().count("\n## ") == chinese.read_text().count("\n## ")


@pytest.mark.parametrize("page", CHINESE, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_chinese_page_is_in_chinese(page):
    """No paragraph is left in English; of tables and lists, names and values may be."""
    prose = re.sub(r"^ *```.*?^ *```$|`[^`\n]*`|\]\(.*?\)", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    paragraphs = [line for line in prose.splitlines() if len(line) > 60 and line[0] not in "|!=[ "]
    assert [line for line in paragraphs if len(re.findall("[\u4e00-\u9fff]", line)) < len(line) / 8] == []


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_every_deviation_names_a_test_that_exists():
    named = set(re.findall(r"`(\w+/test_\w+\.py)`", (ROOT / "docs" / "how" / "deviations.md").read_text()))
    assert len(named) > 5
    assert [name for name in named if not (ROOT / "tests" / name).is_file()] == []


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_public_classes_show_an_example():
    public = [rmsprop.RMSprop, rmsprop.RowSparse]
    public += [value for value in vars(rmsprop.schedules).values() if isinstance(value, type)]
    assert [value.__name__ for value in public if ">>> " not in value.__doc__] == []


def performance_pages():
    return "\n".join(page.read_text() for page in sorted((ROOT / "docs" / "performance").glob("*.md")))


def test_tables_are_those_of_the_measurement():
    """The figures in the texts are written by `benchmarks/table.py` from the measurement that lies beside it."""
    spec = importlib.util.spec_from_file_location("table", ROOT / "benchmarks" / "table.py")
    table = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(table)
    performance = performance_pages()
    for names in (["numpy"], ["tf_keras"], ["torch"], ["jax"], ["keras_tensorflow", "keras_jax", "keras_torch"]):
        measured = [json.loads((ROOT / "benchmarks" / f"{name}.json").read_text()) for name in names]
        for part in table.tables(measured):
            assert part in performance, names
    rows = json.loads((ROOT / "benchmarks" / "numpy.json").read_text())["rows"]
    for page in ("README.md", "README.zh-CN.md"):
        assert table.steps(rows, ("plain", "everything")) in (ROOT / page).read_text()


def test_tables_of_train_steps_are_those_of_the_measurement():
    """By `benchmarks/train_table.py`: each front end's in the documentation, one of all of them on the README pages."""
    train_table = importlib.import_module("train_table")
    files = sorted((ROOT / "benchmarks").glob("train_*.json"))
    assert len(files) >= len(train_table.measured()) >= 5
    performance = performance_pages()
    for file in [*files, *(ROOT / "benchmarks").glob("scaling_*.json")]:
        rows = json.loads(file.read_text())["rows"]
        parts = [*train_table.training(rows), *train_table.scaling(rows)]
        assert parts, file.name
        assert [part for part in parts if part not in performance] == [], file.name
    assert train_table.busy(train_table.measured(), train_table.measured("busy")) in performance
    assert train_table.overview(train_table.measured()) in performance
    assert train_table.pauses(train_table.measured("pauses")) in performance
    assert train_table.first_steps(train_table.measured("startup")) in performance
    for page in ("README.md", "README.zh-CN.md"):
        assert train_table.overview(train_table.measured()) in (ROOT / page).read_text()


def test_centered_is_described_alike_everywhere():
    """The rule divides by the root of an estimated variance: the standard deviation."""
    text = "divide by an estimate of the gradient's standard deviation instead of its root mean square"
    package = ROOT / "src" / "rmsprop"
    files = [package / f"{name}.py" for name in ("numpy", "tf_keras", "torch", "keras")]
    for file in (*files, package / "_jax" / "optimizer.py", package / "_jax" / "transformation.py"):
        assert f"centered: {text}." in file.read_text(), file.name
    assert f"| `centered` | `False` | bool | {text} |" in (ROOT / "docs" / "reference" / "arguments.md").read_text()
