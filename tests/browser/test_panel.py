"""The panel of every widget, on a toy: by keyboard and for who hears it, and what it says while there is no answer."""

import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

from tests.browser.jupyter import ARTIFACTS

TOY = """\
from pathlib import Path
from time import sleep

from regimes_course.kit.widget import Choice, Widget

CHOICES = {
    "slope": Choice("slope of the line, a", (1, 2, 3, 4, 5), 2),
    "way": Choice("way", ("up", "down", "nowhere at all"), "up"),
}

def compute(slope, way):
    Path("calls").write_text(Path("calls").read_text() + f"{slope} ")
    while Path("hold").exists():
        sleep(0.05)
    return {"up": slope, "down": -slope}[way]

def draw(figure):
    ax = figure.subplots()
    ax.set(xlim=(0, 1), ylim=(-6, 6))
    (line,) = ax.plot([], [])

    def update(result):
        line.set_data([0, 1], [0, result])

    return [line], update

Path("calls").write_text("")
Widget(compute, draw, "The <b>slope</b> is {}.".format, CHOICES, {}, size=(5, 2.5), columns=2).show()
"""
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
LOST = "Nothing moves? Run this cell again."

pytestmark = pytest.mark.browser


@pytest.fixture
def toy(open_notebook):
    notebook = open_notebook("panel.ipynb", new_notebook(cells=[new_code_cell(TOY)], metadata=KERNEL))
    notebook.run(notebook.cells.first)
    yield notebook
    (notebook.server.folder / "hold").unlink(missing_ok=True)


@pytest.fixture
def slope(toy):
    return toy.page.get_by_role("slider", name="slope of the line, a", exact=True)


def says(toy, sentence, old=False):
    """Wait for a sentence under the sliders, of the present position or of an earlier one, with its picture's text."""
    page = toy.page
    expect(page.get_by_role("status")).to_have_text(sentence)
    expect(page.locator(".regimes-old")).to_have_count(int(old))
    expect(page.locator(".jp-OutputArea img")).to_have_attribute("alt", sentence)
    expect(page.locator(".jp-OutputArea img")).to_have_css("opacity", "0.4" if old else "1")


def press(toy, *keys):
    for key in keys:
        toy.page.keyboard.press(key)


def test_a_slider_has_a_name_and_a_value_and_obeys_the_keyboard(toy, slope):
    says(toy, "The slope is 2.")
    toy.select(toy.cells.first)
    toy.tab_to(slope)
    for key, value in {"ArrowRight": 3, "End": 5, "ArrowLeft": 4, "Home": 1, "ArrowUp": 2, "ArrowDown": 1}.items():
        before = toy.page.locator(".jp-OutputArea img").get_attribute("src")
        press(toy, key)
        says(toy, f"The slope is {value}.")
        expect(slope).to_have_attribute("aria-valuetext", str(value))
        assert toy.page.locator(".jp-OutputArea img").get_attribute("src") != before
    press(toy, "Tab", "ArrowRight")
    expect(toy.page.get_by_role("slider", name="way", exact=True)).to_be_focused()
    says(toy, "The slope is -1.")
    assert "The slope is -1." in toy.save().cells[0].outputs[1].data["text/html"]


@pytest.mark.parametrize("width", [1200, 700])
def test_nothing_is_cut_off(toy, width):
    toy.page.set_viewport_size({"width": width, "height": 700})
    for part in toy.page.locator(".regimes-slider > *, .regimes-panel").all():
        box = part.evaluate("e => [e.scrollWidth - e.clientWidth, e.getBoundingClientRect().right]")
        assert box[0] <= 1 and box[1] <= width, part.evaluate("e => e.outerHTML")
    toy.page.locator(".jp-OutputArea").screenshot(path=ARTIFACTS / f"panel_{width}.png")


def test_while_the_kernel_computes_the_panel_says_so_and_of_many_moves_the_last_wins(toy, slope):
    hold, calls, page = toy.server.folder / "hold", toy.server.folder / "calls", toy.page
    says(toy, "The slope is 2.")
    hold.touch()
    slope.focus()
    press(toy, "ArrowRight")
    says(toy, "The slope is 2.", old=True)
    expect(page.get_by_text("Computing …")).to_be_visible()
    expect(slope).to_have_attribute("aria-valuetext", "3")
    expect(page.get_by_role("alert").filter(has_text=LOST)).to_be_visible()
    press(toy, "ArrowRight", "ArrowRight", "ArrowLeft", "ArrowRight", "Home")
    expect(page.get_by_text(LOST)).to_have_count(0)  # moved again: it waits again
    hold.unlink()
    says(toy, "The slope is 1.")
    expect(page.get_by_text("Computing …")).to_be_hidden()
    assert calls.read_text().split() == ["2", "3", "1"]


def test_what_goes_wrong_is_said(toy, slope):
    way = toy.page.get_by_role("slider", name="way")
    way.focus()
    press(toy, "End")
    expect(toy.page.get_by_role("alert")).to_have_text("This position cannot be shown. KeyError: 'nowhere at all'")
    says(toy, "The slope is 2.", old=True)
    press(toy, "ArrowLeft")
    says(toy, "The slope is -2.")
    expect(toy.page.get_by_role("alert")).to_be_empty()


def test_after_a_restart_of_the_kernel_it_asks_to_run_the_cell(toy, slope):
    toy.select(toy.cells.first)
    press(toy, "0", "0")
    toy.page.get_by_role("button", name="Confirm Kernel Restart").click()
    toy.wait_for_kernel()
    slope.focus()
    press(toy, "ArrowRight")
    says(toy, "The slope is 2.", old=True)
    expect(toy.page.get_by_role("alert").filter(has_text=LOST)).to_be_visible()
    toy.run(toy.cells.first)
    slope.focus()
    press(toy, "ArrowRight")
    says(toy, "The slope is 3.")
