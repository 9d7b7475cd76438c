"""What a lesson's page is made of beside text: figures with their sentence, guesses, seeds."""

import io
import os
from collections.abc import Mapping
from types import SimpleNamespace

import torch
from IPython.display import Markdown, display
from matplotlib.figure import Figure
from torch import Tensor

from regimes_course.kit.output import picture

__all__ = ["at_scale", "guess", "seeds", "show"]

SCALES = ("course", "paper")


def seeds(count: int) -> Tensor:
    """``count`` seeds in a row, as a tensor: give it to a problem and to a network to have one run a seed.

    They start at zero, or at the number in the environment variable ``REGIMES_FIRST_SEED``: so the tests re-measure every
    claim of a lesson on seeds that its author never saw.
    """
    first = int(os.environ.get("REGIMES_FIRST_SEED", 0))
    return torch.arange(first, first + count)


def at_scale(**sizes: dict) -> SimpleNamespace:
    """The sizes of a lesson: ``at_scale(course=dict(n=50), paper=dict(n=500)).n``.

    ``"course"`` is what a lesson uses, unless the environment variable ``REGIMES_SCALE`` says ``"paper"``, as it does under
    ``python3 course.py paper NN``: the same cells then run at the size of the paper.

    Raises:
        ValueError: if ``REGIMES_SCALE`` is neither, or the lesson does not give both.
    """
    wanted = os.environ.get("REGIMES_SCALE", "course")
    if wanted not in SCALES or sizes.keys() != set(SCALES):
        raise ValueError(f"the scales are {' and '.join(SCALES)}; asked for was {wanted!r}, given are {', '.join(sizes)}")
    return SimpleNamespace(**sizes[wanted])


def show(fig: Figure, says: str, movie: bytes | None = None) -> None:
    """Show a figure and, under it, the sentence that states what it shows.

    The sentence is the picture's alternative text, is readable without the picture, and is compared by the notebook tests;
    it should carry the key number. A ``movie`` (see `regimes_course.kit.output.movie`) waits folded under it.

    Raises:
        ValueError: for an empty sentence.
    """
    if not says.strip():
        raise ValueError("a figure needs a sentence that says what it shows")
    png = io.BytesIO()
    fig.savefig(png, format="png", metadata={"Software": None})
    loglog = sum(ax.get_xscale() == ax.get_yscale() == "log" for ax in fig.axes)
    display(picture(png.getvalue(), says, movie), raw=True, metadata={"loglog": loglog} if loglog else None)
    display(Markdown(says))


def guess(answer, outcome: str, *, number: float | None = None, why: Mapping[str, str] | None = None) -> None:
    """Set a reader's guess beside the outcome. ``answer=...`` (three dots) means that no guess was made.

    Args:
        answer: what the reader predicted.
        outcome: what happened, with its number.
        number: the outcome as a number, if it is one: the guess is compared with it.
        why: for an answer that was to be chosen, what speaks for each wrong choice: "small outputs look like small moves".
    """
    told = []
    if answer is not ...:
        told.append(f"Your guess: {answer}{'' if number is None else _off(answer, number)}.")
        told += [f"One might think so: {reason}." for choice, reason in (why or {}).items() if choice == answer]
    print(*told, f"Outcome: {outcome}")


def _off(answer, number: float) -> str:
    """How far a guessed number is from the outcome."""
    try:
        ratio = float(answer) / number
    except (TypeError, ValueError, ZeroDivisionError):
        return ""
    if 0.9 <= ratio <= 1.1:
        return ", right"
    if ratio <= 0:
        return f", off by {abs(float(answer) - number):.2g}"
    return f", {'too large' if ratio > 1 else 'too small'} by a factor of {max(ratio, 1 / ratio):.2g}"
