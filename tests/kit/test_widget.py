"""The widget's machinery on a toy: sliders, sentence and picture follow each other, with and without a kernel."""

import io
from dataclasses import replace

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from PIL import Image

from regimes_course.kit import widget as live
from regimes_course.kit.output import picture
from regimes_course.kit.widget import Choice, Explorer, Widget

CHOICES = {
    "slope": Choice("slope, a", (1, 2, 3), 2),
    "sign": Choice("sign", (1.0, -1.0), 1.0, {1.0: "up", -1.0: "down"}.get),
}


def compute(slope, sign):
    return slope * sign


def draw(figure):
    ax = figure.subplots()
    ax.set(xlim=(0, 1), ylim=(-3, 3))
    (line,) = ax.plot([], [], color="red", linewidth=4)

    def update(result):
        line.set_data([0, 1], [0, result])

    return [line], update


TOY = Widget(compute, draw, "The <b>slope</b> is {:g}.".format, CHOICES, {}, size=(3, 2))


@pytest.fixture
def explorer():
    return Explorer(TOY)


@pytest.fixture
def shown(monkeypatch):
    """What is displayed, and what is sent to the display handle afterwards."""
    sent = []

    class Handle:
        display_id = "picture 1"

        def update(self, bundle, raw):
            sent.append((bundle, {"raw": raw, "update": True}))

    def display(thing, **options):
        sent.append((thing, options))
        return Handle() if options.get("display_id") else None

    monkeypatch.setattr(live, "display", display)
    return sent


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=int)


def test_a_choice_rejects_a_start_that_is_not_offered():
    with pytest.raises(ValueError, match=r"slider 'width, m' cannot start at 50: it offers \(10, 100\)"):
        Choice("width, m", (10, 100), 50)


def test_the_panel_has_labels_and_values_in_words(explorer):
    panel = explorer.panel
    assert panel.choices == [
        {"name": "slope", "label": "slope, a", "words": ["1", "2", "3"]},
        {"name": "sign", "label": "sign", "words": ["up", "down"]},
    ]
    assert panel.ask == {"number": 0, "at": {"slope": 1, "sign": 0}} and panel.columns == 1
    assert Explorer(replace(TOY, columns=2)).panel.columns == 2
    assert repr(panel) == "Sliders: slope, a, sign"  # it is stored in notebooks: no address of an object


def test_a_slider_moves_by_value_or_by_place_and_refuses_what_it_does_not_offer(explorer):
    slope = explorer.sliders["slope"]
    slope.value = 3
    assert (slope.value, slope.index) == (3, 2)
    slope.index -= 2
    assert (slope.value, slope.index) == (1, 0)
    with pytest.raises(ValueError, match=r"slider 'slope, a' offers \(1, 2, 3\); got 4"):
        slope.value = 4
    for index in (-1, 3):
        with pytest.raises(IndexError, match=f"slider 'slope, a' has places 0 to 2; got {index}"):
            slope.index = index
    assert explorer.settings() == {"slope": 1, "sign": 1.0}


def test_moving_a_slider_changes_picture_and_sentence(explorer):
    before = explorer.png()
    assert explorer.sentence == "The <b>slope</b> is 2."
    explorer.sliders["slope"].value = 3
    assert explorer.sentence == "The <b>slope</b> is 3."  # without asking for a picture
    after = explorer.png()
    assert before != after and pixels(before).shape == pixels(after).shape == (200, 300, 3)
    explorer.sliders["sign"].value = -1.0
    assert explorer.sentence == "The <b>slope</b> is -3." and explorer.png() not in (before, after)


def test_every_move_is_answered_with_its_number_after_its_picture(explorer, shown):
    """The front end calls a picture new when the number of the answer is that of its last move."""
    explorer.show()
    pictures = []
    explorer.panel.observe(lambda change: pictures.append((change.new, len(shown))), "answer")
    explorer.panel.ask = {"number": 7, "at": {"slope": 2, "sign": 0}}
    explorer.panel.ask = {"number": 9, "at": {"slope": 2, "sign": 0}}  # there and back, while the kernel was busy
    assert pictures == [
        ({"number": 7, "sentence": "The <b>slope</b> is 3.", "fault": ""}, 3),
        ({"number": 9, "sentence": "The <b>slope</b> is 3.", "fault": ""}, 4),
    ]


def test_no_trace_of_an_earlier_curve_is_left(explorer):
    first = explorer.png()
    explorer.seen.cache_clear()  # or nothing would be drawn again
    explorer.sliders["sign"].value = -1.0
    explorer.sliders["slope"].value = 3
    explorer.sliders["sign"].value = 1.0
    explorer.sliders["slope"].value = 2
    assert explorer.png() == first


def test_the_picture_is_what_a_full_redraw_gives(explorer):
    explorer.png()
    explorer.sliders["slope"].value = 3
    fast = pixels(explorer.png())
    for artist in explorer.moving:
        artist.set_animated(False)
    explorer.figure.canvas.draw()
    full = np.asarray(explorer.figure.canvas.buffer_rgba())[..., :3].astype(int)
    red = (full[..., 0] > 200) & (full[..., 1] < 60)
    assert red.sum() > 100  # the curve is on it
    assert (np.abs(fast - full).max(-1) > 40).mean() < 0.002


