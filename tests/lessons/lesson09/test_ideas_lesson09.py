"""What the idea cells of lesson 09 write out, against the library."""

import math

import pytest
import torch

from regimes.losses import logistic
from regimes.metrics import normalised_margin, phase_switch
from regimes.networks import TwoLayer, fix_signs
from regimes.optimizers import GradientDescent
from regimes.problems import separation, tug_of_war, two_points
from regimes.theory import large_steps as theory
from regimes.training import train
from regimes_course.lesson09 import experiments
from tests.lessons.cells import lesson, run

DEFINES = ("def walk", "def last_rise", "def train", "def leaky", "def tanh")


@pytest.fixture(scope="module")
def names():
    """What the idea cells leave, without pictures and guesses."""
    nothing = {"show": lambda *_: None, "guess": lambda *_, **__: None, "my_guess": ..., "draw": Silent()}
    return run(lesson("09"), lambda cell: cell.kind == "code" and any(word in cell.text for word in DEFINES), **nothing)[-1][0]


class Silent:
    def __getattr__(self, name):
        return lambda *_, **__: ()


@pytest.mark.parametrize("gamma, eta", [(0.05, 256.0), (0.1, 3.0), (0.2, 24.0)])
def test_the_walk_is_the_training_of_one_unit(names, gamma, eta):
    net = fix_signs(TwoLayer(2, 1, activation="identity", bias=False, std=0.0))
    measure = {"w": lambda net: net.W[0]}
    trace = train(net, *two_points(gamma), GradientDescent(net, eta, loss=logistic), 100, measure=measure)
    weights, risk = names["walk"](eta, 100, gamma)
    torch.testing.assert_close(weights, trace.measured["w"], rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(risk, trace.loss, rtol=1e-8, atol=1e-14)
    assert names["last_rise"](risk) == phase_switch(trace.loss, 1.0).last_increase


@pytest.mark.parametrize("gamma", [0.025, 0.05, 0.11, 0.3])
def test_the_switch_is_the_perceptron(names, gamma):
    weights = names["walk"](1, 3300, gamma, names["switch"])[0]
    moves = int(weights.diff(dim=0).any(1).sum())
    assert moves == experiments.perceptron(gamma) <= 2 / gamma**2
    torch.testing.assert_close(weights[1], names["walk"](1, 1, gamma)[0][1])  # the first step is that of the loss


def test_a_huge_step_starts_as_the_switch_does(names):
    far, switched = (names["walk"](eta, 12, 0.05, push)[0] for eta, push in ((1e6, torch.sigmoid), (1, names["switch"])))
    torch.testing.assert_close(far / 1e6, switched, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("m, eta, g", [(2, 256, 0.1), (20, 48, 0.1), (20, 192, 0.2)])
def test_the_network_is_that_of_the_library(names, m, eta, g):
    torch.manual_seed(0)
    W = torch.randn(m, 2).double()
    net = fix_signs(TwoLayer(2, m, activation="leaky_softplus", bias=False))
    net.W.data.copy_(W)
    assert torch.equal(net.v.detach(), torch.linspace(1, -1, m).sign().double())
    points = tug_of_war(g)
    measure = {"margin": lambda net: normalised_margin(net, *points)}
    trace = train(net, *points, GradientDescent(net, float(eta), loss=logistic), 40, measure=measure)
    risk, margin, _ = names["train"](m, eta, 40, names["leaky"], g)
    torch.testing.assert_close(risk, trace.loss, rtol=1e-6, atol=1e-12)
    torch.testing.assert_close(margin, trace.measured["margin"], rtol=1e-6, atol=1e-9)


def test_the_tanh_is_that_of_the_library(names):
    torch.manual_seed(0)
    net = fix_signs(TwoLayer(2, 20, activation="tanh", bias=False))
    net.W.data.copy_(torch.randn(20, 2).double())
    trace = train(net, *tug_of_war(0.1), GradientDescent(net, 48.0, loss=logistic), 20)
    torch.testing.assert_close(names["train"](20, 48, 20, names["tanh"])[0], trace.loss, rtol=1e-6, atol=1e-12)
    wild, tame = (names["runs"][f"tanh, η = {eta}"][0] for eta in (48, 8))
    assert tame.min() > math.log(1 + 1 / math.e)
    assert 1000 < names["last_rise"](wild) < 2000 and wild[-1] > 0.5
    assert names["last_rise"](tame) == 0 and tame[-1] < 0.37


def test_a_saturated_unit_has_no_slope(names):
    """The third row of what `train` returns."""
    assert names["train"](20, 48, 0, names["tanh"])[2].item() == pytest.approx(0.76, abs=0.01)
    assert names["runs"]["tanh, η = 48"][2, -1] < 0.005 < 0.5 < names["runs"]["leaky, η = 48"][2].min()


def test_the_margin_falls_on_many_steps_with_the_step_of_the_picture_and_on_none_with_its_neighbours(names):
    falls = {eta: (names["train"](20, eta, 300, names["leaky"], 0.2)[1].diff()[12:] < 0).sum() for eta in (150, 192, 256)}
    assert falls[150] == falls[256] == 0 and 100 < falls[192] < 250


@pytest.mark.parametrize("gamma", [0.05, 0.1])
@pytest.mark.parametrize("eta", [64, 256, 4000])
def test_with_a_large_step_a_rise_begins_with_a_mistake(names, gamma, eta):
    weights, risk = names["walk"](eta, 500, gamma)
    wrong = ((weights @ two_points(gamma)[0].T) <= 0).any(1)
    assert wrong[:-1][risk[1:] > risk[:-1] * (1 + 1e-10)].all()


def test_the_ceiling_of_the_margin_is_three_quarters_of_the_planes():
    """As typed in the cell; and reached by the best plane, copied into all units, where it is far out."""
    points = tug_of_war(0.2)
    plane = separation(*points)
    assert 0.2 / 4.04**0.5 == pytest.approx(plane.margin)
    net = fix_signs(TwoLayer(2, 20, activation="leaky_softplus", bias=False))
    net.W.data.copy_(1e6 * net.v.detach()[:, None] * plane.direction)
    assert normalised_margin(net, *points).item() == pytest.approx(0.75 * plane.margin, rel=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_no_weights_have_a_margin_above_the_ceiling(seed):
    """Three quarters of the plane's, for points that come with their mirror images."""
    points = tug_of_war(0.2)
    net = fix_signs(
        TwoLayer(2, 6, runs=(500,), activation="leaky_softplus", bias=False, std=10.0 ** (seed - 2), seed=torch.arange(500))
    )
    assert normalised_margin(net, *points).max() <= 0.75 * separation(*points).margin + 1e-12


@pytest.mark.parametrize("seed", range(300, 310))
def test_from_where_it_lands_the_end_of_a_wild_run_is_known(seed):
    """And the law, which needs both points, is not where it ends."""
    gamma, eta = experiments.drawn(seed, (0.03, 0.12), (256.0, 4096.0))
    assert experiments.one_point(gamma, eta, 500) == pytest.approx(1, abs=0.02)
    assert experiments.walk(gamma, eta, 500)[-1] < 0.1 * theory.asymptotic_risk(500, eta, gamma)


def test_the_laws_are_those_of_theory():
    (cell,) = [cell for cell in lesson("09").cells if "rules = {" in cell.text]
    assert "1 / (eta(T) * 0.1**2 * T)" in cell.text
    assert theory.asymptotic_risk(512, 4.0, 0.1).item() == pytest.approx(1 / (4.0 * 0.1**2 * 512))
    assert 16.6 < theory.first_rise(0.1) < 16.7 and theory.stable_threshold(1.0) == pytest.approx(0.8526, abs=1e-4)


@pytest.mark.parametrize("seed", [100, 101, 102])
def test_no_step_below_the_threshold_raises_the_risk(seed):
    """The cell of the random steps, on other draws."""
    (cell,) = [cell for cell in lesson("09").cells if "def risk" in cell.text]
    text = cell.text.replace("manual_seed(0)", f"manual_seed({seed})")
    names = {"torch": torch, "logsigmoid": torch.nn.functional.logsigmoid, "guess": lambda *_, **__: None, "my_guess": ...}
    exec(text, names)
    assert names["c"][names["rises"]].min() > theory.stable_threshold(1.0) and (names["c"] < 0.852).sum() > 3000


@pytest.mark.parametrize("seed", [500, 501, 502])
def test_the_bound_on_mistakes_is_not_passed_by_hard_data(seed):
    """Two points with a small margin, where much of it is used."""
    gamma, eta = experiments.drawn(seed, (0.02, 0.2), (1.0, 1e4))
    weights = experiments.path(gamma, eta, 3000)[0]
    c = (1 - gamma**2) ** 0.5
    wrong = ((weights[:-1] @ torch.tensor([[gamma, c], [gamma, -c / 2]], dtype=torch.float64).T) <= 0).any(1).sum()
    assert wrong < experiments.most_mistakes(2, gamma, eta, 3000)
    assert experiments.most_mistakes(2, gamma, 1e12, 3000) == pytest.approx(4 / gamma**2)


def test_the_sigmoid_pushes_back_by_at_most():
    """2 q sigma(-q) <= 0.56, the constant of that bound."""
    q = torch.linspace(-30, 30, 60001, dtype=torch.float64)
    assert 0.556 < (2 * q * torch.sigmoid(-q)).max() < 0.56
