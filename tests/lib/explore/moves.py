"""What the tests of all widgets share: every position of the sliders, visited once without a browser, and what must hold
for each widget. A ``module`` is the one that defines a widget."""

import statistics
import time
from types import SimpleNamespace

import numpy as np

from regimes.explore import filmstrip
from regimes.figures import new_figure


def visit(widget, positions=None):
    """For every slider position (or those given): its settings, result, readout, picture, and the move's processor time."""
    moves = []
    for settings in widget.grid() if positions is None else positions:
        begin = time.process_time()
        result = widget.compute(**settings)
        told, png = widget.update(result), widget._render()
        seconds, settings = time.process_time() - begin, {name: settings[name] for name in widget.choices}
        moves.append(SimpleNamespace(**settings, settings=settings, result=result, told=told, png=png, seconds=seconds))
    return moves


def each_alone(module):
    """Where the sliders start, and each of them moved alone from there."""
    choices = module.CHOICES.items()
    moved = [{name: value} for name, choice in choices for value in choice.values if value != choice.start]
    return [module.START, *(module.START | move for move in moved)]


def anywhere(module, pick, count):
    """``count`` positions that the random generator ``pick`` draws."""
    return [{name: pick.choice(choice.values) for name, choice in module.CHOICES.items()} for _ in range(count)]


def again(widget, move):
    """Processor time of the same move, measured once more where it was long: another program may have been in the way."""
    if move.seconds < 1:
        return move.seconds
    begin = time.process_time()
    widget.compute(**move.settings)
    return time.process_time() - begin


def assert_quick(module, moves, median, worst, first=1):
    """Bounds in seconds. The worst is looked for from move ``first`` on: move 0 may pay for imports and the background."""
    middle, slowest = statistics.median(move.seconds for move in moves), max(moves[first:], key=lambda move: move.seconds)
    told = f"a move: median {middle:.3f} s, worst {slowest.seconds:.3f} s at {slowest.settings}"
    print(told)
    assert middle < median and again(module.explorer(), slowest) < worst, told


def assert_in_words(choices):
    """Sliders have distinct visible labels and values in words, and numbers ascend."""
    labels = [choice.label for choice in choices.values()]
    assert len(set(labels)) == len(labels) and all(labels), labels
    for name, choice in choices.items():
        words = [choice.shown(value) for value in choice.values]
        assert len(set(words)) == len(words) and all(words), (name, words)
        assert all(isinstance(value, str) for value in choice.values) or list(choice.values) == sorted(choice.values), name


def panels(module, result, size):
    """The axes of the module's figure with this result drawn."""
    figure = new_figure(size)
    module.draw(figure)[1](result)
    return figure.axes


def strip(module, **options):
    """The pictures of the module's filmstrip, each under its title and with its settings, which the sliders offer."""
    figure, frames = filmstrip(module.compute, module.draw, module.FRAMES, **options), module.FRAMES
    assert [part.get_suptitle() for part in figure.subfigs] == list(frames)
    for title, settings in frames.items():
        assert all(value in module.CHOICES[name].values for name, value in settings.items()), title
    return list(zip(figure.subfigs, frames.values(), strict=True))


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
