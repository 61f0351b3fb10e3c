"""What the build of the site adds to mkdocs: KaTeX's files, checks that end the build, and notes on pages.

It ends with an error where a page that has to be in Chinese is not, and where a public name of the package is not on a
page of the reference or has no docstring.
"""

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import griffe
from markdown.extensions.toc import slugify, unique
from mkdocs.exceptions import PluginError

TOOLS = Path(__file__).parent
ROOT = TOOLS.parents[1]

#: Pages with a Chinese one beside them, as patterns of their paths in `docs/`.
TRANSLATED = ("index.md", "tasks/*.md", "frameworks/*.md", "reference/arguments.md", "troubleshooting.md")

ENGLISH_ONLY = '!!! note "本页只有英文"\n\n    导航中标有“英文”的页面和参考页还没有翻译。\n\n'

#: A heading; the first alternative takes code, in which a comment may look like one.
_HEADING = re.compile(r"^ *```.*?^ *```$|^(#{1,6}) ([^\n]+)$", re.MULTILINE | re.DOTALL)

_found: set[str] = set()


def headings(markdown: str) -> list[tuple[int, str]]:
    """List the levels and texts of headings."""
    return [(len(level), text) for level, text in _HEADING.findall(markdown) if level]


def with_anchors(chinese: str, page: Path) -> str:
    """Return a Chinese page whose headings have the anchors of the English page, so that links lead to them."""
    english, own = headings(page.read_text()), headings(chinese)
    if [level for level, _ in english] != [level for level, _ in own]:
        raise PluginError(f"{page.name} and its Chinese page have other headings: {english} and {own}")
    used: set[str] = set()
    anchors = iter([unique(slugify(re.sub(r"[`*]", "", text), "-"), used) for _, text in english])
    return _HEADING.sub(lambda found: f"{found[0]} {{ #{next(anchors)} }}" if found[1] else found[0], chinese)


def missing_pages(docs: Path) -> list[str]:
    """List pages without their Chinese one, and Chinese ones without their page."""
    english = {page for pattern in TRANSLATED for page in docs.glob(pattern) if ".zh" not in page.suffixes}
    chinese = {page.with_name(page.name.replace(".zh.md", ".md")): page for page in docs.rglob("*.zh.md")}
    missing = [page.with_suffix(".zh.md") for page in english if page not in chinese]
    missing += [page for page in chinese if not page.is_file()]
    return sorted(str(page.relative_to(docs)) for page in missing)


def on_config(config: Any) -> None:
    """Check that every page that has to be in both languages is."""
    missing = missing_pages(Path(config.docs_dir))
    if missing:
        raise PluginError(f"pages that are missing in one language: {', '.join(missing)}")
    _found.clear()
    if str(TOOLS) not in sys.path:
        sys.path.insert(0, str(TOOLS))  # where mkdocstrings finds the extension for docstrings


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Give a Chinese page's headings the anchors of the English one; say of an English page there that it is one."""
    file = page.file
    if file.src_uri.startswith("tasks/"):
        page.meta["search"] = {"boost": 2}  # before the reference, which has the same words
    if getattr(file, "locale_alternate_of", "en") != "zh":
        return markdown
    if file.localization == "zh":
        return with_anchors(markdown, Path(file.abs_src_path.replace(".zh.md", ".md")))
    page.meta["search"] = {"exclude": True}  # the English page is found
    # below the heading of the page, where it has one of its own
    start = re.match(r"# .*\n\n", markdown)
    place = start.end() if start else 0
    return markdown[:place] + ENGLISH_ONLY + markdown[place:]


def on_page_context(context: Any, page: Any, config: Any, **_: Any) -> Any:
    """Let the language switch of the home page work below any address."""
    for one in config.extra.get("alternate", []):
        if page.is_homepage or page.url in ("", "zh/"):
            one["link"] = "." if one["lang"] == "en" else f"{one['lang']}/"
    return context


def on_post_page(output: str, **_: Any) -> str:
    """Remember which names stand on a page; let no script look for a site map below the page in another language."""
    _found.update(re.findall(r'id="(rmsprop[\w.]*)"', output))
    return re.sub(r'<link rel="alternate"[^>]* hreflang=[^>]*>\s*', "", output)


def _members(one: Any) -> Any:
    """Go through the public members of a class, inherited ones of this package too."""
    for name, member in one.all_members.items():
        if name[0] != "_" and (member.is_function or "property" in member.labels):
            yield member


def undocumented(found: set[str]) -> list[str]:
    """List public names that no page has, or that have no docstring."""
    package = griffe.load("rmsprop", search_paths=[ROOT / "src"], extensions=griffe.load_extensions("site_docstrings"))
    modules = [one for name, one in package.modules.items() if name[0] != "_" and name not in ("cli", "engines")]
    missing, seen = [], set()
    for module in [package, *modules]:
        for name in module.exports or [name for name, one in module.members.items() if _is_own(name, one)]:
            one = module.members.get(str(name))
            if one is None or one.is_module or str(name)[0] == "_" or one.canonical_path in seen:
                continue
            seen.add(one.canonical_path)
            path = f"{module.path}.{name}"
            names = [(path, one)]
            if one.is_class:
                names += [(f"{path}.{member.name}", member) for member in _members(one)]
            missing += [path for path, one in names if path not in found or not one.has_docstring]
    return missing


def _is_own(name: str, one: Any) -> bool:
    return name[0] != "_" and not one.is_alias and (one.is_class or one.is_function)


def on_post_build(config: Any) -> None:
    """Copy KaTeX, and check the reference."""
    katex = Path(os.environ.get("KATEX", ROOT / ".venv" / "katex")) / "node_modules" / "katex" / "dist"
    if not katex.is_dir():
        raise PluginError(f"KaTeX is not in {katex}: run make docs, which installs it")
    target = Path(config.site_dir) / "assets" / "katex"
    (target / "fonts").mkdir(parents=True, exist_ok=True)
    for file in [katex / "katex.min.js", katex / "katex.min.css"]:
        shutil.copy(file, target)
    for file in (katex / "fonts").glob("*.woff2"):
        shutil.copy(file, target / "fonts")
    missing = undocumented(_found)
    if missing:
        raise PluginError(f"public names without a docstring or not in the reference: {', '.join(missing)}")
