"""Exercise 4: which steps are what they should be."""

from collections.abc import Callable
from random import Random

import torch
from torch import Tensor
from torch.func import jacrev

from regimes_course.kit.checking import Function, Mistake, Trial, random
from regimes_course.lesson07 import pictures

__all__ = ["VERIFIED"]

STEP = 1e-6
NEAR, FAR = 0.8e-3, 1.3e-3  # misses, shares of |r|, on both sides of the limit


def _network(x: Tensor, V: Tensor, u: Tensor, shape: tuple[int, int]) -> Callable[[Tensor], Tensor]:
    """Outputs of two tanh layers, the second of which reads what the first has made; both are trained."""

    def outputs(w: Tensor) -> Tensor:
        first = torch.tanh(x @ V) @ w[0].reshape(shape)
        return (first + torch.tanh(first @ V) @ w[1].reshape(shape)) @ u

    return outputs


def _places(r: Tensor, seed: int) -> dict[str, Tensor]:
    """Where a step can miss ``r``, by letter: masks and directions ``(n, q)``."""
    order = r.abs().flatten().argsort()
    anywhere = random(seed, *r.shape)
    first, last, left, right, small, large = (torch.zeros_like(r) for _ in range(6))
    first[0], last[-1], left[:, 0], right[:, -1] = 1, 1, 1, 1
    small.view(-1)[order[0]], large.view(-1)[order[-1]] = 1, 1
    masks = {"f": first, "e": last, "p": left, "q": right, "i": small, "j": large}
    return {"a": anywhere, "k": r} | {letter: mask * anywhere for letter, mask in masks.items()}


def _case(seed: int, n: int, h: int, m: int, q: int, scale: float, picks: str, size: float = 1.0) -> tuple:
    """A network with outputs of this size, its weights, a movement that is wanted, and candidate steps: for each letter one of those
    below, or one that misses at a place of `_places`, by 0.8 thousandths of ``|r|`` (small letter) or by 1.3 (capital)."""
    x, V, u = 0.3 + random(seed, n, h), random(seed + 1, h, m) / h**0.5, size * (0.2 + random(seed + 2, h, q))
    outputs, w = _network(x, V, u, (m, h)), 0.7 * random(seed + 3, 2, m * h)
    r = scale * (0.4 + random(seed + 4, n, q))
    J = jacrev(outputs)(w).reshape(n * q, -1)
    back = torch.linalg.pinv(J)
    shortest = back @ r.flatten()
    unseen = random(seed + 5, J.shape[1])
    unseen = unseen - back @ (J @ unseen)
    steps = {
        "s": shortest,
        "l": shortest + shortest.norm() * unseen / unseen.norm(),  # right, and longer
        "g": J.T @ r.flatten() * (r.norm() ** 2 / (J.T @ r.flatten()).norm() ** 2),  # a gradient of the right size
        "n": -shortest,
        "d": 2 * shortest,
        "h": 0.5 * shortest,
        "o": 1.01 * shortest,  # one per cent off
        "m": shortest + 0.3 * back @ random(seed + 6, n * q) * r.norm() / (n * q) ** 0.5,
    }
    for letter, place in _places(r, seed + 7).items():
        miss = back @ (place * (r.norm() / place.norm())).flatten()
        steps[letter], steps[letter.upper()] = shortest + NEAR * miss, shortest + FAR * miss
    return outputs, w, r, [steps[pick].reshape(w.shape) for pick in picks]


def _cases() -> dict[str, tuple]:
    return {
        "the shortest, minus it, and the gradient": _case(0, 3, 4, 7, 2, 1.0, "sng"),
        "another that is longer, and one that is one per cent off": _case(10, 4, 3, 9, 2, 1.0, "olm"),
        "misses of 0.8 and of 1.3 thousandths of |r|": _case(50, 3, 4, 8, 2, 1.0, "aAKkl"),
        "the same misses, in the first or the last sample alone": _case(60, 4, 3, 9, 2, 2.0, "FfeE"),
        "the same misses, in the first or the last output alone": _case(70, 3, 4, 9, 2, 0.5, "pPQq"),
        "the same misses, in the smallest or the largest entry of r alone": _case(80, 4, 3, 9, 2, 1.5, "iIJj"),
        "a tiny movement": _case(20, 3, 4, 7, 1, 1e-9, "dsmaAlg"),
        "a large movement": _case(30, 4, 5, 8, 2, 1e4, "lhaAs"),
        "a small movement of outputs of a thousand": _case(90, 4, 3, 9, 2, 1e-6, "AsoalK", 1e3),
        "none is right": _case(40, 3, 4, 6, 2, 2.0, "go"),
    }


