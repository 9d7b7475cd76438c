"""Which positions of a widget's sliders the book shows: all of them, or those listed here.

A notebook computes where a slider stands; a page shows pictures that were made before. At some 12 kB a picture, 128 of them are
what a reader on a phone may load. A widget with more positions says here which values it keeps: the start, those of its
filmstrip, and what the tasks beside it ask for; fewer where pictures are rich, since a widget has 1.5 MB. A slider with one
value left is held there, and the page says so.
"""

import math
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from regimes_course.kit.widget import Choice, Widget

LIMIT = 128  # positions of a widget

KEPT: dict[str, dict[str, tuple]] = {  # of a slider that is not named every value is kept
    "bends": {"alpha": (0.05, 0.1, 0.3, 1.0, 2.0, 10.0, 30.0), "moment": (0.1, 0.4, 1.0), "seed": (0,)},
    "chebyshev_fit": {"eta": (0.2, 0.4, 0.6, 0.8, 1.2, 1.6, 2.4, 4.0, 8.0, 16.0), "width": (20, 80), "seed": (0, 1)},
    "degree_four": {"eta": (0.05, 0.1, 0.2), "product": (0.5, 0.99, 1.01)},
    "edge": {"seed": (0, 1)},
    "exact_steps": {"halves": ("top and bottom",)},
    "flow": {
        "std": (0.01, 0.1, 1.0, 10.0),
        "eta": (0.05, 0.2, 1.0),
        "damping": (1e-7, 0.0005, 0.005, 1.0),
        "noise": (0.0, 0.3),
        "seed": (0,),
    },
    "hyperbolas": {
        "u0": (-1.0, 0.2, 1.0, 1.5),
        "v0": (-1.0, 0.0, 0.2, 1.0),
        "y": (-1.0, 1.0),
        "eta": (0.1, 0.3),
        "newton": (0.2,),
    },
    "lazy_dial": {"alpha": (0.05, 0.1, 0.3, 1.0, 3.0, 30.0), "width": (32, 128, 256), "moment": (0.0, 0.4, 1.0)},
    "line_of_fits": {
        "alpha": (0.25, 0.5, 0.6, 0.75, 1.0),
        "width": (16, 64, 1024),
        "kind": ("random", "U₁ and V orthogonal to U₂"),
    },
    "particles": {"step": (0, 1, 20, 30, 200)},
    "phase_diagram": {
        "kappa": (0.0, 0.5, 1.0),
        "delta": (-1.25, -1.0, -0.75, -0.5, -0.375, -0.125, 0.0, 0.5, 1.0),
        "d": (100, 1000, 1000000),
        "students": (2,),
        "label_noise": (0.001,),
        "end": (1000.0,),
    },
    "same_curve": {"seed": (0, 1)},
    "tug_of_war": {"eta": (8, 24, 32, 48, 96, 150, 192, 256, 384, 512), "width": (20,), "seed": (0,)},
    "two_outputs": {"distance": (0.01, 0.1, 0.15, 0.3), "damping": (0.0, 0.001, 0.03), "eta": (0.1, 1.0, 1.9, 2.2)},
    "two_rests": {"d": (50, 100000), "eta": (0.3, 1.0, 3.0), "noise": (0.001, 0.004)},
    "width_dial": {"alpha": (0.25, 0.35, 0.4, 0.5, 0.6, 0.75, 1.0), "width": (64, 256, 65536, 1048576)},
}


def kept(name: str, widget: Widget) -> dict[str, tuple]:
    """The values that the book keeps, slider by slider, in the order of the widget.

    Raises:
        ValueError: for a widget with too many positions, of which ``KEPT`` says nothing, or too little.
    """
    values = {slider: KEPT.get(name, {}).get(slider, choice.values) for slider, choice in widget.choices.items()}
    if count(values) > LIMIT:
        raise ValueError(f"{name} has {count(values)} positions; the book shows {LIMIT}: say which in KEPT of {__file__}")
    return values


def thinned(values: Mapping[str, tuple], widget: Widget) -> dict[str, tuple]:
    """Of each slider the start and one more value: a grid for a quick look and for tests."""
    thin = {}
    for name, offered in values.items():
        start = widget.choices[name].start
        other = next((value for value in reversed(offered) if value != start), start)
        thin[name] = tuple(value for value in offered if value in (start, other))
    return thin


def count(values: Mapping[str, tuple]) -> int:
    """How many positions there are."""
    return math.prod(len(offered) for offered in values.values())


def positions(values: Mapping[str, tuple]) -> Iterator[dict[str, Any]]:
    """Every position; the last slider changes fastest."""
    return (dict(zip(values, one, strict=True)) for one in product(*values.values()))


def moving(values: Mapping[str, tuple]) -> list[str]:
    """The sliders that still have something to choose from."""
    return [name for name, offered in values.items() if len(offered) > 1]


def words(choice: Choice, offered: tuple) -> list[str]:
    """The values as they are written beside the slider, and heard."""
    return [choice.shown(value) for value in offered]
