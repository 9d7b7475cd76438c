"""The mathematics of the widget of lesson 07, and its stored runs: a sample of them is measured again."""

import random

import numpy as np
import pytest
import torch

from regimes_course.lesson07 import experiments as exact_runs
from regimes_course.lesson07.experiments import GRID, LONG, STEPS, key, long_run, long_runs, measure, positions, stored
from regimes_course.lesson07.widgets import exact_steps
from regimes_course.lesson07.widgets.exact_steps import CHOICES, EPOCHS, START, _signed, compute, live, sentence
from tests.lessons.moves import anywhere, assert_as_a_fresh_widget, each_alone, panels
from tools.exact_steps import short

STORED = stored()["grid"]
GONE = [settings for settings in positions() if STORED[key(**settings)]["own"] is None]
POSITIONS = [*each_alone(exact_steps), *anywhere(exact_steps, random.Random(0), 40), *GONE[:4]]


def axes(run):
    return panels(exact_steps, run)


def test_every_position_of_the_sliders_is_stored():
    assert {name: choice.values for name, choice in CHOICES.items()} == GRID
    assert {key(**settings) for settings in positions()} == set(STORED) and len(STORED) == 324
    assert len(GONE) >= 1


def test_stored_numbers_are_whole():
    for name, run in STORED.items():
        whole = run["own"] is not None
        assert len(run["train"]) == len(run["test"]) and np.isfinite(run["train"]).all(), name
        assert len(run["train"]) == EPOCHS + 1 if whole else 1 <= len(run["train"]) <= EPOCHS, name
        assert all(0 <= a <= 1 for a in run["test"]) and run["train"][0] > 4, name
        assert not whole or (-1 <= run["own"] < 0.5 and len(run["cka"]) == 3 and all(0 < c <= 1 for c in run["cka"])), name


@pytest.mark.parametrize(
    "settings",
    [START, START | {"method": "Adam", "data": "20 % label noise"}, START | {"method": "min-norm Gauss-Newton", "batch": 32}],
    ids=lambda settings: settings["method"],
)
def test_a_sample_of_the_grid_still_agrees(settings):
    """Its first epoch: what is stored is what the library of today computes."""
    run, again = STORED[key(**settings)], measure(**settings, epochs=1)
    assert again["train"] == pytest.approx(run["train"][:2], rel=2e-3)
    assert again["test"] == pytest.approx(run["test"][:2], abs=0.005)


@pytest.mark.parametrize("name", LONG)
def test_a_sample_of_the_long_runs_still_agrees(name):
    epochs = 1 if "min-norm" not in name else 0
    again = long_run(name, "shifted", torch.arange(3), epochs=epochs)["train"]
    assert again.mT[:, : epochs + 1].numpy() == pytest.approx(long_runs()["shifted"][name][:, : epochs + 1].numpy(), rel=2e-3)


def test_a_live_run_is_drawn_like_a_stored_one():
    """A setting of the grid, given by its numbers, comes out as it is stored; and one that no slider offers."""
    settings = {"method": "gradient descent", "batch": 128, "data": "clean"}
    figure, says = live(**settings, step=STEPS["gradient descent"][1])
    run = compute(**START | settings)
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), run.train, rtol=2e-3)
    assert says.partition(":")[0] == sentence(run).partition(":")[0]
    other = live(**settings | {"batch": 200}, step=3e-3)[1]
    assert "step = 0.003, batches of 200" in other and "after 10 epochs" in other


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"speed": 1}, "no setting speed"),
        ({"method": "SGD"}, "method is one of exact Gauss-Newton"),
        ({"data": "noisy"}, "data is one of clean"),
        ({"step": "tiny"}, "step is a positive number, or one of small"),
        ({"step": -0.1}, "positive"),
        ({"batch": 500}, "batch is a whole number from 2 to 256; got 500"),
        ({"batch": 3.5}, "batch is a whole number"),
    ],
)
def test_a_live_run_refuses_what_it_cannot_do(settings, says):
    with pytest.raises(ValueError, match=says):
        live(**settings)