def _draw(rng: Random) -> tuple:
    picks = "".join(rng.choice("slgndhomaAkKfFeEpPqQiIjJ") for _ in range(rng.randint(1, 4)))
    return _case(
        rng.randrange(10**6),
        rng.randint(1, 4),
        rng.randint(3, 4),
        rng.randint(7, 9),
        rng.randint(1, 2),
        10 ** rng.uniform(-9, 4),
        picks,
        10 ** rng.uniform(-1, 3),
    )


def _reference(outputs, w, r, steps):
    J = jacrev(outputs)(w).reshape(r.numel(), -1)
    return [bool((J @ step.flatten() - r.flatten()).norm() <= 1e-3 * r.norm()) for step in steps]


def _moved(outputs, w, step):
    """By central differences, at a length that suits the step."""
    h = STEP / step.norm()
    return (outputs(w + h * step) - outputs(w - h * step)) / (2 * h)


def _by(outputs, w, r, steps, moved=_moved, good=lambda moved, r: (moved - r).norm() <= 1e-3 * r.norm()):
    return [bool(good(moved(outputs, w, step), r)) for step in steps]


def _one_sided(outputs, w, step):
    h = 1e-7 / step.norm()
    return (outputs(w + h * step) - outputs(w)) / h


def _jvp(outputs, w, step):
    return torch.func.jvp(outputs, (w,), (step,))[1]


def _cosine(moved, r):
    return (moved * r).sum() >= (1 - 1e-4) * moved.norm() * r.norm()


def _shortest_alone(outputs, w, r, steps):
    right = _by(outputs, w, r, steps)
    least = min((step.norm() for step, good in zip(steps, right, strict=True) if good), default=0.0)
    return [good and bool(step.norm() <= 1.0001 * least) for step, good in zip(steps, right, strict=True)]


Test = Callable[[Tensor, Tensor], Tensor | bool]  # of what a step moves, and r


def _largest_entry(moved, r):
    return (moved - r).abs().max() <= 1e-3 * r.abs().max()


def _each(dim: int) -> Test:
    """Sample by sample (1), or output by output (0)."""
    return lambda moved, r: ((moved - r).norm(dim=dim) <= 1e-3 * r.norm(dim=dim)).all()


def _part(index) -> Test:
    """One sample or output alone."""
    return lambda moved, r: (moved - r)[index].norm() <= 1e-3 * r[index].norm()


PIECES = (
    _each(1),
    _each(0),
    lambda moved, r: torch.allclose(moved, r, rtol=1e-3),
    lambda moved, r: torch.allclose(moved, r, rtol=1e-3, atol=0.0),
)
PARTS = tuple(_part(index) for k in (0, -1) for index in (k, (slice(None), k)))


def _by_one_of(tests: tuple[Test, ...]) -> Callable[[list[Trial]], bool]:
    """Whether the verdicts are those of one of these tests in all cases."""
    return lambda trials: (
        _verdicts(trials) and any(all(list(t.got.value) == _by(*t.args, good=test) for t in trials) for test in tests)
    )


def _with_fixed_h(outputs, w, step):
    return (outputs(w + 1e-5 * step) - outputs(w - 1e-5 * step)) / 2e-5


def _verdicts(trials: list[Trial]) -> bool:
    """Whether each value is a verdict for each step."""
    values = [t.got.value for t in trials]
    return all(
        isinstance(value, tuple | list) and len(value) == len(t.args[-1]) and all(isinstance(v, bool) for v in value)
        for value, t in zip(values, trials, strict=True)
    )


def _only(trials: list[Trial], verdict: bool) -> bool:
    """Whether all verdicts that are wrong are this one."""
    if not _verdicts(trials):
        return False
    pairs = [pair for t in trials for pair in zip(t.got.value, t.want.value, strict=True)]
    return all(got is verdict for got, want in pairs if got is not want)


def _ordinary(trial: Trial) -> bool:
    """Whether the steps of a case are neither very short nor very long."""
    return all(1e-2 < step.norm() < 1e2 for step in trial.args[-1])


def _wrong_at_extremes(trials: list[Trial]) -> bool:
    return _verdicts(trials) and not any(_ordinary(t) for t in trials if not t.right)


