"""Exercise 6: what an optimizer keeps, read from recordings of it."""

from collections.abc import Callable
from itertools import permutations

import numpy as np
import torch

from regimes_course.kit.checking import Behaviour, Mistake
from regimes_course.lesson04 import pictures
from regimes_course.lesson04.boxes import BOXES, Box
from regimes_course.lesson04.checks.verdicts import (
    AWAY_AND_BACK,
    HIDDEN,
    ONE_ENTRY,
    PULLED,
    TILTING,
    Visit,
    all_say,
    change,
    imbalance,
    observe,
    split,
    wrong,
)

__all__ = ["WHICH_OPTIMIZER"]

PROPERTIES = ("U2 frozen", "the set kept", "Lambda conserved")
FROZEN, KEPT, CONSERVED = range(3)
ADAM_ON_U, ADAM_ON_V = "hidden layer alone, by Adam in the row space", "last layer alone, by Adam"
LORENTZ, TURNING, NOISE = "flow by Lorentz steps", "turning units", "noise in an unseen direction"


def _reordered(visits: list[Visit]) -> bool:
    return any(all(tuple(v.said[i] for i in order) == v.box.keeps for v in visits) for order in permutations(range(3)))


def _moves_where_frozen(visits: list[Visit]) -> bool:
    """Whether ``U2`` is said to move wherever ``U`` is trained."""
    trained = {b.name for b in BOXES if b.keeps[FROZEN] and not b.name.startswith("last layer")}
    return trained <= wrong(visits, FROZEN)


def _loose(visits: list[Visit]) -> bool:
    """Whether ``U2`` is said to be frozen wherever it moves by less than a bound, and the bound is too large."""
    accepted, refused = ([v.moved for v in visits if v.said[FROZEN] is verdict] for verdict in (True, False))
    return bool(wrong(visits, FROZEN)) and max(accepted, default=9.0) < min(refused, default=0.0)


def _one_run(visits: list[Visit]) -> bool:
    """Whether the verdicts on ``Lambda`` follow from a bound on its drift in one of the two runs."""
    accepted, refused = ([v.drifts for v in visits if v.said[CONSERVED] is verdict] for verdict in (True, False))
    drifts = [[[d[run] for d in group] for group in (accepted, refused)] for run in (0, 1)]
    return bool(wrong(visits, CONSERVED)) and any(max(a, default=0.0) < min(b, default=9.0) for a, b in drifts)


def _ratio_only(visits: list[Visit]) -> bool:
    """Whether the verdicts on ``Lambda`` follow from a bound on the ratio of the two drifts."""
    ratios = {verdict: [v.drifts[1] / v.drifts[0] for v in visits if v.said[CONSERVED] is verdict] for verdict in (True, False)}
    return max(ratios[True], default=0.0) < min(ratios[False], default=9.0)


def _judge(
    *,
    part: Callable = lambda X, U: split(X, U)[1],
    moved: Callable = change,
    still: float = 1e-9,
    products: Callable = lambda U1, U2, V: (V @ U2.mT, U1 @ U2.mT),
    start: Callable = lambda coarse, inside: inside,
    imbalance: Callable = imbalance,
    drift: Callable = change,
    conserved: Callable = lambda coarse, fine: fine < 1e-9 or fine < coarse / 2,
    end: Callable = lambda *verdicts: verdicts,
) -> Callable:
    """A right answer, with one thing at a time to get wrong."""

    def answer(X, coarse, fine, inside):
        frozen = moved(part(X, coarse[0])) <= still
        U, V = start(coarse, inside)
        kept = all(P.abs().max().item() < 1e-9 for P in products(*split(X, U), V))
        return end(frozen, kept, conserved(*(drift(imbalance(X, *run)) for run in (coarse, fine))))

    return answer


def _by_projector(X, coarse, fine, inside):
    """Without a basis: the projector on the row space, and allclose."""
    P = torch.linalg.pinv(X, rtol=1e-10) @ X
    N = torch.eye(len(P), dtype=X.dtype) - P

    def same(A, B):
        return torch.allclose(A, B, rtol=1e-7, atol=1e-9)

    def drift(U, V):
        return (U.mT @ P @ U - V.mT @ V - U[0].T @ P @ U[0] + V[0].T @ V[0]).abs().max()

    U, V = inside
    Z = torch.cat([V, P @ U], 1) @ (N @ U).mT
    return same(N @ coarse[0], (N @ coarse[0])[:1]), same(Z, torch.zeros_like(Z)), drift(*fine) < 0.6 * drift(*coarse) + 1e-8


def _by_numpy(X, coarse, fine, inside):
    """In NumPy, record by record, with the order of the drift read from its logarithm."""
    _, s, Vh = np.linalg.svd(X.numpy())
    seen, unseen = np.split(Vh, [int((s > 1e-10 * s[0]).sum())])
    records = zip(*(A.numpy() for A in inside), strict=True)
    overlap = max(np.linalg.norm(np.vstack([V, seen @ U]) @ (unseen @ U).T) for U, V in records)

    def drift(run):
        records = zip(*(A.numpy() for A in run), strict=True)
        Lambda = [(seen @ U).T @ (seen @ U) - V.T @ V for U, V in records]
        return max(np.linalg.norm(now - Lambda[0]) for now in Lambda)

    order = np.log(drift(coarse) / drift(fine)) / np.log(4)
    moved = np.ptp(unseen @ coarse[0].numpy(), axis=0).max()
    return moved < 1e-8, overlap < 1e-8, drift(coarse) < 1e-9 or order > 0.5


