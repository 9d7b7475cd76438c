"""Sliders and a sentence in the browser, and what Python sees of them.

The front end (``panel.js``) counts moves in ``ask``; whoever computes sets ``answer``, with the number of the move it is for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anywidget
import traitlets

__all__ = ["Choice", "Panel", "Slider"]


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


class Panel(anywidget.AnyWidget):
    """Sliders and, under them, a sentence; arrow keys, Home and End move a slider.

    Args:
        choices: a `Choice` for each slider, by its name.
        columns: in how many columns the sliders stand where there is room.
    """

    _esm = Path(__file__).with_name("panel.js")
    _css = Path(__file__).with_name("panel.css")
    choices = traitlets.List().tag(sync=True)  # not a Dict: a saved notebook sorts the keys, and the sliders with them
    columns = traitlets.Int().tag(sync=True)
    # number: of the move; at: {name of a slider: its index}. No echo: it could push a slider back that has moved on.
    ask = traitlets.Dict().tag(sync=True, echo_update=False)
    answer = traitlets.Dict({"number": 0, "sentence": "", "fault": ""}).tag(sync=True)  # number: of the move answered

    def __init__(self, choices: Mapping[str, Choice], columns: int):
        self.sliders = {name: Slider(self, name, choice) for name, choice in choices.items()}
        words = [{"name": name, "label": c.label, "words": [c.shown(v) for v in c.values]} for name, c in choices.items()]
        start = {name: c.values.index(c.start) for name, c in choices.items()}
        super().__init__(choices=words, columns=columns, ask={"number": 0, "at": start})

    def __repr__(self) -> str:
        return "Sliders: " + ", ".join(slider.choice.label for slider in self.sliders.values())

    def reply(self, sentence: str, fault: str = "") -> None:
        """Answer the last move: the sentence, and what went wrong."""
        self.answer = {"number": self.ask["number"], "sentence": sentence, "fault": fault}


@dataclass
class Slider:
    """A slider of a panel: setting ``index`` or ``value`` moves it, as the reader's hand does."""

    panel: Panel
    name: str
    choice: Choice

    @property
    def index(self) -> int:
        """The place of the value among those offered."""
        return self.panel.ask["at"][self.name]

    @index.setter
    def index(self, index: int) -> None:
        if index not in range(len(self.choice.values)):
            raise IndexError(f"slider {self.choice.label!r} has places 0 to {len(self.choice.values) - 1}; got {index}")
        if index != self.index:
            ask = self.panel.ask
            self.panel.ask = {"number": ask["number"] + 1, "at": ask["at"] | {self.name: index}}

    @property
    def value(self) -> Any:
        """The value it stands at."""
        return self.choice.values[self.index]

    @value.setter
    def value(self, value: Any) -> None:
        if value not in self.choice.values:
            raise ValueError(f"slider {self.choice.label!r} offers {self.choice.values}; got {value!r}")
        self.index = self.choice.values.index(value)
