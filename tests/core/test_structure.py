"""The structure of the package: which folder may import which, who may touch private attributes, sizes, words.

Everything here is read from the source, nothing is imported, so no framework is needed.
"""

import ast
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "rmsprop"

#: Folder or module -> what it may import of the package, besides itself. A value never flows back upwards.
MAY_IMPORT = {
    "_core": {"schedules", "__version__"},
    "schedules": {"_core"},
    "_numpy": {"_core"},
    "_torch": {"_core", "schedules"},
    "_jax": {"_core"},
    "_tensorflow": {"_core", "schedules"},
    "_kerases": {"_core", "schedules"},
    "_tf_keras": {"_core", "_kerases", "_tensorflow", "schedules"},
    "_keras": {"_core", "_kerases", "schedules"},
    "checkpoint": {"_core"},
    "recipes": {"_core"},
    "numpy": {"_core", "_numpy"},
    "torch": {"_core", "_torch", "schedules"},
    "jax": {"_core", "_jax"},
    "tf_keras": {"_core", "_kerases", "_tensorflow", "_tf_keras"},
    "keras": {"_core", "_kerases", "_keras"},
}

#: The modules of Keras's backends, the only ones in `_keras` that import an engine.
BACKENDS = {"jax": "_jax", "jax_steps": "_jax", "tensorflow": "_tensorflow", "torch": "_torch"}

#: Where pickled optimizers of earlier versions look for classes, and what starts the program.
ALIASES = {"_options", "_state", "_rows", "engines", "__init__", "__main__", "cli"}

#: Private attributes of other libraries, for which there is no public one.
OF_OTHERS = {
    "_C": "torch: functions that the compiler of torch uses",
    "_cdata": "torch: the address of a tensor's C++ object",
    "_is_zerotensor": "torch: gradients of functions that are constant",
    "_neg_view": "torch: a tensor that negates another",
    "_indices": "torch: row numbers of a sparse tensor that is not coalesced",
    "_values": "torch: rows of a sparse tensor that is not coalesced",
    "_foreach_zero_": "torch: many tensors at once",
    "_is_profiler_enabled": "torch: whether the step is to be shown in a profile",
    "_optimizer_step_pre_hooks": "torch: hooks of one optimizer",
    "_optimizer_step_post_hooks": "torch: hooks of one optimizer",
    "_rmsprop_calls": "our own attribute of a graph of TensorFlow's: what must live as long as the graph",
    "_value": "Keras 3: what a variable holds, without a scope of mixed precision",
    "_numpy_internal": "TensorFlow: the memory of an eager tensor",
    "_shared_name": "tf_keras: the name that checkpoints use",
    "_get_module_for_linking": "Numba: the code of a function that others are made of",
    "_impl_keys": "Numba: by what the code of a function is found",
    "_rebuild": "Numba: a compiled function that was kept",
    "_reduce": "Numba: a compiled function to keep",
    "_lock": "Python's and Numba's locks, which a fork must not find held",
    "_getframe": "Python: the caller's frame",
    "_replace": "NamedTuple",
    "_fields": "NamedTuple",
}


def modules():
    """Every module of the package: its path, its parts, and its syntax tree."""
    return [
        (path, path.relative_to(SOURCE).with_suffix("").parts, ast.parse(path.read_text()))
        for path in sorted(SOURCE.rglob("*.py"))
    ]


MODULES = modules()


