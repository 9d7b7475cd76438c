"""Exercise 3: the loss of the dial from rich to lazy."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from regimes.directions import gradient
from regimes.kernels import LazyScaling
from regimes.networks import TwoLayer
from regimes_course.kit.checking import Behaviour, Complaint, Mistake, random
from regimes_course.kit.comparing import told_apart
from regimes_course.lesson06 import pictures

__all__ = ["SCALED_LOSS"]

CASES = ((0, 7, 3, 5, 0.3), (1, 4, 2, 9, 6.0), (2, 6, 5, 4, 1.7))  # seed, samples, inputs, units, alpha


@dataclass(frozen=True)
class Seen:
    """What a loss function gave for one network.

    Attributes:
        value: the loss; ``None`` if it was not a single number in a tensor.
        gradient: by the parameters of the network, joined; ``None`` if there was no way back to them.
        kept: whether the network, its start, x and y are what they were.
    """

    value: Tensor | None
    gradient: Tensor | None = None
    kept: bool = True


def _setting(seed, n, d, m):
    """A network that has moved from its start, that start, inputs and targets."""
    start = TwoLayer(d, m, activation="tanh", scaling="ntk", output_std=1.3, seed=seed)
    net = copy.deepcopy(start)
    with torch.no_grad():
        for i, p in enumerate(net.parameters()):
            p += 0.4 * random(10 * seed + i, *p.shape)
    return net, start, 1.2 * random(seed + 50, n, d) + 0.3, 2 * random(seed + 60, n) - 0.5


def observe(answer: Callable) -> list[Seen]:
    """The value and the gradient of ``answer(net, start, x, y, alpha)`` on each case."""
    return [_observe(answer, *_setting(*sizes), alpha) for *sizes, alpha in CASES]


def _observe(answer, net, start, x, y, alpha) -> Seen:
    before = [p.detach().clone() for p in (*net.parameters(), *start.parameters())]
    given = x.clone(), y.clone()
    value = answer(net, start, *given, alpha)
    kept = all(torch.equal(p, q) for p, q in zip((*net.parameters(), *start.parameters()), before, strict=True))
    kept = kept and torch.equal(given[0], x) and torch.equal(given[1], y)
    if any(p.grad is not None for p in (*net.parameters(), *start.parameters())):
        raise Complaint(
            "your function calls backward() itself; a loss only looks: return it, and leave the gradients to the caller"
        )
    if not isinstance(value, Tensor) or value.numel() != 1:
        return Seen(None, kept=kept)
    parts = None
    if value.requires_grad:
        parts = torch.autograd.grad(value.sum(), list(net.parameters()), allow_unused=True)
    lost = parts is None or all(g is None for g in parts)
    return Seen(value.detach().reshape(()), None if lost else torch.cat([g.flatten() for g in parts]), kept)


def _reference() -> list[Seen]:
    """From the library's `LazyScaling`: its direction is the gradient in the time scale ``1 / alpha^2``."""
    seen = []
    for *sizes, alpha in CASES:
        net, start, x, y = _setting(*sizes)
        scaled = LazyScaling(net, alpha)
        scaled.start.load_state_dict(start.state_dict())
        direction = gradient(scaled, x, y)
        seen.append(Seen(direction.loss / alpha**2, torch.cat([t.flatten() for t in direction.tensors])))
    return seen


def alike(a: list[Seen], b: list[Seen]) -> bool:
    """Whether two functions gave the same values and the same gradients."""
    return all(_same(i.value, j.value) and _same(i.gradient, j.gradient) for i, j in zip(a, b, strict=True))


def _same(a: Tensor | None, b: Tensor | None) -> bool:
    if a is None or b is None:
        return a is b
    return a.dtype == b.dtype and torch.allclose(a, b, rtol=1e-9, atol=1e-9 * b.abs().max().item())


def _loss(inside: Callable, factor: Callable) -> Callable:
    """An answer: ``factor(alpha)`` times half the mean square of ``inside(f, f0, y, alpha)``."""
    return lambda net, start, x, y, alpha: factor(alpha) * inside(net(x), start(x).detach(), y, alpha).square().mean() / 2


def _right(f, f0, y, alpha):
    return alpha * (f - f0) - y


def _per_square(alpha):
    return 1 / alpha**2


def _values(seen: list[Seen]) -> bool:
    return all(_same(i.value, j.value) for i, j in zip(seen, _reference(), strict=True))


def _in_steps(net, start, x, y, alpha):
    with torch.no_grad():
        f0 = start(x)
    r = alpha * net(x) - alpha * f0 - y
    return (r @ r) / (2 * len(y) * alpha**2)


