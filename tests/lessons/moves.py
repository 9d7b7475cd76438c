"""What the tests of all widgets share: positions of the sliders, visited once, and how pictures compare. The test file of a
widget, ``test_<name>.py``, says in ``POSITIONS`` where it is visited, if not everywhere."""

import random
from functools import cache
from importlib import import_module
from itertools import product
from types import ModuleType, SimpleNamespace

import numpy as np

from benchmarks.widgets import widgets
from regimes_course.kit.plotting import new_figure
from regimes_course.kit.widget import Explorer, Widget

NAMES = {widget: name for name, widget in widgets()}
WIDGETS = list(NAMES)


def home(widget: Widget) -> ModuleType:
    """The module that defines a widget."""
    return import_module(widget.compute.__module__)


def own_tests(widget: Widget) -> ModuleType:
    """The test file of a widget."""
    return import_module(f"tests.lessons.{widget.compute.__module__.split('.')[1]}.test_{NAMES[widget]}")


def start(widget):
    """Where the sliders start."""
    return {name: choice.start for name, choice in widget.choices.items()}


def everywhere(widget):
    """Every combination of slider positions."""
    return [dict(zip(widget.choices, values, strict=True)) for values in product(*(c.values for c in widget.choices.values()))]


def each_alone(widget):
    """Where the sliders start, and each of them moved alone from there."""
    choices = widget.choices.items()
    moved = [{name: value} for name, choice in choices for value in choice.values if value != choice.start]
    return [start(widget), *(start(widget) | move for move in moved)]


def anywhere(widget, pick, count):
    """``count`` positions that the random generator ``pick`` draws."""
    return [{name: pick.choice(choice.values) for name, choice in widget.choices.items()} for _ in range(count)]


@cache
def visit(widget):
    """For every position of the sliders, or those of ``POSITIONS``: its settings, its result and the sentence."""
    positions = getattr(own_tests(widget), "POSITIONS", None) or everywhere(widget)
    return [_at(widget, settings) for settings in positions]


def _at(widget, settings):
    result, settings = widget.compute(**settings), {name: settings[name] for name in widget.choices}
    return SimpleNamespace(**settings, settings=settings, result=result, told=widget.sentence(result))


@cache
def drawn(widget):
    """Some of the visited positions with their ``png``: the start, the ends of each slider and some at random."""
    moves = {tuple(move.settings.values()): move for move in visit(widget)}
    ends = [start(widget) | {name: c.values[i]} for name, c in widget.choices.items() for i in (0, -1)]
    wanted = [tuple(settings.values()) for settings in (start(widget), *ends)]
    few = {key: moves[key] for key in wanted if key in moves}
    few |= {key: moves[key] for key in random.Random(0).sample(list(moves), min(12, len(moves)))}
    explorer = Explorer(widget)
    for move in few.values():
        explorer.update(move.result)
        move.png, move.artists = explorer._render(), artists(explorer.figure.axes)
    return list(few.values())


def artists(axes):
    """What is drawn and seen, as arrays: a list for each of the axes."""
    seen = ([artist for artist in ax.get_children() if artist.get_visible()] for ax in axes)
    return [[np.asarray(array, float) for artist in panel for array in _arrays(artist)] for panel in seen]


def _arrays(artist):
    if hasattr(artist, "get_xydata"):  # a line, also with text as its values
        return [np.stack([np.asarray(values, float) for values in artist.get_data(orig=False)], 1)]
    if hasattr(artist, "get_segments"):
        return artist.get_segments()
    if hasattr(artist, "get_offsets"):
        return [artist.get_offsets(), artist.get_sizes() if hasattr(artist, "get_sizes") else []]
    if hasattr(artist, "get_height"):
        return [[artist.get_height()]] if hasattr(artist, "get_xy") else []
    return [artist.get_array()] if hasattr(artist, "get_array") else []


def panels(widget, result):
    """The axes of the widget's figure with this result drawn."""
    figure = new_figure(widget.size)
    widget.paint(figure, result)
    return figure.axes


def assert_as_a_full_redraw(explorer):
    """What an explorer shows after moves is what drawing everything anew gives."""
    canvas = explorer.figure.canvas
    fast = np.array(canvas.buffer_rgba(), dtype=int)
    explorer.figure.set_layout_engine("none")  # the places of the panels are those of the first picture
    for artist in explorer.moving:
        artist.set_animated(False)
    canvas.draw()
    full = np.asarray(canvas.buffer_rgba(), dtype=int)
    differ = (np.abs(fast - full).max(-1) > 40).mean()
    assert differ < 0.002, f"{differ:.2%} of the pixels differ"


def assert_as_a_fresh_widget(widget, **settings):
    """What an explorer shows after moves is what a fresh one with the same settings draws."""
    explorer, fresh = Explorer(widget), Explorer(widget)
    explorer.png()
    for name, value in settings.items():
        explorer.sliders[name].value = value
        fresh.sliders[name].value = value
    assert explorer.png() == fresh.png(), settings
