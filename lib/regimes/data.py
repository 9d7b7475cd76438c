"""Checks of data: every public function makes them, but data that `regimes.training.train` reuses are checked only once.

A check reads all numbers and waits for the answer, which on a GPU drains the queue.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

__all__ = ["checked_once", "finite", "passes"]

Test = Callable[[Tensor], bool | Tensor]
_scope: ContextVar[tuple[list[Tensor], set]] = ContextVar("the data of a training, and the tests they have passed")


@contextmanager
def checked_once(*data: Tensor | None) -> Iterator[None]:
    """Inside this context, these tensors need to pass each test only once. All other tensors are tested every time."""
    token = _scope.set(([t for t in data if isinstance(t, Tensor)], set()))
    try:
        yield
    finally:
        _scope.reset(token)


def passes(t: Tensor, test: Test) -> bool:
    """Whether ``test(t)`` is true, or was when these numbers were tested before: see `checked_once`."""
    data, passed = _scope.get(([], set()))
    same = (i for i, d in enumerate(data) if (t.data_ptr(), t.numel()) == (d.data_ptr(), d.numel()))  # d, or a view of it
    known = next(same, None)
    if (known, t.shape, test) not in passed:
        if not test(t):
            return False
        if known is not None:
            passed.add((known, t.shape, test))
    return True


def finite(t: Tensor) -> Tensor:
    """Whether all numbers of ``t`` are finite: a test for `passes`."""
    return torch.isfinite(t).all()
