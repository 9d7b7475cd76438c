"""How long a move of a slider takes, widget by widget: computing, drawing and making the PNG, in CPU time of one thread.

Run it from the root: ``python -m benchmarks.widgets`` (two minutes) or ``python -m benchmarks.run --widgets``. Each slider is
moved alone from where it starts, to its first, its middle and its last value, where it has not been before: a second visit
costs nothing. Nothing is gated on times; the aim is a median move of 0.1 s and no move of more than 0.25 s.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pkgutil import walk_packages

import torch

import regimes_course
from regimes_course.kit.widget import Explorer, Widget

TINY = ["two_points"]


def widgets() -> Iterator[tuple[str, Widget]]:
    """Name and widget, of every lesson."""
    for found in walk_packages(regimes_course.__path__, "regimes_course."):
        if found.name.endswith(".widgets"):
            named = vars(import_module(found.name)).items()
            yield from ((name, widget) for name, widget in named if isinstance(widget, Widget))


def bench(name: str, widget: Widget) -> dict:
    """A row: seconds of the first picture, and of the moves their median and the worst, with where that was."""
    explorer, moves = Explorer(widget), []
    first = _seconds(explorer.png)
    for slider in explorer.sliders.values():
        count, start = len(slider.choice.values), slider.index
        for index in dict.fromkeys((0, count // 2, count - 1)):
            if index != slider.index:
                moves.append((_seconds(lambda to=index, one=slider: setattr(one, "index", to)), slider.name, str(slider.value)))
        slider.index = start
    worst, slider, value = max(moves)
    median = statistics.median(seconds for seconds, *_ in moves)
    return {"widget": name, "moves": len(moves), "first": first, "median": median, "worst": worst, "at": f"{slider} {value}"}


def _seconds(call):
    begin = time.process_time()
    call()
    return time.process_time() - begin


def main(arguments=None) -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.widgets", description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="one widget: does it run at all?")
    parser.add_argument("--json", metavar="FILE", help="append a JSON object a row to this file")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print("# Widgets\n\n| widget | first picture, CPU ms | median move | worst move | where |\n|---|---|---|---|---|")
    for name, widget in widgets():
        if options.tiny and name not in TINY:
            continue
        row = bench(name, widget)
        first, median, worst = (f"{1e3 * row[key]:.0f}" for key in ("first", "median", "worst"))
        print(f"| {name} | {first} | {median} | {worst} | {row['at']} |", flush=True)
        if options.json:
            with open(options.json, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
