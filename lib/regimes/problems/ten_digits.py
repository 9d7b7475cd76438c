"""All ten handwritten digits, with noisy labels, shifted images and mini-batches."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn.functional import one_hot, pad

from regimes.problems.images import load_images
from regimes.problems.problem import Problem
from regimes.seeds import per_run, seeded

__all__ = ["HALVES", "Images", "ten_digits"]

SIDE, CLASSES = 8, 10
ROW, COLUMN = torch.arange(SIDE**2) // SIDE, torch.arange(SIDE**2) % SIDE
# Which pixels come first: a network that splits its inputs into halves sees these as one half.
HALVES = {
    "top and bottom": torch.arange(SIDE**2),
    "columns": (COLUMN % 2).argsort(stable=True),
    "checkerboard": ((ROW + COLUMN) % 2).argsort(stable=True),
}


@dataclass(frozen=True)
class Images(Problem):
    """A problem whose inputs are images, so that they can be shifted.

    Attributes:
        mean, std: what was subtracted from the pixels (between 0 and 1), ``(..., 1, d)``, and the number they were divided by.
        order: the order of the pixels, ``(d,)``.
    """

    mean: Tensor = field(kw_only=True)
    std: Tensor = field(kw_only=True)
    order: Tensor = field(kw_only=True)

    def to(self, *args, **kwargs) -> "Images":
        """The same problem on another device or in another dtype (as ``Tensor.to``)."""
        names = ("x", "y", "x_test", "y_test", "mean", "std")
        return replace(self, **{name: getattr(self, name).to(*args, **kwargs) for name in names})

    def shifted(self, generators: list[torch.Generator]) -> Tensor:
        """The training images, each moved by -1, 0 or 1 pixel each way, with blank pixels coming in. One generator per run."""
        pixels = torch.empty_like(self.x)
        pixels[..., self.order] = self.x * self.std + self.mean
        wide = pad(pixels.reshape(-1, SIDE, SIDE), (1, 1, 1, 1))
        n = self.x.shape[-2]
        down, right = torch.cat([torch.randint(0, 3, (2, n), generator=g) for g in generators], -1)
        rows, columns = (shift[:, None] + torch.arange(SIDE) for shift in (down, right))
        moved = wide[torch.arange(len(wide))[:, None, None], rows[:, :, None], columns[:, None, :]]
        return (moved.reshape(self.x.shape)[..., self.order] - self.mean) / self.std

    def batches(self, size: int, seed: int | Tensor = 0, *, shift: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
        """An endless iterator of mini-batches ``(x, y)``, ``n // size`` per epoch, each epoch in a new random order.

        Args:
            size: images per batch, from 1 to ``n``.
            seed: of the order, and of the shifts; one per run. An integer gives the runs that seed and the ones after it.
            shift: shift the images again at each epoch (see `shifted`).

        Raises:
            ValueError: for a size out of range.
        """
        n, runs = self.x.shape[-2], self.x.shape[:-2]
        if not 1 <= size <= n:
            raise ValueError(f"a batch has from 1 to {n} images; got {size}")
        generators = [torch.Generator().manual_seed(s) for s in per_run(seed, runs).flatten().tolist()]
        return self._epochs(n, runs, size, generators, shift)

    def _epochs(self, n, runs, size, generators, shift):
        while True:
            x = self.shifted(generators) if shift else self.x
            order = torch.stack([torch.randperm(n, generator=g) for g in generators]).reshape(*runs, n, 1).to(x.device)
            for rows in order.split(size, -2)[: n // size]:
                yield tuple(t.gather(-2, rows.expand(*rows.shape[:-1], t.shape[-1])) for t in (x, self.y))


def ten_digits(n: int = 256, *, noise: float = 0.0, halves: str = "top and bottom", seed: int | Tensor = 0) -> Images:
    """Scikit-learn's 1797 handwritten digits (8 x 8 pixels, bundled with it), labels one-hot, ``(..., n, 10)``.

    The mean image is subtracted from the pixels, and the result is divided by one number, its standard deviation; both are
    computed on the training images.

    Args:
        n: number of training images; all others are the test set.
        noise: the share of training labels that are drawn again, at random from all ten.
        halves: which pixels come first: see `HALVES`.
        seed: of shuffle and noise; a tensor gives one run per seed.

    Raises:
        ValueError: for unknown halves, a noise outside [0, 1], or ``n`` that leaves no test image.
    """
    if halves not in HALVES:
        raise ValueError(f"unknown halves {halves!r}; choose {', '.join(HALVES)}")
    images, target = load_images()
    if not 0 <= noise <= 1 or not 1 <= n < len(images):
        raise ValueError(f"noise is a share from 0 to 1, and n from 1 to {len(images) - 1} images; got {noise=}, {n=}")

    def draw(g: torch.Generator) -> tuple[Tensor, Tensor]:
        order = torch.randperm(len(images), generator=g)
        labels = target[order]
        redrawn = torch.randperm(n, generator=g)[: round(noise * n)]
        labels[redrawn] = torch.randint(0, CLASSES, (len(redrawn),), generator=g)
        return order, labels

    order, labels = seeded(seed, draw)
    x = images[order][..., HALVES[halves]] / 16
    y = one_hot(labels, CLASSES).double()
    mean = x[..., :n, :].mean(-2, keepdim=True)
    std = (x - mean)[..., :n, :].std((-1, -2), keepdim=True)
    x = (x - mean) / std
    return Images(x[..., :n, :], y[..., :n, :], x[..., n:, :], y[..., n:, :], mean=mean, std=std, order=HALVES[halves])
