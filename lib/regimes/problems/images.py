"""Handwritten digits, which come with scikit-learn."""

import torch
from torch import Tensor

from regimes.problems.problem import Problem
from regimes.seeds import seeded

__all__ = ["digits", "even_odd", "load_images", "shuffled_pair"]

SUMS = (561718, 8070)  # of all pixels, of all labels


def load_images() -> tuple[Tensor, Tensor]:
    """All 1797 images ``(1797, 64)``, pixels from 0 to 16, and their labels ``(1797,)``, in the order of the file.

    Raises:
        RuntimeError: if the file is not the one the course was written for.
    """
    from sklearn.datasets import load_digits  # a quarter of the course's import time, and few lessons need it

    images, target = load_digits(return_X_y=True)
    if (images.sum(), target.sum()) != SUMS:
        raise RuntimeError(f"scikit-learn's digits have changed: their sums are no longer {SUMS}. Install another version")
    return torch.tensor(images, dtype=torch.float64), torch.tensor(target)


def digits(first: int = 3, second: int = 8, *, n: int = 100, unit: bool = False, seed: int | Tensor = 0) -> Problem:
    """Two of scikit-learn's handwritten digits (8 x 8 pixels, bundled with it) with labels -1 and +1.

    Pixels are centred by the mean image and divided by one number, the overall standard deviation times 8, so that images
    have a length of order one; both are computed on the training images.

    Args:
        first, second: the two digits; ``first`` gets the label -1.
        n: number of training images; all others are the test set.
        unit: centre each image by its own mean pixel instead, and divide it by its own length, so that all have length one.
        seed: of the shuffle; a tensor gives one run per seed.

    Raises:
        ValueError: for equal digits or digits outside 0-9, or ``n`` that leaves no test image.
    """
    x, y = shuffled_pair(first, second, n, seed)
    if unit:
        x = x - x.mean(-1, keepdim=True)
        x = x / x.norm(dim=-1, keepdim=True)
    else:
        train = x[..., :n, :]
        x = (x - train.mean(-2, keepdim=True)) / (train.std((-1, -2), keepdim=True) * 8)
    return Problem(x[..., :n, :], y[..., :n], x[..., n:, :], y[..., n:])


def even_odd(n: int = 200, *, seed: int | Tensor = 0) -> Problem:
    """All ten digits with labels +1 for even and -1 for odd ones: two classes that are not linearly separable.

    Pixels are centred by the mean training image and divided by one number, so that the longest training image has length 3.

    Args:
        n: number of training images; all others are the test set.
        seed: of the shuffle; a tensor gives one run per seed.

    Raises:
        ValueError: for ``n`` that leaves no test image.
    """
    images, target = load_images()
    if not 1 <= n < len(images):
        raise ValueError(f"there are {len(images)} images: n must be from 1 to {len(images) - 1}; got {n}")
    order = seeded(seed, lambda g: torch.randperm(len(images), generator=g))
    x, y = images[order], 1.0 - 2.0 * (target[order] % 2).double()
    x = x - x[..., :n, :].mean(-2, keepdim=True)
    x = 3 * x / x[..., :n, :].norm(dim=-1, keepdim=True).amax(-2, keepdim=True)
    return Problem(x[..., :n, :], y[..., :n], x[..., n:, :], y[..., n:])


def shuffled_pair(first: int, second: int, n: int, seed: int | Tensor) -> tuple[Tensor, Tensor]:
    """All images of two digits in a random order, ``(..., n_all, 64)`` with pixels from 0 to 16, and labels -1 and +1.

    Raises:
        ValueError: for equal digits or digits outside 0-9, or ``n`` that leaves no test image.
    """
    if first == second or not {first, second} <= set(range(10)):
        raise ValueError(f"choose two different digits from 0 to 9; got {first} and {second}")
    images, target = load_images()
    chosen = (target == first) | (target == second)
    x, y = images[chosen], (target[chosen] == second) * 2.0 - 1.0
    if not 1 <= n < len(x):
        raise ValueError(f"there are {len(x)} images of {first} and {second}: n must be from 1 to {len(x) - 1}; got {n}")
    order = seeded(seed, lambda g: torch.randperm(len(x), generator=g))
    return x[order], y[order].double()
