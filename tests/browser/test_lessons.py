"""The lessons in a real JupyterLab: they read without running, they run, and their sliders move."""

import base64
import html
import io
import re

import nbformat
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, expect

from regimes_course.kit.widget import Explorer, Widget
from regimes_course.lesson00.widgets import four_regimes
from regimes_course.lesson01.widgets import two_outputs
from regimes_course.lesson02.widgets import particles
from regimes_course.lesson03.widgets import phase_diagram, two_rests
from regimes_course.lesson04.widgets import hyperbolas, line_of_fits, width_dial
from regimes_course.lesson05.widgets import flow
from regimes_course.lesson06.widgets import bends, lazy_dial
from regimes_course.lesson07.widgets import exact_steps, same_curve
from regimes_course.lesson08.widgets import chebyshev_fit, degree_four, edge
from regimes_course.lesson09.widgets import digit_steps, tug_of_war, two_points
from tests.browser.jupyter import ARTIFACTS, ROOT, Notebook
from tests.lessons.moves import NAMES

LESSONS = {  # the widgets of each lesson, and moves of their sliders
    "lessons/00_start_here.ipynb": {four_regimes: [("scaling", "ArrowRight"), ("width", "ArrowLeft")]},
    "lessons/01_gradient_descent_and_gauss_newton.ipynb": {
        two_outputs: [("distance", "ArrowLeft"), ("eta", "ArrowRight"), ("damping", "ArrowRight"), ("trained", "ArrowRight")],
    },
    "lessons/02_mean_field_convergence.ipynb": {
        particles: [("step", "ArrowLeft"), ("width", "ArrowLeft"), ("std", "ArrowRight"), ("method", "ArrowRight")],
    },
    "lessons/03_phases_of_sgd.ipynb": {
        two_rests: [("eta", "ArrowRight"), ("noise", "ArrowLeft"), ("cut", "ArrowRight"), ("by", "ArrowLeft")],
    },
    "lessons/deeper/03_phases_of_sgd.ipynb": {
        phase_diagram: [("delta", "ArrowLeft"), ("kappa", "ArrowRight"), ("d", "ArrowRight"), ("end", "ArrowLeft")],
    },
    "lessons/04_min_norm_bias.ipynb": {
        line_of_fits: [("alpha", "ArrowRight"), ("width", "ArrowRight"), ("kind", "ArrowRight"), ("method", "ArrowRight")],
    },
    "lessons/deeper/04_min_norm_bias.ipynb": {
        hyperbolas: [("u0", "ArrowRight"), ("eta", "ArrowRight")],
        width_dial: [("alpha", "ArrowLeft"), ("method", "ArrowLeft")],
    },
    "lessons/05_hidden_learning.ipynb": {
        flow: [("std", "ArrowRight"), ("damping", "ArrowLeft"), ("seed", "ArrowRight"), ("eta", "ArrowLeft")],
    },
    "lessons/06_lazy_regime.ipynb": {
        bends: [("alpha", "ArrowRight"), ("m", "ArrowLeft"), ("moment", "ArrowLeft"), ("seed", "ArrowRight")],
    },
    "lessons/deeper/06_lazy_regime.ipynb": {
        lazy_dial: [("alpha", "ArrowLeft"), ("width", "ArrowRight"), ("moment", "ArrowLeft"), ("alpha", "ArrowRight")],
    },
    "lessons/07_exact_gauss_newton.ipynb": {
        same_curve: [("rule", "ArrowRight"), ("halves", "ArrowRight"), ("damping", "ArrowRight"), ("seed", "ArrowRight")],
    },
    "lessons/deeper/07_exact_gauss_newton.ipynb": {
        exact_steps: [("method", "ArrowRight"), ("step", "ArrowLeft"), ("data", "ArrowRight"), ("halves", "ArrowRight")],
    },
    "lessons/08_edge_of_stability.ipynb": {
        edge: [("eta", "ArrowRight"), ("shift", "ArrowLeft"), ("push", "ArrowRight"), ("seed", "ArrowRight")],
    },
    "lessons/deeper/08_edge_of_stability.ipynb": {
        degree_four: [("eta", "ArrowRight"), ("number", "ArrowRight"), ("product", "ArrowLeft")],
        chebyshev_fit: [("eta", "ArrowRight"), ("degree", "ArrowLeft"), ("seed", "ArrowRight")],
    },
    "lessons/09_large_steps.ipynb": {
        two_points: [("eta", "ArrowRight"), ("gamma", "ArrowLeft")],
    },
    "lessons/deeper/09_large_steps.ipynb": {
        tug_of_war: [("eta", "ArrowRight"), ("activation", "ArrowRight")],
        digit_steps: [("pixels", "ArrowLeft"), ("eta", "ArrowRight")],
    },
}
WIDGET = "application/vnd.jupyter.widget-view+json"

pytestmark = pytest.mark.browser


WHOLE = ("lessons/00_start_here.ipynb", "lessons/07_exact_gauss_newton.ipynb")  # with a film; with progress bars


@pytest.mark.parametrize("path", LESSONS)
def test_a_lesson_reads_runs_and_its_sliders_move(open_notebook, path):
    reads_runs_and_moves(open_notebook, path, whole=path in WHOLE)


@pytest.mark.long
@pytest.mark.parametrize("path", [path for path in LESSONS if path not in WHOLE])
def test_every_lesson_runs_whole(open_notebook, path):
    reads_runs_and_moves(open_notebook, path, whole=True)


