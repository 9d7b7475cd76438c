"""All ten digits: what the file must be, how it is prepared, how it is shifted and cut into batches."""

from itertools import islice

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from regimes.problems import HALVES, images, ten_digits
from tests.lib.cases import relative

RAW, LABELS = (torch.tensor(t) for t in load_digits(return_X_y=True))
SEEDS = torch.arange(2)


def test_the_file_is_the_one_the_course_was_written_for(monkeypatch):
    x, y = images.load_images()
    assert x.shape == (1797, 64) and (x.sum().item(), y.sum().item()) == (561718, 8070)
    monkeypatch.setattr(images, "SUMS", (561719, 8070))
    with pytest.raises(RuntimeError, match="scikit-learn's digits have changed"):
        ten_digits()


def test_pixels_are_centred_and_divided_by_one_number():
    problem = ten_digits(300, seed=3)
    order = torch.randperm(1797, generator=torch.Generator().manual_seed(3))
    raw = RAW[order].double() / 16
    centred = raw - raw[:300].mean(0)
    assert relative(problem.x, (centred / centred[:300].std())[:300]) < 1e-13
    assert relative(problem.x_test, (centred / centred[:300].std())[300:]) < 1e-13
    assert problem.x.std().item() == pytest.approx(1) and problem.x.mean(0).abs().max() < 1e-13
    assert torch.equal(problem.y.argmax(1), LABELS[order][:300]) and torch.equal(problem.y_test.argmax(1), LABELS[order][300:])
    assert set(problem.y.unique().tolist()) == {0, 1} and (problem.y.sum(1) == 1).all()


def test_seeds_make_the_run_axes():
    stack = ten_digits(20, seed=SEEDS, noise=0.3)
    for i in range(2):
        one = ten_digits(20, seed=i, noise=0.3)
        for name in ("x", "y", "x_test", "y_test", "mean", "std"):
            torch.testing.assert_close(getattr(stack, name)[i], getattr(one, name), rtol=1e-13, atol=0)
    assert not torch.equal(stack.x[0], stack.x[1])


def test_noise_redraws_a_share_of_the_training_labels_only():
    clean, noisy = ten_digits(1437, seed=4), ten_digits(1437, seed=4, noise=0.2)
    changed = (clean.y != noisy.y).any(1).double().mean().item()
    assert 0.15 < changed < 0.2  # a tenth of those that are redrawn come out as they were
    assert torch.equal(clean.y_test, noisy.y_test) and torch.equal(clean.x, noisy.x)
    assert noisy.y.sum(0).min() > 100


@pytest.mark.parametrize("name", HALVES)
def test_halves_are_orders_of_the_pixels(name):
    order = HALVES[name]
    assert torch.equal(order.sort().values, torch.arange(64))
    row, column = order // 8, order % 8
    first = {"top and bottom": row < 4, "columns": column % 2 == 0, "checkerboard": (row + column) % 2 == 0}[name]
    assert first[:32].all() and not first[32:].any()
    plain, other = ten_digits(50, seed=1), ten_digits(50, seed=1, halves=name)
    assert relative(other.x, plain.x[:, order]) < 1e-14 and torch.equal(other.y, plain.y)


def test_shifts_move_images_by_at_most_a_pixel_each_way():
    problem = ten_digits(200, seed=2, halves="checkerboard")
    moved = problem.shifted([torch.Generator().manual_seed(5)])
    pixels = torch.empty(200, 64, dtype=torch.float64)
    pixels[:, problem.order] = moved * problem.std + problem.mean
    start = torch.empty_like(pixels)
    start[:, problem.order] = problem.x * problem.std + problem.mean
    found = np.zeros((3, 3), dtype=int)
    for before, after in zip(start.reshape(-1, 8, 8), pixels.reshape(-1, 8, 8), strict=True):
        wide = torch.nn.functional.pad(before, (1, 1, 1, 1))
        match = [(i, j) for i in range(3) for j in range(3) if torch.allclose(wide[i : i + 8, j : j + 8], after, atol=1e-12)]
        assert match
        found[match[0]] += 1
    assert (found > 8).all()


def test_batches_are_epochs_in_a_new_order():
    problem = ten_digits(50, seed=0)
    feed = list(islice(problem.batches(12, seed=3), 9))
    assert [x.shape for x, _ in feed] == [(12, 64)] * 9
    epochs = [torch.cat([x for x, _ in feed[k : k + 4]]) for k in (0, 4)]
    for epoch in epochs:  # 48 different images of the 50
        rows = torch.cdist(epoch, problem.x).argmin(1)
        assert len(rows.unique()) == 48 and torch.equal(problem.x[rows], epoch)
    assert not torch.equal(epochs[0], epochs[1])
    for x, y in feed:
        assert torch.equal(problem.y[torch.cdist(x, problem.x).argmin(1)], y)
    again = list(islice(problem.batches(12, seed=3), 9))
    assert all(torch.equal(a, b) for a, b in zip([x for x, _ in feed], [x for x, _ in again], strict=True))


def test_batches_of_a_stack_are_those_of_its_runs():
    stack = ten_digits(30, seed=SEEDS)
    for shift in (False, True):
        together = list(islice(stack.batches(7, seed=SEEDS + 9, shift=shift), 6))
        for i in range(2):
            alone = islice(ten_digits(30, seed=i).batches(7, seed=i + 9, shift=shift), 6)
            for (x, y), (x1, y1) in zip(together, alone, strict=True):
                torch.testing.assert_close(x[i], x1, rtol=1e-12, atol=1e-12)
                assert torch.equal(y[i], y1)


def test_an_integer_seed_gives_each_run_an_order_of_its_own():
    stack = ten_digits(30, seed=torch.tensor([4, 4]))
    counted, listed = (next(stack.batches(7, seed=seed))[0] for seed in (9, torch.tensor([9, 10])))
    assert torch.equal(counted, listed) and not torch.equal(counted[0], counted[1])


def test_shifted_batches_are_shifted_anew_in_each_epoch():
    problem = ten_digits(40, seed=0)
    first, second = (torch.cat([x for x, _ in islice(problem.batches(40, seed=3, shift=True), k, k + 1)]) for k in (0, 1))
    assert torch.cdist(first, second).amin(1).median() > 1 and torch.cdist(first, problem.x).amin(1).median() > 1


def test_images_stay_images_in_another_dtype():
    problem = ten_digits(30, seed=0).to(torch.float32)
    x, y = next(problem.batches(10, shift=True))
    assert x.dtype == y.dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n from 1 to 1796"),
        ({"n": 1797}, "n from 1 to 1796"),
        ({"noise": 1.5}, "noise is a share from 0 to 1"),
        ({"halves": "rows"}, "unknown halves 'rows'; choose top and bottom, columns, checkerboard"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        ten_digits(**options)


@pytest.mark.parametrize("size", [0, 51])
def test_refuses_a_batch_size_at_once(size):
    with pytest.raises(ValueError, match=f"from 1 to 50 images; got {size}"):
        ten_digits(50).batches(size)
