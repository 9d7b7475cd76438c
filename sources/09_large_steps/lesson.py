# ---
# jupyter:
#   regimes:
#     title: Large steps
#     minutes: 45
#     needs: ["08"]
#     papers: [cai2024, wu2024]
#     objectives:
#       - say how long a run jumps before it calms down, and what has no part in it
#       - derive from which risk on no step can raise it
#       - tell a margin that nearly grows from one that grows
#       - choose a step for the number of steps that you can pay for
# ---

# %% [markdown]
# # Can a run that blows up be the better one?
#
# Two runs of 500 steps. One lowers its loss at every step. The other raises it 38 times, to 34 times its start. You may keep one:

# %% tags=["hero"]
from regimes_course.kit import evidence, guess, show
from regimes_course.lesson09 import figures as draw

show(*draw.hero())

# %% [markdown]
# Left, the two weights of a logistic regression on two points; inside the green wedge both are answered correctly. The small step walks in and crawls. The large one
# jumps over it, but each jump also carries it to the right, where the wedge is wider, until it lands and stays. Of its lead a factor of 18, the
# ratio of the steps, is a law that you will derive; the other 100 comes from where it landed, beside the wedge's rim.
#
# <details><summary>What you will be able to do, and what this rests on</summary>
#
# - say how long a run jumps before it calms down, and what has no part in it;
# - derive from which risk on no step can raise it;
# - tell a margin that nearly grows from one that grows;
# - choose a step for the number of steps that you can pay for.
#
# Needs lesson [08](08_edge_of_stability.ipynb). 45 minutes. The papers are Wu et al. 2024, read in full, and Cai et al. 2024, of which we had the abstract, the
# introduction and the captions. Formulas are derived here.</details>
#
# ## 1. Jump, and land
#
# For a point *x* with label $y = \pm1$ let $q = y\, w\cdot x$ say how right the answer of the weights *w* is. Its *logistic loss* is $\ell(q) = \log(1+e^{-q})$, and
# the *risk* *L* is the mean loss over the points. The slope is $\ell'(q) = -\sigma(-q)$ with the sigmoid σ, so a step of size η takes one line.
#
# Both points have label +1. Along the first axis they agree, by a small γ; along the second one pulls up, the other down. γ is the *margin*: of
# all lines through the origin with both points on one side, the best is at this distance from the nearest point.


# %% tags=["idea"] vary="0.05 -> 0.1"
import torch
from torch.nn.functional import logsigmoid


def walk(eta, steps, gamma=0.05, push=torch.sigmoid):
    h = (1 - gamma**2) ** 0.5  # so that the first point has length 1
    X = torch.tensor([[gamma, h], [gamma, -h / 2]], dtype=torch.double)
    path = [torch.zeros(2).double()]
    for _ in range(steps):
        w = path[-1]
        path.append(w + eta * push(-X @ w) @ X / 2)
    path = torch.stack(path)
    return path, -logsigmoid(path @ X.T).mean(1)  # weights and risk, from step 0 on


print(walk(eta=32, steps=500)[1][[0, 1, 2, 500]])

# %% [markdown]
# **Predict.** At η = 32 the risk rises for the last time at step 63. And at η = 4000: at step 8, at 60 or at 500? (And with half the margin?)

# %%
my_guess = ...


# %% tags=["idea"] vary="(32, 256, 4000) -> (24, 48, 512)"
def last_rise(L):
    rises = L[1:] > L[:-1] * (1 + 1e-10)  # more than rounding
    return int((rises * torch.arange(1, len(L))).max())


def switch(z):  # 1 for a wrong answer, 0 for a right one, 1/2 for none
    return torch.heaviside(z, torch.tensor(0.5).double())


for gamma in (0.025, 0.05):
    ends = [last_rise(walk(eta, 600, gamma)[1]) for eta in (32, 256, 4000)]
    moves = walk(1, 600, gamma, switch)[0].diff(dim=0).any(1).sum()
    print(f"γ = {gamma}: {ends}; switch {moves}, bound {2 / gamma**2:.0f}")
guess(my_guess, f"at step {ends[-1]}", number=ends[-1])