def reads_runs_and_moves(open_notebook, path: str, whole: bool) -> None:
    """Open a notebook, run it or only what its sliders need (other stages run the rest, without a browser), and move them."""
    notebook, built = open_notebook(path), nbformat.read(ROOT / path, 4)
    stored = kinds(built)
    pictures_show(notebook, sum(output.count("image/png") for output in stored))
    formulas_show(notebook, [cell.source for cell in built.cells if cell.cell_type == "markdown"])

    if not whole:
        built.cells = [cell for cell in built.cells if plays(cell)]
        notebook, stored = open_notebook(path, built), kinds(built)
    notebook.run_all()
    saved = notebook.save()
    assert kinds(saved) == stored, "running the lesson shows something else than what is stored"
    assert not widgets_elsewhere(saved), "would be an error for whoever opens the saved notebook next"

    for widget, moves in LESSONS[path].items():
        move_all(notebook, widget, moves)
    assert kinds(notebook.save()) == stored, "moving a slider left something behind"
    assert "Traceback" not in notebook.log()


def test_a_stored_film_waits_plays_pauses_and_plays_again_by_keyboard(open_notebook):
    """In a notebook that is not trusted and was not run; to play is asked for, so nothing moves for whom motion disturbs."""
    notebook = open_notebook("lessons/04_min_norm_bias.ipynb")
    film, fold = notebook.page.locator(".jp-OutputArea video"), notebook.page.locator(".jp-OutputArea summary")
    expect(film).to_be_hidden()
    fold.click()
    notebook.page.wait_for_timeout(500)
    assert film.evaluate("film => film.paused && film.currentTime === 0 && film.readyState > 1")
    notebook.page.keyboard.press("Tab")
    for plays in (True, False, True):
        notebook.page.keyboard.press("Space")
        notebook.page.wait_for_timeout(500)
        assert film.evaluate("film => !film.paused") is plays
    film.evaluate("film => film.ended || new Promise(done => film.onended = done)")
    notebook.page.keyboard.press("Space")
    notebook.page.wait_for_timeout(500)
    assert 0 < film.evaluate("film => film.currentTime") < 2


def plays(cell: nbformat.NotebookNode) -> bool:
    """Whether the widgets need this cell."""
    return bool({"setup", "widget"} & set(cell.metadata.get("tags", []))) or ".widgets import" in cell.source


def widgets_elsewhere(notebook: nbformat.NotebookNode) -> list[str]:
    """The code cells that left a widget behind, such as a progress bar, and are not there to show one."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and "widget" not in cell.metadata.get("tags", [])]
    return [cell.source for cell in cells if any(WIDGET in output.get("data", {}) for output in cell.outputs)]


def move_all(notebook: Notebook, widget: Widget, moves: list[tuple[str, str]]) -> None:
    """Move the sliders of one widget."""
    name = NAMES[widget]
    cell, twin = notebook.cell(f"{name}.show()"), Explorer(widget)
    twin.png()  # as the notebook did: the places of the panels are those of the first picture
    notebook.select(cell)
    cell.screenshot(path=ARTIFACTS / f"{notebook.name}_{name}_before.png")
    for step in moves:
        move(notebook, cell, twin, *step)
    cell.screenshot(path=ARTIFACTS / f"{notebook.name}_{name}_after.png")


def pictures_show(notebook: Notebook, count: int) -> None:
    """All pictures of a notebook that was opened and not run are there, in words as well, and no widget is missed."""
    pictures = notebook.page.locator(".jp-OutputArea img")
    expect(pictures).to_have_count(count)
    assert pictures.evaluate_all("all => all.every(one => one.naturalWidth > 100 && one.alt.split(' ').length > 4)")
    expect(notebook.page.get_by_text("Error displaying widget")).to_have_count(0)


def formulas_show(notebook: Notebook, texts: list[str]) -> None:
    """Every formula of the texts has been set, and none as an error."""
    source = re.sub(r"`[^`]*`", "", "\n".join(texts))
    formulas = re.findall(r"\$\$.+?\$\$|\$[^$]+?\$", source, re.S)
    expect(notebook.page.locator(".jp-MarkdownOutput mjx-container")).to_have_count(len(formulas))
    expect(notebook.page.locator("mjx-merror, [data-mjx-error]")).to_have_count(0)


def move(notebook: Notebook, cell: Locator, twin, name: str, key: str) -> None:
    """Move a slider by one key, as its twin in this process; wait until sentence and picture are those of the twin."""
    twin.sliders[name].index += 1 if key == "ArrowRight" else -1
    picture, sentence = pixels(twin.png()), plain(twin.sentence)
    notebook.tab_to(cell.get_by_role("slider", name=twin.sliders[name].choice.label, exact=True))
    notebook.page.keyboard.press(key)
    expect(cell.get_by_role("status")).to_have_text(sentence)
    expect(cell.locator(".regimes-old")).to_have_count(0)
    expect(cell.locator("img")).to_have_attribute("alt", sentence)
    assert np.abs(shown(cell) - picture).mean() < 0.1, f"the picture is not that of {twin.settings()}"


def kinds(notebook: nbformat.NotebookNode) -> list[list[str]]:
    """For each code cell what it shows: kinds of data, names of streams and errors. Widgets are not stored, so not counted."""

    def kind(output) -> set[str]:
        return set(output.get("data", [output.get("name", output.get("ename"))])) - {WIDGET, "text/plain"}

    return [sorted(k for output in cell.outputs for k in kind(output)) for cell in notebook.cells if cell.cell_type == "code"]


def shown(cell: Locator) -> np.ndarray:
    """The pixels of the picture in a cell."""
    return pixels(base64.b64decode(cell.locator("img").get_attribute("src").split(",")[1]))


def pixels(png: bytes) -> np.ndarray:
    """Grey levels from 0 to 255."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("L"), dtype=float)


def plain(text: str) -> str:
    """HTML without its marks."""
    return html.unescape(re.sub(r"<[^>]+>", "", text))
