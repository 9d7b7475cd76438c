"""What a page shows of a widget: which positions, their pictures, and the widget's own sentences."""

import io
import json
import re
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

from regimes_course.kit.output import picture
from regimes_course.kit.webm import pack
from regimes_course.kit.widget import Explorer
from tests.lessons.moves import NAMES, WIDGETS, start
from tools.site import explorers, grid, pictures
from tools.site.frames import Frames, all_frames, digest, render
from tools.site.pages import Book, widgets_in

KNOWN = {name: widget for widget, name in NAMES.items()}
QUICK = ("two_points", "hyperbolas", "exact_steps")  # of one slider held and of none, and quick to compute
every_widget = pytest.mark.parametrize("widget", WIDGETS, ids=NAMES.get)


@pytest.fixture(scope="module")
def frames(tmp_path_factory) -> dict[str, Frames]:
    wanted = {name: grid.thinned(grid.kept(name, KNOWN[name]), KNOWN[name]) for name in QUICK}
    return all_frames(wanted, tmp_path_factory.mktemp("frames"), jobs=1)


@every_widget
def test_the_book_keeps_positions_that_the_sliders_have_with_the_start_and_the_filmstrip(widget):
    values = grid.kept(NAMES[widget], widget)
    assert list(values) == list(widget.choices) and grid.count(values) <= grid.LIMIT
    for name, offered in values.items():
        all_of_them = widget.choices[name].values
        assert list(offered) == [value for value in all_of_them if value in offered] and offered, name
    assert start(widget) in list(grid.positions(values))
    for name, value in ((name, settings[name]) for settings in widget.frames.values() for name in grid.moving(values)):
        assert value in values[name], name


def test_every_widget_of_a_lesson_is_on_a_page():
    assert set(widgets_in(Book.of())) == set(KNOWN)


def test_a_widget_with_too_many_positions_says_so(monkeypatch):
    monkeypatch.setattr(grid, "KEPT", {})
    with pytest.raises(ValueError, match="hyperbolas has 39930 positions; the book shows 128"):
        grid.kept("hyperbolas", KNOWN["hyperbolas"])


def test_sentences_and_pictures_are_those_of_the_notebook(frames):
    for one in frames.values():
        places = list(grid.positions(one.values))
        assert len(one.sentences) == len(places) == len(list(one.folder.glob("*.webp")))
        explorer = Explorer(one.widget)
        for index, settings in enumerate(places):
            assert one.sentences[index] == one.widget.sentence(one.widget.compute(**settings)), settings
            for name, value in settings.items():
                explorer.sliders[name].value = value
        last = Image.open(io.BytesIO(explorer.png())).convert("RGB")
        kept = Image.open(one.folder / f"{len(places) - 1}.webp").convert("RGB")
        assert kept.size == last.size
        off = [abs(a - b) for a, b in zip(kept.tobytes(), last.tobytes(), strict=True)]
        assert sum(off) / len(off) < 1  # of 255: few colours, no other picture


def test_frames_are_made_once(frames, monkeypatch):
    monkeypatch.setattr("tools.site.frames._make", lambda tasks, jobs: pytest.fail(f"made again: {tasks}") if tasks else None)
    wanted = {name: one.values for name, one in frames.items()}
    again = all_frames(wanted, next(iter(frames.values())).folder.parent, jobs=1)
    assert {name: one.sentences for name, one in again.items()} == {name: one.sentences for name, one in frames.items()}


def test_other_values_or_sources_make_other_frames(monkeypatch, tmp_path):
    widget, values = KNOWN["two_points"], {"gamma": (0.05,), "eta": (32,)}
    first = digest("two_points", widget, values)
    assert digest("two_points", widget, values) == first != digest("two_points", widget, values | {"eta": (32, 48)})
    monkeypatch.setattr("tools.site.frames.LIB", tmp_path)
    assert digest("two_points", widget, values) != first


def test_a_position_stands_where_the_script_looks_for_it(frames):
    """`place` in explorer.js: the last slider counts fastest, those held are not there."""
    for one in frames.values():
        data = explorers.contents(one, "")
        for index, settings in enumerate(grid.positions(one.values)):
            place = 0
            for choice in data["choices"]:
                place = place * len(choice["words"]) + one.values[choice["name"]].index(settings[choice["name"]])
            assert place == index


def test_an_explorer_can_be_read_without_scripts_and_without_sight(frames):
    one = frames["exact_steps"]
    html = explorers.markup(one, "../_static/explorers/")
    data = json.loads(re.search(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)[1])
    sentence = one.widget.sentence(one.widget.compute(**start(one.widget)))
    assert [choice["label"] for choice in data["choices"]] == ["method", "step", "batch size", "training data"]
    assert data["choices"][0]["words"] == list(map(one.widget.choices["method"].shown, one.values["method"]))
    assert f"<noscript><p>{sentence}</p></noscript>" in html and 'loading="lazy"' in html
    alt, number = re.search(r'<img alt="([^"]+)" src="../_static/explorers/exact_steps/(\d+).webp"', html).groups()
    assert sentence.startswith(alt[:20]) and list(grid.positions(one.values))[int(number)] == start(one.widget)
    assert "16 of the 324 positions" in html and "Held here: halves: top and bottom." in html


@pytest.mark.parametrize(
    ("code", "name"),
    [("from a import edge\n\nedge.show()", "edge"), ("show(edge)", None), ("edge.show(1)", None), ("edge = 1", None)],
)
def test_which_widget_a_cell_shows(code, name):
    assert explorers.shown(code) == name


def test_the_script_is_short_and_shares_the_panel_with_the_notebooks():
    assert len(explorers.SCRIPT.read_text("utf-8").splitlines()) <= 150
    panel = Path(explorers.panel.__file__).with_name("panel.js").read_text("utf-8")
    assert panel.replace(explorers.EXPORT, "").strip() in explorers.script() and "export" not in explorers.script()


def test_pictures_become_files_with_their_words_and_films_can_be_stopped(tmp_path):
    still = io.BytesIO()
    images = [Image.new("RGB", (40, 20), colour) for colour in ("white", "red", "blue")]
    images[0].save(still, "PNG")
    film = pack(images, 0.36)
    bundle = picture(still.getvalue(), "Two <b>words</b>.", film)
    output = new_output("display_data", bundle | {"image/png": "..."})
    node = new_notebook(cells=[new_code_cell("show()", outputs=[output])])
    pictures.settle(node, "lessons/00", tmp_path, "../")
    data = node.cells[0].outputs[0].data
    html = data["text/html"]
    assert "base64" not in html and "image/png" not in data
    assert '<img alt="Two words." src="../_static/pictures/lessons/00/0-0.png" width="40" height="20" loading="lazy">' in html
    assert 'data-count="3" data-delay="120"' in html and "<noscript><details>" in html
    assert '<video controls src="../_static/pictures/lessons/00/0-0.webm"' in html
    folder = tmp_path / "pictures/lessons/00"
    assert (folder / "0-0.png").read_bytes() == still.getvalue()
    assert (folder / "0-0.webm").read_bytes() == film and len(list((folder / "0-0").glob("*.webp"))) == 3


def test_render_gives_a_picture_for_each_position():
    (picture, sentence), _ = render("two_points", [{"gamma": 0.05, "eta": 14}, {"gamma": 0.05, "eta": 512}])
    assert Image.open(io.BytesIO(picture)).format == "WEBP" and re.search(r"\d", sentence)
