"""What the build adds: formulas, docstrings as Markdown, and the checks that end it."""

import sys
from pathlib import Path

import pytest
from mkdocs.exceptions import PluginError

sys.path.insert(0, str(Path(__file__).parents[1]))

import formulas
import hooks
import site_docstrings


@pytest.mark.parametrize(
    ("line", "latex"),
    [
        ("v = rho * v + (1 - rho) * g**2", r"v &\leftarrow \rho\, v + \left(1 - \rho\right)\, g^{2}"),
        ("w - lr * g / sqrt(v)", r"& w - \frac{\mathrm{lr}\, g}{\sqrt{v}}"),
        ("a = b - (c - d)    # 0 unless centered", r"a &\leftarrow b - \left(c - d\right) && \text{0 unless centered}"),
    ],
)
def test_a_formula(line, latex):
    assert formulas.to_latex([line]) == f"\\begin{{aligned}}\n{latex}\n\\end{{aligned}}"


@pytest.mark.parametrize("line", ["print('x')", "x = [1, 2]", "for x in y:", "state = optimizer.init(params)"])
def test_what_is_no_formula_stays_code(line):
    assert formulas.to_latex([line]) == ""


def test_a_docstring():
    text = "It is::\n\n    a = b * c\n\nReferences:\n    `X`\n    <https://x.org>.\n\nExample:\n    >>> 1\n    1\n"
    found = site_docstrings.to_markdown(text)
    assert "It is:\n\n$$\n" in found
    assert "[X](https://x.org)" in found
    assert "\nExamples:\n    >>> 1" in found


def test_a_page_that_is_missing_in_a_language(tmp_path):
    (tmp_path / "tasks").mkdir()
    for name in ("index.md", "index.zh.md", "tasks/a.md", "tasks/b.zh.md", "performance.md"):
        (tmp_path / name).touch()
    assert hooks.missing_pages(tmp_path) == ["tasks/a.zh.md", "tasks/b.md"]


def test_headings_get_the_anchors_of_the_english_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A page\n\n## Do it\n\n```sh\n# no heading\n```\n\n## Do it\n")
    found = hooks.with_anchors("# 页\n\n## 甲\n\n```sh\n# 注释\n```\n\n## 乙\n", page)
    assert found == "# 页 { #a-page }\n\n## 甲 { #do-it }\n\n```sh\n# 注释\n```\n\n## 乙 { #do-it_1 }\n"
    with pytest.raises(PluginError, match="other headings"):
        hooks.with_anchors("# 页\n", page)


def test_a_public_name_that_is_nowhere():
    """The names of the package, of which the pages have none."""
    missing = hooks.undocumented(set())
    assert {"rmsprop.RMSprop", "rmsprop.RMSprop.save", "rmsprop.torch.RMSprop.step", "rmsprop.recipes.A2C"} <= set(
        missing
    )
    assert hooks.undocumented(set(missing)) == []
