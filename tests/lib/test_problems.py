import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F

from regimes.problems import Problem, chebyshev, digits, even_odd, teacher_student, wave
from tests.lib.cases import relative

SEEDS = torch.arange(3)


def test_teacher_student_shapes_and_defaults():
    problem = teacher_student(n=40, d=5, n_test=70)
    assert [t.shape for t in (problem.x, problem.y, problem.x_test, problem.y_test)] == [(40, 5), (40,), (70, 5), (70,)]
    assert problem.inputs == 5 and problem.x.dtype == problem.y.dtype == torch.float64
    assert problem.teacher.width == 3 and problem.teacher.scaling == "mean_field"


def test_labels_are_the_teacher_normalised_on_the_test_set():
    problem = teacher_student(n=12, d=4, teacher_width=6, n_test=90, kappa=5.0, seed=3)
    teacher, x = problem.teacher, torch.cat([problem.x, problem.x_test])
    z = F.pad(x, (0, 1), value=1.0) @ teacher.W.T
    f = (F.silu(z) @ teacher.v / 6).detach()
    assert relative(torch.cat([problem.y, problem.y_test]), f / f[12:].square().mean().sqrt()) < 1e-13
    assert problem.y_test.square().mean().item() == pytest.approx(1.0)
    assert teacher.v.std() > 0.3 and not teacher.v.eq(0).any()


def test_inputs_are_gaussian_with_the_given_condition_number():
    for kappa in (1.0, 100.0):
        x = teacher_student(n=20000, d=4, kappa=kappa).x
        assert torch.allclose(x.std(0), kappa ** -torch.tensor([0, 1 / 3, 2 / 3, 1], dtype=torch.float64), rtol=0.03)
        assert (x.mean(0).abs() < 0.03 * x.std(0)).all()


def test_seed_and_kappa_make_the_run_axes():
    stack = teacher_student(n=7, d=3, n_test=11, seed=SEEDS, kappa=torch.tensor([[1.0], [10.0]]))
    assert stack.x.shape == (2, 3, 7, 3) and stack.y_test.shape == (2, 3, 11)
    for i, kappa in enumerate((1.0, 10.0)):
        for j in range(3):
            one = teacher_student(n=7, d=3, n_test=11, seed=j, kappa=kappa)
            assert torch.equal(stack.x[i, j], one.x) and relative(stack.y[i, j], one.y) < 1e-14
            assert relative(stack.y_test[i, j], one.y_test) < 1e-14 and torch.equal(stack.teacher.W[i, j], one.teacher.W)


def test_same_seed_same_numbers_at_every_kappa():
    a, b = teacher_student(n=9, seed=4), teacher_student(n=9, seed=4, kappa=100.0)
    assert relative(b.x * 100 ** torch.linspace(0, 1, 5, dtype=torch.float64), a.x) < 1e-14
    assert torch.equal(a.teacher.W, b.teacher.W)
    assert not torch.equal(a.x, teacher_student(n=9, seed=5).x)


def test_the_teacher_is_drawn_apart_from_the_inputs():
    problem = teacher_student(n=9, seed=4)
    assert not torch.isin(problem.teacher.W, torch.cat([problem.x, problem.x_test])).any()


def test_noise_labels_have_no_teacher_and_know_nothing_of_the_inputs():
    problem = teacher_student(n=4000, d=3, labels="noise", seed=2)
    assert problem.teacher is None
    assert problem.y_test.square().mean().item() == pytest.approx(1.0)
    assert (problem.x.T @ problem.y / 4000).abs().max() < 0.06 and abs(problem.y.mean()) < 0.06


def test_problem_moves_and_casts():
    problem = teacher_student(n=6).to(torch.float32)
    assert isinstance(problem, Problem)
    assert all(t.dtype == torch.float32 for t in (problem.x, problem.y, problem.x_test, problem.y_test))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": "random"}, "unknown labels 'random'; choose 'teacher' or 'noise'"),
        ({"n": 0}, "sizes must be at least one; got n=0"),
        ({"d": 0}, "sizes must be at least one; got .*d=0"),
        ({"n_test": 0}, "sizes must be at least one; got .*n_test=0"),
        ({"teacher_width": 0}, "sizes must be at least one; got .*teacher_width=0"),
        ({"kappa": 0.5}, "kappa is a condition number, at least one; got 0.5"),
        ({"kappa": torch.tensor([1.0, -2.0])}, "kappa is a condition number"),
    ],
)
def test_teacher_student_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        teacher_student(**options)


def test_digits():
    problem = digits(3, 8, n=60, seed=1)
    target = load_digits().target
    assert problem.x.shape == (60, 64) and len(problem.x_test) == (target == 3).sum() + (target == 8).sum() - 60
    assert set(problem.y.tolist()) == {-1.0, 1.0} and problem.y.dtype == problem.x.dtype == torch.float64
    assert relative(problem.x.mean(0) + 1, torch.ones(64, dtype=torch.float64)) < 1e-12
    assert 0.4 < problem.x.norm(dim=1).mean() < 1.5


