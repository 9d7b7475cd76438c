"""Checks of data: every public function makes them, but data that `regimes.training.train` reuses are checked only once.

A check reads all numbers and waits for the answer, which on a GPU drains the queue.
"""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import torch
from torch import Tensor

__all__ = ["checked_once", "finite", "once", "passes"]

Result = TypeVar("Result")
Test = Callable[[Tensor], bool | Tensor]
_scope: ContextVar[tuple[list[Tensor], dict]] = ContextVar("the data of a training, and what is known while it lasts")


@contextmanager
def checked_once(*data: Tensor | None, known: dict | None = None) -> Iterator[None]:
    """Inside this context, these tensors need to pass each test only once. All other tensors are tested every time.

    known: what an earlier context found out about the same tensors, and this one adds to.
    """
    token = _scope.set(([t for t in data if isinstance(t, Tensor)], {} if known is None else known))
    try:
        yield
    finally:
        _scope.reset(token)


def once(key: Hashable, compute: Callable[[], Result], *about: Tensor) -> Result:
    """``compute()``; inside `checked_once` called once for each key, if the tensors it is about are those of the context."""
    data, known = _scope.get(([], {}))
    places = [
        next((i for i, d in enumerate(data) if (t.data_ptr(), t.numel()) == (d.data_ptr(), d.numel())), None)  # d, or a view
        for t in about
    ]
    if None in places:
        return compute()
    key = (key, *places, *(t.shape for t in about))
    if known.get(key, False) is False:  # a test that has failed is made again
        known[key] = compute()
    return known[key]


def passes(t: Tensor, test: Test) -> bool:
    """Whether ``test(t)`` is true, or was when these numbers were tested before: see `checked_once`."""
    return once(test, lambda: bool(test(t)), t)


def finite(t: Tensor) -> Tensor:
    """Whether all numbers of ``t`` are finite: a test for `passes`."""
    return torch.isfinite(t).all()
