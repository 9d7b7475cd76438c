"""What a lesson's page is made of beside text: figures with their sentence, guesses, seeds."""

import io
import os

import torch
from IPython.display import Markdown, display
from matplotlib.figure import Figure
from torch import Tensor

__all__ = ["guess", "seeds", "show"]


def seeds(count: int) -> Tensor:
    """``count`` seeds in a row, as a tensor: give it to a problem and to a network to have one run a seed.

    They start at zero, or at the number in the environment variable ``REGIMES_FIRST_SEED``: so the tests re-measure every
    claim of a lesson on seeds that its author never saw.
    """
    first = int(os.environ.get("REGIMES_FIRST_SEED", 0))
    return torch.arange(first, first + count)


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
    display({"image/png": png.getvalue(), "text/plain": "figure"}, metadata={"image/png": {"alt": says}}, raw=True)
    display(Markdown(says))


def guess(answer, outcome: str) -> None:
    """Set a reader's guess beside the outcome. ``answer=...`` (three dots) means that no guess was made."""
    made = "You did not guess this time." if answer is ... else f"Your guess: {answer}."
    print(f"{made} Outcome: {outcome}")
