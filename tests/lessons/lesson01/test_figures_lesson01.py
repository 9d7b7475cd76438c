"""The figures of lesson 01: of the lesson, on the runs that it shows; of its deeper notebook, on data that are made up."""

from functools import cache

import numpy as np
import torch

from regimes.theory.gauss_newton import steps_to
from regimes_course.lesson01 import experiments
from regimes_course.lesson01 import figures as lesson01
from regimes_course.lesson01.experiments import Path
from tests.kit.test_plotting import RUNS, T, labels, trace

Y = torch.tensor([1.0, -0.4], dtype=torch.float64)


def ray(rate, steps, hidden=0.0):
    """A path that goes straight to the labels; each step takes a share of the way, and moves all parameters by ``hidden``."""
    k = torch.arange(steps + 1, dtype=torch.float64)[:, None]
    f = (1 - (1 - rate) ** k) * Y
    return Path(experiments.initial() + hidden * k, f, (f - Y).square().sum(-1) / Y.square().sum())


@cache
def hero():
    return lesson01.hero({"gradient descent": ray(0.02, 400), "Gauss-Newton": ray(0.1, 400)})


@cache
def circle():
    t = torch.arange(24, dtype=torch.float64) * 2 * torch.pi / 24
    labels = t.cos() + 0.5 * (6 * t).cos()
    slow = torch.stack([(1 - 0.5**k) * t.cos() + k / 1000 * 0.5 * (6 * t).cos() for k in range(401)])
    return lesson01.circle(t, torch.diag(torch.arange(24.0).double() + 1), slow, ray_to(labels, 40))


def ray_to(labels, steps):
    return (1 - 0.9 ** torch.arange(steps + 1, dtype=torch.float64)[:, None]) * labels


@cache
def newtons_plane():
    run = {"Newton": ray(0.001, 60), "Gauss-Newton": ray(0.1, 33), "gradient descent": ray(0.03, 110)}
    return lesson01.newtons_plane([run, run | {"Gauss-Newton": ray(0.1, 35)}])


@cache
def fan():
    s = torch.linspace(0, 3, 30).double()[:, None]
    paths = {eps: Y - torch.exp(-s * torch.tensor([1.0, 1 / (1 + eps)])) * Y for eps in (0.0, 0.03, 10.0)}
    return lesson01.fan(paths, paths[10.0], Y, {0.0: 0.0, 0.03: 27.3, 10.0: 65.7})


@cache
def breaks():
    runs = {d: {0.1: ray(0.1, 60, 0.1 / d), 0.01: ray(0.01, 600)} for d in (0.3, 0.03, 0.02)}
    return lesson01.breaks(runs, {0.0: ray(0.1, 400), 1e-3: ray(0, 400), 1e-2: ray(0.05, 400)})


def test_the_hero_draws_a_dot_per_step_and_the_functions_behind_some():
    figure, says = hero()
    plane, above, below = figure.axes
    dots = {line.get_marker(): line.get_xydata() for line in plane.lines if len(line.get_xydata()) == 401}
    np.testing.assert_allclose(dots["o"], ray(0.1, 400).f)
    np.testing.assert_allclose(dots["s"], ray(0.02, 400).f)
    for ax, count in ((above, 4), (below, 4)):
        assert len([line for line in ax.lines if line.get_marker() == "None"]) == count
    counts = [", ".join(str(steps_to(tolerance, eta)) for tolerance in (0.1, 0.01, 1e-3)) for eta in (0.02, 0.1)]
    assert f"gradient descent {counts[0]}; Gauss-Newton {counts[1]}." in says


def test_the_runs_of_the_hero_are_those_of_the_theory():
    """On frozen features gradient descent is the law of its kernel, and Gauss-Newton goes straight."""
    runs = lesson01.both()
    x, y = experiments.two_points()
    J = experiments.outputs(experiments.initial(), x)[1]
    lam, Q = torch.linalg.eigh(100 * J @ J.T)
    k = torch.arange(401)[:, None]
    law = y - ((1 - lam / lam[-1]) ** k * (Q.T @ y)) @ Q.T
    assert torch.allclose(runs["gradient descent"].f, law, atol=1e-12)
    assert torch.allclose(runs["Gauss-Newton"].f, (1 - 0.9 ** k.double()) * y, atol=1e-10)
    assert runs["Gauss-Newton"].steps_to(1e-3) == steps_to(1e-3, 0.1)


def test_what_the_circle_says_was_learned():
    figure, says = circle()
    assert "of the wave 0.88 after 3 steps, of the ripples 0.40 after 400" in says
    assert f"after 30 steps {1 - 0.9**30:.2f} of the wave and {1 - 0.9**30:.2f} of the ripples" in says
    assert [ax.get_title() for ax in figure.axes[1:]] == [f"{k} steps" for k in (3, 300, 3000, 3, 10, 30)]


