# ---
# jupyter:
#   regimes:
#     title: Start here
#     minutes: 35
#     needs: []
#     papers: [arbel2023, min2021, veiga2022, buffelli2024, cai2024]
#     objectives:
#       - say which of two networks with one loss has learned features, and why
#       - predict whether a step stays below its stability limit
#       - name the three knobs that decide how a network learns
# ---

# %% [markdown]
# # Your network fits. What happened inside?
#
# Four networks, one start, one training loss:

# %% tags=["hero"]
from regimes_course.kit import evidence, guess, show
from regimes_course.lesson00 import figures as draw

show(*draw.hero())

# %% [markdown]
# Each dot is a hidden unit: it makes a soft step of the function at $-b/w$ (a tick below), as steep as $w$, and the higher the larger its output weight $v$ (larger dots: larger |v|).
# Orange units, where v and w have one sign, step up, blue ones down; the dotted curve is the target. *Lazy* left its units where they were, the other three rebuilt theirs. Between the
# points the four functions agree; where there are no data, what happened inside decides.
#
# A training curve says how well a network fits, never how. This course is about the *how*, which is set by three knobs: **scale, step, direction**.
#
# <details><summary>What you will be able to do, and how to use this page</summary>
#
# - say which of two networks with one loss has learned features, and why;
# - predict whether a step stays below its stability limit;
# - name the three knobs that decide how a network learns.
#
# Needs: derivatives, eigenvalues. 35 minutes. The pages you open by `python3 course.py lab` are your own copies, in the folder `work/lessons`: run, change
# and annotate them. Run the cells in their order (Shift-Enter).</details>
#
# ## 1. Scale: how far must a unit move?
#
# The network has $m = 100$ hidden units and a scale $s$ in front:
#
# $$f(x) = s \sum_{j=1}^{m} v_j \tanh(w_j x + b_j).$$
#
# All $w_j, b_j, v_j$ start as standard normal numbers. Here it is, with its *Jacobian* $J$: a row for each of the eight data points, a column for each of the
# 300 parameters, and in it how much that parameter moves that output.

# %% tags=["idea"] vary="manual_seed(1) -> manual_seed(2)"
import torch

from regimes.problems import wave

