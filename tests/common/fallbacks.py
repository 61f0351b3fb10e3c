"""Ways in which a process loses its native steps, each tried in a child of a process that has loaded the framework.

A name is taken away as a newer version would: before anything of ours is imported.
"""

import json
import textwrap

import numpy
from processes import run
from reference import Reference

OPTIONS = {"learning_rate": 0.1, "momentum": 0.5, "centered": True, "global_clipnorm": 1.0}
START = numpy.array([1.0, -2.0, 3.0])
STEPS = 3

#: What children do; `step(native)` gives what a variable is after the steps, with gradients that are the variable, and
#: `explain()` what an optimizer says of it. To ask for that says nothing of the fallback, which the first step does.
_CHILDREN = """
import ctypes, importlib, json, os, sys, types, warnings
import numpy

options, start, steps = json.loads(sys.argv[2]), numpy.array(json.loads(sys.argv[3]), "float32"), int(sys.argv[4])

def take(name, *attributes):
    '''Let a module lack some names; without any, let it not be there.'''
    parent, _, child = name.rpartition(".")
    less = None
    if attributes:
        whole = vars(importlib.import_module(name))
        assert all(attribute in whole for attribute in attributes), attributes
        less = types.ModuleType(name)
        vars(less).update({key: value for key, value in whole.items() if key not in attributes})
    sys.modules[name] = less
    if less is None:
        vars(sys.modules.get(parent, types)).pop(child, None)
    elif parent:
        setattr(sys.modules[parent], child, less)

def instead(symbol, function):
    '''Let a function of C be another one, or missing.'''
    usual = ctypes.CDLL.__getattr__
    def find(library, name):
        if name != symbol:
            return usual(library, name)
        if function is None:
            raise AttributeError(f"undefined symbol: {name}")
        return function
    ctypes.CDLL.__getattr__ = find

def do(way):
    exec(way)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "rmsprop")
        (explained,) = explain().variables.values()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = [step(None), step(None)]
    told = [[one.category.__name__, str(one.message), one.filename] for one in told if "rmsprop" in str(one.message)]
    found.append(step(False))
    return [numpy.array(one, "float64").tolist() for one in found], told, [explained.way, explained.reason]

for way in json.loads(sys.argv[1]):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads
        child = os.fork()
    if child == 0:
        try:
            print(json.dumps(do(way)), flush=True)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, way
"""


def check(framework, ways, **environment):
    """Try ways, each a pair of a source and of what the warning says; see `_CHILDREN` for what `framework` defines."""
    source = textwrap.dedent(framework) + _CHILDREN
    printed = run(
        source, json.dumps([way for way, _ in ways]), json.dumps(OPTIONS), START.tolist(), STEPS, **environment
    )
    answers = [json.loads(line) for line in printed.splitlines()]
    assert len(answers) == len(ways)
    expected = _expected()
    for (way, said), ((first, second, traced), told, explained) in zip(ways, answers, strict=True):
        assert first == second == traced, way
        assert abs(numpy.array(first) - expected).max() <= 1e-6 * abs(expected).max(), way  # measured up to 1.3e-7
        assert [one[0] for one in told] == ["UserWarning"], (way, told)
        assert said in told[0][1], (way, told)
        assert "RMSPROP_NATIVE=0" in told[0][1]
        assert explained[0] in ("plain", "traced")
        assert said in explained[1]
        assert explained[1] in told[0][1]
        assert told[0][2] == "<string>", "the warning points at the user's line"


def _expected():
    reference = Reference({"w": START}, scalars=numpy.float32, **OPTIONS)
    for _ in range(STEPS):
        reference.step({"w": reference.variables["w"]})
    return reference.variables["w"]
