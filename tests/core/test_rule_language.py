"""The language that `rmsprop._core.rule.update` is written in, as its module's docstring states it."""

import ast
import inspect
import textwrap

import numpy
import pytest

from rmsprop._core import rule

OPTIONAL = {
    "momentum", "average_gradient", "average", "clip_scale", "clip_value", "weight_decay", "mu",
    "ema_momentum", "ema_momentum_c", "overwrite",
}  # fmt: skip


def violations(source):
    """List what a function's source uses beyond the permitted language."""
    (function,) = ast.parse(textwrap.dedent(source)).body
    found = []

    def expression(node):
        match node:
            case ast.Name():
                pass
            case ast.Constant(value=float(value)) if value == 0.0:
                pass
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult(), right=right):
                expression(left), expression(right)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                expression(operand)
            case ast.Compare(left=left, ops=[ast.Lt() | ast.Gt()], comparators=[right]):
                expression(left), expression(right)
            case ast.Call(func=ast.Name(id="sqrt" | "divide" | "select"), args=arguments, keywords=[]):
                for argument in arguments:
                    expression(argument)
            case _:
                found.append(ast.unparse(node))

    def statement(node):
        match node:
            case ast.Assign(targets=[ast.Name()], value=value):
                expression(value)
            case ast.If(
                test=ast.Compare(left=ast.Name(id=name), ops=[ast.IsNot()], comparators=[ast.Constant(value=None)]),
                body=body,
                orelse=orelse,
            ) if name in OPTIONAL:
                for inner in (*body, *orelse):
                    statement(inner)
            case _:
                found.append(ast.unparse(node))

    *body, last = function.body[1:]  # the docstring
    for node in body:
        statement(node)
    match last:
        case ast.Return(value=ast.Tuple(elts=elements)):
            for element in elements:
                if not isinstance(element, ast.Name):
                    found.append(ast.unparse(element))
        case _:
            found.append(ast.unparse(last))
    return found


def test_the_rule_keeps_to_its_language():
    assert violations(inspect.getsource(rule.update)) == []


@pytest.mark.parametrize(
    "line",
    [
        "x = w ** 2", "x = w / g", "x = 1.0 * w", "x = numpy.sqrt(w)", "x = maximum(w, g)", "x = w if g else w",
        "x += w", "x = w is None", "for i in w:\n        x = i", "if g is not None:\n        x = w",
        "if momentum is None:\n        x = w", "if momentum > 0.0:\n        x = w", "x, y = w, g", "x = select(w, x=g)",
        "x = None", "x = w + 0", "x = w + False", "return None",
    ],
)  # fmt: skip
def test_the_check_finds_what_is_not_permitted(line):
    source = f"def update(w, g, momentum):\n    '''Docs.'''\n    {line}\n    return (w, g)\n"
    assert violations(source) != []


def test_arguments_are_the_state_and_the_scalars_in_order():
    names = list(inspect.signature(rule.update).parameters)
    assert names == ["gradient", *rule.STATE, *rule.SCALARS]


def test_results_are_never_none():
    one = numpy.float32(1)
    options = dict.fromkeys(OPTIONAL)
    arguments = dict.fromkeys(inspect.signature(rule.update).parameters, one) | options
    assert all(isinstance(result, numpy.floating) for result in rule.update(**arguments))


def test_binding_shares_the_code_and_replaces_the_functions():
    bound = rule.bind(sqrt=lambda x: 2.0, divide=lambda x, y: y, select=numpy.where)
    assert bound.__code__ is rule.update.__code__
    scalars = dict.fromkeys(rule.SCALARS)
    scalars.update(learning_rate=1.0, rho=0.5, rho_c=0.5, epsilon=0.0)
    state = dict.fromkeys(rule.STATE)
    state.update(variable=10.0, velocity=1.0)
    assert bound(gradient=3.0, **state, **scalars)[0] == 8.0
