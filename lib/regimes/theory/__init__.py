"""What the papers' theorems predict: one file a paper, formulas only.

Nothing here imports the rest of the house, so that a prediction never shares code with the measurement beside it.
"""
