"""Exercise 6: slow or stuck in noise."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from regimes_course.kit.checking import Behaviour, Mistake
from regimes_course.lesson03 import pictures
from regimes_course.lesson03.experiments import rest

__all__ = ["RESTS"]

SLOW, NOISE = "slow", "noise"
BOXES = (  # inputs, step size, label noise, time at which it is handed over; what it is
    ((10**5, 1.0, 4e-3, 60.0), SLOW),
    ((50, 2.0, 0.05, 600.0), NOISE),  # higher than the others, and after a cut nearly as high as a slow one
    ((50, 3.0, 4e-3, 600.0), NOISE),  # as high as the first rest
    ((10**4, 0.3, 1e-3, 60.0), SLOW),
    ((50, 0.3, 3e-2, 300.0), NOISE),
    ((10**4, 2.0, 1e-3, 50.0), SLOW),
    ((50, 1.0, 4e-3, 180.0), NOISE),  # still settling: without a cut it falls as much as a slow one
)
PATIENCE = 110.0  # the statement says 100: a look or two before is not counted
TRUTH = tuple(label for _, label in BOXES)


@dataclass(frozen=True)
class Seen:
    """What a function did with the boxes.

    Attributes:
        labels: what it said of each, as it came.
        time: the longest that it gave one of them.
        cut: whether it took a smaller step with any of them.
    """

    labels: tuple[object, ...]
    time: float
    cut: bool


def observe(answer: Callable) -> Seen:
    """Hand it a fresh network for each box."""
    labels, times, cuts = zip(*(_visit(answer, box) for box, _ in BOXES), strict=True)
    return Seen(labels, max(times), any(cuts))


def _visit(answer: Callable, box: tuple) -> tuple[object, float, bool]:
    network, taken = rest(*box), []

    def advance(eta, steps):
        risk = network(eta, steps)
        taken.append((float(eta), float(steps)))
        return risk

    label = answer(advance, box[1])
    return label, sum(eta * steps for eta, steps in taken), any(eta < box[1] for eta, _ in taken)


def _cut(factor: float = 10.0, many: float = 25.0, fall: float = 0.4, falls: str = NOISE, stays: str = SLOW) -> Callable:
    """Cut the step size, give the risk ``many`` units of time, and see whether it fell below a share of what it was."""

    def answer(advance, eta):
        before = advance(eta, 1)
        after = advance(eta / factor, many * factor / eta)
        return falls if after < fall * before else stays

    return answer


def _twice(advance, eta):
    """By two cuts: noise falls with each of them."""
    first = advance(eta / 4, 100 / eta)
    return NOISE if advance(eta / 16, 400 / eta) < first / 2 else SLOW


def _compare(advance, eta):
    """The risk is proportional to the step."""
    before = advance(eta, 1)
    after = advance(eta / 100, 5000 / eta)
    return (SLOW, NOISE)[bool(before / after > 10)]


def _mistake(name: str, says: str, example: Callable) -> Mistake:
    once = cache(observe)
    return Mistake(name, says, example, lambda seen: _words(seen) and seen.labels == once(example).labels)


def _words(seen: Seen) -> bool:
    return all(isinstance(label, str) and label in (SLOW, NOISE) for label in seen.labels)


def _waits(time: float, fall: float) -> Callable:
    """Give it time, without a cut: what falls was slow."""

    def answer(advance, eta):
        before = advance(eta, 1)
        return SLOW if advance(eta, time / eta) < fall * before else NOISE

    return answer


def _by_height(advance, eta):
    return SLOW if advance(eta, 1) > 1e-3 else NOISE


def _by_difference(advance, eta):
    before = advance(eta, 1)
    return NOISE if before - advance(eta / 10, 250 / eta) > 1e-3 else SLOW


RESTS = Behaviour(
    key="03/rests",
    picture=pictures.rests,
    observe=observe,
    passed=lambda seen: _words(seen) and seen.labels == TRUTH and seen.time <= PATIENCE,
    praise=lambda seen: (
        f"All {len(TRUTH)} boxes are right, also the noisy one that rests as high as a network whose units are equal."
    ),
    otherwise=lambda seen: (
        f"{sum(a is b or (isinstance(a, str) and a == b) for a, b in zip(seen.labels, TRUTH, strict=True))} of the {len(TRUTH)} "
        "boxes are right. Cut the step size by a lot, give the risk a time (steps times step size) of about 20, and compare it "
        "with what it was."
        if _words(seen)
        else 'your function must return "slow" or "noise".'
    ),
    alternatives=(_cut(), _cut(30.0, 40.0, 0.3), _twice, _compare),
    mistakes=(
        Mistake(
            "no words",
            'Return one of the words "slow" and "noise".',
            lambda advance, eta: _cut()(advance, eta) == NOISE,
            lambda seen: not _words(seen),
        ),
        _mistake(
            "wrong way round",
            "Every label is wrong. At a cut noise goes down; what is slow stays where it was, or nearly.",
            _cut(falls=SLOW, stays=NOISE),
        ),
        Mistake(
            "too long",
            "You give a network a time, steps times step size, of more than 100. So long a wait tells other things: a slow network leaves its rest "
            "meanwhile, whatever the step. After a cut a time of about 20 is enough.",
            _waits(3000.0, 0.5),
            lambda seen: seen.time > PATIENCE,
            also=[_cut(many=500.0)],
        ),
        _mistake(
            "height",
            "This judges by the height of the rest. A noisy network may rest as high as a slow one; only the cut tells.",
            _by_height,
        ),
        _mistake(
            "large steps",
            "This takes a large step size for noise. Whether a rest is noise depends on where the network is, too.",
            lambda advance, eta: NOISE if eta >= 1 else SLOW,
        ),
        Mistake(
            "no cut",
            "You never take a smaller step than the one that a network came with. Waiting alone does not tell: a noisy network may still be settling, "
            "and falls by as much as a slow one. Cut the step.",
            _waits(75.0, 0.99),
            lambda seen: not seen.cut,
            also=[_waits(25.0, 0.999), _waits(98.0, 0.9)],
        ),
        _mistake(
            "everything falls",
            "Every box is noise for you. A slow network falls a little, too, since its rest carries some noise; noise falls nearly as much as "
            "the step size. Ask for more than a small fall.",
            _cut(fall=0.97),
        ),
        _mistake(
            "nothing falls",
            "Every box is slow for you. After a cut the floor is reached in a time of about 20, and time is steps times step size: with a tenth of "
            "the step you need ten times the steps. Or the step was not cut.",
            _cut(many=0.1),
        ),
        _mistake(
            "difference",
            "This asks for a fall by an amount, not by a share. A low noisy rest can't fall far, and a high slow one can: compare ratios.",
            _by_difference,
        ),
    ),
)
