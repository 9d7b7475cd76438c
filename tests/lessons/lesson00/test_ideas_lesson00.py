"""What the idea cells of lesson 00 write out, against the library."""

import torch

from regimes.theory.gauss_newton import steps_to
from tests.lessons.cells import is_idea, lesson, run
from tests.lessons.tried import told


def test_the_network_its_jacobian_the_limit_and_the_law():
    source = lesson("00")
    names, _ = run(source, is_idea)[-1]
    last = [cell.text for cell in source.cells if is_idea(cell)][-1]
    theta, m = names["theta0"], names["m"]
    literal = torch.autograd.functional.jacobian(lambda t: names["outputs"](t, 1 / m)[0], theta)
    assert torch.allclose(names["outputs"](theta, 1 / m)[1], literal, rtol=1e-12, atol=1e-15)
    eta, law = names["eta"], names["law"].item()
    assert abs(law - steps_to(1e-3, eta)) <= 1
    assert torch.allclose(names["edge"]["1/m"][0], torch.tensor(0.8).double()) and abs(names["edge"]["1/m"][-1] - 2) < 0.05
    assert names["edge"]["lazy"].max() < 1 and law < names["k"] < law + 5
    smaller = last.replace("0.05, theta0", "0.02, theta0")  # the last one, with the change that the text asks for
    exec(smaller, names)  # noqa: S102
    assert names["eta"] == 0.02 and abs(names["k"] - steps_to(1e-3, 0.02)) <= 2


def test_sentences_are_right_for_other_numbers():
    """Half the step: the run is still on its way to the limit."""
    _, climb, outcome, steps, _ = told(
        "00", ("step, edge, loss = 0.4", "step, edge, loss = 0.2"), ("0.05, theta0", "0.1, theta0")
    )
    assert (
        "never comes to 2" in climb and "crosses" not in climb and outcome.startswith("from 0.4 to 1.") and "says 33" in steps
    )
