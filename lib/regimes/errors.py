"""Exceptions that several modules share."""

__all__ = ["Unsolvable"]


class Unsolvable(ValueError):
    """No step can be computed: the kernel is not finite, or the damping is lost in its rounding.

    Attributes:
        why: what that means in the middle of a run.
    """

    why = "the kernel has outgrown the precision and the damping"
