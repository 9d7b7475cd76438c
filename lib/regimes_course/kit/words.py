"""Numbers in words: what sentences, tables and ledgers say of one run or of many."""

from torch import Tensor

__all__ = ["digits3", "median", "plain", "short", "span"]


def median(values: Tensor) -> Tensor:
    """The median over the last axis, runs; of an even number of them the mean of the two in the middle."""
    return values.double().quantile(0.5, dim=-1)


def span(values: Tensor, form: str = ".2g") -> str:
    """The smallest and the largest value in words, for a figure's sentence; one number if both are written alike."""
    low, high = (format(end.item(), form) for end in (values.min(), values.max()))
    return low if low == high else f"{low} to {high}"


def digits3(value: float) -> str:
    """A number with three significant digits; a rounding error as the bound it respects.

    >>> digits3(2.02031), digits3(170.6), digits3(3.2e-14), digits3(0), digits3(123456.0)
    ('2.02', '171', 'below 1e-10', '0', '1.23e+05')
    """
    if 0 < abs(value) < 1e-10:
        return "below 1e-10"
    if float(value).is_integer() and abs(value) < 1e4:
        return f"{value:.0f}"
    return f"{value:.3g}"


def plain(value: float) -> str:
    """Two significant digits, without an exponent if the number is large.

    >>> plain(0.01234), plain(1.52), plain(99.7), plain(13_140.0)
    ('0.012', '1.5', '100', '13,000')
    """
    return f"{float(f'{value:.2g}'):,.0f}" if abs(value) >= 99.5 else f"{value:.2g}"


def short(value: float) -> str:
    """Three digits, with a typographic minus and no negative zero."""
    return f"{value + 0.0:.3g}".replace("-", "−") if abs(value) >= 5e-4 else "0"
