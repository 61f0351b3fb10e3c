"""How Numba compiles kernels: for a target that knows numbers, addresses and calls, and nothing else.

Numba's own target for CPUs first loads what it knows of NumPy and of Python's lists, texts and sets. It passes each
function through what arrays, closures and parallel loops need, then optimises and assembles it by itself, although it
becomes part of a kernel that is optimised and assembled as a whole. Without all this a first step that finds no cached
kernels takes about half of the time, and later steps take the same.

`Numba's documentation <https://numba.readthedocs.io/en/stable/extending/>`_ has typing and target contexts, registries,
pipelines and libraries of code.
"""

from collections.abc import Callable
from typing import Any, Final, final

from numba import _dynfunc  # type: ignore[attr-defined]
from numba.core import codegen, compiler, cpu, registry, sigutils, target_extension, typed_passes, types, untyped_passes
from numba.core.ccallback import CFunc
from numba.core.compiler_machinery import PassManager
from numba.core.descriptors import TargetDescriptor
from numba.core.typing.context import Context

_NAME: Final = "rmsprop"

#: Divisions by zero are numbers, and there is no fast-math. `_nrt`: no objects that are counted.
_OPTIONS: Final[dict[str, Any]] = {"error_model": "numpy", "_nrt": False}

#: The same for functions that no Python and no C calls.
_PART_OPTIONS: Final = {**_OPTIONS, "nopython": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}

#: The passes of Numba's that kernels need. Constants that are None and their branches are gone before types are found.
_PASSES: Final = (
    untyped_passes.TranslateByteCode,
    untyped_passes.FixupArgs,
    untyped_passes.IRProcessing,
    untyped_passes.DeadBranchPrune,
    untyped_passes.ReconstructSSA,
    typed_passes.NopythonTypeInference,
    typed_passes.PreLowerStripPhis,
    typed_passes.NativeLowering,
    typed_passes.NoPythonBackend,
)


@final
class _Numbers(target_extension.CPU):
    """The target, by which Numba chooses among registries."""


@final
class _Library(codegen.JITCodeLibrary):
    """The code of a C function, or of a part, which is linked into others and neither optimised nor assembled."""

    is_part = False

    def _optimize_functions(self, ll_module: Any) -> None:
        """Leave single functions as they are: the whole module is optimised in the end."""

    def finalize(self) -> None:
        if not self.is_part:
            super().finalize()
            return
        for library in dict.fromkeys(self._linking_libraries):
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalized = True


@final
class _Codegen(codegen.JITCPUCodegen):
    _library_class = _Library


def _codes(function: Any) -> dict[Any, Any]:
    """Return by what the code of a function is found, for each signature that was resolved."""
    found: dict[Any, Any] = function._impl_keys
    return found


@final
class _TypingContext(Context):
    """What types numbers have, and what functions of numbers return."""

    def init(self) -> None:
        # A function and the types of arguments -> the signature, and by what its code is found.
        self._resolved: dict[Any, Any] = {}

    def refresh(self) -> None:
        # Otherwise Numba asks its own target, and loads all that this one knows.
        with target_extension.target_override(_NAME):
            super().refresh()

    def load_additional_registries(self) -> None:
        from numba.core.typing import mathdecl

        self.install_registry(mathdecl.registry)

    def resolve_function_type(self, func: Any, args: Any, kws: Any) -> Any:
        # A kernel calls `read` and adds words some hundred times, and each time Numba tries all that could be meant.
        if kws or not isinstance(func, types.BaseFunction):
            return super().resolve_function_type(func, args, kws)
        key, codes = (func, args), _codes(func)
        if key not in self._resolved:
            signature = super().resolve_function_type(func, args, kws)
            if signature is None:
                return None
            self._resolved[key] = signature, codes.get(signature.args)
        signature, code = self._resolved[key]
        # Numba's own target has the same object, and may have put its own there.
        codes[signature.args] = code
        return signature

    def resolve_value_type(self, val: Any) -> Any:
        # Of a class, as `range` is one, Numba otherwise asks whether it is one of its containers, and loads them.
        known = self._lookup_global(val) if isinstance(val, type) else None
        return super().resolve_value_type(val) if known is None else known


@final
class _TargetContext(cpu.CPUContext):
    """How functions of numbers become LLVM's code."""

    def init(self) -> None:
        super().init()
        self._internal_codegen = _Codegen("rmsprop.exec")

    def refresh(self) -> None:
        with target_extension.target_override(_NAME):
            super().refresh()

    def load_additional_registries(self) -> None:
        from numba.cpython import builtins, mathimpl, numbers, rangeobj, tupleobj  # noqa: F401 - imports register

        self.install_registry(mathimpl.registry)

    def post_lowering(self, mod: Any, library: Any) -> None:
        """Link nothing, as nothing is counted. There is no fast-math either, and words have 64 bits."""

    def get_executable(self, library: Any, fndesc: Any, env: Any) -> Any:
        """Return a function of Python; that of a part must not be called, as it has no machine code of its own."""
        if not library.is_part:
            return super().get_executable(library, fndesc, env)
        library.finalize()
        return _dynfunc.make_function(fndesc.lookup_module(), fndesc.qualname, "", 0, env, (library,))


@final
class _Target(TargetDescriptor):
    options = cpu.CPUTargetOptions
    typing_context: Any = None  # both are properties of the base
    target_context: Any = None

    def __init__(self) -> None:
        super().__init__(_NAME)
        self.typing_context = _TypingContext()
        self.target_context = _TargetContext(self.typing_context, _NAME)


@final
class _Compiler(compiler.Compiler):
    def define_pipelines(self) -> list[PassManager]:
        state = self.state
        if state.flags.no_cfunc_wrapper:
            state.library = state.targetctx.codegen().create_library(state.func_id.func_qualname)
            state.library.is_part = True
        passes = PassManager(_NAME)
        for one in _PASSES:
            passes.add_pass(one, one.__name__)
        passes.finalize()
        return [passes]


# In its place may be that of this module as it was imported before.
target_extension.target_registry.pop(_NAME, None)
target_extension.target_registry[_NAME] = _Numbers
_TARGET: Final = _Target()


@final
class _Part(registry.CPUDispatcher):
    targetdescr: Any = _TARGET


def jit(function: Callable[..., Any]) -> Any:
    """Let compiled functions call this one; LLVM decides whether it becomes a part of them."""
    return _part(function, forceinline=False)  # given, as it would be its first caller's otherwise


def part(function: Callable[..., Any]) -> Any:
    """Let this function be a part of each compiled function that calls it."""
    return _part(function, forceinline=True)


def _part(function: Callable[..., Any], **more: bool) -> Any:
    return _Part(function, targetoptions=_PART_OPTIONS | more, pipeline_class=_Compiler)


target_extension.dispatcher_registry[_Numbers] = _Part
# Numba looks this up for each of its functions in Python that an operator could mean. Kernels need none of them.
target_extension.jit_registry[_Numbers] = lambda **options: jit


@final
class CFunction(CFunc):
    """A C function that is compiled from a Python one, or loaded.

    Args:
        function: a module's own, made of functions with `jit` and `part` and of intrinsics.
        signature: as Numba writes it.
        cache: of Numba's interface.
    """

    _targetdescr = _TARGET

    def __init__(self, function: Callable[..., Any], signature: str, cache: Any) -> None:
        super().__init__(function, sigutils.normalize_signature(signature), {}, _OPTIONS, _Compiler)
        self._cache = cache
        self.compile()