# %% [markdown]
# The step hardly matters; half the margin takes four times as long. Why? Measure *w* in units of η, and let η grow. Then σ becomes a switch, and **the
# step has dropped out**: what is left adds up the points that are wrong. That is the *perceptron* (Rosenblatt 1958), and it cannot go on for long. Of *n* points let a
# share $s_k$ be wrong at step *k* (undecided ones count half), and let *e* be the direction of the best line's normal: $e\cdot x \ge \gamma$ for every
# point. Then in one step
#
# $$\begin{aligned}
# w\cdot e &\;\text{ grows by at least }\; \gamma s_k, \\
# |w|^2 &\;\text{ by at most }\; s_k^2 \le s_k,
# \end{aligned}$$
#
# the second because a wrong point has $w\cdot x \le 0$, and $|x| \le 1$. Since $w\cdot e \le |w|$, after any number of steps
# $\gamma \sum s_k \le \sqrt{\sum s_k}$, so that $\sum s_k \le 1/\gamma^2$. A step with a mistake has $s_k \ge 1/n$: **there are at most $n/\gamma^2$ of them, whatever the
# step.** (Printed above, after the switch's own count: 15 times too large, but right in its scaling. With σ itself it about doubles: *deeper*.)
# (Mistakes, not rises; but at a large step the risk is η times what wrong points miss by, so it rises only while there are some.)
#
# ## 2. Why it never rises again

# %% tags=["idea"] vary="-4, 6 -> -2, 8"
q = torch.linspace(-4, 6, 201)
s = torch.sigmoid(-q)
show(*draw.curves(q, -logsigmoid(q), s, s * (1 - s)))

# %% [markdown]
# Three nested curves; and $|x| \le 1$. Write $c = \eta L$.
#
# 1. The gradient is a mean of slopes times points, so $|\nabla L| \le L$. In the same way the curvature of the risk is at most the mean of $\ell''$, so at most *L*.
# 2. A step moves *w*, and so each *q*, by at most *c*. As the slope is at most the loss, $\log\ell$ moves no faster than *q*: on the way
#    every loss, and with it the bound on the curvature, grows at most $e^c$-fold.
# 3. By Taylor's formula the risk after the step is at most
#
# $$\begin{aligned}
# &L - \eta|\nabla L|^2 + \tfrac12\,\eta^2|\nabla L|^2\, L e^c \\
# &\quad = L - \eta|\nabla L|^2\left(1 - \tfrac12\, c\, e^c\right).
# \end{aligned}$$
#
# The bracket is positive while $c\,e^c < 2$, that is up to *c* = 0.852. Then the risk falls, *c* falls with it, and so for ever.
#
# **Predict.** We draw 20,000 weights, margins and steps at random, and take one step from each. Below *c* = 0.852 none may raise the risk. From which *c* on
# does one: about 1, 2 or 6?

# %%
my_guess = ...


# %% tags=["idea"] vary="manual_seed(0) -> manual_seed(1)"
def risk(w):
    q = torch.stack([gamma * w[0] + h * w[1], gamma * w[0] - h * w[1] / 2])
    return -logsigmoid(q).mean(0)


torch.manual_seed(0)
gamma, eta = 0.3 * torch.rand(20000).double(), 10 ** (4 * torch.rand(20000) - 1)
h = (1 - gamma**2).sqrt()
w = (torch.randn(2, 20000) * 10 ** (2 * torch.rand(20000))).double().requires_grad_()
L = risk(w)
L.sum().backward()
c, rises = eta * L, risk(w - eta * w.grad) > L * (1 + 1e-10)
first, share = c[rises].min().item(), rises[c > 0.852].double().mean()
guess(my_guess, f"{first:.2g}; above 0.852 {share:.0%} of steps do", number=first)

# %% [markdown]
# The proof lets the curvature be as large as it can be, along the whole step; none of these was that unlucky. A risk of 0.852/η is *safe*;
# most steps from above it lower the risk, too.
#
# ## 3. The same in a network, and a margin that nearly grows
#
# Now $f(x) = \frac1m\sum_j a_j\,\phi(w_j\cdot x)$ with *m* units. The signs $a_j = \pm1$ stay; the $w_j$ are trained, with a step of *m* η, so that units move at one
# speed at every width (lesson 02). φ is a *leaky softplus*, whose slope lies between 1/2 and 1. There are two points with label +1, and their mirror images with −1; $q = y f(x)$.
#
# **Predict.** At η = 256 and width 20 the risk rises for the last time at step 51. And at width 2: `"sooner"`, `"later"` or `"same"`?