@pytest.mark.long
@pytest.mark.parametrize("method", exact_runs.METHODS)
def test_the_whole_grid_still_agrees(method):
    """Steps that fit their batch magnify rounding: the first epochs agree to a few per cent, and whether the run diverged."""
    for settings in positions():
        if settings["method"] == method:
            run, again = STORED[key(**settings)], measure(**settings)
            assert again["train"][:4] == pytest.approx(run["train"][:4], rel=0.05), settings
            assert (again["own"] is None) == (run["own"] is None), settings


def test_a_run_that_diverges_says_how_far_it_came(monkeypatch):
    monkeypatch.setitem(STEPS, "exact Gauss-Newton", (1.0, 1.0, 1.9))
    run = measure("exact Gauss-Newton", "large", 128, "clean", "columns", n=256)
    assert run["own"] is run["other"] is run["cka"] is None and 1 <= len(run["train"]) == len(run["test"]) <= 10


def test_short_numbers():
    assert short({"a": [1.23456, 7, None], "b": 0.00012345678}) == {"a": [1.235, 7, None], "b": 0.0001235}


def test_the_result_is_the_stored_run(grid):
    for move in grid:
        run = STORED[key(**move.settings)]
        assert move.result.train.tolist() == pytest.approx(run["train"]) and move.result.test.tolist() == pytest.approx(
            run["test"]
        )
        assert move.result.lr == STEPS[move.method][GRID["step"].index(move.step)]
        assert (move.result.diverged is None) == (run["own"] is not None)


def test_what_is_drawn_is_what_was_computed(grid):
    for move in grid[::4]:
        losses, accuracies, changes, alike = axes(move.result)
        np.testing.assert_allclose(losses.lines[0].get_ydata(), move.result.train.clamp(0.05, 200))
        np.testing.assert_allclose(accuracies.lines[0].get_ydata(), move.result.test)
        whole = move.result.change is not None
        wanted = 100 * move.result.change if whole else [0, 0]
        np.testing.assert_allclose([bar.get_height() for bar in changes.patches], wanted, rtol=1e-6)
        np.testing.assert_allclose(
            [bar.get_height() for bar in alike.patches], move.result.cka if whole else [0, 0, 0], rtol=1e-6
        )
        assert losses.texts[0].get_visible() == (not whole)


def test_predictions_are_dashed_and_black_and_only_for_gauss_newton():
    _, _, changes, alike = axes(compute(**START))
    promised = changes.lines[1]
    assert (promised.get_linestyle(), promised.get_color()) == ("--", "black")
    np.testing.assert_allclose(promised.get_ydata(), 100 * (0.5**2 - 1))
    assert (alike.lines[0].get_linestyle(), alike.lines[0].get_color()) == ("--", "black")
    assert not axes(compute(**START | {"method": "Adam"}))[2].lines[1].get_visible()


def test_the_own_batch_is_as_predicted_where_the_run_is_tame(grid):
    for move in grid:
        if "Newton" in move.method and move.step != "large" and move.result.change is not None:
            assert move.result.change[0].item() == pytest.approx(move.result.promised, abs=0.08), move.settings


def test_every_move_is_told(grid):
    for move in grid:
        assert move.told.startswith(move.method[0].upper() + move.method[1:]) and f"batches of {move.batch}," in move.told
        assert (f"<b>diverged in epoch {move.result.diverged}</b>" in move.told) == (move.result.diverged is not None)


def test_no_hyphen_for_a_minus(grid):
    for move in grid:
        assert " -" not in move.told.replace("Gauss-Newton", "")
    assert _signed(torch.tensor(-0.04), ".1f") == "0.0" and _signed(torch.tensor(-75.2), ".0f") == "−75"
    assert _signed(torch.tensor(1.26), ".1f") == "+1.3"


def test_a_moved_widget_shows_what_a_fresh_one_does():
    assert_as_a_fresh_widget(exact_steps, method="Adam", batch=128)
    assert_as_a_fresh_widget(exact_steps, **GONE[0])


def test_methods_have_their_optimizers():
    for method in exact_runs.METHODS:
        assert exact_runs.optimizer(method, exact_runs.Reversible(64, 10, 32), 0.1).param_groups[0]["lr"] == 0.1
