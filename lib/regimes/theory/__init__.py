"""What the papers' theorems predict: one file per paper, formulas only.

Nothing here imports the rest of the library, so that a prediction never shares code with the measurement it is compared with.
"""