def test_a_position_seen_before_is_not_computed_again():
    calls = []
    explorer = Explorer(replace(TOY, compute=lambda **settings: calls.append(settings) or compute(**settings)))
    first, told = explorer.png(), explorer.sentence
    explorer.sliders["slope"].value = 3
    explorer.sliders["slope"].value = 2
    assert explorer.png() == first and explorer.sentence == told == explorer.panel.answer["sentence"]
    assert [settings["slope"] for settings in calls] == [2, 3]
    assert explorer.seen.cache_info().maxsize == live.REMEMBERED  # a reader who plays for long fills no memory


def draw_with_an_axis(figure):
    """The height of the axis follows the slope, its ticks the sign."""
    (line,), show = draw(figure)

    def update(result):
        show(result)
        line.axes.set(ylim=(-abs(result), abs(result)), yticks=[0] if result > 0 else [-1, 1])

    return [line.axes.yaxis, line], update


def test_an_axis_is_redrawn_only_when_its_limits_or_ticks_have_changed(monkeypatch):
    toy = replace(TOY, draw=draw_with_an_axis)
    explorer = Explorer(toy)
    explorer.png()
    (axis,), drawn = explorer.axes, []
    paint = type(axis).draw
    monkeypatch.setattr(axis, "draw", lambda renderer: drawn.append(explorer.settings()) or paint(axis, renderer))
    up, down = ({"slope": 3, "sign": sign} for sign in (1.0, -1.0))
    for settings in (up, down):
        fresh = Explorer(toy)
        for name, value in settings.items():
            explorer.sliders[name].value = fresh.sliders[name].value = value
        assert explorer.png() == fresh.png()
    assert drawn == [up, down]
    explorer.update(-3)
    explorer._render()
    assert drawn == [up, down]  # nothing about the axis has changed


def test_show_sends_the_controls_and_then_an_ordinary_picture(explorer, shown):
    explorer.show()
    (panel, _), (bundle, options) = shown
    assert panel is explorer.panel and panel.answer == {"number": 0, "sentence": "The <b>slope</b> is 2.", "fault": ""}
    assert bundle == picture(explorer.png(), "The slope is 2.")
    assert options == {"raw": True, "display_id": True}


def test_a_move_updates_the_picture_in_place(explorer, shown):
    explorer.show()
    first = shown[-1][0]["image/png"]
    explorer.sliders["slope"].value = 1
    bundle, options = shown[-1]
    assert len(shown) == 3 and options == {"raw": True, "update": True}
    assert bundle == picture(explorer.png(), "The slope is 1.") and bundle["image/png"] != first


def test_shown_twice_it_is_one_display(explorer, shown):
    """Jupyter updates every place where a display of that name stands."""
    explorer.show()
    explorer.show()
    assert [options.get("display_id") for _, options in shown] == [None, True, None, "picture 1"]


def test_a_slider_that_does_not_move_computes_nothing():
    calls = []
    explorer = Explorer(replace(TOY, compute=lambda **settings: calls.append(settings) or 1))
    assert calls == []
    explorer.sliders["slope"].value = 2
    assert calls == []
    explorer.sliders["slope"].value = 3
    assert calls == [{"slope": 3, "sign": 1.0}]


def test_a_fault_in_compute_is_said_and_not_swallowed():
    explorer = Explorer(replace(TOY, compute=lambda slope, sign: slope / (3 - slope)))
    explorer.png()
    with pytest.raises(ZeroDivisionError):
        explorer.sliders["slope"].value = 3
    fault = "This position cannot be shown. ZeroDivisionError: division by zero"
    assert explorer.panel.answer == {"number": 1, "sentence": "The <b>slope</b> is 2.", "fault": fault}
    explorer.sliders["slope"].value = 1
    assert explorer.panel.answer["fault"] == ""


def test_show_and_move_outside_a_kernel(explorer, monkeypatch, capsys):
    monkeypatch.setattr(InteractiveShell, "initialized", lambda: False)
    TOY.show()
    explorer.show()
    explorer.sliders["slope"].value = 3
    assert explorer.sentence == "The <b>slope</b> is 3."
    assert "Sliders: slope, a, sign" in capsys.readouterr().out


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 1, 1), (3, 3, 1), (4, 1, 4), (3, 2, 2)])
def test_a_film_has_as_many_frames_as_asked(count, columns, rows):
    frames = {f"slope {k}": {"slope": k, "sign": -1.0} for k in range(count)}
    figure = replace(TOY, frames=frames).film((2, 1.5), columns=columns)
    assert len(figure.axes) == count and tuple(figure.get_size_inches()) == (2 * columns, 1.5 * rows)
    assert [part.get_suptitle() for part in figure.subfigs[:count]] == list(frames)
    assert [ax.lines[0].get_ydata()[1] for ax in figure.axes] == [-k for k in range(count)]
    assert not any(line.get_animated() for ax in figure.axes for line in ax.lines)  # they would not be saved


def test_a_filmstrip_is_a_film_and_what_it_shows():
    frames = {"flat": {"slope": 1, "sign": 1.0}, "down": {"slope": 2, "sign": -1.0}}
    figure, says = replace(TOY, frames=frames).filmstrip("Two slopes.", (2, 1.5))
    assert tuple(figure.get_size_inches()) == (2, 3)
    assert says == "Two slopes. (flat) The <b>slope</b> is 1. (down) The <b>slope</b> is -2."
