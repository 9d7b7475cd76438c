"""The widget's machinery on a toy: sliders, readout and picture follow each other, with and without a kernel."""

import io

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from PIL import Image

from regimes.explore import Choice, Explorer, filmstrip, live

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
        return f"The <b>slope</b> is {result:g}."

    return [line], update


@pytest.fixture
def explorer():
    return Explorer(compute, draw, CHOICES, size=(3, 2))


@pytest.fixture
def shown(monkeypatch):
    """What is displayed, and what is sent to the display handle afterwards."""
    sent = []

    class Handle:
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


def test_a_slider_shows_its_label_and_its_values_in_words():
    slider = CHOICES["sign"].slider()
    assert slider.description == "sign" and slider.value == 1.0
    assert slider.options == (("up", 1.0), ("down", -1.0))
    assert CHOICES["slope"].slider().options == (("1", 1), ("2", 2), ("3", 3))


def test_the_grid_has_every_combination_once(explorer):
    assert explorer.settings() == {"slope": 2, "sign": 1.0}
    grid = explorer.grid()
    assert len(grid) == 6 == len({tuple(settings.items()) for settings in grid})
    assert {tuple(settings) for settings in grid} == {("slope", "sign")}


def test_moving_a_slider_changes_picture_and_readout(explorer):
    before, told = explorer.png(), explorer.readout.value
    assert "slope</b> is 2." in told
    explorer.sliders["slope"].value = 3
    assert "slope</b> is 3." in explorer.readout.value  # without asking for a picture
    after = explorer.png()
    assert before != after and pixels(before).shape == pixels(after).shape == (200, 300, 3)
    explorer.sliders["sign"].value = -1.0
    assert "slope</b> is -3." in explorer.readout.value and explorer.png() not in (before, after)


def test_the_readout_is_announced(explorer):
    explorer.png()
    assert 'role="status"' in explorer.readout.value and 'aria-live="polite"' in explorer.readout.value


def test_no_trace_of_an_earlier_curve_is_left(explorer):
    first = explorer.png()
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


def test_show_sends_the_controls_and_then_an_ordinary_picture(explorer, shown):
    explorer.show()
    (box, _), (bundle, options) = shown
    assert box.children == (*explorer.sliders.values(), explorer.readout)
    assert bundle["image/png"].startswith(b"\x89PNG")
    assert bundle["text/plain"] == "The slope is 2."  # in words, for who sees neither picture nor readout
    assert options == {"raw": True, "display_id": True}
    assert "slope</b> is 2." in explorer.readout.value  # filled before anybody moves


def test_a_move_updates_the_picture_in_place(explorer, shown):
    explorer.show()
    first = shown[-1][0]["image/png"]
    explorer.sliders["slope"].value = 1
    bundle, options = shown[-1]
    assert len(shown) == 3 and options == {"raw": True, "update": True}
    assert bundle["text/plain"] == "The slope is 1."
    assert bundle["image/png"] != first and bundle["image/png"] == explorer.png()


def test_a_slider_that_does_not_move_computes_nothing():
    calls = []
    explorer = Explorer(lambda **settings: calls.append(settings) or 1, draw, CHOICES, size=(3, 2))
    assert calls == []
    explorer.sliders["slope"].value = 2
    assert calls == []
    explorer.sliders["slope"].value = 3
    assert calls == [{"slope": 3, "sign": 1.0}]


def test_a_fault_in_compute_is_not_swallowed():
    def fails(slope, sign):
        raise ZeroDivisionError("slope")

    explorer = Explorer(fails, draw, CHOICES, size=(3, 2))
    with pytest.raises(ZeroDivisionError):
        explorer.sliders["slope"].value = 3


def test_show_and_move_outside_a_kernel(explorer, monkeypatch, capsys):
    monkeypatch.setattr(InteractiveShell, "initialized", lambda: False)
    explorer.show()
    explorer.sliders["slope"].value = 3
    assert "slope</b> is 3." in explorer.readout.value
    assert "VBox" in capsys.readouterr().out


@pytest.mark.parametrize("count", [1, 3, 4])
def test_a_filmstrip_has_as_many_frames_as_asked(count):
    frames = {f"slope {k}": {"slope": k, "sign": -1.0} for k in range(count)}
    figure = filmstrip(compute, draw, frames, size=(2, 1.5))
    assert len(figure.subfigs) == len(figure.axes) == count
    assert tuple(figure.get_size_inches()) == (2 * count, 1.5)
    assert [part.get_suptitle() for part in figure.subfigs] == list(frames)
    assert [ax.lines[0].get_ydata()[1] for ax in figure.axes] == [-k for k in range(count)]
    assert not any(line.get_animated() for ax in figure.axes for line in ax.lines)  # they would not be saved
