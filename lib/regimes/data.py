"""Checks of data: every public function makes them, but data that `regimes.training.train` reuses are checked only once.

A check reads all numbers and waits for the answer, which on a GPU drains the queue. What is made of such data, inputs with a
column of ones for example, is also made once.
"""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

__all__ = ["checked_once", "finite", "made_once", "once", "passes"]

Result = TypeVar("Result")
Test = Callable[[Tensor], bool | Tensor]


class _Scope(NamedTuple):
    places: dict[tuple[int, int], int]  # which of the data lies at an address: a view has that of what it views
    known: dict
    held: dict[int, tuple[Tensor, int]]  # by their ids, the data and what was made of them, each with its version then
    made: dict[tuple, Tensor]


_NOTHING = _Scope({}, {}, {}, {})
_scope: ContextVar[_Scope] = ContextVar("the data of a training, and what is known while it lasts")


@contextmanager
def checked_once(*data: Tensor | None, known: dict | None = None) -> Iterator[None]:
    """Inside this context, these tensors need to pass each test only once. All other tensors are tested every time.

    known: what an earlier context found out about the same tensors, and this one adds to.
    """
    tensors = [t for t in data if isinstance(t, Tensor) and t.layout == torch.strided]  # others have no address
    places = {_address(t): i for i, t in enumerate(tensors)}
    held = {id(t): (t, t._version) for t in tensors if not t.is_inference()}  # such tensors keep no count of their changes
    token = _scope.set(_Scope(places, {} if known is None else known, held, {}))
    try:
        yield
    finally:
        _scope.reset(token)


def once(key: Hashable, compute: Callable[[], Result], *about: Tensor) -> Result:
    """``compute()``; inside `checked_once` called once for each key, if the tensors it is about are those of the context."""
    scope = _scope.get(_NOTHING)
    places = [scope.places.get(_address(t)) for t in about]
    if None in places:
        return compute()
    key = (key, *places, *(t.shape for t in about))
    if scope.known.get(key, False) is False:  # a test that has failed is made again
        scope.known[key] = compute()
    return scope.known[key]


def made_once(make: Callable[[Tensor], Tensor], t: Tensor) -> Tensor:
    """``make(t)``, which nobody may change; inside `checked_once` made once of each of its tensors that has not changed.

    What was made is a tensor of the context, too.
    """
    scope = _scope.get(_NOTHING)
    _, version = scope.held.get(id(t), (t, None))
    if version is None or version != t._version:
        return make(t)
    key = make, id(t)
    if key not in scope.made:
        scope.made[key] = result = make(t)
        scope.held[id(result)] = result, result._version
    return scope.made[key]


def passes(t: Tensor, test: Test) -> bool:
    """Whether ``test(t)`` is true, or was when these numbers were tested before: see `checked_once`."""
    return once(test, lambda: bool(test(t)), t)


def _address(t: Tensor) -> tuple[int, int]:
    return t.data_ptr(), t.numel()


def finite(t: Tensor) -> Tensor:
    """Whether all numbers of ``t`` are finite: a test for `passes`."""
    return torch.isfinite(t).all()
