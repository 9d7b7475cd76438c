# ---
# jupyter:
#   regimes:
#     title: "Start here: deeper"
#     minutes: 14
#     needs: ["00"]
#     papers: [cai2024]
#     objectives:
#       - compare four ways of learning at one training loss, over five starts
#       - say which of the differences are laws and which are only large
#       - name what was chosen so that the comparison is fair
# ---

# %% [markdown]
# # Start here: deeper
#
# The evidence for [lesson 00](../00_start_here.ipynb). Each network has 100 tanh units and standard normal weights, and is trained on the eight points of
# the wave until the sum of its squared residuals is below a thousandth of that of the labels. So all runs are compared *at one training loss*, not after
# one number of steps: scaled by $1/\sqrt m$ the network starts ten times as loud, and a share of its own first loss would be another loss.
#
# The step is constant, a share of the stability limit $2n/\lambda_{\max}(K)$ at the start, with $K = cJJ^T$, $c = m$ for the scale $1/m$ and $c = 1$ for
# $1/\sqrt m$: with these the two kernels at the start are equal, so that one step means the same for both.

# %%
import math

import torch
from IPython.display import display

from regimes_course.kit import Ledger, seeds, show
from regimes_course.lesson00 import figures as draw
from regimes_course.lesson00.experiments import ENOUGH, follow, four

ledger, SEEDS = Ledger("00"), seeds(5).tolist()
common = {"m": 100, "seeds": len(SEEDS)}

# %% [markdown]
# ## Four regimes, five starts

# %%
runs = [four(seed) for seed in SEEDS]
lazy, rich, edge, newton = zip(*(run.values() for run in runs), strict=True)
for name, paths in zip(runs[0], (lazy, rich, edge, newton), strict=True):
    moved = ", ".join(f"{100 * path.moved:.0f} %" for path in paths)
    print(f"{name}: {', '.join(str(path.steps) for path in paths)} steps, moved {moved}")
show(draw.hero(runs[0])[0], "The picture of the lesson for the first of the five starts.")

# %%
moved, outside = (
    torch.tensor([f(b) / f(a) for a, b in zip(lazy, rich, strict=True)])
    for f in (lambda p: p.moved, lambda p: p.error(True))
)
_ = ledger.claim("lazy-moves-least", moved, loss=ENOUGH, **common)
_ = ledger.claim("outside-the-data", 1 / outside, loss=ENOUGH, **common)
_ = ledger.claim(
    "lazy-below", torch.stack([path.edge.max() for path in lazy]), loss=ENOUGH, **common
)
_ = ledger.claim(
    "same-kernel",
    torch.tensor(
        [a.edge[0] / b.edge[0] - 1 for a, b in zip(lazy, edge, strict=True)]
    ).abs(),
    **common,
)

# %% [markdown]
# **Gauss-Newton.** If each step shrinks the residual by the share $\eta$, the squared residual falls by $(1 - \eta)^2$, and from the loss of a network that
# says zero a thousandth is reached after $\ln 10^{-3} / (2 \ln(1 - \eta))$ steps. That is first order in $\eta$: the runs above, with $\eta = 0.1$, take
# five to seven steps more than the law's 33. It is claimed at $\eta = 0.02$, where what is left of a difference comes from the networks' first outputs, which are not zero.


# %%
def law(eta):
    return math.log(ENOUGH) / (2 * math.log(1 - eta))


eta = 0.02
small = [follow("mean_field", None, seed=seed, eta=eta).steps for seed in SEEDS]
told = ", ".join(str(path.steps) for path in newton)
print(f"η = 0.1: {told} steps, law {law(0.1):.3g}; η = {eta}: {small}, law {law(eta):.3g}")
steps = torch.tensor(small, dtype=torch.float64)
_ = ledger.claim("gauss-newton-steps", steps, law(eta), eta=eta, loss=ENOUGH, **common)

# %% [markdown]
# **At the edge.** The run above stops when the loss is small; here it goes on, to see whether it stays at the limit.

# %%
STEPS = 600
longer = [follow("mean_field", 0.4, seed=seed, steps=STEPS, enough=0.0) for seed in SEEDS]
_ = ledger.claim(
    "edge-hovers",
    torch.stack([path.edge[-1] for path in longer]),
    2.0,
    steps=STEPS,
    **common,
)

# %% [markdown]
# **Width.** To change the output by one, $m$ units that each move by $\delta$ in a helpful direction change it by about $s\,m\,\delta$; with $s = 1/\sqrt m$
# that asks for $\delta = 1/\sqrt m$. From $m = 100$ to $1000$ the movement should fall by $\sqrt{10}$. At $m = 10$ the starts differ so much that no law is claimed.

# %%
lazier = [
    [follow("ntk", 0.2, seed=seed, width=m).moved for m in (10, 100, 1000)]
    for seed in SEEDS
]
narrow, middle, wide = torch.tensor(lazier).T
_ = ledger.claim("wider-is-lazier", middle / wide, 10**0.5, loss=ENOUGH, seeds=len(SEEDS))
print("moved at m = 10: " + ", ".join(f"{100 * far:.0f} %" for far in narrow.tolist()))

# %% [markdown]
# ## The ledger
#
# A *law* is a number that theory gives, a *sanity bound* one that we chose to test against.

# %%
display(ledger)

# %% [markdown]
# ## Limits
#
# - One wave, eight points, one activation. "Worse where there are no data" is said of this wave beyond its points; it is not a statement on generalisation.
# - Steps above 0.7 of the limit are chaotic: a change of the start by $10^{-10}$ changes the end visibly, so the lesson takes 0.4.
# - $\lambda_{\max}(K)/n$ is the sharpness only close to the fit; lesson 08 measures the Hessian itself.