def test_digits_are_the_images_with_their_labels():
    problem = digits(1, 7, n=50, seed=4)
    images, target = load_digits(return_X_y=True)
    scales = []
    for label, digit in ((-1, 1), (1, 7)):
        ours = torch.cat([problem.x, problem.x_test])[torch.cat([problem.y, problem.y_test]) == label]
        theirs = torch.tensor(images[target == digit])
        assert len(ours) == len(theirs)
        # One shift and one scale for all: distances to the mean keep their ratios, image by image.
        ours, theirs = ((t - t.mean(0)).norm(dim=1).sort().values for t in (ours, theirs))
        assert relative(ours / ours[0], theirs / theirs[0]) < 1e-12
        scales.append((ours[0] / theirs[0]).item())
    assert scales[0] == pytest.approx(scales[1], rel=1e-12)


def test_digits_shuffle_by_seed_with_run_axes():
    stack = digits(n=40, seed=SEEDS)
    assert stack.x.shape[:2] == (3, 40)
    for i in range(3):
        one = digits(n=40, seed=i)
        assert relative(stack.x[i], one.x) < 1e-13 and torch.equal(stack.y[i], one.y)
    assert not torch.equal(stack.y[0], stack.y[1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3, 3), "two different digits from 0 to 9; got 3 and 3"),
        ((3, 10), "two different digits from 0 to 9; got 3 and 10"),
        ((-1, 3), "two different digits from 0 to 9"),
    ],
)
def test_digits_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        digits(*arguments)


@pytest.mark.parametrize("n", [0, 357, 1000])
def test_digits_refuses_sizes_without_a_test_image(n):
    with pytest.raises(ValueError, match=f"there are 357 images of 3 and 8: n must be from 1 to 356; got {n}"):
        digits(3, 8, n=n)
    digits(3, 8, n=356)


def test_wave():
    problem = wave(9)
    assert problem.x.shape == (9, 1) and problem.y.shape == (9,) and problem.x.dtype == problem.y.dtype == torch.float64
    assert problem.x[[0, 4, 8], 0].tolist() == [-2.0, 0.0, 2.0] and problem.x_test.abs().max() == 2.6
    assert problem.y_test.square().mean().item() == pytest.approx(1.0)
    formula = torch.sin(2.2 * problem.x[:, 0]) + 0.3 * problem.x[:, 0]
    assert relative(problem.y / problem.y[0], formula / formula[0]) < 1e-13


@pytest.mark.parametrize("n", [1, 0])
def test_wave_refuses_fewer_than_two_points(n):
    with pytest.raises(ValueError, match=f"a wave needs at least two points; got {n}"):
        wave(n)


@pytest.mark.parametrize("degree", [1, 2, 3, 5])
def test_chebyshev_obeys_its_recurrence(degree):
    problem, t = chebyshev(degree, 17), torch.linspace(-1, 1, 17, dtype=torch.float64)
    before, here = torch.ones_like(t), t
    for _ in range(degree - 1):
        before, here = here, 2 * t * here - before
    assert torch.equal(problem.x[:, 0], t) and relative(problem.y, here) < 1e-13
    assert problem.x_test.shape == (200, 1) and problem.y_test.abs().max().item() == pytest.approx(1)


@pytest.mark.parametrize(("degree", "n"), [(0, 20), (3, 1)])
def test_chebyshev_refuses(degree, n):
    with pytest.raises(ValueError, match=f"degree of at least one and two points are needed; got degree={degree}, n={n}"):
        chebyshev(degree, n)


def test_even_odd_are_all_images_with_their_labels():
    problem = even_odd(150, seed=4)
    images, target = load_digits(return_X_y=True)
    x, y = torch.cat([problem.x, problem.x_test]), torch.cat([problem.y, problem.y_test])
    assert problem.x.shape == (150, 64) and len(x) == 1797 and problem.x.mean(0).abs().max() < 1e-13
    assert problem.x.norm(dim=1).max().item() == pytest.approx(3)
    for label, parity in ((1, 0), (-1, 1)):
        ours, theirs = x[y == label], torch.tensor(images[target % 2 == parity])
        assert len(ours) == len(theirs)
        ours, theirs = ((t - t.mean(0)).norm(dim=1).sort().values for t in (ours, theirs))
        assert relative(ours / ours[0], theirs / theirs[0]) < 1e-12


def test_even_odd_shuffles_by_seed_with_run_axes():
    stack = even_odd(40, seed=SEEDS)
    for i in range(3):
        one = even_odd(40, seed=i)
        assert relative(stack.x[i], one.x) < 1e-13 and torch.equal(stack.y[i], one.y)
    for n in (0, 1797):
        with pytest.raises(ValueError, match=f"there are 1797 images: n must be from 1 to 1796; got {n}"):
            even_odd(n)
