# ---
# jupyter:
#   regimes:
#     title: "Exercises 05: hidden learning"
#     minutes: 75
#     needs: ["05"]
#     papers: [arbel2023]
#     objectives:
#       - tell hidden learning from a gap with nothing behind it
#       - break Gauss-Newton so that it converges to a bad interpolant
#       - say when a hidden layer was done
#       - fit the last layer again, with a cut-off you can state
#       - derive by how much training has shrunk the outputs, and take it out
# ---

# %% [markdown]
# # Exercises 05: hidden learning
#
# Five exercises on [lesson 05](../lessons/05_hidden_learning.ipynb). Replace the lines `# YOUR CODE HERE` and
# `raise NotImplementedError()`, run the cell, and
# run the check under it: it answers at once, and it recognises typical mistakes. The cell after it, `see`, redraws a picture of the
# lesson with your function; until yours passes, it takes a solution and says so. Hints are folded. Nothing later in this notebook
# depends on your answers, so you can take the exercises in any order. With little time, do the two that are marked *core*; the
# *optional* one is for the fast.
#
# Arrays are `torch.float64` tensors; exercises 1 and 2 take or return plain numbers. Return new tensors and new networks; leave the
# arguments as they are. Entries have to agree to seven digits of the largest one. The formulas are yours to write: an answer calls nothing of
# `regimes.theory`, and in exercise 4 not `refit` either.

# %%
import copy

import torch

from regimes.metrics import feature_movement, loss_on, refit
from regimes.networks import TwoLayer
from regimes.optimizers import GaussNewton
from regimes.problems import teacher_student
from regimes.theory import gauss_newton as theory
from regimes.training import train
from regimes_course.exercises import check, see
from regimes_course.kit import show
from regimes_course.kit.plotting import curve, legend, panels, predicted
from regimes_course.lesson05.experiments import attempt, trained

# %% [markdown] exercise="diagnose" stars=1 minutes=10 concept="gap and gain" role="core"
# ## Exercise 1: read a measurement
#
# ★ · 10 minutes · read a measurement · core
#
# Three test losses describe the hidden layer of a network: `test`, its own; `refit`, with the last layer fitted again; `rf`, of random
# features, that is, re-fitted at the start. The *gap* is how many times lower the re-fit is than the network itself, the *gain* how many
# times lower it is than random features. Three runs to look at:

# %%
for std, steps in [(0.1, 10), (10.0, 10), (0.1, 120)]:
    data = teacher_student(50, 3, teacher_width=2, seed=1)
    net = TwoLayer(3, 100, std=std, seed=51)
    start = refit(net, data.x, data.y)
    train(net, data.x, data.y, GaussNewton(net, 0.05, damping=5e-3), steps)
    own, fitted, rf = (
        loss_on(n, data.x_test, data.y_test).item()
        for n in (net, refit(net, data.x, data.y), start)
    )
    time = f"t = {0.05 * steps:g}"
    print(f"std {std:<4} {time:8} test {own:.1e}   refit {fitted:.1e}   rf {rf:.1e}")

# %% [markdown]
# Return one of four labels:
#
# | | gain above 3 | gain at most 3 |
# |---|---|---|
# | gap above 10 | `"hidden learning"` | `"gap only"` |
# | gap at most 10 | `"visible learning"` | `"lazy"` |


# %% exercise="diagnose"
def diagnose(test, refit, rf):
    """What three test losses say about the hidden layer.

    test, refit, rf: positive numbers.
    Returns: "hidden learning", "visible learning", "gap only" or "lazy".
    """
    ### BEGIN SOLUTION
    gap, gain = test / refit, rf / refit
    if gain > 3:
        return "hidden learning" if gap > 10 else "visible learning"
    return "gap only" if gap > 10 else "lazy"
    ### END SOLUTION


# %% [markdown] hints="diagnose"
# <details><summary>Hint 1</summary>
# Both numbers are ratios with the re-fit below the line.</details>
#
# <details><summary>Hint 2</summary>
# Of the three runs above, one hides what it has learned, one has nothing to hide, and one shows it.</details>

# %% check="diagnose"
check("05/diagnose", diagnose)

# %% see="diagnose"
see("05/diagnose", diagnose)

# %% [markdown] discussion="diagnose" tags=["solution"]
# **Discussion.** The second run is the trap. From large hidden weights the features stay what they were, so the re-fit is no better than random
# features: the gain is 1. Yet the gap is well above 10, because at $t = 0.5$ the outputs have reached only a part of the labels. A gap alone
# proves nothing about features. The third run has learned the most, and a gap no longer shows it.

