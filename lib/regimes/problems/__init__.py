"""Problems: the data of the lessons. Nothing is downloaded; everything is made from a seed or comes with scikit-learn."""

from regimes.problems.committees import evenly_spread, orthonormal_units, student_and_teacher, unit_vectors
from regimes.problems.images import digits, even_odd
from regimes.problems.parity import parity
from regimes.problems.problem import Problem
from regimes.problems.regression import chebyshev, linear_regression, teacher_student, wave
from regimes.problems.separation import NotSeparable, Separation, is_separable, separation
from regimes.problems.ten_digits import HALVES, Images, ten_digits
from regimes.problems.two_classes import digits_in_the_ball, five_points, tug_of_war, two_points, xor

__all__ = [
    "HALVES",
    "Images",
    "NotSeparable",
    "Problem",
    "Separation",
    "chebyshev",
    "digits",
    "digits_in_the_ball",
    "even_odd",
    "evenly_spread",
    "five_points",
    "is_separable",
    "linear_regression",
    "orthonormal_units",
    "parity",
    "separation",
    "student_and_teacher",
    "teacher_student",
    "ten_digits",
    "tug_of_war",
    "two_points",
    "unit_vectors",
    "wave",
    "xor",
]
