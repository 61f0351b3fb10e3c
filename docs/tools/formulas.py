"""Formulas of docstrings, which are lines of Python, as LaTeX."""

import ast
import re

#: Names that are letters on the page; a longer one is set upright.
_NAMES = {"rho": r"\rho", "epsilon": r"\epsilon", "pi": r"\pi", "alpha": r"\alpha"}
_FUNCTIONS = {"cos": r"\cos", "min": r"\min", "max": r"\max"}
#: A formula, and behind two spaces or more a note.
_LINE = re.compile(r"(\S.*?)(?:\s{2,}(\S.*))?$")


def _is_sum(node: ast.expr) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub)


def _in_brackets(node: ast.expr, needed: bool) -> str:
    text = _latex(node)
    return rf"\left({text}\right)" if needed else text


def _operation(node: ast.BinOp) -> str:
    left, right = node.left, node.right
    match node.op:
        case ast.Add():
            return f"{_latex(left)} + {_latex(right)}"
        case ast.Sub():
            return f"{_latex(left)} - {_in_brackets(right, _is_sum(right))}"
        case ast.Mult():
            return rf"{_in_brackets(left, _is_sum(left))}\, {_in_brackets(right, _is_sum(right))}"
        case ast.Div():
            return rf"\frac{{{_latex(left)}}}{{{_latex(right)}}}"
        case ast.Pow():
            return f"{_in_brackets(left, isinstance(left, ast.BinOp))}^{{{_latex(right)}}}"
    raise SyntaxError(ast.unparse(node))


def _latex(node: ast.expr) -> str:
    match node:
        case ast.BinOp():
            return _operation(node)
        case ast.Name(id=name) if name in _NAMES or len(name) == 1:
            return _NAMES.get(name, name)
        case ast.Name(id=name):
            return rf"\mathrm{{{name}}}".replace("_", r"\_")
        case ast.Constant(value=int() | float() as value):
            return repr(value)
        case ast.Call(func=ast.Name(id="sqrt"), args=[one]):
            return rf"\sqrt{{{_latex(one)}}}"
        case ast.Call(func=ast.Name(id=name), args=arguments) if name in _FUNCTIONS:
            return rf"{_FUNCTIONS[name]}\left({', '.join(map(_latex, arguments))}\right)"
    raise SyntaxError(ast.unparse(node))


def _line(line: str) -> str:
    match = _LINE.match(line)
    if match is None:
        raise SyntaxError(line)
    formula, note = match.groups()
    left, equals, right = formula.partition(" = ")
    sides = [_latex(ast.parse(side, mode="eval").body) for side in ([left, right] if equals else [left])]
    text = r" &\leftarrow ".join(sides) if equals else f"& {sides[0]}"
    return text + (rf" && \text{{{note.strip('#() ')}}}".replace("_", r"\_") if note else "")


def to_latex(lines: list[str]) -> str:
    """Return the lines as one aligned formula, or "" where one is no formula of arithmetic."""
    try:
        rows = [_line(line) for line in lines if line.strip()]
    except SyntaxError:
        return ""
    return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"
