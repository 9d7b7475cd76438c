"""Committee machines and the units they start from."""

import math

import pytest
import torch

from regimes.networks import committee
from regimes.problems import evenly_spread, orthonormal_units, student_and_teacher, unit_vectors

W = torch.tensor([[[0.3, -0.5, 0.2]] * 2, [[1.1, 0.4, -0.7], [0.2, 0.2, 0.9]]], dtype=torch.float64)
X = torch.tensor([[0.5, 1.0, -2.0], [0.1, 0.3, 0.7], [-1.0, 0.4, 0.6], [2.0, 0.0, 1.0]], dtype=torch.float64)


def test_a_committee_is_the_mean_of_its_units():
    net = committee(W)
    torch.testing.assert_close(net(X), torch.erf(X @ W.mT / math.sqrt(2)).mean(-1))
    torch.testing.assert_close(committee(W, total=True)(X), 2 * net(X))
    torch.testing.assert_close(committee(W[1], activation="relu")(X), (X @ W[1].mT).clamp(min=0).mean(-1))


def test_only_hidden_weights_are_trained_and_the_units_are_copied():
    units = W.clone()
    net = committee(units)
    assert net.runs == (2,) and [name for name, p in net.named_parameters() if p.requires_grad] == ["W"]
    with torch.no_grad():
        net.W.zero_()
    assert torch.equal(units, W)


def test_a_vector_is_no_committee():
    with pytest.raises(ValueError, match=r"\(\.\.\., m, d\); got shape \(3,\)"):
        committee(W[0, 0])


def test_units_have_length_one_and_teachers_are_orthonormal():
    units, teacher = unit_vectors(7, 3, seed=torch.tensor([[1, 2]])), orthonormal_units(7, 3, seed=torch.tensor([4, 5]))
    assert units.shape == (1, 2, 3, 7) and teacher.shape == (2, 3, 7)
    torch.testing.assert_close(units.norm(dim=-1), torch.ones(1, 2, 3, dtype=torch.float64))
    torch.testing.assert_close(teacher @ teacher.mT, torch.eye(3, dtype=torch.float64).expand(2, 3, 3))
    assert torch.equal(units[0, 1], unit_vectors(7, 3, seed=2)) and torch.equal(teacher[1], orthonormal_units(7, 3, seed=5))
    assert (units[0, 0] @ units[0, 0].T - torch.eye(3)).abs().max() > 0.05


def test_directions_have_no_preference():
    units = unit_vectors(3, 20_000, seed=0)
    assert units.mean(0).abs().max() < 0.02
    torch.testing.assert_close(units.T @ units / 20_000, torch.eye(3, dtype=torch.float64) / 3, rtol=0, atol=0.01)


@pytest.mark.parametrize(("d", "p"), [(0, 2), (3, 0)])
def test_sizes(d, p):
    with pytest.raises(ValueError, match="d >= 1"):
        unit_vectors(d, p)


def test_no_more_orthonormal_directions_than_inputs():
    with pytest.raises(ValueError, match="at most d = 3 orthonormal directions; got k = 4"):
        orthonormal_units(3, 4)


@pytest.mark.parametrize("p", [1, 4])
def test_directions_spread_evenly_over_a_right_angle(p):
    W = evenly_spread(p)
    angles = torch.atan2(W[:, 1], W[:, 0])
    torch.testing.assert_close(W.norm(dim=-1), torch.ones(p, dtype=torch.float64))
    edges = torch.cat([-angles[:1], angles, math.pi - angles[-1:]])  # with their mirror images at both axes
    torch.testing.assert_close(edges.diff(), torch.full((p + 1,), math.pi / 2 / p, dtype=torch.float64))
    with pytest.raises(ValueError, match="at least one direction"):
        evenly_spread(0)


def test_a_student_and_a_teacher_have_nothing_in_common():
    seed = torch.tensor([3, 4, 5])
    student, teacher = student_and_teacher(400, 5, 2, seed=seed, activation="relu")
    assert student.runs == teacher.runs == (3,) and str(student.activation) == str(teacher.activation) == "relu"
    one, target = student_and_teacher(400, 5, 2, seed=4)
    assert torch.equal(student.W[1], one.W) and torch.equal(teacher.W[1], target.W)
    assert (student.W @ teacher.W.mT).abs().max() < 0.25  # 30 numbers of standard deviation 0.05
    torch.testing.assert_close(target.W @ target.W.mT, torch.eye(2, dtype=torch.float64))