def test_newtons_plane_tells_the_counts_and_what_is_left():
    _, says = newtons_plane()
    assert "needs 33 to 35 steps to a thousandth, gradient descent (drawn for one start) 110." in says.replace(
        "110 to 110", "110"
    )
    assert f"with {0.999**120:.2g} of its first loss" in says


def test_newton_ends_at_a_saddle_and_gauss_newton_at_the_data():
    """From every start: where the gradient is nearly zero, the Hessian has negative eigenvalues, and the loss is high."""
    x, y = experiments.two_points()
    for run in lesson01.saddle():
        newton, gauss_newton = run["Newton"], run["Gauss-Newton"]
        H = sum(experiments.hessian(newton.theta[-1], x, y))
        lam = torch.linalg.eigvalsh(H)
        slopes = [
            experiments.outputs(theta, x)[1].T @ (experiments.outputs(theta, x)[0] - y) for theta in newton.theta[[0, -1]]
        ]
        assert slopes[1].norm() < 0.01 * slopes[0].norm() and 0.35 < (lam < 0).double().mean() < 0.65
        assert newton.loss[-1] > 0.7 * newton.loss[0] and (newton.f[-1][0] - newton.f[-1][1]).abs() < 0.01
        assert gauss_newton.loss[-1] < 1e-3 and len(gauss_newton.f) - 1 < 40 < 2 * len(run["gradient descent"].f)
        first, second = experiments.hessian(newton.theta[0], x, y)
        ratio = torch.linalg.matrix_norm(second, 2) / torch.linalg.matrix_norm(first, 2)
        assert 0.4 <= ratio < 1.05  # "0.4 to 1 times as large as the first", says the lesson


def test_the_fan_tells_the_angles():
    figure, says = fan()
    assert labels(figure.axes[0])[:2] == ["ε = 0, 0°", "ε = 0.03, 27°"] and "27° at ε = 0.03, 66° at ε = 10" in says


def test_the_broken_law_is_told_with_the_length_of_the_move_and_with_where_damped_runs_arrive():
    figure, says = breaks()
    moved = [f"{(300**0.5) / d:.3g} at distance {d}" for d in (0.3, 0.03, 0.02)]
    assert ", ".join(moved) in says and f"With η = 0.01 all fit within 400 steps (law: {steps_to(1e-3, 0.01)})" in says
    told = "at step 33 with ε = 0, not within 400 steps with ε = 0.001, at step 68 with ε = 0.01 (law without damping: 33)"
    assert told in says and steps_to(1e-3, 0.05) == 68 and "rises to 1 times its start" in says
    assert [len(line.get_ydata()) for line in figure.axes[-1].lines] == [34, 401, 69, 34]
    for ax, eta, steps in zip(figure.axes[3:5], (0, 0.05), (400, 400), strict=True):
        np.testing.assert_allclose(ax.lines[0].get_xydata(), ray(eta, steps).f)


def test_three_dampings_at_the_smallest_distance():
    """What the lesson says of them, and what each panel shows."""
    runs = lesson01.closest()
    none, little, enough = runs.values()
    assert list(runs) == [0, 1e-3, 1e-2] and none.steps_to(1e-3) == 110 and little.steps_to(1e-3) is None
    assert enough.loss.max() == enough.loss[0] and enough.steps_to(1e-3) < 400


# Three conditionings, two seeds.
KAPPA = torch.tensor([1.0, 10.0, 100.0])[:, None]
STRAYS = torch.tensor([1.0, 1.5, 2.0]).double()[:, None].expand(3, 2)  # how far each conditioning is from the law
RACES = {eta: trace(STRAYS ** (T > 0)[:, None, None] * (1 - eta) ** (2.0 * T)[:, None, None], eta) for eta in (0.02, 0.1)}
DESCENT = trace(torch.stack([torch.linspace(1, end, 101) for end in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)], 1).reshape(101, 3, 2))
EPS = torch.logspace(-2, 4, 7)
ACCURACY = {"accuracy": 0.5 + 0.45 * (T / 20)[:, None].expand(21, 3)}


def spectra():
    lam = torch.logspace(0, -3, 8).expand(3, 2, 8)
    return lesson01.spectra(lam, KAPPA)


def modes():
    K = torch.diag(0.9 * torch.logspace(0, -2, 20, dtype=torch.float64))
    residual = ((1 - K.diagonal()) ** T[:, None]) * 3.0
    return lesson01.modes(K, residual, residual)


def race():
    return lesson01.race(RACES, DESCENT, KAPPA)


def damping():
    damped = trace(torch.exp(-1.5 * 0.1 * T)[:, None, None].expand(21, 3, 2))
    envelope = torch.exp(-2 * damped.time), torch.exp(-damped.time)
    return lesson01.damping(damped, envelope, EPS, 0.5 / EPS, 1 / EPS)


def images():
    runs = {"Gauss-Newton": trace(RUNS**4, **ACCURACY), "gradient descent": trace(RUNS, **ACCURACY)}
    return lesson01.images(runs, T, 0.9 ** (2.0 * T))


