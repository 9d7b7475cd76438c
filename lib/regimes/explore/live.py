"""Sliders, a picture and a sentence that follow each other.

The picture is an ordinary PNG, sent through a display handle: it stays in the saved notebook, so that it is seen where widgets
are not (code hosts, exports). Only the moving artists are redrawn at a move, over a background that is kept.
"""

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from math import ceil
from types import ModuleType
from typing import Any

import ipywidgets as widgets
import numpy as np
from IPython.display import display
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from regimes.figures import new_figure, style

__all__ = ["Choice", "Explorer", "filmstrip", "side_by_side", "strip"]

Draw = Callable[[Any], tuple[list[Artist], Callable[[Any], str]]]


@dataclass(frozen=True)
class Choice:
    """A slider over a few values.

    Attributes:
        label: the visible name, with the symbol of the lesson.
        values: what it offers, in order.
        start: the value it starts at.
        shown: how a value is written; ``str`` unless said otherwise.
    """

    label: str
    values: tuple
    start: Any
    shown: Callable[[Any], str] = str

    def __post_init__(self):
        if self.start not in self.values:
            raise ValueError(f"slider {self.label!r} cannot start at {self.start!r}: it offers {self.values}")

    def slider(self) -> widgets.SelectionSlider:
        """The slider as a widget; arrow keys move it."""
        options = [(self.shown(value), value) for value in self.values]
        layout, style = {"width": "30em"}, {"description_width": "13em"}
        return widgets.SelectionSlider(description=self.label, options=options, value=self.start, layout=layout, style=style)


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
        self.compute, self.choices, self.columns = compute, choices, columns
        self.figure = new_figure(size)
        with style():
            self.moving, self.update = draw(self.figure)
        self.sliders = {name: choice.slider() for name, choice in choices.items()}
        self.readout = widgets.HTML(layout={"min_height": "5em"})  # two lines, so that the picture does not jump
        self.background, self.handle, self.sentence = None, None, ""
        for slider in self.sliders.values():
            slider.observe(lambda _: self._move(), "value")

    def settings(self) -> dict[str, Any]:
        """Where the sliders stand."""
        return {name: slider.value for name, slider in self.sliders.items()}

    def grid(self) -> list[dict[str, Any]]:
        """Every combination of slider positions."""
        return [dict(zip(self.choices, values, strict=True)) for values in product(*(c.values for c in self.choices.values()))]

    def png(self) -> bytes:
        """The picture and, as a side effect, the readout, for the sliders as they stand."""
        self.sentence = self.update(self.compute(**self.settings()))
        self.readout.value = f'<p role="status" aria-live="polite">{self.sentence}</p>'
        return self._render()

    def show(self) -> None:
        """Show the widget in a notebook."""
        bundle = self._bundle()
        display(widgets.VBox([*self._rows(), self.readout]))
        self.handle = display(bundle, raw=True, display_id=True)

    def _rows(self):
        sliders, k = list(self.sliders.values()), self.columns
        return sliders if k == 1 else [widgets.HBox(sliders[i : i + k]) for i in range(0, len(sliders), k)]

    def _move(self):
        bundle = self._bundle()
        if self.handle:
            self.handle.update(bundle, raw=True)

    def _bundle(self):
        png = self.png()
        return {"image/png": png, "text/plain": re.sub("<[^>]+>", "", self.sentence)}

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
