"""Numbers in words."""

import pytest
import torch

from regimes_course.kit.words import digits3, median, short, span

SPANS = {
    "2.2 to 4.5": (torch.tensor([3.0, 2.21, 4.49]), {}),
    "0.3": (torch.tensor([0.3001, 0.2999]), {}),
    "7.0e-05 to 2.0e-03": (torch.tensor([[7e-5], [2e-3]]), {"form": ".1e"}),
    "12": (torch.tensor(12.0), {}),
}


@pytest.mark.parametrize(("words", "case"), SPANS.items())
def test_span(words, case):
    assert span(case[0], **case[1]) == words


NUMBERS = {
    0.0: "0", 1.0: "1", -3.0: "-3", 171.0: "171", 170.6: "171", 9999.0: "9999", 10000.0: "1e+04", 123456.0: "1.23e+05",
    2.02031: "2.02", 0.99999: "1", 0.000123456: "0.000123", 1e-10: "1e-10", 9.9e-11: "below 1e-10", -3e-14: "below 1e-10",
}  # fmt: skip


@pytest.mark.parametrize(("value", "text"), NUMBERS.items())
def test_three_digits(value, text):
    assert digits3(value) == text


def test_the_median_of_an_even_number_of_runs_is_between_the_two_in_the_middle():
    assert median(torch.tensor([[4.0, 1, 3, 2], [8, 5, 7, 6]])).tolist() == [2.5, 6.5]


def test_a_short_number_has_a_typographic_minus_and_no_negative_zero():
    assert [short(value) for value in (-1.2345, 0.0005, -0.0004, -0.0, 250.0)] == ["−1.23", "0.0005", "0", "0", "250"]
