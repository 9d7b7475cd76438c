"""Sliders, a picture and a sentence that follow each other.

The picture is an ordinary output, sent through a display handle: it stays in the saved notebook, so that it is seen where
widgets are not (code hosts, exports). Only the moving artists are redrawn at a move, over a background that is kept.
"""

import io
from collections.abc import Callable, Mapping
from itertools import product
from math import ceil
from types import ModuleType
from typing import Any

import numpy as np
from IPython.display import display
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from regimes_course.kit.output import picture
from regimes_course.kit.panel import Choice, Panel
from regimes_course.kit.plotting import new_figure, style

__all__ = ["Choice", "Explorer", "filmstrip", "side_by_side", "strip"]

Draw = Callable[[Any], tuple[list[Artist], Callable[[Any], str]]]


def side_by_side(panels: Mapping[Callable, Axes], sentence: Callable[[Any], str]) -> tuple[list[Artist], Callable[[Any], str]]:
    """What a ``draw`` returns whose picture consists of panels.

    Args:
        panels: for each function ``panel(ax)`` its axes. It puts empty artists in and returns them with a function
            ``show(result)`` that gives them their data.
        sentence: the result in words.
    """
    drawn = [panel(ax) for panel, ax in panels.items()]

    def update(result: Any) -> str:
        for _, show in drawn:
            show(result)
        return sentence(result)

    return [artist for artists, _ in drawn for artist in artists], update


class Explorer:
    """A widget: sliders, a sentence with the numbers, and a picture.

    Args:
        compute: a pure function; its keywords are the names in ``choices``. At most 0.3 s a call.
        draw: ``draw(figure)`` puts empty artists into the figure and returns them with a function ``update(result)`` that
            gives them their data and returns the sentence.
        choices: a `Choice` for each keyword of ``compute``.
        size: of the figure, in inches.
        columns: in how many columns the sliders stand.
    """

    def __init__(
        self, compute: Callable, draw: Draw, choices: Mapping[str, Choice], size: tuple[float, float], *, columns: int = 1
    ):
        self.compute, self.choices = compute, choices
        self.figure = new_figure(size)
        with style():
            self.moving, self.update = draw(self.figure)
        self.panel = Panel(choices, columns)
        self.sliders = self.panel.sliders
        self.background, self.handle, self.sentence = None, None, ""
        self.panel.observe(lambda _: self._move(), "ask")

    def settings(self) -> dict[str, Any]:
        """Where the sliders stand."""
        return {name: slider.value for name, slider in self.sliders.items()}

    def grid(self) -> list[dict[str, Any]]:
        """Every combination of slider positions."""
        return [dict(zip(self.choices, values, strict=True)) for values in product(*(c.values for c in self.choices.values()))]

    def png(self) -> bytes:
        """The picture for the sliders as they stand, and, as a side effect, ``sentence``: what it shows."""
        self.sentence = self.update(self.compute(**self.settings()))
        return self._render()

    def show(self) -> None:
        """Show the widget in a notebook."""
        bundle = picture(self.png(), self.sentence)
        self.panel.reply(self.sentence)
        display(self.panel)
        self.handle = display(bundle, raw=True, display_id=True)

    def _move(self):
        try:
            bundle = picture(self.png(), self.sentence)
        except Exception as error:  # the kernel says it only in its log, where no reader looks
            self.panel.reply(self.sentence, f"This position cannot be shown. {type(error).__name__}: {error}")
            raise
        if self.handle:
            self.handle.update(bundle, raw=True)
        self.panel.reply(self.sentence)  # after the picture: the panel must not call an old one new

    def _render(self) -> bytes:
        canvas = self.figure.canvas
        if self.background is None:
            for artist in self.moving:
                artist.set_animated(True)
            canvas.draw()
            self.background = canvas.copy_from_bbox(self.figure.bbox)
        canvas.restore_region(self.background)
        for artist in self.moving:
            artist.axes.draw_artist(artist)
        png = io.BytesIO()
        Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").save(png, "PNG", compress_level=1)
        return png.getvalue()


def filmstrip(
    compute: Callable,
    draw: Draw,
    frames: Mapping[str, Mapping[str, Any]],
    size: tuple[float, float],
    *,
    columns: int | None = None,
) -> Figure:
    """A few slider positions side by side, for readers without widgets.

    Args:
        compute, draw: as for `Explorer`.
        frames: for each frame a title and the keywords of ``compute``.
        size: of one frame, in inches.
        columns: how many frames in a row; all of them unless said otherwise.
    """
    columns = columns or len(frames)
    rows = ceil(len(frames) / columns)
    figure = new_figure((size[0] * columns, size[1] * rows))
    parts = figure.subfigures(rows, columns, squeeze=False).ravel()
    for part, (title, settings) in zip(parts, frames.items(), strict=False):
        with style():
            draw(part)[1](compute(**settings))
        part.suptitle(title, fontsize=10.5)
    return figure


def strip(widget: ModuleType, lead: str, size: tuple[float, float], *, columns: int | None = None) -> tuple[Figure, str]:
    """The `filmstrip` of a widget's ``FRAMES``, and in words what it shows.

    Args:
        widget: a module with ``compute``, ``draw``, ``sentence`` and ``FRAMES``.
        lead: the sentence before those of the frames.
        size, columns: as for `filmstrip`.
    """
    figure = filmstrip(widget.compute, widget.draw, widget.FRAMES, size, columns=columns)
    told = (f"({title}) {widget.sentence(widget.compute(**frame))}" for title, frame in widget.FRAMES.items())
    return figure, " ".join([lead, *told])
