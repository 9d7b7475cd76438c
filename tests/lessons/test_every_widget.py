"""What every widget promises, whatever it shows; the mathematics of each stands in a file of its own."""

import inspect
import re
from itertools import combinations

import numpy as np
import pytest
import torch
from tests.lessons.moves import WIDGETS, artists, assert_as_a_full_redraw, drawn, name, own_tests, start, visit

from regimes_course.kit.widget import filmstrip
from regimes_course.kit.plotting import new_figure

pytestmark = pytest.mark.parametrize("module", WIDGETS, ids=name)


def test_sliders_have_labels_and_values_in_words(module):
    choices = module.CHOICES
    assert list(choices) == list(inspect.signature(module.compute).parameters)
    labels = [choice.label for choice in choices.values()]
    assert len(set(labels)) == len(labels) and all(labels), labels
    for key, choice in choices.items():
        words = [choice.shown(value) for value in choice.values]
        assert len(set(words)) == len(words) > 1 and all(words), (key, words)
        assert all(isinstance(value, str) for value in choice.values) or list(choice.values) == sorted(choice.values), key
    assert module.explorer().settings() == start(module) == getattr(module, "START", start(module))


def test_it_is_visited_everywhere_or_with_each_slider_at_each_place(module):
    seen = {key: {move.settings[key] for move in visit(module)} for key in module.CHOICES}
    assert all(seen[key] >= set(choice.values) for key, choice in module.CHOICES.items())
    whole = np.prod([len(choice.values) for choice in module.CHOICES.values()])
    assert hasattr(own_tests(module), "POSITIONS") or len(visit(module)) == whole


def test_every_position_is_told_in_numbers(module):
    for move in visit(module):
        assert not re.search(r"\b(nan|inf|None)\b", move.told) and re.search(r"\d", move.told), (move.settings, move.told)


def test_every_move_changes_the_sentence(module):
    """So that who hears the page rather than sees it knows that something happened."""
    alike = getattr(own_tests(module), "told_alike", lambda a, b: False)
    told = {}
    for move in visit(module):
        told.setdefault(move.told, {})[tuple(move.settings.values())] = move
    for same in told.values():
        assert all(alike(a, b) for a, b in combinations(same.values(), 2)), [m.settings for m in same.values()]


def test_pictures_differ_and_have_their_sentence(module):
    alike = getattr(own_tests(module), "alike", lambda a, b: False)
    for move in drawn(module):
        assert move.updated == move.told and move.png.startswith(b"\x89PNG")
    for a, b in combinations(drawn(module), 2):
        assert a.png != b.png or alike(a, b), (a.settings, b.settings)


def test_what_is_drawn_is_finite(module):
    gaps = getattr(own_tests(module), "GAPS", False)  # nan, where a line is interrupted on purpose
    for move in drawn(module):
        for array in (array for panel in move.artists for array in panel):
            assert not np.isinf(array).any() and (gaps or not np.isnan(array).any()), move.settings


def test_the_picture_after_moves_is_what_a_full_redraw_gives(module):
    """Axes whose numbers change with the sliders must be redrawn too: each slider is moved to its one end, or its other."""
    ends = [
        {key: c.values[i if c.values[i] != c.start else j] for key, c in module.CHOICES.items()} for i, j in ((0, -1), (-1, 0))
    ]
    for settings in (*ends, drawn(module)[-1].settings):
        widget = module.explorer()
        widget.png()
        for key, value in settings.items():
            widget.sliders[key].value = value
        assert widget.settings() == settings and widget.sentence == module.sentence(module.compute(**settings))
        assert_as_a_full_redraw(widget)


def test_compute_is_pure(module):
    """The same once more, with nothing remembered; and nobody else's random numbers are touched."""
    move, state = visit(module)[0], torch.get_rng_state()
    for function in vars(module).values():
        getattr(function, "cache_clear", lambda: None)()
    again = module.compute(**move.settings)
    assert module.sentence(again) == move.told and torch.equal(torch.get_rng_state(), state)
    pictures = [new_figure((8, 4)), new_figure((8, 4))]
    for figure, result in zip(pictures, (move.result, again), strict=True):
        module.draw(figure)[1](result)
    for one, other in zip(*(artists(figure.axes) for figure in pictures), strict=True):
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, other, strict=True))


def test_the_filmstrip_shows_slider_positions(module):
    size = (9.6, 3.3)
    figure = filmstrip(module.compute, module.draw, module.FRAMES, size, columns=1)
    assert [part.get_suptitle() for part in figure.subfigs] == list(module.FRAMES) and len(module.FRAMES) in (3, 4)
    for part, settings in zip(figure.subfigs, module.FRAMES.values(), strict=True):
        assert all(value in module.CHOICES[key].values for key, value in settings.items()), settings
        alone = new_figure(size)
        module.draw(alone)[1](module.compute(**settings))
        for shown, wanted in zip(artists(part.axes), artists(alone.axes), strict=True):
            assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(shown, wanted, strict=True)), settings
            assert len(shown) > 1
