"""Exercise 1: what three test losses say about the hidden layer."""

from random import Random

from regimes_course.kit.checking import Function, Mistake, Trial
from regimes_course.lesson05 import pictures

__all__ = ["DIAGNOSE"]

LABELS = {
    (True, True): "hidden learning",
    (False, True): "visible learning",
    (True, False): "gap only",
    (False, False): "lazy",
}


def _cases() -> dict[str, tuple]:
    """Test, re-fit and random features: what each case is for is said beside it."""
    losses = [
        (0.18, 3.6e-5, 0.02),  # hidden learning, by far
        (0.19, 0.011, 0.012),  # gap only: the features are as good as at the start
        (5.8e-5, 3.5e-5, 0.02),  # visible learning, by far
        (0.0103, 0.0099, 0.012),  # lazy
        (0.05, 0.01, 0.06),  # visible: a gap of 5, a gain of 6
        (0.3, 0.01, 0.05),  # hidden: a gain of 5, and random features better than the network itself
        (0.4, 0.02, 0.004),  # gap only: features worse than at the start
        (0.02, 0.04, 0.032),  # lazy: the re-fit is worse than the network
        (0.08, 0.01, 0.4),  # visible: a gap of 8
        (40.0, 0.5, 30.0),  # hidden, on labels of another size
        (60.0, 30.0, 40.0),  # lazy, on labels of another size
        (2.5, 0.25, 0.5),  # lazy: a gap of exactly 10
        (2.5, 0.25, 1.0),  # visible: the same gap
        (4.0, 0.25, 0.75),  # gap only: a gain of exactly 3
        (1.0, 0.25, 0.75),  # lazy: the same gain
        (2.6, 0.25, 0.84),  # hidden: 10.4 and 3.36
        (2.4, 0.25, 0.65),  # lazy: 9.6 and 2.6
    ]
    return {f"test {test:g}, refit {refit:g}, rf {rf:g}": (test, refit, rf) for test, refit, rf in losses}


def _diagnose(test, refit, rf):
    return LABELS[test > 10 * refit, rf > 3 * refit]


def _nested(test, refit, rf):
    if rf / refit > 3:
        return "hidden learning" if test / refit > 10 else "visible learning"
    return "gap only" if test / refit > 10 else "lazy"


def _flat(test, refit, rf):
    G, F = test / refit, rf / refit
    if G > 10 and F > 3:
        return "hidden learning"
    if F > 3:
        return "visible learning"
    if G > 10:
        return "gap only"
    return "lazy"


def _draw(rng: Random) -> tuple:
    """Gap and gain around their limits, on labels of any size."""
    refit = 10 ** rng.uniform(-5, 2)
    return refit * 10 * 1.2 ** rng.uniform(-1, 1) ** 3, refit, refit * 3 * 1.2 ** rng.uniform(-1, 1) ** 3


def _renamed(trials: list[Trial], names: int) -> bool:
    """Whether each of the four cases always gets the same label, not always its own, and how many labels there are."""
    pairs = {(t.want.value, t.got.value) for t in trials if isinstance(t.got.value, str)}
    said = {got for _, got in pairs}
    return len(pairs) == 4 and len({want for want, _ in pairs}) == 4 and said <= set(LABELS.values()) and len(said) == names


