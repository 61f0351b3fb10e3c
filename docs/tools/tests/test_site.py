"""The built site in headless Chromium: make docs-test. Without a Chromium the tests are skipped.

SITE names the folder of the site, CHROMIUM the program. Debian's package is chromium; fonts-noto-cjk has Chinese
letters.
"""

import http.server
import os
import shutil
import threading
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import sync_playwright

SITE = Path(os.environ.get("SITE", Path(__file__).parents[3] / "build" / "site"))
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
WIDTHS = (380, 1280)
PAGES = sorted(str(page.parent.relative_to(SITE)) for page in SITE.rglob("index.html"))
#: Nothing of the browser's own looks for the network.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: install chromium, or name one by CHROMIUM")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address():
    assert PAGES, f"no site in {SITE}: run make docs"
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=SITE)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.fixture
def page(browser):
    """A page, with what its console said and which hosts it asked."""
    found = browser.new_page()
    found.said, found.hosts = [], set()
    found.on("console", lambda message: message.type in ("error", "warning") and found.said.append(message.text))
    found.on("pageerror", lambda error: found.said.append(str(error)))
    found.on("request", lambda request: found.hosts.add(urlsplit(request.url).hostname))
    yield found
    found.close()


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_whole(page, address, path):
    page.goto(address + path + "/", wait_until="networkidle")
    assert page.said == []
    assert page.hosts <= {"127.0.0.1", None}, "something is loaded from elsewhere"
    formulas, drawn = (page.locator(one).count() for one in (".arithmatex", ".arithmatex .katex"))
    assert formulas == drawn
    assert page.locator(".katex-error").count() == 0
    assert (
        page.evaluate("[...document.images].filter(one => !one.complete || !one.naturalWidth).map(one => one.src)")
        == []
    )
    assert page.evaluate("[...document.images].filter(one => !one.alt).map(one => one.src)") == []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"wider than {width} px"


def test_there_are_formulas_and_pictures(page, address):
    """Else the test above would not look at any."""
    page.goto(address + "how/specification/")
    assert page.locator(".arithmatex .katex").count() > 5
    page.goto(address + "performance/")
    assert page.locator("article img").count() >= 1


@pytest.mark.parametrize(
    ("path", "query", "result"),
    [("", "warm-up", "tasks/schedules/"), ("", "预热", "zh/tasks/schedules/"), ("zh/", "预热", "zh/tasks/schedules/")],
)
def test_the_search_finds(page, address, path, query, result):
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(address + path, wait_until="networkidle")
    page.locator("input.md-search__input").click()
    page.keyboard.type(query)
    page.keyboard.press("End")  # the page looks at what was typed when a key goes up, which Chinese text alone has not
    page.locator(".md-search-result__link").first.wait_for()
    links = page.locator(".md-search-result__link").evaluate_all("all => all.map(one => one.href)")
    assert any(link.startswith(address + result) for link in links[:5]), links


@pytest.mark.parametrize(
    ("path", "other"),
    [("tasks/schedules/", "zh/tasks/schedules/"), ("", "zh/"), ("how/specification/", "zh/how/specification/")],
)
def test_the_language_switch_keeps_the_page(page, address, path, other):
    for start, language, end in ((path, "zh", other), (other, "en", path)):
        page.goto(address + start, wait_until="networkidle")
        link = page.locator(f".md-select__link[hreflang={language}]")
        assert link.evaluate("one => one.href") == address + end
    page.goto(address + other)
    assert page.locator("html").get_attribute("lang") == "zh"


def test_tabs_of_a_framework_are_linked(page, address):
    page.goto(address + "tasks/averages/", wait_until="networkidle")
    page.locator(".tabbed-labels label", has_text="PyTorch").first.click()
    assert page.locator(".tabbed-block:visible").first.inner_text().startswith("averaged_weights()")
