"""What a function did with its arguments, whether two functions did the same, and how to say what is different.

One rule for numbers: a tensor or array with one element is the number in it, and a whole number will do where a float is meant.
Everything else is compared in kind, shape, dtype and value, and nothing broadcasts.
"""

import copy
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Complex, Integral, Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "Complaint",
    "Outcome",
    "describe",
    "given",
    "number",
    "parameters",
    "printed",
    "random",
    "said",
    "same",
    "stub",
    "told_apart",
]

SMALL = 12  # so many numbers are shown beside the expected ones
CLOSE = 1e-2  # errors below this are told in digits
NEAR = 3  # whole numbers that are no further off are told by how much
DIGITS = 6, 9, 13, 17  # of a printed number: the fewest that tell two of them apart
ROUNDING = 1e-12  # entries of a tensor below this share of the largest are printed as zero


class Complaint(Exception):
    """What a check has to say of what an answer returned: its text is the diagnosis."""


@dataclass(frozen=True)
class Outcome:
    """What a function did with one set of arguments: a value, or what it raised, or the argument it changed."""

    value: Any = None
    error: BaseException | None = None
    changed: int | None = None

    @classmethod
    def of(cls, function: Callable, args: Sequence, form: Callable[[Any], Any] = lambda value: value) -> "Outcome":
        """Call ``function`` on copies of the arguments, see whether it leaves them alone, and bring the value into its form."""
        own = copy.deepcopy(tuple(args))
        try:
            value = function(*own)
        except (Exception, SystemExit) as error:
            return cls(error=error)
        try:
            value = form(value)
        except Complaint as complaint:
            return cls(error=complaint)
        except Exception as error:
            return cls(error=Complaint(f"the check cannot use what your function returned ({said(error)})"))
        changed = [i for i, (a, b) in enumerate(zip(own, args, strict=True)) if not same(a, b, 0.0)]
        return cls(value=value, changed=changed[0] if changed else None)

    def agrees(self, other: "Outcome", rtol: float) -> bool:
        """Whether it did what another did: an equal value, or an error of the same kind or of a kind of it."""
        if self.error or other.error:
            return bool(self.error and other.error) and isinstance(self.error, type(other.error))
        return self.changed == other.changed and same(self.value, other.value, rtol)


def stub(error: BaseException | None) -> bool:
    """Whether an error is the bare NotImplementedError of an untouched cell: raised by the function, not by what it calls.

    To be asked where the function was called: the first frame of the traceback is the caller's.
    """
    if type(error) is not NotImplementedError or error.args or error.__traceback__ is None:
        return False
    own = error.__traceback__.tb_next
    return own is not None and own.tb_next is None