# %% [markdown] exercise="break_it" stars=1 minutes=10 concept="a bad interpolant"
# ## Exercise 2: break it
#
# ★ · 10 minutes · break it
#
# Training that ends at a loss of zero need not have been healthy. Find hidden weights at the start (`std`), a step (`lr`) and a `damping` with
# which Gauss-Newton
#
# 1. explodes: the training loss peaks at more than 100 times its start,
# 2. converges all the same: after 60 steps it is below 1e-6 of its start,
# 3. to a bad interpolant: the test loss is more than 10 times that of random features.
#
# It has to happen on two data sets ($d = 3$, $n = 50$, $m = 100$, $v = 0$ at the start). Below is the first of them with settings that are safe:
# change them and see what happens.

# %%
settings = {"std": 0.1, "lr": 0.05, "damping": 5e-3}

# %%
run = attempt(**settings)
steps = torch.arange(len(run.loss))
fig, (ax,) = panels(size=(5.4, 3.0))
curve(ax, steps, run.loss, "training loss", look="Gauss-Newton")
predicted(ax, steps, theory.step_loss(steps, settings["lr"]), "undamped, to first order")
ax.set(xlabel="step k", ylabel="relative loss $L_k/L_0$", yscale="log")
legend(ax)
show(fig, str(run))


# %% exercise="break_it"
def break_it():
    """Settings with which training explodes, converges, and ends at a bad interpolant.

    Returns: {"std": ..., "lr": ..., "damping": ...} with three numbers.
    """
    ### BEGIN SOLUTION
    return {"std": 0.05, "lr": 1.0, "damping": 1e-4}
    ### END SOLUTION


# %% [markdown] hints="break_it"
# <details><summary>Hint 1</summary>
# With v = 0 the first step moves only v. When does it have to move v very far? And what does a large v do to the kernel, and to the next step?
# </details>
#
# <details><summary>Hint 2</summary>
# Hidden weights of 0.1 make features that are nearly linear: most eigenvalues of their kernel are tiny. Damping hides them, small steps let the
# hidden layer adapt. Take both safeguards away.</details>
#
# <details><summary>Hint 3</summary>
# Keep a little damping, or the run never comes back: too little, and the weights outgrow the precision. Look for it on a logarithmic scale,
# below 1e-3.</details>

# %% check="break_it"
check("05/break_it", break_it)

# %% see="break_it"
see("05/break_it", break_it)

# %% [markdown] discussion="break_it" tags=["solution"]
# **Discussion.** The first step moves only $v$, along features that nearly depend on each other: to fit the labels along the small eigenvalues that
# the damping lets through, $v$ becomes enormous. The second step moves the hidden weights by many times their length, far beyond where
# the tangent is any good, and the large $v$ turns that into the peak. Later steps repair the training outputs, not the features. A
# training loss of zero says nothing about the way there: plot the whole curve, and look at its peak.

# %% tags=["solution"]
data = teacher_student(50, 3, teacher_width=2, seed=0)
net = TwoLayer(3, 100, std=0.05, seed=50)
start = copy.deepcopy(net)
train(net, data.x, data.y, GaussNewton(net, 1.0, damping=1e-4), 60)
networks = {
    "own": net,
    "refit": refit(net, data.x, data.y),
    "rf": refit(start, data.x, data.y),
}
for name, n in networks.items():
    print(f"{name:6} test loss {loss_on(n, data.x_test, data.y_test).item():.1e}")
moved = feature_movement(net.W, start.W).item()
print(f"the hidden weights moved by {moved:.0f} times their length")

# %% [markdown] tags=["solution"]
# The hidden weights went very far, and their features are worth no more than those of the start: movement is not learning, and neither is a gap.

# %% [markdown] exercise="learned_at" stars=2 minutes=15 concept="when features are done"
# ## Exercise 3: when was the hidden layer done?
#
# ★★ · 15 minutes · implement
#
# Three runs, and at every step two test losses: the network's own, and that of its re-fit.

# %%
data = teacher_student(50, 3, teacher_width=2, seed=0)
x_test, y_test, curves = data.x_test, data.y_test, {}
fig, axes = panels(3, size=(2.6, 3.0), sharey=True)
for ax, std in zip(axes, (0.1, 1.0, 10.0), strict=True):
    net = TwoLayer(3, 100, std=std, seed=50)
    measure = {
        "own": lambda net: loss_on(net, x_test, y_test),
        "refit": lambda net: loss_on(refit(net, data.x, data.y), x_test, y_test),
    }
    rule = GaussNewton(net, 0.05, damping=5e-3)
    run = train(net, data.x, data.y, rule, 120, measure=measure)
    curves[std] = run.measured["refit"], run.relative
    curve(ax, run.step, run.measured["own"], "test loss")
    curve(ax, run.step, run.measured["refit"], "re-fitted", look="damped Gauss-Newton")
    ax.set(title=f"std {std:g}", xlabel="step k", yscale="log")
