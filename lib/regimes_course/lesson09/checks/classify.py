"""Exercise 2: which assumptions of the theory an activation fails."""

from collections.abc import Callable

from regimes_course.kit.checking import Behaviour, Complaint, Mistake
from regimes_course.kit.comparing import printed
from regimes_course.lesson09 import pictures

__all__ = ["CLASSIFY"]

RIGHT = {
    "softplus": "c",
    "GELU": "c",
    "SiLU": "c",
    "tanh": "c",
    "ReLU": "bc",
    "z**2": "ac",
    "leaky softplus": "",
}
SMOOTH = ("softplus", "GELU", "SiLU", "tanh", "leaky softplus")


def observe(answer: Callable) -> dict[str, str]:
    """For each activation the letters in alphabetical order."""
    value = answer()
    if not isinstance(value, dict):
        raise Complaint(f"your function must return a dictionary; it returned a {type(value).__name__}")
    if set(value) != set(RIGHT):
        missing, extra = ([printed(k, repr, 30) for k in a if k not in b] for a, b in ((RIGHT, value), (value, RIGHT)))
        found = [f"{', '.join(keys)} {what}" for keys, what in ((missing, "missing"), (extra, "not among them")) if keys]
        raise Complaint(f"your dictionary must have the keys {', '.join(RIGHT)}: {'; '.join(found)}")
    for name, letters in value.items():
        if not isinstance(letters, str) or set(letters) - set("abc"):
            says = f"each value is made of the letters a, b, c, or is empty; for {name} it is"
            raise Complaint(f"{says} {printed(letters, repr, 40)}")
    return {name: "".join(sorted(set(value[name]))) for name in RIGHT}


def _with(**changes: str) -> Callable:
    changes = {name.replace("_", " ").replace("square", "z**2"): letters for name, letters in changes.items()}
    return lambda: {**RIGHT, **changes}


def _count(seen: dict[str, str]) -> int:
    return sum(seen[name] == letters for name, letters in RIGHT.items())


CLASSIFY = Behaviour(
    key="09/classify",
    picture=pictures.classify,
    spoiler=True,
    observe=observe,
    passed=lambda seen: seen == RIGHT,
    praise=lambda seen: "All seven. Only the leaky softplus has everything; with a leak GELU and SiLU would, too.",
    otherwise=lambda seen: (
        f"{_count(seen)} of {len(RIGHT)} are right. Go through (a), (b), (c) one by one: the gap, the second derivative, the smallest slope."
    ),
    alternatives=(lambda: dict(RIGHT), lambda: {name: letters[::-1] for name, letters in reversed(RIGHT.items())}),
    mistakes=(
        Mistake(
            "what holds",
            "This lists what holds. Wanted is what fails: nothing, for the leaky softplus.",
            lambda: {name: "".join(sorted(set("abc") - set(letters))) for name, letters in RIGHT.items()},
            lambda seen: all(set(seen[name]) == set("abc") - set(letters) for name, letters in RIGHT.items()),
        ),
        Mistake(
            "tanh suits",
            "The slope of tanh tends to zero on both sides: it fails (c). Nothing it makes is larger than 1, so the risk stays above 0.313.",
            _with(tanh=""),
            lambda seen: "c" not in seen["tanh"],
        ),
        Mistake(
            "softplus suits",
            "The slope of softplus is positive everywhere, but its infimum is zero: there is no alpha > 0 below all of it.",
            _with(softplus=""),
            lambda seen: "c" not in seen["softplus"],
        ),
        Mistake(
            "GELU or SiLU suits",
            "The slopes of GELU and SiLU fall below zero (to -0.13 and -0.10): they fail (c).",
            _with(GELU="", SiLU=""),
            lambda seen: "c" not in seen["GELU"] or "c" not in seen["SiLU"],
        ),
        Mistake(
            "ReLU is smooth",
            "The slope of ReLU jumps at zero, so its second derivative has no bound: it fails (b).",
            _with(ReLU="c"),
            lambda seen: "b" not in seen["ReLU"],
        ),
        Mistake(
            "ReLU has a slope",
            "The slope of ReLU is zero for z < 0: it fails (c).",
            _with(ReLU="b"),
            lambda seen: "c" not in seen["ReLU"],
        ),
        Mistake(
            "ReLU has a gap",
            "ReLU is homogeneous: phi(z) = z phi'(z) on both sides of zero, so its gap is zero and (a) holds.",
            _with(ReLU="abc"),
            lambda seen: "a" in seen["ReLU"],
        ),
        Mistake(
            "z squared is near homogeneous",
            "For z^2 the gap is |z^2 - 2 z^2| = z^2, without a bound: it fails (a).",
            _with(square="c"),
            lambda seen: "a" not in seen["z**2"],
        ),
        Mistake(
            "z squared has a slope",
            "The slope of z^2 is 2 z: negative for z < 0. It fails (c).",
            _with(square="a"),
            lambda seen: "c" not in seen["z**2"],
        ),
        Mistake(
            "z squared is not smooth",
            "The second derivative of z^2 is 2 everywhere: (b) holds. What is unbounded is its slope.",
            _with(square="abc"),
            lambda seen: "b" in seen["z**2"],
        ),
        Mistake(
            "a gap without a bound",
            "The gaps of softplus, GELU, SiLU and tanh are all bounded, by 0.693, 0.294, 0.439 and 1: (a) holds for each of them.",
            _with(softplus="ac"),
            lambda seen: any("a" in seen[name] for name in SMOOTH),
        ),
        Mistake(
            "smooth ones with a kink",
            "All of softplus, GELU, SiLU and tanh have bounded second derivatives: (b) holds for each of them.",
            _with(tanh="bc"),
            lambda seen: any("b" in seen[name] for name in SMOOTH),
        ),
        Mistake(
            "the leak forgotten",
            "The leak adds 1/2 to the slope, which is then at least 1/2: leaky softplus satisfies (c).",
            _with(leaky_softplus="c"),
            lambda seen: "c" in seen["leaky softplus"],
        ),
    ),
)
