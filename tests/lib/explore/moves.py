"""Every position of a widget's sliders, visited once without a browser."""

import time
from types import SimpleNamespace


def visit(widget):
    """For every slider position: its settings, result, readout, picture, and the processor time of the move."""
    moves = []
    for settings in widget.grid():
        begin = time.process_time()
        result = widget.compute(**settings)
        told, png = widget.update(result), widget._render()
        moves.append(SimpleNamespace(**settings, result=result, told=told, png=png, seconds=time.process_time() - begin))
    return moves


def again(widget, move):
    """Processor time of the same move, measured once more where it was long: another program may have been in the way."""
    if move.seconds < 1:
        return move.seconds
    begin = time.process_time()
    widget.compute(**{name: getattr(move, name) for name in widget.choices})
    return time.process_time() - begin
