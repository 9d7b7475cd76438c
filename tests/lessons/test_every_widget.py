"""What every widget promises, whatever it shows; the mathematics of each stands in a file of its own."""

import inspect
import re
from itertools import combinations

import numpy as np
import pytest
import torch

from regimes_course.kit.plotting import new_figure
from regimes_course.kit.widget import Explorer
from tests.lessons.moves import NAMES, WIDGETS, artists, assert_as_a_full_redraw, drawn, home, own_tests, start, visit

pytestmark = pytest.mark.parametrize("widget", WIDGETS, ids=NAMES.get)


def test_sliders_have_labels_and_values_in_words(widget):
    choices = widget.choices
    assert list(choices) == list(inspect.signature(widget.compute).parameters)
    labels = [choice.label for choice in choices.values()]
    assert len(set(labels)) == len(labels) and all(labels), labels
    for key, choice in choices.items():
        words = [choice.shown(value) for value in choice.values]
        assert len(set(words)) == len(words) > 1 and all(words), (key, words)
        assert all(isinstance(value, str) for value in choice.values) or list(choice.values) == sorted(choice.values), key
    assert Explorer(widget).settings() == start(widget)


def test_it_is_visited_everywhere_or_with_each_slider_at_each_place(widget):
    seen = {key: {move.settings[key] for move in visit(widget)} for key in widget.choices}
    assert all(seen[key] >= set(choice.values) for key, choice in widget.choices.items())
    whole = np.prod([len(choice.values) for choice in widget.choices.values()])
    assert hasattr(own_tests(widget), "POSITIONS") or len(visit(widget)) == whole


def test_every_position_is_told_in_numbers(widget):
    for move in visit(widget):
        assert not re.search(r"\b(nan|inf|None)\b", move.told) and re.search(r"\d", move.told), (move.settings, move.told)


def test_every_move_changes_the_sentence(widget):
    """So that who hears the page rather than sees it knows that something happened."""
    alike = getattr(own_tests(widget), "told_alike", lambda a, b: False)
    told = {}
    for move in visit(widget):
        told.setdefault(move.told, {})[tuple(move.settings.values())] = move
    for same in told.values():
        assert all(alike(a, b) for a, b in combinations(same.values(), 2)), [m.settings for m in same.values()]


def test_pictures_differ(widget):
    alike = getattr(own_tests(widget), "alike", lambda a, b: False)
    for move in drawn(widget):
        assert move.png.startswith(b"\x89PNG")
    for a, b in combinations(drawn(widget), 2):
        assert a.png != b.png or alike(a, b), (a.settings, b.settings)


def test_what_is_drawn_is_finite(widget):
    gaps = getattr(own_tests(widget), "GAPS", False)  # nan, where a line is interrupted on purpose
    for move in drawn(widget):
        for array in (array for panel in move.artists for array in panel):
            assert not np.isinf(array).any() and (gaps or not np.isnan(array).any()), move.settings


def test_the_picture_after_moves_is_what_a_full_redraw_gives(widget):
    """Axes whose numbers change with the sliders must be redrawn too: each slider is moved to its one end, or its other."""
    ends = [
        {key: c.values[i if c.values[i] != c.start else j] for key, c in widget.choices.items()} for i, j in ((0, -1), (-1, 0))
    ]
    for settings in (*ends, drawn(widget)[-1].settings):
        explorer = Explorer(widget)
        explorer.png()
        for key, value in settings.items():
            explorer.sliders[key].value = value
        assert explorer.settings() == settings and explorer.sentence == widget.sentence(widget.compute(**settings))
        assert_as_a_full_redraw(explorer)


def test_compute_is_pure(widget):
    """The same once more, with nothing remembered; and nobody else's random numbers are touched."""
    move, state = visit(widget)[0], torch.get_rng_state()
    for function in vars(home(widget)).values():
        getattr(function, "cache_clear", lambda: None)()
    again = widget.compute(**move.settings)
    assert widget.sentence(again) == move.told and torch.equal(torch.get_rng_state(), state)
    pictures = [new_figure((8, 4)), new_figure((8, 4))]
    for figure, result in zip(pictures, (move.result, again), strict=True):
        widget.paint(figure, result)
    for one, other in zip(*(artists(figure.axes) for figure in pictures), strict=True):
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, other, strict=True))


def test_the_filmstrip_shows_slider_positions(widget):
    size = (9.6, 3.3)
    figure, says = widget.filmstrip("Some positions.", size)
    assert [part.get_suptitle() for part in figure.subfigs] == list(widget.frames) and len(widget.frames) in (3, 4)
    assert says.startswith("Some positions. (") and all(f"({title}) " in says for title in widget.frames)
    for part, settings in zip(figure.subfigs, widget.frames.values(), strict=True):
        assert all(value in widget.choices[key].values for key, value in settings.items()), settings
        alone = new_figure(size)
        widget.paint(alone, widget.compute(**settings))
        for shown, wanted in zip(artists(part.axes), artists(alone.axes), strict=True):
            assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(shown, wanted, strict=True)), settings
            assert len(shown) > 1