def imported(tree):
    """What a module imports of the package: the first part after `rmsprop`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "rmsprop":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rmsprop."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("rmsprop."))


@pytest.mark.parametrize(
    ("path", "parts", "tree"), MODULES, ids=lambda one: "/".join(one) if type(one) is tuple else ""
)
def test_nobody_imports_upwards(path, parts, tree):
    if parts[0] in ALIASES:
        return
    allowed = {parts[0], *MAY_IMPORT[parts[0]]}
    if parts[0] == "_keras" and parts[1] in BACKENDS:
        allowed.add(BACKENDS[parts[1]])
    assert set(imported(tree)) <= allowed


def foreign_private_attributes(tree):
    """List private attributes of anything but `self`, `cls`, `super()` and the classes of the module itself."""
    own = {"self", "cls", *(node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef))}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not node.attr.startswith("_") or node.attr.startswith("__"):
            continue
        owner = node.value
        if isinstance(owner, ast.Name) and owner.id in own:
            continue
        if isinstance(owner, ast.Call) and ast.unparse(owner) == "super()":
            continue
        yield node.lineno, node.attr, ast.unparse(node)


def test_nobody_touches_private_attributes_of_another_object():
    found = [
        f"{'/'.join(parts)}:{line}: {text}"
        for _, parts, tree in MODULES
        for line, name, text in foreign_private_attributes(tree)
        if name not in OF_OTHERS
    ]
    assert not found


def test_every_exception_is_in_use():
    used = {name for _, _, tree in MODULES for _, name, _ in foreign_private_attributes(tree)}
    assert set(OF_OTHERS) <= used


def classes():
    """Every class of the package: where it is, its syntax tree, and the names of its bases and decorators."""
    for _, parts, tree in MODULES:
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                bases = [ast.unparse(base).partition("[")[0].rpartition(".")[2] for base in node.bases]
                decorators = [ast.unparse(one).partition("(")[0].rpartition(".")[2] for one in node.decorator_list]
                yield "/".join(parts), node, bases, decorators


#: Classes that users may subclass: their docstrings name the hooks.
FOR_USERS = {
    ("keras", "RMSprop"),
    ("tf_keras", "RMSprop"),
    ("schedules/_base", "LearningRateSchedule"),
    # Not for users: the options of JAX are options whose numbers may be arrays.
    ("_core/options", "Options"),
}


def is_abstract(node, bases):
    """Whether a class is a protocol, or has a method that a subclass must write."""
    methods = [one for one in node.body if isinstance(one, ast.FunctionDef)]
    abstract = any("abstractmethod" in map(ast.unparse, one.decorator_list) for one in methods)
    return abstract or "ABC" in bases or "Protocol" in bases


def test_classes_are_final_or_abstract():
    neither = [
        f"{where}: {node.name}"
        for where, node, bases, decorators in classes()
        if "final" not in decorators and not is_abstract(node, bases) and (where, node.name) not in FOR_USERS
    ]
    assert not neither


def test_final_classes_have_no_subclass():
    final = {node.name for _, node, _, decorators in classes() if "final" in decorators}
    bases = {(where, base) for where, _, bases, _ in classes() for base in bases}
    # Names that a class of ours has in common with one of another library.
    assert not {(where, base) for where, base in bases if base in final}


def lines_of(node):
    """The lines of a function without its docstring and without functions inside it."""
    first = node.body[0]
    lines = set(range(first.lineno, node.end_lineno + 1))
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        lines -= set(range(first.lineno, first.end_lineno + 1))
    for inner in ast.walk(node):
        if inner is not node and isinstance(inner, ast.FunctionDef):
            lines -= set(range(inner.lineno, inner.end_lineno + 1))
    return len(lines)


def test_files_and_functions_fit():
    long = [f"{path.name}: {count}" for path, *_ in MODULES if (count := len(path.read_text().splitlines())) > 300]
    for _, parts, tree in MODULES:
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        # Triton 3.6 cannot return None, so a kernel decides in one function which options are on.
        long += [
            f"{'/'.join(parts)}: {node.name}"
            for node in functions
            if lines_of(node) > 50 and (parts[-2:], node.name) != (("cuda", "step"), "step")
        ]
    assert not long


@pytest.mark.parametrize("word", ["bucket"])
def test_words_that_are_not_used(word):
    assert not ["/".join(parts) for path, parts, _ in MODULES if word in path.read_text().lower()]


def test_files_that_the_guide_names_are_there():
    guide = (SOURCE.parents[1] / "CONTRIBUTING.md").read_text()
    named = re.findall(r"`(_\w+/[\w/]+\.py)`", guide)
    assert len(named) > 40
    assert not [path for path in named if not (SOURCE / path).exists()]