DIAGNOSE = Function(
    key="05/diagnose",
    picture=pictures.diagnose,
    reference=_diagnose,
    cases=_cases,
    draw=_draw,
    praise="The gap says whether something is hidden, the gain says whether anything was learned: it takes both.",
    alternatives=(_nested, _flat),
    mistakes=(
        Mistake(
            "gain not asked",
            "This looks at the gap alone. A network with the features of its start has a gap as well while its outputs are on their way: ask the gain too.",
            lambda test, refit, rf: LABELS[test / refit > 10, True],
        ),
        Mistake(
            "gap not asked",
            "This looks at the gain alone: whether features were learned. Whether the outputs show it already, the gap says.",
            lambda test, refit, rf: LABELS[True, True] if rf / refit > 3 else LABELS[False, False],
        ),
        Mistake(
            "or for and",
            "This calls it hidden learning if the gap or the gain is large. Both have to be: features were learned, and the outputs hide it.",
            lambda test, refit, rf: LABELS[True, True] if test / refit > 10 or rf / refit > 3 else LABELS[False, False],
        ),
        Mistake(
            "gain upside down",
            "This divides the re-fit by random features. The gain is how many times better the re-fit is: RF / refit.",
            lambda test, refit, rf: LABELS[test / refit > 10, refit / rf > 3],
        ),
        Mistake(
            "gap upside down",
            "This divides the re-fit by the network's own test loss. The gap is test / refit.",
            lambda test, refit, rf: LABELS[refit / test > 10, rf / refit > 3],
        ),
        Mistake(
            "random features against the outputs",
            "This compares random features with the network's own test loss. The features are judged with a last layer that fits them: RF / refit.",
            lambda test, refit, rf: LABELS[test / refit > 10, rf / test > 3],
            also=[lambda test, refit, rf: LABELS[test / refit > 10, test / rf > 3]],
        ),
        Mistake(
            "gap to random features",
            "This compares the network's own test loss with random features. The gap is to its own re-fit: test / refit.",
            lambda test, refit, rf: LABELS[test / rf > 10, rf / refit > 3],
            also=[
                lambda test, refit, rf: LABELS[rf / test > 10, rf / refit > 3],
                lambda test, refit, rf: _diagnose(test, rf, refit),
            ],
        ),
        Mistake(
            "differences",
            "This subtracts losses, so the answer changes with the units of the labels. Gap and gain are ratios.",
            lambda test, refit, rf: LABELS[test - refit > 10, rf - refit > 3],
        ),
        Mistake(
            "thresholds swapped",
            "The thresholds are swapped, or one stands for both: the gap has to exceed 10, the gain 3.",
            lambda test, refit, rf: LABELS[test / refit > 3, rf / refit > 10],
            also=[lambda test, refit, rf, limit=limit: LABELS[test / refit > limit, rf / refit > limit] for limit in (3, 10)],
        ),
        Mistake(
            "labels swapped",
            "'Visible learning' and 'gap only' are swapped: a gain without a gap is visible learning, a gap without a gain is only a gap.",
            lambda test, refit, rf: LABELS[rf / refit > 3, test / refit > 10],
        ),
        Mistake(
            "at least for above",
            "A gap of exactly 10, or a gain of exactly 3, is not above it: compare with >.",
            lambda test, refit, rf: LABELS[test >= 10 * refit, rf >= 3 * refit],
            also=[
                lambda test, refit, rf: LABELS[test >= 10 * refit, rf > 3 * refit],
                lambda test, refit, rf: LABELS[test > 10 * refit, rf >= 3 * refit],
            ],
        ),
        Mistake(
            "whole ratios",
            "The ratios are made whole numbers: a gap of 10.4 is above 10, and // or round makes 10 of it.",
            lambda test, refit, rf: LABELS[test // refit > 10, rf // refit > 3],
            also=[
                lambda test, refit, rf: LABELS[test // refit > 10, rf / refit > 3],
                lambda test, refit, rf: LABELS[test / refit > 10, rf // refit > 3],
                lambda test, refit, rf: LABELS[round(test / refit) > 10, rf / refit > 3],
                lambda test, refit, rf: LABELS[test / refit > 10, round(rf / refit) > 3],
            ],
        ),
        Mistake(
            "both upside down",
            "Both ratios are upside down: the re-fit is below the line.",
            lambda test, refit, rf: LABELS[refit / test > 10, refit / rf > 3],
        ),
        Mistake(
            "gap for gain",
            "Gap and gain are exchanged: the gap is test / refit, the gain rf / refit.",
            lambda test, refit, rf: LABELS[rf / refit > 10, test / refit > 3],
        ),
        Mistake(
            "other labels",
            "The four cases are told apart rightly, and some have each other's labels: look them up in the table.",
            lambda test, refit, rf: LABELS[test <= 10 * refit, rf <= 3 * refit],
            lambda trials: _renamed(trials, 4),
            also=[lambda test, refit, rf: LABELS[test <= 10 * refit, rf > 3 * refit]],
        ),
        Mistake(
            "cases thrown together",
            "Cases that the table tells apart get the same label. There are two questions, each with two answers: four labels.",
            lambda test, refit, rf: "hidden learning" if _diagnose(test, refit, rf) == "hidden learning" else "lazy",
            lambda trials: any(_renamed(trials, names) for names in (1, 2, 3)),
            also=[
                lambda test, refit, rf: "gap only" if test / refit > 10 else "visible learning" if rf / refit > 3 else "lazy",
                lambda test, refit, rf: "lazy",
            ],
        ),
    ),
)