legend(axes[0], loc="upper right", fontsize=8)
ends = ", ".join(
    f"{losses[-1]:.1g} from std {std:g}" for std, (losses, _) in curves.items()
)
show(fig, f"After 120 steps the re-fitted test losses are {ends}.")

# %% [markdown]
# Which part of a run has gone into the hidden layer, and which into the last? Return the first step from which on the re-fitted loss *stays* at most
# `factor` times its last value. Losses may be lower on the way than at the end.


# %% exercise="learned_at"
def learned_at(refits, factor):
    """The first step from which on the re-fitted loss stays at most factor times its last value.

    refits: (steps,) re-fitted test losses, step by step from step 0.   factor: a number, at least 1.
    Returns: a whole number, from 0 to steps - 1.
    """
    ### BEGIN SOLUTION
    above = (refits > factor * refits[-1]).nonzero()
    return int(above[-1]) + 1 if len(above) else 0
    ### END SOLUTION


# %% [markdown] hints="learned_at"
# <details><summary>Hint 1</summary>
# It is easier to find the last step at which the loss is still too high. What if there is none?</details>
#
# <details><summary>Hint 2</summary>
# By hand: [1, 0.05, 0.8, 0.06, 0.04] with the factor 2 gives 3. The dip at step 1 does not last.</details>

# %% check="learned_at"
check("05/learned_at", learned_at)

# %% see="learned_at"
see("05/learned_at", learned_at)

# %% [markdown] discussion="learned_at" tags=["solution"]
# **Discussion.** The lazy run was done before it began. From std 0.1 the hidden layer is done early, while much of the training loss is left: all later steps only make the last layer louder.
# Whoever stops a run by its test loss pays for the second part; whoever stops it by its re-fit need not. (In practice the re-fit is judged on held-out data.)

# %% tags=["solution"]
for std, (losses, left) in curves.items():
    k = learned_at(losses, 2.0)
    print(f"std {std:<4} done at step {k:3}, with {left[k]:.0%} of the training loss left")

# %% [markdown] exercise="refit_last_layer" stars=2 minutes=15 concept="what the features are worth" role="core"
# ## Exercise 4: fit the last layer again
#
# ★★ · 15 minutes · implement · core
#
# Freeze the hidden layer of a network in training and fit its output weights anew: the test loss then says what the *features* are worth,
# whatever the outputs look like. Given the features $\Phi_{ij} = \phi(w_j\cdot x_i + b_j)$, return the shortest $v$ that solves
# $\frac1m \Phi v = y$ in the least-squares sense.
#
# Features of small hidden weights nearly depend on each other, and fitting along directions in which they hardly vary takes enormous
# weights. So drop every eigenvalue of $\frac1m\Phi\Phi^T$ that is at most `cutoff` times the largest, and fit in the directions that remain.


# %% exercise="refit_last_layer"
def refit_last_layer(Phi, y, cutoff):
    """The shortest output weights that fit y, on the directions that are kept.

    Phi: (n, m) features, without the 1/m.   y: (n,) labels.   cutoff: a number, 0 < cutoff < 1.
    Returns: (m,).
    """
    ### BEGIN SOLUTION
    lam, Q = torch.linalg.eigh(Phi @ Phi.T / Phi.shape[1])
    keep = lam > cutoff * lam[-1]
    Q = Q[:, keep]
    return Phi.T @ (Q @ (Q.T @ y / lam[keep]))
    ### END SOLUTION


# %% [markdown] hints="refit_last_layer"
# <details><summary>Hint 1</summary>
# The shortest solution is a combination of the rows of Φ: v = Φᵀ a. What does a have to solve, and which matrix is in front of it?</details>
#
# <details><summary>Hint 2</summary>
# With K = ΦΦᵀ/m and its eigenvectors, K = Q diag(λ) Qᵀ, you need a = Q diag(1/λ) Qᵀ y, with zero in place of 1/λ where λ is dropped. If you
# would rather use singular values of Φ: their squares are the eigenvalues of ΦΦᵀ.</details>
#
# <details><summary>Hint 3</summary>
# By hand: Φ = [[2, 0, 0], [0, 1, 0]], y = [2, 1] gives eigenvalues 4/3 and 1/3 and v = [3, 3, 0]. With a cut-off of 0.3 the second one is
# dropped, and v = [3, 0, 0].</details>

# %% check="refit_last_layer"
check("05/refit_last_layer", refit_last_layer)

# %% see="refit_last_layer"
see("05/refit_last_layer", refit_last_layer)

