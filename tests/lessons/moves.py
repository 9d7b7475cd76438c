"""What the tests of all widgets share: positions of the sliders, visited once, and how pictures compare. A ``module`` is one
that defines a widget; its test file ``test_<name>.py`` says in ``POSITIONS`` where it is visited, if not everywhere."""

import random
from functools import cache
from importlib import import_module
from types import ModuleType, SimpleNamespace

import numpy as np

from benchmarks.widgets import widgets
from regimes_course.kit.plotting import new_figure

WIDGETS = [module for _, module in widgets()]


def name(module: ModuleType) -> str:
    """The name of a widget."""
    return module.__name__.rpartition(".")[2]


def own_tests(module: ModuleType) -> ModuleType:
    """The test file of a widget."""
    return import_module(f"tests.lessons.{module.__name__.split('.')[1]}.test_{name(module)}")


def start(module):
    """Where the sliders start."""
    return {name: choice.start for name, choice in module.CHOICES.items()}


def each_alone(module):
    """Where the sliders start, and each of them moved alone from there."""
    choices = module.CHOICES.items()
    moved = [{name: value} for name, choice in choices for value in choice.values if value != choice.start]
    return [start(module), *(start(module) | move for move in moved)]


def anywhere(module, pick, count):
    """``count`` positions that the random generator ``pick`` draws."""
    return [{name: pick.choice(choice.values) for name, choice in module.CHOICES.items()} for _ in range(count)]


@cache
def visit(module):
    """For every position of the sliders, or those of ``POSITIONS``: its settings, its result and the sentence."""
    positions = getattr(own_tests(module), "POSITIONS", None) or module.explorer().grid()
    return [_at(module, settings) for settings in positions]


def _at(module, settings):
    result, settings = module.compute(**settings), {name: settings[name] for name in module.CHOICES}
    return SimpleNamespace(**settings, settings=settings, result=result, told=module.sentence(result))


@cache
def drawn(module):
    """Some of the visited positions with their ``png``: the start, the ends of each slider and some at random."""
    moves = {tuple(move.settings.values()): move for move in visit(module)}
    ends = [start(module) | {name: c.values[i]} for name, c in module.CHOICES.items() for i in (0, -1)]
    wanted = [tuple(settings.values()) for settings in (start(module), *ends)]
    few = {key: moves[key] for key in wanted if key in moves}
    few |= {key: moves[key] for key in random.Random(0).sample(list(moves), min(12, len(moves)))}
    widget = module.explorer()
    for move in few.values():
        move.updated, move.png, move.artists = widget.update(move.result), widget._render(), artists(widget.figure.axes)
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


def panels(module, result, size):
    """The axes of the module's figure with this result drawn."""
    figure = new_figure(size)
    module.draw(figure)[1](result)
    return figure.axes


def assert_as_a_full_redraw(widget):
    """What a widget shows after moves is what drawing everything anew gives."""
    canvas = widget.figure.canvas
    fast = np.array(canvas.buffer_rgba(), dtype=int)
    widget.figure.set_layout_engine("none")  # the places of the panels are those of the first picture
    for artist in widget.moving:
        artist.set_animated(False)
    canvas.draw()
    full = np.asarray(canvas.buffer_rgba(), dtype=int)
    differ = (np.abs(fast - full).max(-1) > 40).mean()
    assert differ < 0.002, f"{differ:.2%} of the pixels differ"


def assert_as_a_fresh_widget(module, **settings):
    """What a widget shows after moves is what a fresh one with the same settings draws."""
    widget, fresh = module.explorer(), module.explorer()
    widget.png()
    for name, value in settings.items():
        widget.sliders[name].value = value
        fresh.sliders[name].value = value
    assert widget.png() == fresh.png(), settings
