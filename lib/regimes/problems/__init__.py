"""Problems: the data of the lessons. Nothing is downloaded; all of it is made from a seed or comes with scikit-learn."""

from regimes.problems.images import digits
from regimes.problems.parity import parity
from regimes.problems.problem import Problem
from regimes.problems.regression import linear_regression, teacher_student, wave
from regimes.problems.ten_digits import HALVES, Images, ten_digits

__all__ = ["HALVES", "Images", "Problem", "digits", "linear_regression", "parity", "teacher_student", "ten_digits", "wave"]
