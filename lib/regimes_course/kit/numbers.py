"""Answers that are a few numbers, in whatever form they come."""

from dataclasses import dataclass
from typing import Any

from regimes_course.kit.checking import Function
from regimes_course.kit.comparing import number

__all__ = ["Numbers", "numbers"]

NOISE = 1e-12


@dataclass(frozen=True)
class Numbers(Function):
    """A `Function` whose answer is one number or a few, of which one that is rounding noise beside the largest is zero."""

    def form(self, value: Any) -> Any:
        """The same as floats."""
        return numbers(value)


def numbers(value: Any) -> Any:
    """The same as floats. Beside others, one that is rounding noise of the largest is zero."""
    if not isinstance(value, tuple | list):
        return _number(value)
    value = tuple(_number(v) for v in value)
    if not all(isinstance(v, float) for v in value):
        return value
    size = max(map(abs, value), default=0.0)
    return tuple(0.0 if abs(v) <= NOISE * size else v for v in value)


def _number(value):
    value = number(value)
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