def _by_library(net, start, x, y, alpha):
    return torch.nn.functional.mse_loss(net(x) - start(x), y / alpha) / 2


def _detached(net, start, x, y, alpha):
    return _loss(_right, _per_square)(net, start, x, y, alpha).detach()


def _float(net, start, x, y, alpha):
    return _detached(net, start, x, y, alpha).item()


def _moves_start(net, start, x, y, alpha):
    loss = _loss(_right, _per_square)(net, start, x, y, alpha)
    start.load_state_dict(net.state_dict())
    return loss


def _mistake(name: str, says: str, example: Callable) -> Mistake:
    """A mistake that is recognised by its values and gradients."""
    return Mistake(name, says, example, lambda seen: alike(seen, observe(example)))


def _otherwise(seen: list[Seen]) -> str:
    if not _values(seen):
        got, want = told_apart(seen[0].value, _reference()[0].value)
        return f"for alpha = {CASES[0][-1]:g} the loss is {got}; it should be {want}."
    return "the values are right, and the gradients by the parameters of net are not."


SCALED_LOSS = Behaviour(
    key="06/scaled_loss",
    picture=pictures.scaled_loss,
    observe=observe,
    passed=lambda seen: all(s.kept for s in seen) and alike(seen, _reference()),
    praise=lambda seen: "Values and gradients are those of the dial, at three values of α.",
    otherwise=_otherwise,
    alternatives=(_loss(_right, _per_square), _in_steps, _by_library),
    mistakes=(
        Mistake(
            "changes a network",
            "This changes what it is given, the parameters of a network, x or y. A loss only looks.",
            _moves_start,
            lambda seen: not all(s.kept for s in seen),
        ),
        Mistake(
            "no tensor",
            "It must return one number in a tensor, so that it can be differentiated: no .item(), no float(), and a mean over the samples.",
            _float,
            lambda seen: any(s.value is None for s in seen),
        ),
        Mistake(
            "detached",
            "The value is right, but there is no way back to the parameters of net: use neither .detach() nor torch.no_grad() on its outputs.",
            _detached,
            lambda seen: _values(seen) and all(s.gradient is None for s in seen),
        ),
        _mistake(
            "start not taken out",
            "This scales the outputs themselves. At a large alpha the network would first have to unlearn alpha times its start: subtract start(x).",
            _loss(lambda f, f0, y, alpha: alpha * f - y, _per_square),
        ),
        _mistake(
            "start outside the bracket",
            "This subtracts the start without its factor: alpha multiplies the difference, alpha (f - f_0).",
            _loss(lambda f, f0, y, alpha: alpha * f - f0 - y, _per_square),
        ),
        _mistake(
            "no time scale",
            "The factor 1 / alpha^2 is missing: at a large alpha, gradients and steps are alpha^2 times too long, and training diverges.",
            _loss(_right, lambda alpha: 1.0),
        ),
        _mistake(
            "one power of alpha",
            "This divides by alpha. The output carries alpha once and the gradient once more: divide by alpha^2.",
            _loss(_right, lambda alpha: 1 / alpha),
        ),
        _mistake(
            "labels scaled too",
            "This multiplies the labels by alpha as well, so that alpha drops out: only the departure from the start is scaled.",
            _loss(lambda f, f0, y, alpha: alpha * (f - f0 - y), _per_square),
        ),
        _mistake(
            "alpha forgotten inside",
            "Inside the square the factor alpha is missing: it multiplies the departure from the start.",
            _loss(lambda f, f0, y, alpha: f - f0 - y, _per_square),
        ),
        _mistake(
            "no half",
            "The course's loss has a half: this is twice as large.",
            _loss(_right, lambda alpha: 2 / alpha**2),
        ),
        _mistake(
            "sum over samples",
            "This sums over the samples. The loss is their mean.",
            lambda net, start, x, y, alpha: len(y) * _loss(_right, _per_square)(net, start, x, y, alpha),
        ),
        _mistake(
            "one sign for both",
            "Inside the square the departure from the start and the labels have one sign, and should have two: the residual is alpha (f - f_0) - y.",
            _loss(lambda f, f0, y, alpha: alpha * (f - f0) + y, _per_square),
        ),
        _mistake(
            "every output against every label",
            "Outputs of shape (n,) minus labels of shape (n, 1) are n x n numbers, each output against every label. Keep both at (n,).",
            _loss(lambda f, f0, y, alpha: alpha * (f - f0) - y[:, None], _per_square),
        ),
    ),
)
