"""Docstrings as the site shows them: plain-text formulas as LaTeX, links as Markdown, recipes with their settings.

Docstrings are written to be read in an editor and by `help`. mkdocstrings reads them as Markdown in Google's style,
through this extension of Griffe.
"""

import ast
import re
from typing import Any

from formulas import to_latex
from griffe import Alias, Attribute, Docstring, Extension, Object

#: A paragraph that ends with two colons, and the indented lines below it.
_BLOCK = re.compile(r"(?<=[^:\n ])::\n\n((?:(?: {4}[^\n]*)?\n)*? {4}[^\n]*)(?=\n\n?(?! {4})|\Z)")
#: A name with its address behind it.
_LINK = re.compile(r"`([^`\n]+)`\s+<(https?://[^>\s]+)>")
#: A dialogue outside of a section of examples, and a table, whose columns are as wide as their lines of equal signs.
_DIALOGUE = re.compile(r"^>>> .*\n(?:.+(?:\n|\Z))*", re.MULTILINE)
_TABLE = re.compile(r"^(=+(?: +=+)+)\n(.*)\n\1\n((?:.*\n)+?)\1$", re.MULTILINE)
#: Griffe knows the plural as a section of examples.
_HEADINGS = {"Example:": "Examples:"}


def _block(match: re.Match[str]) -> str:
    lines = match[1].splitlines()
    latex = to_latex([line[4:] for line in lines])
    return ":\n\n" + (f"$$\n{latex}\n$$" if latex else "\n".join(lines))


def _table(match: re.Match[str]) -> str:
    columns = [one.span() for one in re.finditer("=+", match[1])]
    rows = [[line[start:end].strip() for start, end in columns] for line in [match[2], *match[3].splitlines()]]
    rows.insert(1, ["---"] * len(columns))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def to_markdown(text: str) -> str:
    """Return a docstring as Markdown that mkdocstrings reads."""
    text = "\n".join(_HEADINGS.get(line, line) for line in text.splitlines())
    text = _LINK.sub(r"[\1](\2)", _BLOCK.sub(_block, text))
    return _TABLE.sub(_table, _DIALOGUE.sub(lambda found: f"```pycon\n{found[0].rstrip()}\n```\n", text))


def _recipe(value: ast.Call) -> str:
    """Return the text of a recipe, and its arguments as a table."""
    text = ast.literal_eval(value.args[0])
    settings = [f"| `{one.arg}` | `{ast.unparse(one.value)}` |" for one in value.keywords if one.arg]
    return "\n".join([text.replace("\n    ", "\n").strip(), "", "| argument | value |", "|---|---|", *settings])


class SiteDocstrings(Extension):
    """Rewrites each docstring once it is read."""

    def on_object(self, *, obj: Object | Alias, **kwargs: Any) -> None:
        """Rewrite the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = to_markdown(obj.docstring.value)

    def on_attribute_instance(self, *, node: Any, attr: Attribute, **kwargs: Any) -> None:
        """Give a recipe its text, which is an argument and no docstring to Griffe."""
        call = getattr(node, "value", None)
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Recipe":
            attr.docstring = Docstring(_recipe(call), parent=attr, parser="google")
