"""What lesson 01 writes out, and the numbers that its text states, against the library and against plain autograd."""

import pytest
import torch

from regimes.reference import augmented_step
from regimes.theory import gauss_newton as theory
from regimes_course.kit.stored import measured
from regimes_course.lesson01 import experiments, figures
from regimes_course.lesson01.widgets import two_outputs
from tests.lessons import cells
from tests.lessons.tried import told


@pytest.fixture(scope="module")
def lesson():
    """The names after each idea cell, and the text."""
    source, quiet = cells.lesson("01"), lambda *said, **more: None
    guesses = dict.fromkeys(("my_guess", "my_steps", "my_damping"), ...)
    draw = type("draw", (), {"fan": staticmethod(lambda *shown: shown)})
    after = cells.run(source, cells.is_idea, show=quiet, guess=quiet, draw=draw, **guesses)
    return [names for names, _ in after], cells.prose(source)


def test_the_law_of_gradient_descent(lesson):
    names = lesson[0][0]
    K, lam, Q, y = (names[key] for key in ("K", "lam", "Q", "y"))
    lr = 2 / lam[-1].item()
    law = theory.frozen_residual(K, -y, lr, 2, torch.tensor([100]))[0]
    assert torch.allclose(names["r"], law, atol=1e-13)
    assert torch.allclose(names["left"], (Q.T @ law) / (Q.T @ -y), atol=1e-13)
    assert f"as {lam[1] / lam[0]:.0f} to 1" in lesson[1] and abs(Q[0, 0]) > 0.65 and Q[0, 0] * Q[1, 0] < 0 < Q[0, 1] * Q[1, 1]
    ratio = {d: kernel(d)[1] / kernel(d)[0] for d in (0.3, 0.15)}
    assert 3.8 < ratio[0.15] / ratio[0.3] < 4.2  # "falls to a quarter, and the wait is four times as long"


def kernel(distance):
    J = experiments.outputs(experiments.initial(), experiments.two_points(distance)[0])[1]
    return torch.linalg.eigvalsh(100 * J @ J.T)


def test_the_circle(lesson):
    names = lesson[0][1]
    K, labels = names["K_circle"], names["labels"]
    law = theory.frozen_residual(K, -labels, 24 / torch.linalg.eigvalsh(K)[-1].item(), 24, torch.tensor([3000]))[0]
    assert torch.allclose(names["descent"][-1], labels + law, atol=1e-10)
    assert torch.allclose(names["straight"][30], theory.shrinkage(30, 0.1) * labels)
    lam, Q = torch.linalg.eigh(K)
    ripples = torch.cos(6 * names["t"])
    most = (Q.T @ ripples).square().argmax()
    assert 0.9e-4 < lam[most] / lam[-1] < 1.1e-4  # "a ten-thousandth of the largest"
    assert 0.2 < 1 - (1 - 1e-4) ** 3000 < 0.3  # "about a quarter"


def test_both_forms_of_the_step(lesson):
    names = lesson[0][2]
    literal = augmented_step(names["J"], names["f"] - names["y"], names["mu"])
    assert torch.allclose(names["small"], literal, rtol=1e-8) and names["J"].shape == (2, 300)
    assert torch.linalg.matrix_rank(names["J"].T @ names["J"]) == 2
    shown = {f"{length:.3g}" for length in (names["small"].norm(), two_outputs.compute(0.3, 0.0, 0.1, "all").length)}
    assert shown == {"80.6"} and "δ has length 80.6 at distance 0.3" in figures.breaks()[1]  # cell, explorer and picture agree


def test_the_count_of_steps(lesson):
    names = lesson[0][3]
    assert names["law"].ceil() == theory.steps_to(1e-3, names["eta"]) == 171
    assert abs(names["took"][0.3] - 171) <= 1 and 171 < names["took"][0.1] < 185


def test_the_fan(lesson):
    names = lesson[0][4]
    lam, Q, y = (names[key] for key in ("lam", "Q", "y"))
    for eps, flow in names["flow"].items():
        low, high = theory.damped_envelope(names["time"], lam[0], eps)
        loss = (flow - y).square().sum(-1) / y.square().sum()
        assert (loss >= low - 1e-12).all() and (loss <= high + 1e-12).all()
        move = Q @ (lam / (lam + eps) * (Q.T @ y))
        literal = torch.rad2deg(torch.atan2((move[0] * y[1] - move[1] * y[0]).abs(), move @ y))
        assert names["angle"][eps] == pytest.approx(literal.item(), abs=1e-5)
    assert torch.allclose(names["descent_flow"][-1], y, atol=1e-6) and names["half"] == 0.03
    assert all(f"{value:.3g}" in lesson[1] for value in lam.tolist())  # the eigenvalues that the text states
    apart, mean = (Q.T @ y).abs()
    assert f"{apart:.2f} of difference and {mean:.2f} of mean" in lesson[1]
    straight, bent = torch.atan2(mean, apart), torch.atan2(lam[1] * mean, lam[0] * apart)
    half = (straight + bent) / 2
    degrees = [round(torch.rad2deg(angle).item()) for angle in (straight, bent, half)]
    assert "straight line lies at {}°, gradient descent's move at {}°,\nhalf way at {}°".format(*degrees) in lesson[1]
    ratio = torch.tan(half)
    assert f"mean over difference is {ratio:.1f}, not {mean / apart:.2f}" in lesson[1]
    assert f"decays {ratio * apart / mean:.1f} times as fast" in lesson[1]


