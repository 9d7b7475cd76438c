"""Checks of arguments that several modules share: what came, what is allowed, what to do next."""

import math
import operator
from collections.abc import Iterable

import torch
from torch import Tensor

__all__ = ["positive", "require_tensors", "run_shape", "whole"]


def whole(value: object, name: str, least: int | None = None) -> int:
    """A whole number, Python's own or NumPy's or torch's.

    Raises:
        ValueError: for anything else, or a number below ``least``; the message calls it ``name``.
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # TypeError says what is none
    except TypeError:
        number = None
    if number is None or (least is not None and number < least):
        raise ValueError(f"{name} must be a whole number{'' if least is None else f' >= {least}'}; got {value!r}")
    return number


def run_shape(runs: Iterable[int]) -> tuple[int, ...]:
    """The shape of run axes as a tuple of whole numbers, at least one each.

    Raises:
        ValueError: for anything else.
    """
    if not isinstance(runs, Iterable):
        raise ValueError(f"runs is the shape of the run axes, a tuple such as (3,) or (2, 5); got {runs!r}")
    return tuple(whole(size, "each axis of runs", 1) for size in runs)


def positive(value: object, name: str, *, single: bool = False, zero: bool = False) -> None:
    """Refuse what is not a positive, finite number or, unless it must be ``single``, a tensor of them; allow ``zero`` if asked.

    Raises:
        ValueError: the message calls it ``name``.
    """
    try:
        if isinstance(value, (int, float)):
            good = math.isfinite(value) and (value >= 0 if zero else value > 0)
        else:
            numbers = torch.as_tensor(value, device="cpu")
            right = torch.isfinite(numbers) & ((numbers >= 0) if zero else (numbers > 0))
            good = not numbers.is_complex() and bool(right.all()) and not (single and numbers.ndim)
    except (TypeError, ValueError, RuntimeError, OverflowError):  # the answers to what is no number, or too large for one
        good = False
    if not good:
        kind = "finite number >= 0" if zero else "positive, finite number"
        raise ValueError(f"{name} must be a {kind}; got {value!r}")


def require_tensors(**data: object) -> None:
    """Refuse data that are not tensors.

    Raises:
        ValueError: the message calls them by their names.
    """
    for name, value in data.items():
        if not isinstance(value, Tensor):
            raise ValueError(
                f"{name} must be a torch.Tensor; got a {type(value).__module__}.{type(value).__qualname__}. Convert it: "
                f"torch.from_numpy({name}) for a NumPy array, torch.tensor({name}, dtype=torch.float64) for a list"
            )
