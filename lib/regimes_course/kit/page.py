"""What a lesson's page is made of beside text: figures with their sentence, guesses, seeds."""

import io
import os
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


def show(fig: Figure, says: str) -> None:
    """Show a figure and, under it, the sentence that states what it shows.

    The sentence is the picture's alternative text, is readable without the picture, and is compared by the notebook tests;
    it should carry the key number.

    Raises:
        ValueError: for an empty sentence.
    """
    if not says.strip():
        raise ValueError("a figure needs a sentence that says what it shows")
    png = io.BytesIO()
    fig.savefig(png, format="png", metadata={"Software": None})
    display(picture(png.getvalue(), says), raw=True)
    display(Markdown(says))


def guess(answer, outcome: str) -> None:
    """Set a reader's guess beside the outcome. ``answer=...`` (three dots) means that no guess was made."""
    made = "You did not guess this time." if answer is ... else f"Your guess: {answer}."
    print(f"{made} Outcome: {outcome}")
