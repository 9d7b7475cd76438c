"""The network of lesson 08 in closed form, against the library and against laws."""

import pytest
import torch

from regimes.hessians import hessian
from regimes.metrics import sharpness
from regimes.networks import TwoLayer
from regimes.optimizers import GradientDescent
from regimes.problems import chebyshev
from regimes.training import train
from regimes_course.lesson08.climb import GRAIN, Task, central_flow, crossing, descend, flow, meter, middle, start
from regimes_course.lesson08.experiments import climb_of_width, with_batches
from regimes_course.lesson08.runs import Runs

SEEDS = torch.tensor([5, 8, 13])
TASK = Task(1.0)


@pytest.fixture(scope="module")
def runs():
    return Runs(0.6, SEEDS)


def library(seed, shift=1.0):
    data = chebyshev(3)
    return TwoLayer(1, 20, activation="tanh", output_std=1.0, seed=seed), data.x + shift, data.y


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.0])
def test_loss_slope_hessian_and_sharpness_are_those_of_the_library(shift):
    net, x, y = library(3, shift)
    task, p = Task(shift), start(3)
    order = torch.cat([torch.arange(0, 40, 2), torch.arange(1, 40, 2), torch.arange(40, 60)])  # the library has w, b in turns
    H = 20 * hessian(net, x, y).dense()[order][:, order]
    torch.testing.assert_close(task.hessian(p), H, rtol=0, atol=1e-12)
    assert task.sharpness(p).item() == pytest.approx(sharpness(net, x, y).item())
    assert task.loss(p).item() == pytest.approx((net(x) - y).square().mean().item() / 2)
    q = p.clone().requires_grad_()
    torch.testing.assert_close(task.slope(p), 20 * torch.autograd.grad(task.loss(q), q)[0], rtol=0, atol=1e-12)
    train(net, x, y, GradientDescent(net, 0.3), 50)
    w, b, v = descend(task, p, 0.3, 50)[-1].reshape(3, 20)
    for mine, its in ((w, net.W[:, 0]), (b, net.W[:, 1]), (v, net.v)):
        torch.testing.assert_close(mine, its.detach(), rtol=1e-9, atol=1e-12)


def test_many_runs_at_once_are_the_single_ones():
    p = start(SEEDS)
    for i, seed in enumerate(SEEDS.tolist()):
        torch.testing.assert_close(p[i], start(seed))
        torch.testing.assert_close(TASK.hessian(p)[i], TASK.hessian(start(seed)))
        torch.testing.assert_close(TASK.slope(p)[i], TASK.slope(start(seed)))


def test_a_batch_of_all_points_is_the_whole_and_batches_average_to_it():
    p, rows = start(SEEDS), torch.stack([torch.randperm(20, generator=torch.Generator().manual_seed(s)) for s in range(3)])
    torch.testing.assert_close(TASK.batch(rows).slope(p), TASK.slope(p))
    parts = [TASK.batch(part).slope(p) for part in rows.split(5, 1)]
    torch.testing.assert_close(torch.stack(parts).mean(0), TASK.slope(p))


def test_the_flow_is_what_small_steps_do():
    p = start(SEEDS)
    few, many = flow(TASK, p, 30.0)[-1], descend(TASK, p, 0.01, 3000)[-1]
    assert len(flow(TASK, p, 30.0)) == round(30 / GRAIN) + 1
    assert (few - many).norm() < 0.02 * (many - p).norm()


def test_the_pull_is_the_gradient_of_the_sharpness():
    p = start(SEEDS).requires_grad_()
    (wanted,) = torch.autograd.grad(TASK.sharpness(p).sum(), p)
    p = p.detach()
    pull = TASK.pull(p, TASK.direction(p))
    assert ((pull - wanted).norm(dim=1) < 1e-4 * wanted.norm(dim=1)).all()


def test_in_the_middle_a_swing_of_period_two_cancels():
    steady, swing = torch.randn(7, 3).double().cumsum(0), torch.tensor([1.0, -1.0] * 3 + [1.0]).double()[:, None]
    torch.testing.assert_close(middle(steady + 5 * swing), middle(steady))


def test_the_meter_is_the_mean_curvature_along_a_step():
    p, eta = start(SEEDS), 0.6
    g = TASK.slope(torch.stack([p, p - eta * TASK.slope(p)]))
    s = (torch.arange(400).double() + 0.5) / 400
    H = torch.stack([TASK.hessian(p - t * eta * g[0]) for t in s]).mean(0)
    curvature = (g[0][:, None] @ H @ g[0][..., None]).flatten() / g[0].square().sum(1)
    torch.testing.assert_close(meter(g)[0], eta / 2 * curvature, rtol=1e-5, atol=0)
    assert meter(torch.stack([g[0], -g[0]])).tolist() == [[1.0] * 3]


def test_below_its_edge_central_flow_is_gradient_flow_and_beyond_it_stays():
    p, eta = start(5), 0.6
    centre, predicted = central_flow(TASK, p, eta, 150.0)
    below = round(0.7 * 79 / (eta / 2))
    plain = descend(TASK, p, eta / 2, below + 1)
    torch.testing.assert_close(centre[:below], plain[1 : below + 1])
    torch.testing.assert_close(predicted[:below], TASK.loss(centre[:below]))
    assert TASK.sharpness(centre[-1]).item() == pytest.approx(2 / eta, rel=0.02) and predicted[-1] > 1.3 * TASK.loss(centre[-1])


def test_a_crossing_is_the_first_step_beyond():
    path = descend(TASK, start(5), 0.6, 200)
    k = crossing(TASK, path, 0.6, 1)
    assert 0.6 * TASK.sharpness(path[k]) / 2 > 1 >= 0.6 * TASK.sharpness(path[:k]).max() / 2


def test_runs_are_the_librarys_and_measure_what_they_say(runs):
    net, x, y = library(8)
    trace = train(net, x, y, GradientDescent(net, 0.6), 80)
    torch.testing.assert_close(runs.loss[:81, 1], trace.loss, rtol=1e-9, atol=0)
    torch.testing.assert_close(runs.path[0], start(SEEDS))
    assert runs.late(runs.loss).tolist() == [1.0] * 3 and runs.off_the_flow().max() < 0.1
    assert (runs.overshoot(0.01) < 0.6 * runs.overshoot(0.0)).all()
    assert (runs.law_of_the_swing(0.02) < runs.law_of_the_swing(0.2)).all()
    windows = runs.windows()
    assert windows.shape[1] == 3 and windows[0].isfinite().all()
    k, width = runs.crossed[0], round(25 / 0.6)
    real = runs.loss[k : k + width, 0].mean()
    wanted = runs.predicted[2 * k : 2 * k + 2 * width, 0].mean()
    assert windows[0, 0].item() == pytest.approx((wanted / real).item(), rel=0.02)


def test_widths_start_with_the_same_residuals():
    for scaling in ("mean_field", "ntk"):
        loss, S, frozen = climb_of_width(scaling, 20, (0, 1))
        assert loss.shape == S.shape == (16, 2) and (loss[0] - loss[0, 0]).abs().max() < 1e-12
    assert frozen == pytest.approx(S[0], rel=0.3)


def test_smaller_batches_stay_further_below_the_edge():
    whole = [with_batches(size, torch.arange(2))[0].max() for size in (1, 20)]
    assert whole[0] < 0.5 < 0.7 < whole[1] < 1.3
