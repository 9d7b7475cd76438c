"""What `course.py` does for a learner: open the lessons, start exercises, check them, look at the machine."""


class Unusable(ValueError):
    """What was asked for cannot be done; the message says why and what to do."""
