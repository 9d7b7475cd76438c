"""The book itself: links, words for pictures, and what a reader meets in a browser. `python3 course.py test site`."""

import functools
import os
import re
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import browser  # noqa: F401 (a fixture)
from tests.browser.jupyter import ARTIFACTS
from tests.site.book import Page

ROOT = Path(__file__).resolve().parents[2]
STOCK = re.compile(r"^(image|picture|figure|no description.*|.*\.(png|webp|gif|svg))$", re.IGNORECASE)
LESSON = "lessons/01_gradient_descent_and_gauss_newton.html"
OF_EACH_KIND = ("index.html", LESSON, LESSON.replace("lessons", "exercises"), "api/regimes.kernels.html", "docs/CLAIMS.html")
WIDE = "lessons/deeper/07_exact_gauss_newton.html"  # a formula that is wider than the page's text

pytestmark = pytest.mark.site


@pytest.fixture(scope="session")
def book(tmp_path_factory) -> Path:
    """The folder of a book: the one in the variable REGIMES_BOOK, or one built here, with few positions a widget."""
    if built := os.environ.get("REGIMES_BOOK"):
        return ROOT / built
    pytest.importorskip("sphinx", reason="needs pip install -e '.[site]'")
    from tools.site.build import build

    folder = tmp_path_factory.mktemp("book")
    build(folder / "book", quick=True, work=folder)
    return folder / "book"


@pytest.fixture(scope="session")
def pages(book) -> dict[Path, Page]:
    return {path: Page(path) for path in sorted(book.rglob("*.html")) if "_static" not in path.parts}