def _praise(visits: list[Visit]) -> str:
    return f"All {3 * len(BOXES)} verdicts on {len(BOXES)} optimizers are right. The discussion says which is which."


def _otherwise(visits: list[Visit]) -> str:
    """Names the boxes that are judged wrongly, property by property."""
    lists = [f"{PROPERTIES[k]}: {', '.join(sorted(wrong(visits, k)))}" for k in range(3) if wrong(visits, k)]
    return f"some verdicts are wrong. {'; '.join(lists)}."


def _only(which: int, *names: str) -> Callable[[list[Visit]], bool]:
    """Whether one of the verdicts is wrong for these boxes of the lesson, and for no other of them."""
    return lambda visits: wrong(visits, which) - {box.name for box in HIDDEN} == set(names)


def _only_hidden(box: Box, *verdicts: int) -> Callable[[list[Visit]], bool]:
    """Whether at least one of the verdicts is wrong for a box that is not of the lesson, and for no other box."""
    return lambda visits: {box.name} == set().union(*(wrong(visits, which) for which in verdicts))


WHICH_OPTIMIZER = Behaviour(
    key="04/what_is_kept",
    picture=pictures.what_is_kept,
    observe=observe,
    passed=lambda visits: all(v.said == v.box.keeps for v in visits),
    praise=_praise,
    otherwise=_otherwise,
    alternatives=(_judge(), _by_projector, _by_numpy),
    mistakes=(
        Mistake(
            "not three verdicts",
            "It must return three verdicts, each True or False: U2 frozen, the set kept, Lambda conserved.",
            _judge(conserved=lambda coarse, fine: fine / coarse),
            lambda visits: any(v.said is None for v in visits),
        ),
        Mistake(
            "wrong way round",
            "Every verdict is the opposite of the right one: return True for what is kept.",
            _judge(end=lambda *verdicts: tuple(not v for v in verdicts)),
            lambda visits: all(tuple(not s for s in v.said) == v.box.keeps for v in visits),
        ),
        Mistake(
            "another order",
            "The verdicts are right, in another order: U2 frozen, the set kept, Lambda conserved.",
            _judge(end=lambda frozen, kept, conserved: (conserved, frozen, kept)),
            _reordered,
        ),
        Mistake(
            "one answer for all",
            "It says the same of every optimizer. They differ: let the recordings decide.",
            lambda *runs: (True, True, True),
            lambda visits: len({v.said for v in visits}) == 1,
        ),
        Mistake(
            "U for U2",
            "It finds that U2 moves wherever U is trained, also under gradient descent. U2 is the part of U outside the row space of X; and it "
            "stays only to rounding, about 1e-14.",
            _judge(part=lambda X, U: U),
            _moves_where_frozen,
        ),
        Mistake(
            "U2 empty",
            "It finds U2 frozen under every optimizer, which is not so. Is your U2 empty, as a thin decomposition leaves it (full_matrices=True keeps "
            "the d - r directions that no sample has)? Or is your tolerance as large as U2 itself? Rounding is about 1e-14.",
            _judge(part=lambda X, U: U[:, :0], moved=lambda A: A.abs().sum().item()),
            lambda visits: all_say(visits, FROZEN, True),
            also=[_judge(still=1.0)],
        ),
        Mistake(
            "n for r",
            "One optimizer moves U2 unnoticed, in a direction of which X has no sample. The seven samples span fewer than seven directions: "
            "take the rank of X, not its number of rows.",
            _judge(part=lambda X, U: torch.linalg.svd(X)[2][len(X) :] @ U),
            _only(FROZEN, NOISE),
        ),
        Mistake(
            "length of U2",
            "One optimizer turns U2 without making it longer or shorter, and that is not frozen: compare the entries, not the norm.",
            _judge(moved=lambda A: (A.norm(dim=(-2, -1)) / A[0].norm() - 1).abs().max().item()),
            _only(FROZEN, TURNING),
        ),
        Mistake(
            "tolerance too loose",
            "A small change of U2 passes for frozen, and a large one does not. Even the smallest here is larger than rounding by ten orders of "
            "magnitude.",
            _judge(still=0.05),
            _loose,
            also=[_judge(still=0.2)],
        ),
        Mistake(
            "random start for the set",
            "It finds the set left by every optimizer. A random start is not in the set to begin with: judge by the run `inside`, and by a "
            "tolerance above rounding.",
            _judge(start=lambda coarse, inside: coarse),
            lambda visits: all_say(visits, KEPT, False),
        ),
        Mistake(
            "frozen for kept",
            "The verdict on the set is your verdict on U2. They are two things: the set is left as well when U1 or V moves towards U2, and it is kept "
            "when U2 only shrinks.",
            _judge(end=lambda frozen, kept, conserved: (frozen, frozen, conserved)),
            lambda visits: all(v.said[KEPT] is v.said[FROZEN] for v in visits),
        ),
        Mistake(
            "V U2^T only",
            "The set has two conditions. Under one optimizer V U2^T stays zero and U1 U2^T does not: look at both.",
            _judge(products=lambda U1, U2, V: (V @ U2.mT,)),
            _only(KEPT, ADAM_ON_U),
        ),
        Mistake(
            "U1 U2^T only",
            "The set has two conditions. Under one optimizer U1 U2^T stays zero and V U2^T does not: look at both.",
            _judge(products=lambda U1, U2, V: (U1 @ U2.mT,)),
            _only(KEPT, ADAM_ON_V),
        ),
        Mistake(
            "nothing conserves",
            "It finds Lambda conserved by none, but one of them keeps it to rounding. Lambda = U1^T U1 - V^T V, with U1 = Phi1^T U and a minus; and "
            "rounding makes 1e-13 of it.",
            _judge(imbalance=lambda X, U, V: split(X, U)[0].mT @ split(X, U)[0] + V.mT @ V),
            lambda visits: all_say(visits, CONSERVED, False),
        ),
        Mistake(
            "exact conservation",
            "It accepts only what conserves Lambda to rounding. Finite steps of gradient descent do not, and the flow does: ask whether the drift "
            "falls with the step, from `coarse` to `fine`.",
            _judge(conserved=lambda coarse, fine: coarse < 1e-9),
            lambda visits: {v.box.name for v in visits if v.said[CONSERVED]} == {LORENTZ},
        ),
        Mistake(
            "rounding compared",
            "One optimizer conserves Lambda to rounding with either step, and is refused: a ratio of two rounding errors says nothing. Accept a drift "
            "that is tiny by itself.",
            _judge(conserved=lambda coarse, fine: fine < coarse / 2),
            _only(CONSERVED, LORENTZ),
        ),
        Mistake(
            "U for U1",
            "One optimizer moves U only where no sample looks, and you find Lambda changed. Lambda takes U1 = Phi1^T U, not U.",
            _judge(imbalance=lambda X, U, V: U.mT @ U - V.mT @ V),
            _only(CONSERVED, NOISE),
        ),
        Mistake(
            "size of Lambda",
            "One optimizer turns Lambda and keeps its size and its eigenvalues: that is not conserved. Compare the matrices, entry by entry.",
            _judge(drift=lambda A: (torch.linalg.eigvalsh(A) - torch.linalg.eigvalsh(A[0])).norm(dim=-1).max().item()),
            _only(CONSERVED, TURNING),
        ),
        Mistake(
            "diagonal of Lambda",
            "One optimizer changes Lambda off the diagonal alone, and you find it conserved. Lambda is a matrix: compare all its entries.",
            _judge(drift=lambda A: change(A.diagonal(dim1=-2, dim2=-1)[:, None])),
            _only_hidden(TILTING, CONSERVED),
        ),
        Mistake(
            "Lambda without its diagonal",
            "One optimizer changes a diagonal entry of Lambda alone, and you find it conserved. Lambda is a matrix: compare all its entries.",
            _judge(drift=lambda A: change(A - torch.diag_embed(A.diagonal(dim1=-2, dim2=-1)))),
            _only_hidden(ONE_ENTRY, CONSERVED),
        ),
        Mistake(
            "the ends alone",
            "One optimizer moves away and is back at the last record, and you find that it keeps what it left: look at every record.",
            lambda X, *runs: _judge()(X, *(tuple(A[[0, -1]] for A in run) for run in runs)),
            _only_hidden(AWAY_AND_BACK, FROZEN, KEPT, CONSERVED),
        ),
        Mistake(
            "U2 from inside the set",
            "Under one optimizer U2 moves from a random start and not from inside the set, and you find it frozen: judge U2 by the run `coarse`.",
            lambda X, coarse, fine, inside: (_judge()(X, inside, fine, inside)[0], *_judge()(X, coarse, fine, inside)[1:]),
            _only_hidden(PULLED, FROZEN),
        ),
        Mistake(
            "bound on one run",
            "A bound on the drift in one run cannot tell: a right optimizer with large steps drifts more than a wrong one with small steps. Ask by how much "
            "the drift falls from `coarse` to `fine`.",
            _judge(conserved=lambda coarse, fine: fine < 0.03),
            _one_run,
        ),
        Mistake(
            "bound on the ratio",
            "Comparing the two drifts is right, your bound on their ratio is not. A drift proportional to the step falls to about a quarter, give or "
            "take; one that does not vanish stays about what it is.",
            _judge(conserved=lambda coarse, fine: fine < 1e-9 or fine < 0.25 * coarse),
            lambda visits: bool(wrong(visits, CONSERVED)) and _ratio_only([v for v in visits if v.drifts[0] > 1e-9]),
        ),
    ),
)
