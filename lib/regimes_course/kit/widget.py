"""Sliders, a picture and a sentence that follow each other.

The picture is an ordinary output, sent through a display handle: it stays in the saved notebook, so that it is seen where
widgets are not (code hosts, exports). Only the moving artists are redrawn at a move, over a background that is kept; axes only
where their ticks have changed. A position that was seen a short while ago is not computed again.
"""

import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import Any

import numpy as np
from IPython.display import display
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike
from PIL import Image

from regimes_course.kit.output import picture
from regimes_course.kit.panel import Choice, Panel
from regimes_course.kit.plotting import new_figure, style

__all__ = ["Choice", "Explorer", "Widget", "put", "side_by_side"]

REMEMBERED = 200  # pictures of an explorer, some 60 kB each

Drawn = tuple[list[Artist], Callable[[Any], None]]  # artists that move, and a function that gives them a result


@dataclass(frozen=True, eq=False, repr=False)
class Widget:
    """A computation with a few settings, drawn and told: for a reader to move, and as a strip of frames that stands still.

    Attributes:
        compute: a pure function; its keywords are the names in ``choices``. At most 0.2 s a call.
        draw: ``draw(figure)`` puts empty artists into the figure and returns those that move with a function
            ``update(result)``, which gives them their data.
        sentence: ``sentence(result)`` is what the picture shows, with its numbers.
        choices: a `Choice` for each keyword of ``compute``.
        frames: keywords of ``compute`` by the title of their frame.
        size: of the figure under the sliders, in inches.
        columns: in how many columns the sliders stand.
    """

    compute: Callable[..., Any]
    draw: Callable[[Any], Drawn]
    sentence: Callable[[Any], str]
    choices: Mapping[str, Choice]
    frames: Mapping[str, Mapping[str, Any]]
    size: tuple[float, float]
    columns: int = 1

    def show(self) -> None:
        """Show the widget in a notebook."""
        Explorer(self).show()

    def paint(self, figure: Figure | SubFigure, result: Any) -> None:
        """Draw a result into an empty figure."""
        with style():
            self.draw(figure)[1](result)

    def film(self, size: tuple[float, float], *, columns: int = 1) -> Figure:
        """The ``frames``, ``columns`` of them in a row, for readers without sliders; ``size`` is of one, in inches."""
        rows = ceil(len(self.frames) / columns)
        figure = new_figure((size[0] * columns, size[1] * rows))
        parts = figure.subfigures(rows, columns, squeeze=False).ravel()
        for part, (title, settings) in zip(parts, self.frames.items(), strict=False):
            self.paint(part, self.compute(**settings))
            part.suptitle(title, fontsize=10.5)
        return figure

    def filmstrip(self, lead: str, size: tuple[float, float]) -> tuple[Figure, str]:
        """The `film` with one frame a row, and what it shows: the sentence ``lead``, and one for each frame."""
        told = (f"({title}) {self.sentence(self.compute(**settings))}" for title, settings in self.frames.items())
        return self.film(size), " ".join([lead, *told])


def side_by_side(axes: Iterable[Axes], *panels: Callable[[Axes], Drawn]) -> Drawn:
    """What a ``draw`` returns whose picture consists of panels.

    Args:
        axes: one for each panel.
        panels: ``panel(ax)`` puts empty artists in and returns them with a function ``show(result)`` that gives them their
            data.
    """
    drawn = [panel(ax) for panel, ax in zip(panels, axes, strict=True)]

    def update(result: Any) -> None:
        for _, show in drawn:
            show(result)

    return [artist for artists, _ in drawn for artist in artists], update


def put(line: Line2D, x: ArrayLike, y: ArrayLike) -> None:
    """Give a line its data, as arrays: of a tensor matplotlib takes out every entry to see whether it is a number."""
    line.set_data(np.asarray(x), np.asarray(y))


class Explorer:
    """A widget in the hands of a reader: where its sliders stand, and the picture and the sentence of that position."""

    def __init__(self, widget: Widget):
        self.widget = widget
        self.figure = new_figure(widget.size)
        with style():
            self.moving, self.update = widget.draw(self.figure)
        self.axes = [artist for artist in self.moving if isinstance(artist, Axis)]
        self.curves = [artist for artist in self.moving if artist not in self.axes]
        self.panel = Panel(widget.choices, widget.columns)
        self.sliders = self.panel.sliders
        self.empty, self.background, self.ticks = None, None, None
        self.handle, self.sentence = None, ""
        self.seen = lru_cache(REMEMBERED)(self._seen)
        self.panel.observe(lambda _: self._move(), "ask")

    def settings(self) -> dict[str, Any]:
        """Where the sliders stand."""
        return {name: slider.value for name, slider in self.sliders.items()}

    def png(self) -> bytes:
        """The picture for the sliders as they stand, and, as a side effect, ``sentence``: what it shows."""
        png, self.sentence = self.seen(**self.settings())
        return png

    def _seen(self, **settings: Any) -> tuple[bytes, str]:
        """Picture and sentence of a position."""
        result = self.widget.compute(**settings)
        self.update(result)
        return self._render(), self.widget.sentence(result)

    def show(self) -> None:
        """Show sliders and picture in a notebook."""
        bundle = picture(self.png(), self.sentence)
        self.panel.reply(self.sentence)
        display(self.panel)
        again = self.handle.display_id if self.handle else True  # shown twice it is one display, which a move updates
        self.handle = display(bundle, raw=True, display_id=again)

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
        if self.empty is None:
            for artist in self.moving:
                artist.set_animated(True)
            canvas.draw()
            self.empty = canvas.copy_from_bbox(self.figure.bbox)
        ticks = [(*axis.get_view_interval(), *axis.get_majorticklocs()) for axis in self.axes]
        if ticks != self.ticks:  # their labels take longer to lay out than all curves to draw
            canvas.restore_region(self.empty)
            self._draw(self.axes)
            self.background, self.ticks = canvas.copy_from_bbox(self.figure.bbox), ticks
        canvas.restore_region(self.background)
        self._draw(self.curves)
        png = io.BytesIO()
        Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").save(png, "PNG", compress_level=1)
        return png.getvalue()

    @staticmethod
    def _draw(artists: Iterable[Artist]) -> None:
        for artist in artists:
            artist.axes.draw_artist(artist)