def test_the_price_of_a_step(lesson):
    def price(n, d, m):
        return 1 + n / d + n**2 / (12 * m * d)

    assert round(price(2, 1, 100)) == 3 and round(price(24, 2, 400)) == 13
    assert "33 steps cost as much as 99 gradients" in lesson[1] and "33 steps cost about 430 gradients" in lesson[1]
    assert round(33 * price(24, 2, 400), -1) == 430
    lam, Q = torch.linalg.eigh(lesson[0][0]["K"])
    part, k = (Q.T @ lesson[0][0]["y"]).square(), torch.arange(400)[:, None]
    steps = {s: int((((1 - s * lam / lam[1]) ** (2 * k)) @ part > 1e-3 * part.sum()).sum()) for s in (1.0, 1.9, 1.95, 1.97)}
    assert steps[1.0] == 181 and min(steps.values()) == steps[1.95] == 92
    assert "Gradient descent takes 181 steps, and only 92" in lesson[1] and "arrives after 110 steps" in lesson[1]
    x, y = experiments.two_points(0.01)
    assert experiments.follow(experiments.gauss_newton(0.1), experiments.initial(), x, y, 200).steps_to(1e-3) == 110


def test_claims_state_the_sizes_that_were_run():
    claims = measured("01")
    for name, stated, ran in (
        ("gn-steps-ill", "(40, one coordinate a hundred times narrower than another)", "n = 40, "),
        ("gn-steps-ill", "a hundred times narrower", "κ = 100,"),
        ("gn-steps-ill", "η = 0.02", "η = 0.02,"),
        ("little-damping", "0.01 apart no run with ε = 0.001 fits", "distance 0.01, m = 100, 5 starts, η = 0.1, ε = 0.001"),
        ("digits-steps", "η = 0.1", "η = 0.1,"),
        ("digits-steps", "100 handwritten digits", "n = 100,"),
    ):
        assert stated in claims[name]["statement"] and ran in claims[name]["setting"], name


def test_the_ripples_can_be_changed():
    """What is asked for, drawn and told is the label's own ripple."""
    _, circle, outcome, *_ = told("01", ("ripple = 6", "ripple = 2"))
    assert "of the ripples 1.00 after 3000 (mode" in circle and outcome == "1 of the ripples"


def test_the_network_its_jacobian_and_its_hessian():
    theta, (x, y) = experiments.initial(7, 3, output_std=1.0), experiments.two_points(0.4)
    f, J = experiments.outputs(theta, x)
    w, b, v = theta.chunk(3)
    assert torch.allclose(f, torch.stack([(v * torch.tanh(w * one + b)).mean() for one in x[:, 0]]))
    assert torch.allclose(J, torch.func.jacrev(lambda t: experiments.outputs(t, x)[0])(theta), atol=1e-14)
    literal = torch.func.hessian(lambda t: (experiments.outputs(t, x)[0] - y).square().sum() / 4)(theta)
    assert torch.allclose(sum(experiments.hessian(theta, x, y)), literal, atol=1e-14)


def test_steps_are_what_they_are_called():
    theta, (x, y) = experiments.initial(7, 3, output_std=1.0), experiments.two_points(0.4)
    f, J = experiments.outputs(theta, x)
    literal = 0.3 * augmented_step(J, f - y, 0.05 / 7)  # damping is added to K = m J J^T
    assert torch.allclose(experiments.gauss_newton(0.3, 0.05)(theta, J, f - y), literal, rtol=1e-9)
    moved = experiments.descent(theta, J, f - y)
    assert torch.allclose(moved, J.T @ (f - y) / torch.linalg.matrix_norm(J, 2) ** 2)
    assert not torch.isfinite(experiments.gauss_newton(0.1)(theta, 0 * J, f - y)).any()
    H = sum(experiments.hessian(theta, x, y))
    assert torch.allclose(H @ experiments.newton(1.0, x, y)(theta, J, f - y), J.T @ (f - y) / 2)


def test_a_path_stops_where_it_is_told_and_leaves_frozen_weights_alone():
    theta, (x, y) = experiments.initial(), experiments.two_points()
    path = experiments.follow(experiments.gauss_newton(0.1), theta, x, y, 100, enough=1e-3, features=False)
    assert len(path.f) == len(path.theta) == len(path.loss) == 34 and path.loss[-1] < 1e-3 <= path.loss[-2]
    assert torch.equal(path.theta[:, :200], theta[:200].expand(34, 200)) and path.steps_to(1e-9) is None
    halted = experiments.follow(lambda *args: theta * torch.nan, theta, x, y, 5)
    assert len(halted.f) == len(halted.theta) == 1


@pytest.mark.parametrize("eps, fits", [(0.0, True), (1e-3, False), (1e-2, True)])
def test_at_a_hundredth_undamped_runs_arrive_and_only_a_little_damping_does_not(eps, fits):
    x, y = experiments.two_points(0.01)
    for seed in range(5):
        path = experiments.follow(experiments.gauss_newton(0.1, eps), experiments.initial(seed=seed), x, y, 600, enough=1e-3)
        assert (path.steps_to(1e-3) is not None) == fits and (eps < 1e-2 or path.loss.max() < 1.01)


def test_a_little_damping_leaves_saturated_units_and_enough_of_it_does_not():
    x, y = experiments.two_points(0.01)
    weak, enough = (
        experiments.follow(experiments.gauss_newton(0.1, eps), experiments.initial(seed=9), x, y, 500, enough=1e-3)
        for eps in (1e-3, 1e-2)
    )
    assert weak.steps_to(1e-3) is None and experiments.saturated(weak.theta[-1], x) > 0.9
    assert enough.steps_to(1e-3) is not None and enough.loss.max() < 1.01 and experiments.saturated(enough.theta[-1], x) < 0.1
