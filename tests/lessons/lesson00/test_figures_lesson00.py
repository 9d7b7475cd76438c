"""The figure of lesson 00: the runs side by side, and how far each moved."""

from functools import cache

import numpy as np
import torch

from regimes.problems import Problem
from regimes_course.lesson00 import figures as lesson00
from tests.kit.test_plotting import trace

K = torch.arange(11.0, dtype=torch.float64)
X = torch.linspace(-1, 1, 9, dtype=torch.float64)[:, None]
WAVE = Problem(x=X[::4], y=X[::4, 0] ** 2, x_test=X, y_test=X[:, 0] ** 2)
RUNS = {
    "lazy": (0.9 * WAVE.y_test, trace(4 * 0.5**K), 0.031),
    "rich": (1.1 * WAVE.y_test, trace(3 * 0.2**K), 1.62),
    "edge": (WAVE.y_test, trace(2 * 0.8**K), 0.77),
}


@cache
def regimes():
    return lesson00.regimes(WAVE, RUNS, "edge")


FIGURES = {"regimes": regimes}
SAYS = {regimes: ["the hidden weights moved by 3 % (lazy), 162 % (rich)."]}


def test_a_column_a_run():
    axes = regimes()[0].axes
    assert [ax.get_title() for ax in axes[:3]] == list(RUNS)
    for top, bottom, (f, losses, _) in zip(axes[:3], axes[3:], RUNS.values(), strict=True):
        np.testing.assert_allclose(top.lines[0].get_ydata(), f)
        np.testing.assert_allclose(top.lines[1].get_ydata(), WAVE.y_test)
        np.testing.assert_allclose(top.lines[2].get_ydata(), WAVE.y)
        np.testing.assert_allclose(bottom.lines[0].get_ydata(), losses.relative)
        assert bottom.get_yscale() == "log"