VERIFIED = Function(
    key="07/verified",
    picture=pictures.verified,
    reference=_reference,
    cases=_cases,
    draw=_draw,
    praise="You can check any second-order method now, without knowing how its step was computed.",
    alternatives=(_by, lambda *a: _by(*a, moved=_jvp), lambda *a: tuple(_by(*a, moved=_one_sided))),
    mistakes=(
        Mistake(
            "a whole step",
            "This moves the weights by the whole step. J says what a *small* move does: move by h times the step, and divide by h.",
            lambda *a: _by(*a, moved=lambda f, w, s: f(w + s) - f(w)),
        ),
        Mistake(
            "divided by h alone",
            "The difference of the two sides belongs to a move of 2 h, and is divided by h.",
            lambda *a: _by(*a, moved=lambda f, w, s: 2 * _moved(f, w, s)),
        ),
        Mistake(
            "sign",
            "The sign is wrong: the outputs after a move along +step, minus those before.",
            lambda *a: _by(*a, moved=lambda f, w, s: -_moved(f, w, s)),
        ),
        Mistake(
            "absolute",
            "This compares the miss with 0.001 itself. It is to be compared with 0.001 times the length of r: r may be tiny or large.",
            lambda *a: _by(*a, good=lambda moved, r: (moved - r).norm() <= 1e-3),
        ),
        Mistake(
            "direction alone",
            "This accepts any step that moves the outputs in the direction of r, however far. The length counts, too.",
            lambda *a: _by(*a, good=_cosine),
        ),
        Mistake(
            "length alone",
            "This compares lengths. A movement as long as r can be another one: compare the movements themselves.",
            lambda *a: _by(*a, good=lambda moved, r: abs(moved.norm() - r.norm()) <= 1e-3 * r.norm()),
        ),
        Mistake(
            "downhill",
            "This accepts whatever makes the error smaller. A gradient does that as well: asked for is J delta = r.",
            lambda *a: _by(*a, good=lambda moved, r: (moved * r).sum() > 0),
        ),
        Mistake(
            "too generous",
            "This lets a miss of one per cent pass. At most one in a thousand is asked for.",
            lambda *a: _by(*a, good=lambda moved, r: (moved - r).norm() <= 0.02 * r.norm()),
        ),
        Mistake(
            "the shortest alone",
            "This accepts the shortest of the right steps only. There are many right inverses; a longer one is exact as well.",
            _shortest_alone,
        ),
        Mistake(
            "as allclose does",
            "This is what torch.allclose says if nothing else is asked of it: each entry right to five digits, or to 1e-8. So it refuses what misses by "
            "half a thousandth, and accepts anything where r itself is tiny.",
            lambda *a: _by(*a, good=torch.allclose),
        ),
        Mistake(
            "piece by piece",
            "This compares piece by piece, each entry, sample or output of the miss with its own piece of r. Asked for are lengths: that of the whole miss, and of the whole r.",
            lambda *a: _by(*a, good=PIECES[0]),
            _by_one_of(PIECES),
        ),
        Mistake(
            "one part alone",
            "This looks at one sample or at one output only. The lengths are those of the whole miss and of the whole r, over samples and outputs together.",
            lambda *a: _by(*a, good=PARTS[0]),
            _by_one_of(PARTS),
        ),
        Mistake(
            "the largest entry",
            "This compares the largest entry of the miss with the largest of r. Asked for are lengths, roots of sums of squares over all entries.",
            lambda *a: _by(*a, good=_largest_entry),
        ),
        Mistake(
            "numbers of the steps",
            "This returns the numbers of the steps that are right. Return True or False for each of them.",
            lambda *a: [i for i, good in enumerate(_by(*a)) if good],
        ),
        Mistake(
            "the other way round",
            "True and False are exchanged: True for a step that does it.",
            lambda *a: [not good for good in _by(*a)],
        ),
        Mistake(
            "wrong for very short or long steps",
            "All is right for steps of ordinary length, and not for very short or very long ones. Choose h by the length of the step: too large, and the "
            "outputs bend; too small, and rounding is all that is left. And the limit is a share of |r|, however small that is.",
            lambda *a: _by(*a, moved=_with_fixed_h),
            _wrong_at_extremes,
        ),
        Mistake(
            "too much passes",
            "All that is wrong is a True too many: a step passes that misses r by 1.3 thousandths of its length or more. Compare all entries of the miss, in "
            "all samples and outputs, and allow one thousandth.",
            lambda *a: _by(*a, good=lambda moved, r: (moved - r).norm() <= 2e-3 * r.norm()),
            lambda trials: _only(trials, True),
        ),
        Mistake(
            "right ones refused",
            "All that is wrong is a False too many: a step is refused that misses r by 0.8 thousandths of its length or less. One thousandth is allowed, of |r| as a whole.",
            lambda *a: _by(*a, good=lambda moved, r: (moved - r).norm() <= 5e-4 * r.norm()),
            lambda trials: _only(trials, False),
        ),
    ),
)