# %%
my_guess = ...


# %%
def train(m, eta, steps, unit, g=0.1):
    x = torch.tensor([[1, g], [-2, g]], dtype=torch.double) / (4 + g**2) ** 0.5
    X, y = torch.cat([x, -x]), torch.tensor([1, 1, -1, -1])
    torch.manual_seed(0)
    a, W, seen = torch.linspace(1, -1, m).sign().double(), torch.randn(m, 2).double(), []
    for _ in range(steps + 1):
        phi, slope = unit(X @ W.T)
        q = y * (phi @ a) / m
        margin = q.min() / W.norm() * m**0.5
        seen.append(torch.stack([-logsigmoid(q).mean(), margin, slope.mean()]))
        W = W + eta * a.outer(torch.sigmoid(-q) * y).mul(slope.T) @ X / 4
    return torch.stack(seen).T  # risk, margin and mean slope of the units


# %% tags=["idea"] vary="192 -> 150"
def leaky(z):  # the activation and its slope
    return (z - logsigmoid(-z)) / 2, (1 + torch.sigmoid(z)) / 2


runs = {m: train(m, 256, 200, leaky)[0] for m in (2, 20, 200)}
g = 0.2  # in `train` the points are scaled into the unit ball: γ = g / √(4 + g²)
margin = train(20, 192, 300, leaky, g)[1]
show(*draw.widths(runs, margin, ceiling=0.75 * g / (4 + g**2) ** 0.5))
guess(my_guess, f"same, {[last_rise(L) for L in runs.values()]}")

# %% [markdown]
# The lemma holds for networks with another constant, and without the width (*deeper*). So there is a second phase at every width; that the first is as long, too,
# is what we see.
#
# Right, the *normalised margin*: the smallest *q* over the length of all weights, times $\sqrt m$. No weights exceed ¾γ (*deeper*). After the last rise it grows, almost
# to this ceiling, and then falls for more than a hundred steps, by 3 % in all. (A chosen step: with 150 or 256 nothing falls.) Hence "nearly
# monotonically" in the abstract of Cai et al. 2024. A smoothed margin, made from the risk, never fell (*deeper*).
#
# ## 4. What a step proportional to the number of steps buys
#
# Late in a run ℓ and the size of its slope are both $e^{-q}$, and $w_2$ has settled where the two points balance (here, for steps up to about 64). A step moves $w_1$ by
# $\eta\gamma L$, so every *q* grows by $\eta\gamma^2L$, and *L* shrinks by that share of itself. Then $1/L$ grows by $\eta\gamma^2$ a step, and after *T* steps
#
# $$L \approx \frac{1}{\eta\,\gamma^2\, T}.$$
#
# Twice the steps and twice the step: a quarter of the risk. A run that never rises cannot: its step has a limit, 16.6 at γ = 0.1.
#
# **Predict.** For *T* steps take a step of *T*/128. From which *T* on does it beat the largest step that never rises?

# %%
my_guess = ...

# %% tags=["idea"] vary="share, small = 128 -> share, small = 256"
share, small = 128, torch.arange(14, 20, 0.1).tolist()
tame = max(eta for eta in small if last_rise(walk(eta, 200, gamma=0.1)[1]) == 0)
rules = {"largest that never rises": lambda T: tame, f"step T/{share}": lambda T: T / share}
budgets, runs, laws = [2**k for k in range(8, 15)], {}, {}
for name, eta in rules.items():
    runs[name] = [walk(eta(T), T, gamma=0.1)[1][-1].item() for T in budgets]
    laws[name] = [1 / (eta(T) * 0.1**2 * T) for T in budgets]
show(*draw.budgets(budgets, runs, laws))
crossing = share * tame
guess(my_guess, f"about {crossing:.0f}, where T/{share} = {tame:.3g}", number=crossing)

