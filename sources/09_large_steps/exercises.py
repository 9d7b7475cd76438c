# ---
# jupyter:
#   regimes:
#     title: "Exercises 09: large steps"
#     minutes: 110
#     needs: ["09"]
#     papers: [cai2024, wu2024]
#     objectives:
#       - measure how far an activation is from homogeneous, and say which assumptions it fails
#       - predict from the perceptron how long a wild run lasts
#       - find where a run changes its phase, whatever rounding does
#       - find the largest step without a rise, and the step for a risk that you want
#       - derive and compute the risk from which on every step lowers it
# ---

# %% [markdown]
# # Exercises 09: large steps
#
# Seven exercises on [lesson 09](../lessons/09_large_steps.ipynb). Replace the lines `# YOUR CODE HERE` and
# `raise NotImplementedError()`, run the cell, and
# run the check under it: it answers at once, and it recognises typical mistakes. The cell after it, `see`, redraws a picture of the
# lesson with your function; until yours passes, it takes a solution and says so (the picture of exercise 2 waits: it prints the answer). Hints are folded. Nothing later in this notebook
# depends on your answers, so you can take the exercises in any order; 1 and 2 are on the
# [deeper](../lessons/deeper/09_large_steps.ipynb) notebook. With little time, do the two that are marked *core*; the
# *optional* one is for the fast.
#
# Arrays are `torch.float64` tensors; exercises 3 to 7 return plain numbers. Leave the arguments as they are. Numbers have to agree to seven digits,
# where an exercise does not say otherwise. The formulas are yours to write: an answer calls nothing of `regimes`; exercises 5 and 6 may run `walk`.

# %%
import torch
from scipy.special import lambertw

from regimes_course.exercises import check, see
from regimes_course.lesson09.experiments import walk

# %% [markdown] exercise="near_homogeneity_gap" stars=1 minutes=10 concept="near-homogeneity"
# ## Exercise 1: how far from homogeneous
#
# ★ · 10 minutes · implement
#
# A function with $\phi(cz) = c\,\phi(z)$ for $c > 0$ satisfies Euler's identity $\phi(z) = z\,\phi'(z)$. Softplus, GELU and SiLU do not, but the
# defect is bounded. Given $\phi$, $\phi'$ and a grid, return the largest defect on it.


# %% exercise="near_homogeneity_gap"
def near_homogeneity_gap(phi, dphi, z):
    """The largest |phi(z) - z phi'(z)| on a grid.

    phi, dphi: functions of tensors, the activation and its derivative.   z: (k,), the grid.
    Returns: a tensor of shape ().
    """
    ### BEGIN SOLUTION
    return (phi(z) - z * dphi(z)).abs().max()
    ### END SOLUTION


# %% [markdown] hints="near_homogeneity_gap"
# <details><summary>Hint 1</summary>
# ReLU must give zero, softplus at z = 0 gives log 2.</details>
#
# <details><summary>Hint 2</summary>
# The defect of GELU is −z² p(z) with the normal density p: negative everywhere.</details>

# %% check="near_homogeneity_gap"
check("09/near_homogeneity_gap", near_homogeneity_gap)

# %% see="near_homogeneity_gap"
see("09/near_homogeneity_gap", near_homogeneity_gap)

# %% [markdown] discussion="near_homogeneity_gap" tags=["solution"]
# **Discussion.** On a fine and wide grid: softplus log 2 = 0.693, attained at 0; GELU 0.294 at ±√2; SiLU 0.439 at ±2.40; tanh tends to 1 on both sides, so a narrow grid reports
# too little (0.92 on [−2.5, 2.5]). For softplus the gap is the entropy of a coin that shows heads with probability σ(z).

# %% [markdown] exercise="classify" stars=1 minutes=10 concept="reading assumptions" role="optional"
# ## Exercise 2: which assumption fails
#
# ★ · 10 minutes · read the paper · optional
#
# The bounds on the first phase need all of
#
# - (a) $|\phi(z) - z\phi'(z)|$ bounded,
# - (b) $\phi''$ bounded,
# - (c) $\phi' \ge \alpha$ with some $\alpha > 0$.
#
# For each of seven activations say which of them **fail**, as a text made of the letters a, b, c, for example `"ab"`; an empty text if none fails. "Leaky" means half $z$, half $\phi$.