@pytest.fixture(scope="session")
def address(book) -> Iterator[str]:
    """A server of the book on this machine."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=book)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def page(browser: Browser, address: str):  # noqa: F811
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.asked, page.troubles = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("pageerror", lambda error: page.troubles.append(str(error)))
    page.on("console", lambda said: page.troubles.append(said.text) if said.type == "error" else None)
    page.see = lambda where: (page.goto(address + where), page.wait_for_load_state("networkidle"))
    yield page
    assert not page.troubles
    context.close()


# ---- the files


def test_every_notebook_and_page_is_there(pages, book):
    built = {path.relative_to(book).with_suffix("").as_posix() for path in pages}
    for folder in ("lessons", "lessons/deeper", "exercises"):
        assert {f"{folder}/{path.stem}" for path in (ROOT / folder).glob("*.ipynb")} <= built
    assert {"index", "run", "docs/CLAIMS", "docs/NOTATION", "docs/INSTRUCTORS", "api/index", "api/regimes.kernels"} <= built


def test_every_link_and_anchor_leads_somewhere(pages):
    lost, count = [], 0
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or link == "#":
                continue
            count += 1
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            known = pages[there].anchors if there in pages else set()
            if not there.is_file() or (parts.fragment and there in pages and unquote(parts.fragment) not in known):
                lost.append(f"{path.name}: {link}")
    assert not lost and count > 3000


def test_no_page_loads_anything_from_elsewhere(pages):
    loaded = {(path.name, link) for path, page in pages.items() for link in page.loads}
    assert not [(name, link) for name, link in loaded if re.match(r"(https?:)?//", link)]


def test_every_picture_has_words_of_its_own(pages):
    bad = [(path.name, alt) for path, page in pages.items() for alt in page.alts if not alt or STOCK.match(alt.strip())]
    assert not bad and sum(len(page.alts) for page in pages.values()) > 150


def test_no_formula_and_no_table_is_left_as_it_was_typed(pages):
    typed = re.compile(r".{30}(?:\$|\|\s*(?:—|-{3,})\s*\||\]\([\w./]+\)).{30}", re.DOTALL)
    assert not {path.name: typed.findall(page.text)[:3] for path, page in pages.items() if typed.search(page.text)}


def test_headings_are_in_order(pages):
    for path, page in pages.items():
        if page.headings:
            jumps = [b - a for a, b in pairwise(page.headings) if b - a > 1]
            assert page.headings.count(1) == 1 and page.headings[0] == 1 and not jumps, (path.name, page.headings)


def test_no_page_shows_a_solution_or_what_students_get_wrong(pages):
    solved = [nbformat.read(path, 4) for path in (ROOT / "solutions").glob("*.ipynb")]
    answers = {cell.source for node in solved for cell in node.cells if "solution" in cell.metadata.get("tags", [])}
    mistakes = re.findall(r"(?m)^- \*[^*]+\*: (.{40,})$", (ROOT / "docs/MISTAKES.md").read_text("utf-8"))
    assert len(answers) > 20 and len(mistakes) > 200
    for path in pages:
        text = path.read_text("utf-8")
        assert "BEGIN SOLUTION" not in text, path.name
        assert not [line for line in mistakes if line[:40] in text], path.name
        assert not [answer for answer in answers if answer[:60] in text], path.name


def test_the_book_is_small_enough_for_a_phone(book):
    sizes = {path: path.stat().st_size for path in book.rglob("*") if path.is_file()}
    assert sum(sizes.values()) < 40e6
    for folder in (book / "_static/explorers").iterdir():
        assert sum(size for path, size in sizes.items() if folder in path.parents) < 1.5e6, folder.name


# ---- in a browser


def test_formulas_are_set(page):
    page.see(LESSON)
    expect(page.locator("mjx-container").nth(20)).to_be_attached()
    assert page.locator("mjx-merror").count() == 0


def test_a_slider_moves_picture_and_sentence_by_keyboard(page):
    page.see(LESSON)
    box = page.locator(".explorer")
    slider = box.get_by_role("slider", name="step of Gauss-Newton, η", exact=True)
    picture, sentence = box.get_by_role("img"), box.get_by_role("status")
    slider.focus()
    for key in ("End", "Home", "End"):
        before, said = picture.get_attribute("src"), sentence.text_content()
        page.keyboard.press(key)
        expect(picture).not_to_have_attribute("src", before)
        expect(sentence).not_to_have_text(said)
        expect(picture).to_have_attribute("alt", sentence.text_content())
        assert picture.evaluate("image => image.parentElement.href === image.src")
    expect(slider).to_have_attribute("aria-valuetext", "2.2")
    assert picture.evaluate("image => image.complete && image.naturalWidth > 0")
    expect(box.get_by_role("alert")).to_have_count(0)


def test_a_picture_that_does_not_load_is_said(page):
    page.see(LESSON)
    page.route("**/*.webp", lambda route: route.abort())
    page.locator(".explorer").get_by_role("slider").first.focus()
    page.keyboard.press("Home")
    expect(page.locator(".explorer").get_by_role("alert")).to_have_text("This picture did not load.")
    page.troubles.clear()  # Chromium reports what was aborted


def test_a_slider_is_under_a_finger(browser, address):  # noqa: F811
    context = browser.new_context(viewport={"width": 375, "height": 800}, has_touch=True)
    page = context.new_page()
    page.goto(address + LESSON)
    slider = page.locator(".explorer").get_by_role("slider").first
    slider.scroll_into_view_if_needed()
    before, shape = slider.input_value(), slider.bounding_box()
    assert shape["height"] >= 24 and shape["x"] >= 0 and shape["x"] + shape["width"] <= 375
    page.touchscreen.tap(shape["x"] + 6, shape["y"] + shape["height"] / 2)
    expect(slider).not_to_have_value(before)
    context.close()


def test_a_picture_leads_to_itself_alone_with_its_words_as_the_name_of_the_link(page):
    page.set_viewport_size({"width": 375, "height": 800})
    page.see(LESSON)
    picture = page.locator(".cell_output img").first
    link = page.get_by_role("link", name=picture.get_attribute("alt"), exact=True)
    expect(link).to_have_accessible_description("Enlarge")
    link.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/*.png")
    assert page.evaluate("document.images[0].naturalWidth") > 600
    page.go_back()
    expect(picture).to_be_visible()
    page.troubles.clear()  # a page of its own has an icon, which Chromium asks for


def test_a_film_waits_plays_pauses_and_ends_on_its_picture(page):
    page.see("lessons/00_start_here.html")
    film = page.locator(".film").first
    picture, still = film.get_by_role("img"), film.get_by_role("img").get_attribute("src")
    page.wait_for_timeout(500)
    expect(picture).to_have_attribute("src", still)  # nothing moves before it is asked to
    film.get_by_role("button", name="See it move").click()
    expect(picture).not_to_have_attribute("src", still)
    film.get_by_role("button", name="Pause").click()
    held = picture.get_attribute("src")
    page.wait_for_timeout(500)
    expect(picture).to_have_attribute("src", held)
    film.get_by_role("button", name="Go on").click()
    expect(film.get_by_role("button", name="See it again")).to_be_visible(timeout=30_000)
    expect(picture).to_have_attribute("src", still)


def test_a_dark_page_is_printed_light_and_without_what_paper_cannot_move(page):
    page.emulate_media(color_scheme="dark")
    page.see(LESSON)
    for event, theme in (("beforeprint", "light"), ("afterprint", "dark")):
        page.evaluate(f"dispatchEvent(new Event('{event}'))")
        expect(page.locator("html")).to_have_attribute("data-theme", theme)
    page.emulate_media(media="print")
    expect(page.locator(".explorer .regimes-sliders")).to_be_hidden()
    expect(page.locator(".explorer img")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 768, 1280])
def test_pictures_of_pages_to_look_at(page, theme, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=theme)
    for where in ("index.html", LESSON):
        page.see(where)
        expect(page.locator("html")).to_have_attribute("data-theme", theme)
        page.screenshot(path=ARTIFACTS / f"book_{Path(where).stem[:5]}_{width}_{theme}.png")


def unfold(page):
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    page.evaluate("document.getAnimations().forEach(one => one.finish())")  # what is unfolded fades in


def serious(page) -> dict[str, list[str]]:
    from axe_playwright_python.sync_playwright import Axe

    # Without preload: else axe itself asks for stylesheets, where there are none.
    found = Axe().run(page, options={"preload": False}).response["violations"]
    worst = [one for one in found if one["impact"] in ("serious", "critical")]
    return {one["id"]: [node["html"][:200] for node in one["nodes"][:3]] for one in worst}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("where", (*OF_EACH_KIND, WIDE))
def test_axe_finds_nothing_serious_in_light_and_dark_code_and_formulas(page, where, theme):
    page.emulate_media(color_scheme=theme)
    page.see(where)
    unfold(page)
    assert not serious(page)


def test_every_page_fits_its_window_asks_no_other_host_and_has_nothing_that_axe_finds_serious(page, pages, book, address):
    """The thousands of parts of formulas and code, for which axe takes minutes, are looked at in the test above."""
    wrong = {}
    written = (path.relative_to(book) for path in pages)
    for where in (path.as_posix() for path in written if path.parts[0] != "_modules"):  # as Sphinx lists the library
        page.goto(address + where)
        page.evaluate("window.MathJax?.startup?.promise")
        unfold(page)
        for width, percent in ((375, 100), (768, 100), (1280, 200), (768, 200), (1280, 100)):
            page.set_viewport_size({"width": width, "height": 900})
            page.evaluate(f"document.documentElement.style.fontSize = '{percent}%'")
            if (wide := page.evaluate("document.documentElement.scrollWidth")) > width:
                wrong[where, width, percent] = wide
        page.wait_for_timeout(400)  # the theme makes what scrolls reachable by keyboard 0.3 s after a window has changed
        page.evaluate("document.querySelectorAll('mjx-container').forEach(one => one.remove())")
        page.evaluate("document.querySelectorAll('pre').forEach(one => { one.textContent = one.textContent })")
        wrong[where] = serious(page)
    assert not {where: found for where, found in wrong.items() if found}
    assert page.asked and not [url for url in page.asked if not url.startswith((address, "data:", "blob:"))]
