"""For the tests of figures: data that are made up, and what is drawn."""

import numpy as np
import torch

from tests.kit.test_plotting import labels


def table(*rows):
    return torch.tensor(rows, dtype=torch.float64)


T = torch.arange(21.0, dtype=torch.float64)
SEEDS = table(0.5, 1.0, 4.0)  # three runs: their median, their mean and their geometric mean differ


def runs(*medians):
    """Three runs for each of the medians, as a last axis."""
    return table(*medians)[..., None] * SEEDS


def drawn(ax, kind):
    return [line for line in ax.lines if kind(line)]


def shows(line, x, y):
    np.testing.assert_allclose(line.get_xdata(), x, rtol=1e-6)
    np.testing.assert_allclose(line.get_ydata(), y, rtol=1e-6)


def legends(figure):
    return [labels(ax) for ax in figure.axes if ax.get_legend()]


def named(*makers):
    return {maker.__name__: maker for maker in makers}