# %% exercise="classify"
def classify():
    """Which assumptions fail: a text of the letters a, b, c for each activation.

    Returns: {"softplus": ..., "GELU": ..., "SiLU": ..., "tanh": ..., "ReLU": ..., "z**2": ..., "leaky softplus": ...}
    """
    ### BEGIN SOLUTION
    smooth = dict.fromkeys(("softplus", "GELU", "SiLU", "tanh"), "c")
    return smooth | {"ReLU": "bc", "z**2": "ac", "leaky softplus": ""}
    ### END SOLUTION


# %% [markdown] hints="classify"
# <details><summary>Hint 1</summary>
# (c) asks for one number below all slopes. The slope of softplus is σ(z): positive, but how small does it get?</details>
#
# <details><summary>Hint 2</summary>
# Plot the slopes of GELU and SiLU on [−4, 0].</details>
#
# <details><summary>Hint 3</summary>
# For z²: the gap, the second derivative, the slope at −1.</details>

# %% check="classify"
check("09/classify", classify)

# %% see="classify"
see("09/classify", classify)

# %% [markdown] discussion="classify" tags=["solution"]
# **Discussion.** Only a leak brings (c). tanh has a bounded gap and is of no use: a network of it is bounded, so its risk is. The stable phase does not need (c), so there softplus, GELU and
# SiLU are fine. ReLU, which fails (b), behaves like the others in the lesson: a theorem that does not apply is not a theorem that says no.

# %% [markdown] exercise="perceptron_steps" stars=2 minutes=15 concept="the step drops out" role="core"
# ## Exercise 3: what is left of a huge step
#
# ★★ · 15 minutes · implement · core
#
# In units of a huge step gradient descent adds up the points that are wrong. Given $z_i = y_i x_i$, so that a point is right if $q_i = w\cdot z_i > 0$, start from $w = 0$. In one step
# add to $w$ the sum of all $z_i$ that are wrong ($q_i < 0$), and half of those that are undecided ($q_i = 0$), divided by $n$. Return how many steps it takes until all are right.


# %% exercise="perceptron_steps"
def perceptron_steps(Z):
    """How many steps the batch perceptron takes from zero.

    Z: (n, d), points times labels, for which some w has all w . z positive.
    Returns: a whole number; 0 only if no step is needed.
    """
    ### BEGIN SOLUTION
    w, steps = torch.zeros(Z.shape[1], dtype=Z.dtype), 0
    while (Z @ w <= 0).any():
        push = torch.heaviside(-Z @ w, torch.tensor(0.5, dtype=Z.dtype))
        w, steps = w + push @ Z / len(Z), steps + 1
    return steps
    ### END SOLUTION


# %% [markdown] hints="perceptron_steps"
# <details><summary>Hint 1</summary>
# For one point the answer is 1: at w = 0 it is undecided, and half of it puts it right.</details>
#
# <details><summary>Hint 2</summary>
# Weights for the points: 1 where q < 0, 1/2 where q = 0, and 0 elsewhere. A while loop ends when all q are positive.</details>
#
# <details><summary>Hint 3</summary>
# torch.heaviside(-q, half) with half = torch.tensor(0.5, dtype=torch.float64).</details>

# %% check="perceptron_steps"
check("09/perceptron_steps", perceptron_steps)

# %% see="perceptron_steps"
see("09/perceptron_steps", perceptron_steps)

# %% [markdown] discussion="perceptron_steps" tags=["solution"]
# **Discussion.** With it you predict when a wild run calms down, without its step. The two are one process, not one path: points that are nearly undecided are taken apart by the finite step.
# The bound $n/\gamma^2$ is far away, and has the right power of γ.

# %% [markdown] exercise="phase_switch" stars=2 minutes=15 concept="two phases"
# ## Exercise 4: when does the oscillation end
#
# ★★ · 15 minutes · implement
#
# Given the risks of a run, return the last step that raised the risk and the first step with $L \le 1/\eta$. Step 0 is the start. Late in a run, the
# risk may be $10^{-17}$ and its last digit goes up and down: only a rise by more than a relative $10^{-10}$ counts.


# %% exercise="phase_switch"
def phase_switch(L, eta):
    """Where a run changes its phase.

    L: (k,), the risk at each step.   eta: the step.
    Returns: (last step that raised the risk, 0 if none; first step with L <= 1/eta, -1 if none), two whole numbers.
    """
    ### BEGIN SOLUTION
    up = torch.nonzero(L[1:] > L[:-1] * (1 + 1e-10))[:, 0]
    below = torch.nonzero(L <= 1 / eta)[:, 0]
    last = up[-1].item() + 1 if len(up) else 0
    return last, below[0].item() if len(below) else -1
    ### END SOLUTION


