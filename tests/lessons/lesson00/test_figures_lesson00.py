"""The figures of lesson 00 on paths that are made up, and the paths themselves."""

from functools import cache

import numpy as np
import pytest
import torch

from regimes_course.kit.webm import unpack
from regimes_course.lesson00 import experiments
from regimes_course.lesson00 import figures as lesson00
from regimes_course.lesson00.experiments import ENOUGH, Path, follow

STEPS, M = 4, 5


def path(moves, outside=0.5):
    """Units that go from a start of length one outwards by ``moves``."""
    k, unit = torch.linspace(0, 1, STEPS + 1).double()[:, None], torch.arange(1.0, M + 1).double()
    hidden = unit / (2 * unit.square().sum()).sqrt() * (1 + moves * k)
    grid = experiments.wave().x_test[:, 0]
    return Path(
        hidden, hidden, unit - 3 + 0 * k, 0.1 ** (4 * k[:, 0]), 0.5 + k[:, 0], torch.where(grid.abs() > 2, outside, 0.0)
    )


RUNS = {"lazy": path(0.25, 3.0), "rich": path(1.5)}
EDGE = {"lazy": torch.tensor([0.8, 0.82, 0.81]), "1/m": torch.tensor([0.8, 2.4, 1.99])}
LOSS = {"lazy": torch.tensor([1.0, 0.5, 0.25]), "1/m": torch.tensor([1.0, 1.5, 0.02])}


@cache
def hero():
    return lesson00.hero(RUNS)


@cache
def climb():
    return lesson00.climb(EDGE, LOSS)


@cache
def widths():
    return lesson00.widths({10: RUNS["rich"], 100: RUNS["lazy"]})


FIGURES = {"climb": climb, "widths": widths}
SAYS = {
    climb: [
        "Both start at 0.8.",
        "never exceeds 0.82",
        "crosses 2 at step 1, swings up to 2.4, and is at 1.99 after 2 steps",
        "rose at 1 steps",
    ],
    widths: ["150 % at m = 10, 25 % at m = 100"],
}


def test_the_hero_shows_where_every_unit_went():
    figure, says, film = hero()
    assert "25 % (lazy, 4 steps), 150 % (rich, 4 steps)" in says
    tops = figure.axes[:2]
    for ax, run in zip(tops, RUNS.values(), strict=True):
        start, end = ax.collections
        np.testing.assert_allclose(start.get_offsets(), torch.stack([run.w[0], run.b[0]], -1))
        np.testing.assert_allclose(end.get_offsets(), torch.stack([run.w[-1], run.b[-1]], -1))
    assert len(unpack(film)[0]) > 3 and len(film) < 300_000


def test_a_run_that_never_comes_to_the_limit_is_not_said_to_cross_it():
    figure, says = lesson00.climb(
        {**EDGE, "1/m": torch.tensor([0.4, 0.3, 1.8])}, {**LOSS, "1/m": torch.tensor([1.0, 0.5, 0.1])}
    )
    assert "first falls to 0.3, never comes to 2, and is at 1.8 after 2 steps. Its loss never rose" in says
    assert "crosses" not in says and figure.axes[0].get_title().endswith("ends at 1.8, the lazy one at 0.81")


@pytest.mark.parametrize(("scaling", "fraction"), experiments.REGIMES.values(), ids=experiments.REGIMES)
def test_a_path_ends_at_the_first_loss_that_is_enough(scaling, fraction):
    run = follow(scaling, fraction, seed=2)
    assert run.loss[-1] < ENOUGH and (run.loss[:-1] >= ENOUGH).all() and run.w.shape == (run.steps + 1, 100)
    data, scale = experiments.wave(), 1 / 100 if scaling == "mean_field" else 1 / 10
    w, b, v = run.w[-1], run.b[-1], run.v[-1]
    f = scale * torch.tanh(data.x * w + b) @ v
    assert ((f - data.y).square().sum() / data.y.square().sum()).item() == pytest.approx(run.loss[-1].item(), rel=1e-9)