x, y, m, n = wave().x, wave().y, 100, 8
theta0 = torch.randn(300, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def outputs(theta, scale):
    w, b, v = theta.chunk(3)
    h = torch.tanh(x * w + b)  # 8 points, 100 units
    gain = (1 - h**2) * v
    return scale * h @ v, scale * torch.cat([gain * x, gain, h], 1)


print("first outputs:", outputs(theta0, 1 / m)[0][:3])

# %% [markdown]
# **Predict.** Two scales are common: $s = 1/m$ and $s = 1/\sqrt m$. From the same start, to the same loss: which one moves its hidden weights least? Think of
# all $m$ units moving a little, by $\delta$, in a direction that helps: together they change the output by about $s\,m\,\delta$. Replace the three dots by
# `"1/m"` or `"1/root m"`, then run on.

# %%
my_guess = ...

# %% [markdown]
# Now train. Gradient descent moves the parameters against $J^T r / n$ with the residual $r = f - y$. The factor $c$ makes both networks start at the same
# speed: $m$ for the scale $1/m$, and 1 for $1/\sqrt m$. With it, both have the same *kernel* $K = c\,JJ^T$, eight by eight: how a push on one output moves the others. (At the
# lazy run's step the other would move still farther: section 2.)


# %% tags=["idea"] vary="0.1 * limit -> 0.2 * limit"
def train(scale, c, step, steps=5000, enough=1e-3):
    path = [theta0]
    for _ in range(steps):
        f, J = outputs(path[-1], scale)
        if (f - y).square().sum() < enough * y.square().sum():
            break
        path.append(path[-1] - step * c * J.T @ (f - y) / n)
    return torch.stack(path)


J = outputs(theta0, 1 / m)[1]
limit = 2 * n / torch.linalg.eigvalsh(m * J @ J.T)[-1]  # section 2
lazy = train(1 / m**0.5, 1, 0.4 * limit)
feature = train(1 / m, m, 0.1 * limit)

# %%
far = [
    ((path[-1] - path[0])[:200].norm() / path[0][:200].norm()).item()
    for path in (lazy, feature)
]
guess(
    my_guess,
    f"1/root m moves its hidden weights by {100 * far[0]:.0f} %, 1/m by {100 * far[1]:.0f} %",
    why={
        "1/m": "its outputs are smaller; but small outputs mean that the units have more to do"
    },
)

# %% [markdown]
# To change the output by one, $s\,m\,\delta = 1$: the units move by $\delta = 1$ at the scale $1/m$, and by only $1/\sqrt m$ at the other. (So the count
# says ten times; it is right about the direction, and rough about the factor. The start is drawn anew here, hence not quite the first picture's numbers.) That one line is the
# difference between the first picture and the second. A network that moves so little that K stays nearly what it was is called *lazy*: it fits with the
# features it was born with, and beyond the data that shows.
#
# ## 2. Step: how large can it be?
#
# A step $\eta$ changes the outputs by about $-\eta K r / n$. So along an eigenvector of $K$ with eigenvalue $\lambda$ the residual is multiplied by
# $1 - \eta\lambda/n$, and it grows if $\eta\lambda/n$ is above **2**. The largest eigenvalue decides. (Lesson 01 takes this apart.) $K$ is made of the weights.
#
# **Predict.** Two runs take the *same* step, 0.4 of the limit, so both start at $\eta\lambda/n = 0.8$. In the first picture the units scaled by $1/m$ went
# outwards. Is their $\eta\lambda/n$ in the end lower, the same, or higher? Write `"falls"`, `"stays"` or `"rises"`.

# %%
my_guess = ...

# %% tags=["idea"] vary="0.4 * limit -> 0.2 * limit"
step, edge, loss = 0.4 * limit, {}, {}
runs = {"lazy": (1 / m**0.5, 1), "1/m": (1 / m, m)}
for name, (scale, c) in runs.items():
    path = train(scale, c, step, steps=300, enough=0)
    along = [outputs(theta, scale) for theta in path]
    top = [torch.linalg.eigvalsh(c * J @ J.T)[-1] for f, J in along]
    edge[name] = step * torch.stack(top) / n
    loss[name] = torch.stack([(f - y).square().sum() for f, J in along]) / y.square().sum()

# %%
show(*draw.climb(edge, loss))
guess(
    my_guess,
    f"from {edge['1/m'][0]:.2g} to {edge['1/m'][-1]:.3g}",
    why={
        "falls": "the error gets smaller; but K is made of the weights, not of the error",
        "stays": "that is what the lazy run does, which keeps its weights",
    },
)

# %% [markdown]
# The lazy network keeps its weights, so it keeps its $K$. The other one moves, and as its units grow so does $\lambda$: after a short dip it climbs to the limit, overshoots,
# and then *stays* there (lesson 08 says why). This is the **edge of stability**. It is not a failure: the loss rises at some steps, and still falls more than a thousandfold.
#
# ## 3. Direction: all parts of the error at one rate
#
# Large eigenvalues make an error fall fast, small ones slowly. **Gauss-Newton** divides $K$ out: it solves $(K + \varepsilon I)\,a = r$ (a tiny ε, so that a nearly singular K can be divided by) and
# moves against $c\,J^T a$. Then, to first order, every part of the residual shrinks by the same share per step, here a twentieth.
#
# **Predict.** After how many steps is $\lVert r\rVert^2$, at first about $\lVert y\rVert^2$, a thousandth of that?

# %%
my_guess = ...

# %% tags=["idea"] vary="0.05, theta0 -> 0.02, theta0"
eta, theta, k = 0.05, theta0, 0
f, J = outputs(theta, 1 / m)
while (f - y).square().sum() > 1e-3 * y.square().sum():
    a = torch.linalg.solve(m * J @ J.T + 1e-4 * torch.eye(n), f - y)
    theta = theta - eta * m * J.T @ a
    f, J = outputs(theta, 1 / m)
    k = k + 1
law = torch.log(torch.tensor(1e-3)) / (2 * torch.log(torch.tensor(1 - eta)))

# %%
guess(my_guess, f"{k} steps; the law, to first order, says {law:.0f}", number=k)

# %% [markdown]
# $0.95^{2k} = 10^{-3}$ gives 67. (If you said 135: the loss is the square of the residual.) The run takes a few steps more because its steps are finite: with
# η = 0.02 in the cell, run and law agree to a step or two. (The first picture's 39 steps were of η = 0.1.) Gradient descent took hundreds. The price is a linear system in every step, and, as later
# lessons show, a longer way for the weights.
#
# ## It breaks when the network is narrow
#
# "Lazy" is a statement about a limit, not about a formula. The same scale $1/\sqrt m$ at three widths (from another start, so m = 100 differs from above):

# %%
from regimes_course.lesson00.experiments import follow

# "ntk" is the scale 1/√m; 0.2 of the limit
runs = {m: follow("ntk", 0.2, seed=3, width=m) for m in (10, 100, 1000)}
show(*draw.widths(runs))

# %% [markdown]
# ## Play
#
# The picture from the top, for one run of 300 steps. Move the sliders, by mouse or with the arrow keys.
#
# 1. At which width is the scale $1/\sqrt m$ no longer lazy?
# 2. What is the smallest step after which $1/m$ at $m = 100$ ends at 2?
# 3. From which step does a run not come back?
#
# <details><summary>What we found</summary>
#
# 1. There is no threshold: at 0.1 of the limit the weights move by 22, 29, 43 and 47 % at m = 300, 100, 30 and 10. (How far a narrow network goes depends on
#    its start: 148 % for the one above.)
# 2. 0.3 of the limit; 0.2 is still on its way up.
# 3. At 2.5 the run diverges; at 1.3 the scale 1/m is finite but far from a fit. (Beyond 0.7 runs are chaotic: the verdict holds for this start.)</details>

# %% tags=["widget"]
from regimes_course.lesson00.widgets import four_regimes

four_regimes.show()

# %% [markdown]
# ## The answer in three sentences
#
# A fit does not tell what happened inside: the *scale* in front decides whether the units stay (lazy) or rebuild (features). The *step* decides whether the
# network climbs until it is only just stable. The *direction* decides how fast the parts of the error go, and by Gauss-Newton all go at one rate.
#
# ## How sure are we?

# %%
evidence(
    "00",
    "lazy-moves-least",
    "outside-the-data",
    "edge-hovers",
    "lazy-below",
    "gauss-newton-steps",
    "wider-is-lazier",
)

# %% [markdown]
# Five starts each; the rest, and what was chosen for the comparison to be fair, stands in [deeper](deeper/00_start_here.ipynb). A *law* is a number that
# theory gives, a *sanity bound* one that we chose to test against.
#
# <details><summary>How this course works: exercises, checks, solutions, help</summary>
#
# Each lesson ends like this one: what was predicted and measured, and what disagrees with a paper. In a second terminal, in the course's folder:
#
# - `python3 course.py start 01` copies the exercises of lesson 01 to the folder `work`, which is yours: nothing is ever overwritten there.
# - In the notebook, each exercise has hints to unfold and a check that answers at once.
# - `python3 course.py check work/01_gradient_descent_and_gauss_newton.ipynb` runs all the checks of a notebook and prints your score.
# - `python3 course.py progress` lists which exercises you have passed, which mistakes were recognised, and what is next.
# - `python3 course.py doctor` looks at your installation and says what to do; `python3 course.py help` lists all commands.
#
# The solved notebooks are in the folder `solutions`, the symbols in `docs/NOTATION.md`.</details>
#
# ## Map of the course
#
# | lesson | question | paper |
# |---|---|---|
# | [01 Gradient descent and Gauss-Newton](01_gradient_descent_and_gauss_newton.ipynb) | why does training crawl, and what would a perfect step be? | Arbel et al. 2023 |
# | [02 Mean-field convergence](02_mean_field_convergence.ipynb) | what does a network become when it gets ever wider? | Arbel et al. 2023 |
# | [03 Phases of SGD](03_phases_of_sgd.ipynb) | a loss that does not move: slow or stuck? | Veiga et al. 2022 |
# | [04 Min-norm bias](04_min_norm_bias.ipynb) | which of all the fits is chosen? | Min et al. 2021 |
# | [05 Hidden learning](05_hidden_learning.ipynb) | can features be good while the loss is poor? | Arbel et al. 2023 |
# | [06 Lazy regime](06_lazy_regime.ipynb) | when is a network only a kernel? | Buffelli et al. 2024 |
# | [07 Exact Gauss-Newton](07_exact_gauss_newton.ipynb) | why does the perfect step generalise poorly? | Buffelli et al. 2024 |
# | [08 Edge of stability](08_edge_of_stability.ipynb) | what happens at the stability limit? | Cai et al. 2024 |
# | [09 Large steps](09_large_steps.ipynb) | can unstable steps be the faster ones? | Cai et al. 2024 |
#
# In your own copy the next cell says how far you are:

# %% tags=["personal"]
from regimes_course.learner.progress import progress

progress()

# %% [markdown]
# <details><summary>The five papers</summary>
#
# - M. Arbel, R. Menegaux, P. Wolinski: *Rethinking Gauss-Newton for learning over-parameterized models*, NeurIPS 2023, arXiv 2302.02904.
# - H. Min, S. Tarmoun, R. Vidal, E. Mallada: *On the explicit role of initialization on the convergence and implicit bias of
#   overparametrized linear networks*, ICML 2021, arXiv 2105.06351.
# - R. Veiga, L. Stephan, B. Loureiro, F. Krzakala, L. Zdeborová: *Phase diagram of stochastic gradient descent in
#   high-dimensional two-layer neural networks*, NeurIPS 2022, arXiv 2202.00293.
# - D. Buffelli, J. McGowan, W. Xu, A. Cioba, D. Shiu, G. Hennequin, A. Bernacchia: *Exact, tractable Gauss-Newton optimization in
#   deep reversible architectures reveal poor generalization*, NeurIPS 2024, arXiv 2411.07979.
# - Y. Cai, J. Wu, S. Mei, M. Lindsey, P. L. Bartlett: *Large stepsize gradient descent for non-homogeneous two-layer networks:
#   margin improvement and fast optimization*, NeurIPS 2024, arXiv 2406.08654.</details>
#
# Next: [01 Gradient descent and Gauss-Newton](01_gradient_descent_and_gauss_newton.ipynb), which looks at one of these runs closely: why is it slow?