# %% [markdown] hints="phase_switch"
# <details><summary>Hint 1</summary>
# Compare L[1:] with L[:-1]. Entry 0 of that comparison is about step 1.</details>
#
# <details><summary>Hint 2</summary>
# For 8, 5, 6, 4, 3, 2, 1, 0.4, 0.3 and η = 2 the answer is (2, 7).</details>
#
# <details><summary>Hint 3</summary>
# torch.nonzero(mask) has a row for each true entry, and may have none. Whole numbers: use .item().</details>

# %% check="phase_switch"
check("09/phase_switch", phase_switch)

# %% see="phase_switch"
see("09/phase_switch", phase_switch)

# %% [markdown] discussion="phase_switch" tags=["solution"]
# **Discussion.** With η = 32 the run switches at step 63 and is below $1/\eta$ from step 401 on: the threshold is sufficient, and late. The last case of the check rises about a thousand times if rounding
# counts, for the last time near its end at step 20,000; 41 times, for the last time at step 60, if it does not. The library's `regimes.metrics.phase_switch` does this for a stack of runs.

# %% [markdown] exercise="largest_monotone_eta" stars=2 minutes=15 concept="predict, then test"
# ## Exercise 5: the largest step without a rise
#
# ★★ · 15 minutes · predict, then test
#
# `walk(gamma, eta, steps)` returns the risks of gradient descent on two points with the margin $\gamma$, from $w = 0$. Write down a guess: the curvature at the start gives
# $2/\lambda = 12.8$ for $\gamma = 0.05$. Is the largest step without any rise smaller, equal, larger? Then find it, to within 0.1, for a given margin. 400 steps are enough.


# %% exercise="largest_monotone_eta"
def largest_monotone_eta(gamma):
    """The largest step with which the risk never rises.

    gamma: the margin, from 0.025 to 0.2.
    Returns: a number, to within 0.1.
    """
    ### BEGIN SOLUTION
    low, high = 8.0, 40.0
    while high - low > 0.01:
        eta = (low + high) / 2
        L = walk(gamma, eta, 400)
        rises = bool((L[1:] > L[:-1] * (1 + 1e-10)).any())
        low, high = (low, eta) if rises else (eta, high)
    return low
    ### END SOLUTION


# %% [markdown] hints="largest_monotone_eta"
# <details><summary>Hint 1</summary>
# A step of 8 never raises the risk, one of 40 does. Halve the interval.</details>
#
# <details><summary>Hint 2</summary>
# Any rise counts, of any step against the one before it; not the end against the start.</details>

# %% check="largest_monotone_eta"
check("09/largest_monotone_eta", largest_monotone_eta)

# %% see="largest_monotone_eta"
see("09/largest_monotone_eta", largest_monotone_eta)

# %% [markdown] discussion="largest_monotone_eta" tags=["solution"]
# **Discussion.** 14.3, 14.7, 16.7, 21.9. The first three are the step with which the very first step leaves the risk as it is, a root of one equation (`theory.first_rise`). At
# $\gamma = 0.2$ that root is 26.7, and a later step rises from 21.9 on: a local look is not enough.

# %% [markdown] exercise="best_eta" stars=2 minutes=15 concept="a step for a number of steps"
# ## Exercise 6: a step for a number of steps
#
# ★★ · 15 minutes · predict, then test
#
# On the two points with margin $\gamma$ you have $T$ steps, and you want to end at a given risk. Choose the step: the run has to end within a tenth of it. Some of the risks that the check
# wants cannot be had without a rise.

# %%
for eta in (4.0, 14.7, 20.0):
    print(f"γ = 0.05, T = 4000: a step of {eta:g} ends at {walk(0.05, eta, 4000)[-1]:.2g}")


# %% exercise="best_eta"
def best_eta(gamma, T, risk):
    """The step with which the risk after T steps is about the wanted one.

    gamma: the margin, from 0.05 to 0.2.   T: the number of steps, from 1000.   risk: the wanted risk.
    Returns: a positive number.
    """
    ### BEGIN SOLUTION
    return 1 / (gamma**2 * T * risk)
    ### END SOLUTION


# %% [markdown] hints="best_eta"
# <details><summary>Hint 1</summary>
# Late in a run L is about 1/(ηγ²T).</details>
#
# <details><summary>Hint 2</summary>
# For γ = 0.05, T = 4000 and a risk of 0.005 the step is 20.</details>