# %% [markdown] discussion="refit_last_layer" tags=["solution"]
# **Discussion.** `torch.linalg.pinv(Phi / m, rtol=cutoff**0.5) @ y` is the same in one line: the square root, because `pinv` compares singular
# values. State the cut-off whenever you report a re-fit. The library's `regimes.metrics.refit` uses 1e-6; with 1e-10 random features from
# small hidden weights predict worse, and everything looks good beside them. With the labels of a repeated sample in conflict
# no $v$ fits; least squares takes their mean.

# %% [markdown] exercise="rescale" stars=3 minutes=15 concept="shrinkage" role="optional"
# ## Exercise 5: take the shrinkage out
#
# ★★★ · 15 minutes · derive, then implement · optional
#
# Without damping a Gauss-Newton step of size $\eta$ turns the residual $r = f - y$ on the training data into $(1-\eta)\,r$, to first order in
# $\eta$. Start from $f = 0$. What is $f$ on the training data after $k$ steps? The figure has two networks in mid-training.

# %%
fig, axes = panels(2, sharey=True)
slopes = []
for ax, k in zip(axes, (10, 50), strict=True):
    net, data = trained(seed=4, k=k, eta=0.02)
    f = net(data.x).detach()
    slopes.append((f @ data.y / (data.y @ data.y)).item())
    ax.plot(data.y, f, "o", markersize=4, label="outputs")
    predicted(ax, data.y.aminmax(), data.y.aminmax(), "outputs = labels")
    ax.set(xlabel="label y", ylabel="output f(x)", title=f"after {k} steps of 0.02")
    legend(ax)
show(
    fig,
    f"After 10 steps the training outputs are {slopes[0]:.3f} times the labels, "
    f"after 50 steps {slopes[1]:.3f} times.",
)

# %% [markdown]
# Write a function that takes such a network and returns a new one, with the same hidden weights, whose outputs have this one number taken
# out. The first step from $v = 0$ is exact, so for $k = 1$ the new network interpolates. Parameters are changed in place,
# in a block under `torch.no_grad()`, by methods that end in an underscore, such as `v.mul_(2)` or `v.copy_(other)`.


# %% exercise="rescale"
def rescale(net, k, eta):
    """A network with the shrinkage of k undamped steps from zero taken out.

    net: a TwoLayer, to be left as it is.   k: a whole number >= 1.   eta: 0 < eta < 1.
    Returns: a new TwoLayer.
    """
    ### BEGIN SOLUTION
    new = copy.deepcopy(net)
    with torch.no_grad():
        new.v.div_(1 - (1 - eta) ** k)
    return new
    ### END SOLUTION


# %% [markdown] hints="rescale"
# <details><summary>Hint 1</summary>
# r₀ = −y. Write down r_k, then f_k = y + r_k.</details>
#
# <details><summary>Hint 2</summary>
# f_k is y times one number between 0 and 1. To try: the number is 0.19 for two steps of 0.1.</details>
#
# <details><summary>Hint 3</summary>
# Which parameters are the outputs proportional to? Copy the network first: copy.deepcopy(net).</details>

# %% check="rescale"
check("05/rescale", rescale)

# %% see="rescale"
see("05/rescale", rescale)

# %% [markdown] discussion="rescale" tags=["solution"]
# **Discussion.** $r_k = (1-\eta)^k r_0$ with $r_0 = -y$, so $f_k = (1 - (1-\eta)^k)\,y$: the labels times one number, which tends to $1 - e^{-t}$
# for small steps. The number needs neither test data nor a fit. So most of the gap is no mystery: half way through the training the outputs are half as
# large as they should be. The lesson measures what a re-fit still gains over this network.

# %% [markdown]
# ## Two questions to write about
#
# 10 minutes · three or four sentences each, in your own words, before you open the model answer
#
# **1.** Why does a gap, however large, prove nothing about the hidden layer? Which second number is needed, and what does it compare?
#
# <details><summary>A model answer</summary>
#
# The gap compares a network with its own re-fit. In mid-training the outputs are the labels times one number below 1, whatever the features
# are; so a network on random features has a gap too, because its last layer is not done. Whether the hidden layer has learned anything is told
# by the gain: the re-fit now against the re-fit at the start. Both have a finished last layer, and differ in their features only.</details>
#
# **2.** At t = 0.5 a network says 1 − e^(−0.5) = 0.393 times the right answer, on new inputs too. What would happen to gap and gain if somebody
# multiplied its output weights by two?
#
# <details><summary>A model answer</summary>
#
# The outputs would be 0.787 times the right answer, so the test loss would fall from 0.607² to 0.213² of what predicting zero costs: by a factor
# of 8.1. The re-fit throws the output weights away and would notice nothing. So the gap would be 8.1 times smaller and the gain what it was: the gap is
# a matter of the last layer, the gain one of the features.</details>
