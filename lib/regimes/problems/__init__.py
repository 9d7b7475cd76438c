"""Problems: the data of the lessons. Nothing is downloaded; all of it is made from a seed or comes with scikit-learn."""

from regimes.problems.images import digits
from regimes.problems.problem import Problem
from regimes.problems.regression import linear_regression, teacher_student, wave

__all__ = ["Problem", "digits", "linear_regression", "teacher_student", "wave"]