# %% check="best_eta"
check("09/best_eta", best_eta)

# %% see="best_eta"
see("09/best_eta", best_eta)

# %% [markdown] discussion="best_eta" tags=["solution"]
# **Discussion.** The law costs nothing, and knows where a run ends that first rises dozens of times. It has two limits. It is what a run tends to, not a bound: at small $\eta\gamma^2T$ runs end a few percent above
# it. And beyond $\eta \approx 64$ runs end *below* it, because the run lands beside an edge of the wedge, where one point alone counts. How far below depends on where, and is not monotone in $\eta$:

# %% tags=["solution"]
for eta in (4, 14.7, 64, 128, 256, 1024, 2048, 4096):
    L, law = walk(0.05, eta, 4096)[-1], 1 / (eta * 0.05**2 * 4096)
    print(f"η = {eta:<6g} risk after 4096 steps {L:.1e}, over the law {L / law:.2g}")

# %% [markdown] exercise="stable_threshold" stars=3 minutes=20 concept="curvature bounded by the risk" role="core"
# ## Exercise 7: safe for ever
#
# ★★★ · 20 minutes · derive, then implement · core
#
# For the logistic loss $\ell'' \le |\ell'| \le \ell$. For the networks of the lesson this gives, in the units of our step, $|\nabla L|\le \mathrm{Lip}\,L$ and a curvature of at most
# $(\mathrm{Lip}^2+\beta)L$; along a step from a point with $c = \eta(\mathrm{Lip}^2+\beta)L$ the curvature grows by at most $e^c$. Derive with Taylor's formula below which $c$ the step lowers the risk, and return the
# risk at which $c$ has this value.


# %% exercise="stable_threshold"
def stable_threshold(eta, lip, beta):
    """The risk from which on every step lowers it.

    eta: the step.   lip, beta: bounds on the first and second derivative of the activation.
    Returns: a number, relative error at most 1e-5.
    """
    ### BEGIN SOLUTION
    return float(lambertw(2).real) / (eta * (lip**2 + beta))
    ### END SOLUTION


# %% [markdown] hints="stable_threshold"
# <details><summary>Hint 1</summary>
# L⁺ ≤ L − η|∇L|² + ½ (η|∇L|)² × (largest curvature on the way).</details>
#
# <details><summary>Hint 2</summary>
# The step lowers the risk while c eᶜ < 2.</details>
#
# <details><summary>Hint 3</summary>
# The solution of c eᶜ = 2 is Lambert's W(2), a little above 0.852: scipy.special.lambertw, which returns a complex number.</details>

# %% check="stable_threshold"
check("09/stable_threshold", stable_threshold)

# %% see="stable_threshold"
see("09/stable_threshold", stable_threshold)

# %% [markdown] discussion="stable_threshold" tags=["solution"]
# **Discussion.** 0.852/η for logistic regression, 0.758/η for leaky softplus (Lip = 1, β = 1/8). With $2/(\eta(\mathrm{Lip}^2+\beta))$ the curvature is small at the point itself; nothing is
# said about the way. The picture has the property in numbers, on fifty random runs.

# %% [markdown]
# ## Two questions to write about
#
# 10 minutes · three or four sentences each, in your own words, before you open the model answer
#
# **1.** With a huge step the risk rises many times and then never again. What does it have to do with a perceptron, and why does the run end lower than
# one with a small step?
#
# <details><summary>A model answer</summary>
#
# Measured in units of the step, a huge step adds up the points that are wrong, as the perceptron does, and the step drops out. The perceptron makes a
# limited number of mistakes, at most n/γ², whatever the step. Once all points are right, each by an amount in proportion to the step, the risk is
# below the threshold from which on every step lowers it. From there on 1/L grows in proportion to ηt. So the wild phase costs a number of steps
# that does not depend on η, and the tame one gains a factor of η.</details>
#
# **2.** What would happen at a very large step if the data held the first point twice, once with each label, so that no line puts all on their right
# side? Which steps of the reasoning fail?
#
# <details><summary>A model answer</summary>
#
# There would be no direction e with a positive margin, so w·e need not grow: the bound on the number of mistakes is gone, and the perceptron goes on
# for ever. The two copies have q and −q, and their losses add up to 2 log 2 at least: of three points the risk is never below 0.462. At a large
# step the threshold 0.852/η is lower than that, so the safe phase is never reached. That a low risk makes a step safe is still true; it is of no use
# where no low risk exists. With a small step the risk would fall towards the lowest that can be had.</details>