# %% [markdown]
# The steeper line loses at first: below *T* = 2,000 the step is simply *smaller*.
#
# At the last point the run leaves the law downwards. A wild run lands beside the rim of the wedge, where for long one point alone counts, with
# $|x|^2$ in place of $\gamma^2$: in the first picture 1/4 for 1/400, the other factor of 100. **So the wild run is the better
# one by its risk, not by its margin** (last sentence under the first picture). From where it landed the end is known to a percent. (Nor is the law
# a bound: at small *T* runs end up to 8 % above it. *Deeper*.)
#
# ## It breaks when the network is bounded
#
# All this rested on a small risk. With tanh in place of the leaky softplus $|f| \le 1$, so that no loss is below log(1 + 1/e) = 0.313. What do
# steps of 48 and 8 do then?

# %% tags=["idea"] vary="48, 8 -> 64, 16"
import math


def tanh(z):
    return torch.tanh(z), 1 - torch.tanh(z) ** 2


eta, small = 48, 8
tried = [(eta, leaky), (eta, tanh), (small, tanh)]
runs = {f"{unit.__name__}, η = {e}": train(20, e, 3000, unit) for e, unit in tried}
show(*draw.bounded(runs, floor=math.log(1 + 1 / math.e)))

# %% [markdown]
# The wild tanh run calms down, too, but late, wherever its units are so saturated that hardly anything moves. Flat ground is good only where a small risk
# made it flat. Here the step that never rises wins.
#
# ## Play
#
# The first picture with sliders for step and margin. Find
#
# 1. the largest step on the slider that never raises the risk, at each margin;
# 2. what doubling the step does to the last rise, and what doubling the margin does;
# 3. a step that ends a hundred times below the law of section 4, and a neighbour that does not.
#
# <details><summary>What we found</summary>
#
# 1. 14, 14, 16, 20.
# 2. From 32 to 256 nothing much (63, 53, 39, 45, 48, 54, 57); just above the limit a lot. Doubling the margin: about four times earlier.
# 3. At γ = 0.05 for example 512, which ends 13,000 times below it; 384 just misses.</details>

# %% tags=["widget"] id="widget"
from regimes_course.lesson09.widgets import two_points

two_points.show()

# %% [markdown]
# ## The answer in three sentences
#
# A step that is far too large turns gradient descent into the perceptron: it jumps over the right answers for at most about $2n/\gamma^2$ steps, whatever its size, and then
# lands among them. There the logistic loss is flat, its curvature never above itself, so that from a risk of 0.852/η on no step can hurt. From then on the risk is about
# $1/(\eta\gamma^2T)$ or less: the wild start has bought a larger η, and no run that never rises can have one.
#
# ## How sure are we?

# %%
rows = "perceptron lemma-logistic switch-48 margin-dip slope-grown one-point"
evidence("09", *rows.split())

# %% [markdown]
# More in [deeper](deeper/09_large_steps.ipynb). The bound of Wu et al. 2024 on the wild phase
# grows with the step; our runs do not.
#
# ## What the whole course says
#
# *How fast* a network fits, *which* of all fits it reaches, and whether it learns *features* are three different things. Scale, width, step and direction each move all three,
# and a loss curve shows only the first. So when a loss falls well: test it, look whether the units moved (lessons 00, 06), fit the last layer anew (05).
#
# ## Exercises and what to read next
#
# `python3 course.py start 09` puts the exercises into your folder `work`.
#
# <details><summary>Papers</summary>
#
# - J. Wu, P. Bartlett, M. Telgarsky, B. Yu: *Large stepsize gradient descent for logistic loss*, COLT 2024, arXiv 2402.15926.
# - Y. Cai, J. Wu, S. Mei, M. Lindsey, P. Bartlett: *Large stepsize gradient descent for non-homogeneous two-layer networks*, NeurIPS 2024, arXiv 2406.08654.
# - A. Tyurin 2024, arXiv 2412.08424, meets the perceptron, too; M. Crawshaw, M. Liu 2026, arXiv 2602.12471, prove a bound without η in two dimensions (abstracts
#   read).
# - Since then: R. Zhang et al. 2025, arXiv 2504.04105 (abstract read): steps that adapt, and an exponentially small risk after about 1/γ² steps.</details>