def test_spectra_show_the_first_seed_and_tell_of_all():
    lam = torch.stack([torch.tensor([[k, 1.0], [10 * k, 1.0]]) for k in (1.0, 10.0, 100.0)])
    figure, says = lesson01.spectra(lam, KAPPA)
    assert labels(figure.axes[0]) == ["κ = 1", "κ = 10", "κ = 100"]
    assert [line.get_ydata()[0] for line in figure.axes[0].lines] == [1, 10, 100]
    assert "1e+00 to 1e+03 in the 6 runs" in says


def test_modes_are_shares_of_their_own_start():
    K = torch.diag(torch.tensor([0.1, 0.9, 0.4, 0.05], dtype=torch.float64))  # largest first: 1, 2, 0, 3
    residual = torch.tensor([-2.0, 5.0, 8.0, 0.1], dtype=torch.float64) * (1 - K.diagonal()) ** T[:, None]
    theory = 1.01 * residual
    figure, says = lesson01.modes(K, residual, theory, indices=(1, 2, 3, 4))
    measured, predicted = figure.axes[0].lines[::2], figure.axes[0].lines[1::2]
    for m, p, rate in zip(measured, predicted, (0.1, 0.6, 0.9, 0.95), strict=True):
        np.testing.assert_allclose(m.get_ydata(), rate ** T.numpy(), rtol=1e-12)
        np.testing.assert_allclose(p.get_ydata(), 1.01 * rate ** T.numpy(), rtol=1e-12)
    assert labels(figure.axes[0]) == ["mode 1", "mode 2", "mode 3", "mode 4", "predicted"]
    assert f"After 20 steps {0.95**20:.2g} of mode 4 is left" in says


def test_a_race_has_a_panel_per_conditioning_with_its_own_runs_and_a_linear_axis():
    figure, says = race()
    assert [ax.get_title() for ax in figure.axes] == ["κ = 1", "κ = 10", "κ = 100"]
    assert labels(figure.axes[0]) == ["gradient descent", "GN, η = 0.02", "GN, η = 0.1", "predicted"]
    for i, ax in enumerate(figure.axes):
        (inset,) = ax.child_axes
        np.testing.assert_allclose(inset.lines[0].get_ydata(), DESCENT.loss[:, i].mean(-1), rtol=1e-6)
        descent, slow, slow_theory, fast, fast_theory = ax.lines
        np.testing.assert_allclose(descent.get_ydata(), DESCENT.loss[:, i].mean(-1), rtol=1e-6)
        for line, theory, eta in ((slow, slow_theory, 0.02), (fast, fast_theory, 0.1)):
            np.testing.assert_allclose(theory.get_ydata(), (1 - eta) ** (2 * np.arange(21)), rtol=1e-5)
            np.testing.assert_allclose(line.get_ydata()[1:], STRAYS[i, 0].item() * theory.get_ydata()[1:], rtol=1e-5)
        assert ax.get_xlim() == inset.get_xlim() == (0, 100) and (ax.get_xscale(), ax.get_yscale()) == ("linear", "log")
    assert "After 100 steps it has 0.1 to 0.2 of its loss left at κ = 1, and 0.5 to 0.6 at κ = 100." in says


def test_the_damping_figure_draws_both_bounds_and_the_gradient_limit():
    figure, says = damping()
    left, right = figure.axes
    assert labels(left) == ["damped Gauss-Newton", "predicted envelope"]
    assert labels(right)[0] == "measured" and "bound" in labels(right)[1]
    loss, low, high = (line.get_ydata() for line in left.lines)
    assert (low <= loss).all() and (loss <= high).all() and (low < high)[1:].all()
    np.testing.assert_allclose(right.lines[0].get_xdata(), EPS)
    np.testing.assert_allclose(right.lines[0].get_ydata(), 0.5 / EPS)
    np.testing.assert_allclose(right.lines[1].get_ydata(), 1 / EPS)
    assert "the 6 losses stay in the envelope; at time 2 they are 5.0e-02 of the start" in says


def test_the_images_figure_tells_both_accuracies():
    figure, says = images()
    left, right = figure.axes
    assert labels(left) == ["Gauss-Newton", "gradient descent", "predicted"]
    np.testing.assert_allclose(left.lines[0].get_ydata(), RUNS[:, 1] ** 4)
    np.testing.assert_allclose(right.lines[1].get_ydata(), ACCURACY["accuracy"][:, 0])
    np.testing.assert_allclose(left.lines[2].get_ydata(), 0.9 ** (2.0 * T))
    assert "Gauss-Newton on its dashed prediction; after 20 steps gradient descent has 0.12 to 0.54 of its loss left" in says
    assert "Gauss-Newton 0.950 and gradient descent 0.950" in says


FIGURES = {f.__name__: f for f in (hero, circle, newtons_plane, fan, breaks, spectra, modes, race, damping, images)}
