"""What the idea cells of lesson 08 write out, against the library and the closed form."""

import pytest
import torch

from regimes.metrics import sharpness
from regimes.networks import TwoLayer
from regimes.problems import chebyshev
from regimes_course.lesson08 import climb
from regimes_course.lesson08.experiments import climb_of_width
from tests.lessons.cells import is_idea, lesson, prose, run

TASK = climb.Task()


@pytest.fixture(scope="module")
def names():
    """What the cells up to the central flow leave; that of widths is run by itself."""
    wanted = ("import torch", "def descend", "eta = 0.6", "u = torch.linalg", "g = torch", "def central_flow")
    return run(lesson("08"), lambda cell: any(word in cell.text for word in wanted), guess=lambda *a, **k: None)[-1][0]


def test_the_task_and_the_start_are_those_of_the_library(names):
    data = chebyshev(3)
    torch.testing.assert_close(names["x"], data.x[:, 0] + 1)
    torch.testing.assert_close(names["y"], data.y)
    torch.testing.assert_close(names["path"][0], climb.start(0), rtol=0, atol=0)


@pytest.mark.parametrize("k", [0, 100, 250])
def test_loss_slope_and_sharpness_are_those_of_the_library(names, k):
    p = names["path"][k]
    net, data = TwoLayer(1, 20, activation="tanh"), chebyshev(3)
    w, b, v = p.reshape(3, 20)
    with torch.no_grad():
        net.W.copy_(torch.stack([w, b], 1))
        net.v.copy_(v)
    S = torch.linalg.eigvalsh(names["hess"](p))[-1].item()
    assert S == pytest.approx(sharpness(net, data.x + 1, data.y).item())
    assert names["loss"](p).item() == pytest.approx(TASK.loss(p).item())
    torch.testing.assert_close(names["slope"](p), TASK.slope(p))


def test_the_run_is_that_of_the_first_picture_and_crosses_its_edge_at_step_174(names):
    path = climb.descend(TASK, climb.start(0), 0.6, 200)
    torch.testing.assert_close(torch.stack(names["path"][:201]), path, rtol=1e-7, atol=1e-9)
    assert climb.crossing(TASK, path, 0.6) == 174 and "(step 174)" in prose(lesson("08"))
    for k in (0, 100):
        number = 0.6 * TASK.sharpness(climb.middle(path)[k]) / 2
        assert names["number"](names["path"], k, 0.6) == pytest.approx(number.item())


def test_the_force_of_a_small_swing_is_the_pull(names):
    torch.testing.assert_close(names["dS"], TASK.pull(names["p"], names["u"]), rtol=1e-3, atol=1e-5)


def test_a_push_in_any_direction_tames_the_run_and_a_long_one_costs_more(names):
    p, u = names["p"], names["u"]

    def peak(push):
        run = names["descend"](p + push * p.norm(), 0.6, 121)
        return max(names["number"](run, k, 0.6) for k in range(0, 120, 4)), max(names["loss"](q) for q in run)

    torch.manual_seed(0)
    draws = [torch.randn(60).double() for _ in range(5)]
    numbers = [peak(0.01 * draw / draw.norm())[0] for draw in draws]
    assert f"{min(numbers):.3g} to {max(numbers):.3g}" == "1.13 to 1.22"
    assert "1.13 to 1.22 in five draws" in " ".join(prose(lesson("08")).split())
    (alone, low), (long, high) = peak(0 * u), peak(0.1 * u)
    assert max(numbers) < long < alone and high > 2 * low


def test_the_curvature_along_the_last_step_is_at_the_edge_on_average_and_above_it_in_the_middle(names):
    p, q = names["path"][497:499]
    way = (q - p) / (q - p).norm()
    at = [0.3 * (way @ names["hess"](p + t * (q - p)) @ way).item() for t in (torch.arange(20) + 0.5) / 20]
    assert sum(at) / 20 == pytest.approx(1, abs=0.005) and at[10] > 1.04 > max(at[0], at[-1])


def test_the_meter_is_that_of_the_package(names):
    torch.testing.assert_close(names["m"], climb.meter(TASK.slope(torch.stack(names["path"]))), rtol=1e-6, atol=1e-9)
    assert names["m"][375:].mean().item() == pytest.approx(1, abs=0.005)


def test_central_flow_is_that_of_the_package(names):
    centre, predicted = climb.central_flow(TASK, climb.start(0), 0.6)
    torch.testing.assert_close(names["centre"], TASK.loss(centre), rtol=1e-4, atol=0)
    torch.testing.assert_close(names["predicted"][::7], predicted[::7], rtol=1e-2, atol=1e-3)


def test_the_swing_of_central_flow_is_the_one_that_its_formula_gives(names):
    """At rest on the edge: a^2 from the step back, as the cell has it, and from -2 grad l . grad S / |grad S|^2. They differ by
    what is of the size of the cell's step (11 % here, 3 % with a quarter of it)."""
    centre, _ = climb.central_flow(TASK, climb.start(0), 0.6)
    p = centre[900]
    pull, slope = TASK.pull(p, TASK.direction(p)), TASK.slope(p)
    a2 = -2 * (slope @ pull) / (pull @ pull)
    assert (names["predicted"][890:910] - names["centre"][890:910]).mean().item() == pytest.approx(a2.item() / 12, rel=0.15)


def test_the_climbs_are_those_of_the_picture():
    (cell,) = [cell for cell in lesson("08").cells if is_idea(cell) and "climbs" in cell.text]
    first = next(cell.text for cell in lesson("08").cells if "import torch" in cell.text)
    fewer = cell.text.replace("(20, 80, 320)", "(20,)")
    assert fewer != cell.text
    names: dict = {}
    exec(first, names)  # noqa: S102
    exec(fewer, names)  # noqa: S102
    for scaling in ("mean_field", "ntk"):
        left, S = (torch.tensor(values, dtype=torch.float64) for values in names["climbs"][scaling, 20])
        loss, wanted, _ = climb_of_width(scaling, 20, (0, 1, 2))
        torch.testing.assert_close(left[::2], loss[:, 0], rtol=1e-6, atol=0)
        torch.testing.assert_close(S[::2], wanted[:, 0], rtol=1e-5, atol=0)