def random(seed: int, *shape: int) -> Tensor:
    """Standard normal float64 numbers for a case."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def number(value: Any) -> Any:
    """The Python number in a tensor or array with one element, or in a NumPy scalar; anything else as it is."""
    if isinstance(value, Tensor | np.ndarray | np.generic) and math.prod(value.shape) == 1:
        try:
            return value.item()
        except (RuntimeError, NotImplementedError):  # a tensor without data
            return value
    return value


def same(got: Any, want: Any, rtol: float) -> bool:
    """Equal in kind, shape, dtype and, to ``rtol`` of the largest finite entry, in value. Never broadcasts."""
    if _is_number(want):
        if isinstance(got, Tensor) and isinstance(want, Tensor) and got.dtype != want.dtype:
            return False
        return _same_number(number(got), number(want), rtol)
    if isinstance(got, Tensor) and isinstance(want, Tensor):
        if got.shape != want.shape or got.dtype != want.dtype:
            return False
        return torch.allclose(got, want, rtol=0.0, atol=rtol * _size(want), equal_nan=True)
    if isinstance(got, tuple | list) and isinstance(want, tuple | list):
        return len(got) == len(want) and all(same(i, j, rtol) for i, j in zip(got, want, strict=True))
    if isinstance(got, str) and isinstance(want, str):  # NumPy's texts are texts
        return str(got) == str(want)
    return type(got) is type(want) and bool(got == want)


def _is_number(value: Any) -> bool:
    return isinstance(value, bool | int | float | complex | np.generic) or (isinstance(value, Tensor) and value.ndim == 0)


def _same_number(a: Any, b: Any, rtol: float) -> bool:
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    kind = next((kind for kind in (Integral, Real, Complex) if isinstance(b, kind)), None)  # each is one of the next, too
    if kind is None or not isinstance(a, kind):
        return False
    return a == b or abs(a - b) <= rtol * abs(b) < math.inf or (a != a and b != b)


def _size(tensor: Tensor) -> float:
    """The largest finite entry."""
    tensor = tensor.detach().abs()
    return tensor.nan_to_num(posinf=0.0).max().item() if tensor.numel() else 0.0


def describe(got: Outcome, want: Outcome, rtol: float = 0.0, show: bool = False) -> str:
    """What is wrong with an outcome, for a mistake nobody foresaw; ``show`` puts a small value beside the expected one."""
    if isinstance(got.error, Complaint):
        return str(got.error)
    if want.error:
        did = f"raised {said(got.error)}" if got.error else f"returned {_text(got.value)}"
        return f"expected {_a(type(want.error).__name__)}; your function {did}"
    if got.error:
        return f"your function raised {said(got.error)}"
    if got.changed is not None:
        return f"your function changes its argument number {got.changed + 1} in place; work on a copy"
    return _difference(got.value, want.value, rtol, show)


def _difference(a: Any, b: Any, rtol: float, show: bool) -> str:
    if a is None:
        return "your function returned nothing; is a return missing?"
    if isinstance(b, str):
        return _other_text(a, b, show)
    if _is_number(b):
        return _other_number(a, b, rtol, show)
    if isinstance(b, tuple | list):
        return _other_values(a, b, rtol, show)
    if isinstance(b, Tensor):
        return _other_tensor(a, b, rtol, show)
    return f"your function returned {_text(a)}; that is not right"


def _other_text(a: Any, b: str, show: bool) -> str:
    if not isinstance(a, str):
        return f"your function returned {_a(type(a).__name__)}; expected a text"
    if _letters(a) == _letters(b):
        return f"your function returned {str(a)!r}, which is right but spelt otherwise: {b!r}"
    return f"your function returned {str(a)!r}; " + (f"expected {b!r}" if show else "that is not right")


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))


def _other_number(a: Any, b: Any, rtol: float, show: bool) -> str:
    plain, wanted = number(a), number(b)
    if isinstance(a, Tensor | np.ndarray) and not isinstance(plain, bool | int | float | complex):
        return f"your function returned {_a(type(a).__name__)} of shape {tuple(a.shape)}; expected a single number"
    if not isinstance(plain, bool | int | float | complex):
        return f"your function returned {_a(type(a).__name__)}; expected a number"
    kinds = type(plain).__name__, type(wanted).__name__
    if isinstance(a, Tensor) and isinstance(b, Tensor) and a.dtype != b.dtype:
        return f"your function returned {a.dtype}; expected {b.dtype}"
    if kinds[0] != kinds[1] and not (isinstance(plain, int) and isinstance(wanted, float)):
        return f"your function returned {_a(kinds[0])}, {plain!r}; expected {_a(kinds[1])}"
    if plain != plain:
        return f"your function returned {_text(plain)}, which is no number: 0/0, or a number outside a function's domain"
    own, right = told_apart(plain, wanted)
    close = _nearness([plain], [wanted], rtol)
    return f"your function returned {own}{close}" + (f"; expected {right}" if show else "" if close else "; that is not right")


def _other_values(a: Any, b: Sequence, rtol: float, show: bool) -> str:
    if not isinstance(a, tuple | list):
        return f"your function returned {_a(type(a).__name__)}; expected {len(b)} values, in a tuple"
    if len(a) != len(b):
        return f"your function returned {len(a)} values; expected {len(b)}"
    wrong = next(k for k in range(len(b)) if not same(a[k], b[k], rtol))
    if (
        show
        and all(_is_number(v) for v in (*map(number, a), *b))
        and any(number(u) != number(v) for u, v in zip(a, b, strict=True))
    ):
        own, right = told_apart(a, b)
        return f"your function returned {own}{_nearness(list(map(number, a)), list(map(number, b)), rtol)}; expected {right}"
    return f"value number {wrong + 1}: {_difference(a[wrong], b[wrong], rtol, show)}"


def _other_tensor(a: Any, b: Tensor, rtol: float, show: bool) -> str:
    if not isinstance(a, Tensor):
        return f"your function returned {_a(type(a).__name__)}; expected a Tensor of shape {tuple(b.shape)}"
    if a.shape != b.shape:
        return f"your function returned shape {tuple(a.shape)}; expected {tuple(b.shape)}"
    if a.dtype != b.dtype:
        return f"your function returned {a.dtype}; expected {b.dtype}"
    if a.isnan().any() and not b.isnan().any():
        return f"of the {a.numel()} entries {int(a.isnan().sum())} are NaN (0/0, or a number outside a function's domain)"
    off, size = (a - b).abs().nan_to_num(posinf=math.inf), _size(b)
    error = off.max().item() / size if size else math.inf
    says = f"the values differ by {error:.2g} of the largest entry" if size else "the values are not all zero"
    whole = not (b.is_floating_point() or b.is_complex())
    says += _where(off > rtol * size) + (_factor(a, b, rtol) or ("" if whole else _digits(error, rtol)))
    own, right = told_apart(a, b)
    return says + (f". You return {own}; expected {right}" if show and b.numel() <= SMALL else "")


def _where(wrong: Tensor) -> str:
    """In which rows, columns or entries, if the others are right."""
    for axis, name in enumerate(("row", "column")[: wrong.ndim] if wrong.ndim > 1 else ("entry",)):
        lines = wrong.movedim(axis, 0).flatten(1).any(1) if wrong.ndim > 1 else wrong
        bad = lines.nonzero().flatten().tolist()
        if 0 < len(bad) < len(lines):
            return f", only in {name} {', '.join(map(str, bad[:3]))}{', ...' if len(bad) > 3 else ''} (counted from 0)"
    if wrong.ndim == 2 and len(wrong) == len(wrong.mT) and not wrong.diagonal().any():
        return ", only off the diagonal"
    return ""


def _factor(a: Tensor, b: Tensor, rtol: float) -> str:
    """A common factor of all entries, if there is one."""
    several = (b.abs() > ROUNDING * _size(b)).sum() > 1
    if not (several and a.is_floating_point() and a.isfinite().all() and b.isfinite().all()):
        return ""
    c = ((a * b).sum() / (b * b).sum()).item()
    if not same(a, c * b, max(rtol, 1e-9)) or c == 0 or abs(c - 1) < CLOSE:
        return ""
    return ": they have the wrong sign" if abs(c + 1) < 1e-6 else f": they are {c:.4g} times the right ones"


def _nearness(got: Sequence, want: Sequence, rtol: float) -> str:
    """How near numbers are: whole ones are off by so many, of others so many digits are right."""
    apart, size = max(abs(u - v) for u, v in zip(got, want, strict=True)), max(map(abs, want))
    error = apart / size if size else math.inf
    if all(isinstance(v, Real) and v % 1 == 0 for v in (*got, *want)):  # not so for infinity
        return f": off by {apart:.0f}" if apart <= NEAR or error < CLOSE else ""
    return _digits(error, rtol)


def _digits(error: float, rtol: float) -> str:
    """How many digits are right, and how many are asked, for a small relative error."""
    if not rtol < error < CLOSE or rtol <= 0:
        return ""
    right, asked = math.floor(-math.log10(error)), math.ceil(-math.log10(rtol) - 1e-9)
    return f": right to {right} digits, {asked} are asked"


def _a(name: str) -> str:
    return f"{'an' if name[0] in 'aeioAEIO' else 'a'} {name}"


def told_apart(a: Any, b: Any) -> tuple[str, str]:
    """Two values as texts, with the fewest digits in which they differ."""
    texts = ((_text(a, digits), _text(b, digits)) for digits in DIGITS)
    return next((pair for pair in texts if pair[0] != pair[1]), (_text(a), _text(b)))


def _text(value: Any, digits: int = DIGITS[0]) -> str:
    """A value, its numbers to six digits if there are few of them."""
    plain = number(value)
    if isinstance(plain, float):
        return f"{plain:.{digits}g}"
    if isinstance(plain, Tensor):
        if plain.numel() > SMALL or plain.is_sparse:
            return f"a tensor of shape {tuple(plain.shape)}"
        return _text(_without_rounding(plain).tolist(), digits)
    if isinstance(plain, tuple | list) and len(plain) <= SMALL:
        inside = ", ".join(_text(entry, digits) for entry in plain)
        return f"[{inside}]" if isinstance(plain, list) else f"({inside})"
    return printed(plain, repr, 60)


def _without_rounding(tensor: Tensor) -> Tensor:
    """The same with zeros for what is rounding beside the largest entry."""
    if not tensor.is_floating_point():
        return tensor
    return torch.where(tensor.abs() <= ROUNDING * _size(tensor), 0.0, tensor.double())


def given(args: Sequence, names: Sequence[str] = ()) -> str:
    """What a function was called with, in a few words: numbers and small tensors in full, of others the shape or the name."""
    return ", ".join(f"{name} {_brief(arg)}".strip() for name, arg in zip([*names, *[""] * len(args)], args, strict=False))


def _brief(arg: Any) -> str:
    if isinstance(arg, Tensor | np.ndarray):
        return _text(arg) if math.prod(arg.shape) <= 4 else f"of shape {tuple(arg.shape)}"
    if isinstance(arg, int | float | str | tuple | list):
        return _text(arg)
    return getattr(arg, "__name__", None) or f"a {type(arg).__name__}"


def parameters(function: Callable) -> list[str]:
    """The names of a function's parameters; none if it does not tell."""
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []


def said(error: BaseException) -> str:
    """The kind of an error and its message, if it can be printed."""
    text, hint = printed(error, str, 500), ""
    if isinstance(error, SystemExit):
        hint = " (an answer returns; it does not end Python)"
    elif isinstance(error, NotImplementedError) and not text:
        hint = " (a part of it is still to be written)"
    return f"{type(error).__name__}{': ' if text else ''}{text}{hint}"


def printed(value: Any, form: Callable[[Any], str], most: int) -> str:
    """``repr(value)`` or ``str(value)``, its first characters, whatever the learner's object makes of it."""
    try:
        return form(value)[:most]
    except (Exception, SystemExit) as error:
        return f"(its {form.__name__} raises {type(error).__name__})"
