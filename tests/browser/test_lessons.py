"""The lessons in a real JupyterLab: they read without running, they run, and their sliders move."""

import base64
import html
import io
import re
import statistics
import time
from types import ModuleType

import nbformat
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, expect

from regimes.explore import (
    chebyshev_fit,
    degree_four,
    digit_steps,
    exact_steps,
    flow,
    four_regimes,
    gd_against_gn,
    hyperbolas,
    interpolant,
    lazy_dial,
    particles,
    phase_diagram,
    tug_of_war,
    two_points,
    width_dial,
)
from tests.browser.jupyter import ARTIFACTS, ROOT, Notebook

LESSONS = {  # the widgets of each lesson, and moves of their sliders
    "lessons/00_start_here.ipynb": {four_regimes: [("scaling", "ArrowRight"), ("width", "ArrowLeft")]},
    "lessons/01_gradient_descent_and_gauss_newton.ipynb": {
        gd_against_gn: [("kappa", "ArrowRight"), ("eta", "ArrowLeft"), ("eta", "ArrowRight"), ("damping", "ArrowRight")],
    },
    "lessons/02_mean_field_convergence.ipynb": {
        particles: [("step", "ArrowLeft"), ("width", "ArrowLeft"), ("std", "ArrowRight"), ("method", "ArrowRight")],
    },
    "lessons/03_phases_of_sgd.ipynb": {
        phase_diagram: [("delta", "ArrowLeft"), ("kappa", "ArrowRight"), ("d", "ArrowRight"), ("end", "ArrowLeft")],
    },
    "lessons/04_min_norm_bias.ipynb": {
        hyperbolas: [("u0", "ArrowRight"), ("eta", "ArrowRight")],
        interpolant: [("turn", "ArrowRight"), ("method", "ArrowRight")],
        width_dial: [("alpha", "ArrowLeft"), ("method", "ArrowLeft")],
    },
    "lessons/05_hidden_learning.ipynb": {
        flow: [("std", "ArrowRight"), ("damping", "ArrowLeft"), ("seed", "ArrowRight"), ("eta", "ArrowLeft")],
    },
    "lessons/06_lazy_regime.ipynb": {
        lazy_dial: [("alpha", "ArrowLeft"), ("width", "ArrowRight"), ("moment", "ArrowLeft"), ("alpha", "ArrowRight")],
    },
    "lessons/07_exact_gauss_newton.ipynb": {
        exact_steps: [("method", "ArrowRight"), ("step", "ArrowLeft"), ("data", "ArrowRight"), ("halves", "ArrowRight")],
    },
    "lessons/08_edge_of_stability.ipynb": {
        degree_four: [("eta", "ArrowRight"), ("number", "ArrowRight"), ("product", "ArrowLeft")],
        chebyshev_fit: [("eta", "ArrowRight"), ("degree", "ArrowLeft"), ("seed", "ArrowRight")],
    },
    "lessons/09_large_steps.ipynb": {
        two_points: [("eta", "ArrowRight"), ("gamma", "ArrowLeft")],
        tug_of_war: [("eta", "ArrowRight"), ("activation", "ArrowRight")],
        digit_steps: [("pixels", "ArrowLeft"), ("eta", "ArrowRight")],
    },
}
WIDGET = "application/vnd.jupyter.widget-view+json"
SECONDS_A_MOVE = 1.5  # median, from the key to the new picture on the screen, on a busy machine

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("path", LESSONS)
def test_a_lesson_reads_runs_and_its_sliders_move(open_notebook, path):
    notebook, stored = open_notebook(path), kinds(nbformat.read(ROOT / path, 4))
    pictures_show(notebook, sum(output.count("image/png") for output in stored))

    notebook.run_all()
    assert kinds(notebook.save()) == stored, "running the lesson shows something else than what is stored"
    expect(notebook.page.locator(".widget-hprogress:visible")).to_have_count(0, timeout=5000)  # no progress bar is left

    seconds = [t for module, moves in LESSONS[path].items() for t in move_all(notebook, module, moves)]
    print(f"\n{notebook.name}: seconds a move: {', '.join(f'{s:.2f}' for s in seconds)}")
    assert statistics.median(seconds) < SECONDS_A_MOVE
    assert kinds(notebook.save()) == stored, "moving a slider left something behind"
    assert "Traceback" not in notebook.server.log.read_text()


def move_all(notebook: Notebook, module: ModuleType, moves: list[tuple[str, str]]) -> list[float]:
    """Move the sliders of one widget; the seconds each move took."""
    name = module.__name__.rpartition(".")[2]
    cell, twin = notebook.cell(f"{name}.explorer().show()"), module.explorer()
    twin.png()  # as the notebook did: the places of the panels are those of the first picture
    notebook.select(cell)
    cell.screenshot(path=ARTIFACTS / f"{notebook.name}_{name}_before.png")
    seconds = [move(notebook, cell, twin, *step) for step in moves]
    cell.screenshot(path=ARTIFACTS / f"{notebook.name}_{name}_after.png")
    return seconds


def pictures_show(notebook: Notebook, count: int) -> None:
    """All pictures of a notebook that was opened and not run are there, and no widget is missed."""
    pictures = notebook.page.locator(".jp-OutputArea img")
    expect(pictures).to_have_count(count)
    assert pictures.evaluate_all("all => all.every(one => one.naturalWidth > 100)")
    expect(notebook.page.get_by_text("Error displaying widget")).to_have_count(0)


def move(notebook: Notebook, cell: Locator, twin, name: str, key: str) -> float:
    """Move a slider by one key, as its twin in this process; seconds until sentence and picture are those of the twin."""
    twin.sliders[name].index += 1 if key == "ArrowRight" else -1
    picture, sentence = pixels(twin.png()), plain(twin.readout.value)
    label = twin.choices[name].label
    slider = cell.locator(".widget-slider").filter(has_text=label).get_by_role("slider")
    tab_to(notebook, slider)
    before, begin = cell.locator("img").get_attribute("src"), time.perf_counter()
    notebook.page.keyboard.press(key)
    changed = "([cell, before]) => cell.querySelector('img').src !== before"
    notebook.page.wait_for_function(changed, arg=[cell.element_handle(), before])
    expect(cell.get_by_role("status")).to_have_text(sentence)
    seconds = time.perf_counter() - begin
    assert np.abs(shown(cell) - picture).mean() < 0.1, f"the picture is not that of {twin.settings()}"
    return seconds


def tab_to(notebook: Notebook, slider: Locator) -> None:
    """Reach a slider with the keyboard alone, from the cell that shows it or from another of its sliders."""
    for key in ["Tab"] * 12 + ["Shift+Tab"] * 24:
        if slider.evaluate("one => one === document.activeElement"):
            return
        notebook.page.keyboard.press(key)
    raise AssertionError("the Tab key does not reach the slider")


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
