# ---
# jupyter:
#   regimes:
#     title: "Exercises 03: phases of SGD"
#     minutes: 115
#     needs: ["03"]
#     papers: [veiga2022]
#     objectives:
#       - tell the phases apart, on their lines too, and count time in each
#       - take a Gaussian integral and write the drift of the overlaps
#       - derive the height of the noise plateau
#       - measure how fast SGD becomes deterministic
#       - tell slow from stuck, by a cut of the step size and by waiting
# ---

# %% [markdown]
# # Exercises 03: phases of SGD
#
# Eight exercises on [lesson 03](../lessons/03_phases_of_sgd.ipynb). Replace the lines `# YOUR CODE HERE` and
# `raise NotImplementedError()`, run the cell, and
# run the check under it: it answers at once, and it recognises typical mistakes. The cell after it, `see`, redraws a picture of the
# lesson with your function; until yours passes, it takes a solution and says so. Hints are folded. Nothing later in this notebook
# depends on your answers, so you can take the exercises in any order. With little time, do the two that are marked *core*; the
# *optional* one is for the fast.
#
# Units are $g(u) = \mathrm{erf}(u/\sqrt2)$ with $g'(u) = \sqrt{2/\pi}\,e^{-u^2/2}$, inputs are $N(0, I_d)$, committees are means of their
# units, and $\eta = \gamma/p$ is the learning rate divided by the number of student units. Time is the sum of the step sizes,
# $t = \eta\nu/d$ after $\nu$ steps. Arrays are `torch.float64` tensors; return new ones and leave the arguments as they are.
#
# Entries have to agree to seven digits of the largest one, in exercise 2 to six digits, in exercise 7 to three; exercise 5 allows 3 %. The formulas are yours to write: an
# answer calls nothing of `regimes` but what the statement hands to it.

# %%
import math

import numpy as np
import torch

from regimes.online_sgd import overlap_chain
from regimes.theory.online_sgd import integrate
from regimes.theory.sgd_phases import fluctuation_exponent
from regimes_course.exercises import check, see
from regimes_course.kit import show
from regimes_course.kit.plotting import curve, legend, panels, predicted
from regimes_course.lesson03.experiments import flow, rest, start

# %% [markdown] exercise="classify" stars=1 minutes=8 concept="phase diagram"
# ## Exercise 1: which phase
#
# ★ · 8 minutes · implement
#
# With a learning rate $\gamma \propto d^{-\delta}$ and a width $p \propto d^{\kappa}$, $\kappa \ge 0$, the step is $\eta \propto d^{-(\kappa+\delta)}$.
# In one step the drift moves the overlaps by an amount of order $\eta/d$, the noise by $\eta^2/d$. As $d$ grows there are four cases:
#
# | label | |
# |---|---|
# | `"perfect learning"` | the noise is smaller than the drift by a power of $d$ |
# | `"plateau"` | both are of the same order |
# | `"bad learning"` | the noise is larger, and a single step still vanishes |
# | `"no ODE"` | a single step does not vanish |
#
# Exponents are sums of decimal fractions: a point that is on a line up to rounding, $10^{-12}$, is on it. One that is $10^{-6}$ beside it is not.


# %% exercise="classify"
def classify(kappa, delta):
    """The phase of a point of the diagram.

    kappa: a number >= 0.   delta: a number.
    Returns: "perfect learning", "plateau", "bad learning" or "no ODE".
    """
    ### BEGIN SOLUTION
    total = kappa + delta
    if abs(total) < 1e-12:
        return "plateau"
    if total > 0:
        return "perfect learning"
    return "bad learning" if total > -0.5 + 1e-12 else "no ODE"
    ### END SOLUTION


# %% [markdown] hints="classify"
# <details><summary>Hint 1</summary>
# Everything depends on kappa + delta. For which of its values is η²/d of order one?</details>
#
# <details><summary>Hint 2</summary>
# In Python 0.3 − (0.1 + 0.2) is not zero, and 0.2 − 0.7 is not −0.5. Print both.</details>

# %% check="classify"
check("03/classify", classify)

# %% see="classify"
see("03/classify", classify)

# %% [markdown] discussion="classify" tags=["solution"]
# **Discussion.** The published code asks for $\kappa < -\delta < (\kappa+1)/2$ in bad learning. That is the same at $\kappa = 0$ and leaves no such phase from
# $\kappa = 1$ on, in contradiction to the paper's own Fig. 8; the deeper notebook measures whether there is one. It also compares floating-point numbers with `==`.

# %% [markdown] exercise="step_to_time" stars=1 minutes=7 concept="natural time"
# ## Exercise 2: from steps to time
#
# ★ · 7 minutes · implement
#
# Curves for different $d$ fall on each other only if they are drawn against the right time. The natural time of a phase is the number of
# steps times what one step does: $\eta/d$ where the drift is the larger term or both are equal, $\eta^2/d$ where the noise is. Take
# $\eta = d^{-(\kappa+\delta)}$, without a factor in front.


# %% exercise="step_to_time"
def step_to_time(steps, d, kappa, delta):
    """The natural time after a number of steps.

    steps: a number.   d: inputs.   kappa, delta: as in exercise 1.
    Returns: a number. Raises a ValueError where there is no ODE.
    """
    ### BEGIN SOLUTION
    total = kappa + delta
    if total <= -0.5 + 1e-12:
        raise ValueError(f"kappa + delta = {total:g} <= -1/2: there is no ODE")
    return steps / d ** (1 + (2 * total if total < -1e-12 else total))
    ### END SOLUTION


# %% [markdown] hints="step_to_time"
# <details><summary>Hint 1</summary>
# η/d is one power of d, η²/d another. Which one is the larger for κ + δ &lt; 0?</details>
#
# <details><summary>Hint 2</summary>
# To try: 5000 steps at d = 100 are a time of 50 at κ = δ = 0, of 5 at κ = δ = 1/4, and of 500 at κ = 0, δ = −1/4.</details>

# %% check="step_to_time"
check("03/step_to_time", step_to_time)

# %% see="step_to_time"
see("03/step_to_time", step_to_time)

# %% [markdown] discussion="step_to_time" tags=["solution"]
# **Discussion.** The exponent of one step is also that of the fluctuations: SGD is off its ODE by about the root of a step. So it is $-1/2$ on the plateau
# line, closer to zero in bad learning, and zero at $\kappa + \delta = -1/2$. An axis of steps over $d$ for all phases, as in the paper's Fig. 6, is good for comparing
# costs; whether curves for different $d$ agree can't be seen on it.

# %% [markdown] exercise="i2_i3" stars=2 minutes=15 concept="tilting a Gaussian"
# ## Exercise 3: two Gaussian integrals
#
# ★★ · 15 minutes · derive, then implement
#
# The lesson takes its averages by sampling; for erf units they have closed forms. Everything rests on expectations over fields $u_1, u_2, u_3$ that are jointly Gaussian with mean zero and
# covariance $C$. (Two fields may be the same, or one a sum of the others: $C$ need not be invertible.) Return two of them:
#
# $$\begin{aligned}
# I_2 &= \mathbb E[g(u_1)\,g(u_2)], \\
# I_3 &= \mathbb E[g'(u_1)\,u_2\,g(u_3)].
# \end{aligned}$$
#
# The first is known: $I_2 = \frac2\pi \arcsin \dfrac{C_{12}}{\sqrt{(1+C_{11})(1+C_{22})}}$. For the second, note that $g'(u_1)$ is
# itself a Gaussian. It tilts the measure into another one, with a smaller covariance, and some of the mass is lost.


# %% exercise="i2_i3"
def i2_i3(C):
    """I2 = E[g(u1) g(u2)] and I3 = E[g'(u1) u2 g(u3)] for each of n covariances.

    C: (n, 3, 3), symmetric; not always invertible.
    Returns: two tensors (n,).
    """
    ### BEGIN SOLUTION
    own = 1 + C.diagonal(dim1=-2, dim2=-1)
    I2 = 2 / math.pi * torch.asin(C[:, 0, 1] / (own[:, 0] * own[:, 1]).sqrt())
    tilted = C - C[:, :, :1] * C[:, :1, :] / own[:, :1, None]
    mass = own[:, 0] ** -0.5
    I3 = 2 / math.pi * mass * tilted[:, 1, 2] / (1 + tilted[:, 2, 2]).sqrt()
    return I2, I3
    ### END SOLUTION


# %% [markdown] hints="i2_i3"
# <details><summary>Hint 1</summary>
# For an invertible C the density of u times exp(−u₁²/2) has the inverse covariance C⁻¹ + e₁e₁ᵀ. By the formula of Sherman and Morrison its covariance is
# C̃ = C − C₍·₁₎ C₍₁·₎ / (1 + C₁₁), in which nothing has to be inverted any more: it holds for every C. The mass that is left is (1 + C₁₁)^(−1/2).</details>
#
# <details><summary>Hint 2</summary>
# What remains is Ẽ[u₂ g(u₃)]. Stein's lemma: it is C̃₂₃ Ẽ[g′(u₃)]. And g′(u₃) is a Gaussian again.</details>
#
# <details><summary>Hint 3</summary>
# For C = [[0.5, 0.3, 0.2], [0.3, 0.8, −0.1], [0.2, −0.1, 0.4]] you should find I₂ = 0.117 and I₃ = −0.0621.</details>

# %% check="i2_i3"
check("03/i2_i3", i2_i3)

# %% see="i2_i3"
see("03/i2_i3", i2_i3)

# %% [markdown] discussion="i2_i3" tags=["solution"]
# **Discussion.** Multiplied out,
#
# $$\begin{aligned}
# I_3 &= \frac2\pi\, \frac{C_{23}(1+C_{11}) - C_{12}C_{13}}{(1+C_{11})\,\sqrt{D}}, \\[4pt]
# D &= (1+C_{11})(1+C_{33}) - C_{13}^2,
# \end{aligned}$$
#
# the form in the literature. The tilted form says why: the minus takes out what $u_2$ and $u_3$ share through $u_1$. With two factors $g'$
# tilt twice: $\mathbb E[g'(u_1) g'(u_2) g(u_3) g(u_4)]$, which makes the noise of SGD, is $I_2$ of the twice tilted covariance, times the lost mass.

# %% [markdown] exercise="drift" stars=2 minutes=15 concept="drift of the overlaps"
# ## Exercise 4: the drift as one matrix product
#
# ★★ · 15 minutes · implement
#
# Put the fields of all $p$ student and $k$ teacher units in one list, with covariance $\Omega = \begin{pmatrix} Q & M \\ M^T & P\end{pmatrix}$,
# and write the error as $e = \sum_a c_a\, g(u_a)$, with $c_a < 0$ for the student. A step adds $\frac\eta d\, e\, g'(u_j)\, x$ to
# the unit $w_j$, so that on average the overlap of $w_j$ with unit $b$ moves by
#
# $$\begin{aligned}
# J_{jb} &= \mathbb E[e\, g'(u_j)\, u_b] \\
# &= \sum_a c_a\, \mathbb E[g'(u_j)\, u_b\, g(u_a)], \\
# \dot Q &= J + J^T,\quad \dot M = J.
# \end{aligned}$$
#
# In the first equation $b$ runs over students, in the second over teachers. Insert $I_3$ and bring the sum into the form
# $J = D\,\Omega - \text{diagonal} \cdot \Omega$, with $D_{ja} = \dfrac{2}{\pi}\, \dfrac{c_a}{\sqrt{(1+\Omega_{jj})(1+\Omega_{aa}) - \Omega_{ja}^2}}$. No loops.


# %% exercise="drift"
def drift(omega, c, p):
    """How the overlaps move on average, without the noise, per unit of time.

    omega: (p + k, p + k), the covariance of all fields.   c: (p + k,).   p: student units.
    Returns: dQ (p, p) and dM (p, k).
    """
    ### BEGIN SOLUTION
    size, rows = 1 + omega.diagonal(), omega[:p]
    D = 2 / math.pi * c / (size[:p, None] * size - rows**2).sqrt()
    J = D @ omega - ((D * rows).sum(1) / size[:p])[:, None] * rows
    return J[:, :p] + J[:, :p].T, J[:, p:]
    ### END SOLUTION


# %% [markdown] hints="drift"
# <details><summary>Hint 1</summary>
# I₃ of (j, b, a) is 2/π · [Ω_ba − Ω_jb Ω_ja / (1 + Ω_jj)] / √((1 + Ω_jj)(1 + Ω_aa) − Ω_ja²): the tilted covariance over a root that does not
# depend on b.</details>
#
# <details><summary>Hint 2</summary>
# The sum over a of D_ja Ω_ab is a matrix product. In the other term Ω_jb does not depend on a, and neither does 1 + Ω_jj under it: what is left is the sum
# over a of D_ja Ω_ja, divided by 1 + Ω_jj. This is one number for each j, the diagonal.</details>
#
# <details><summary>Hint 3</summary>
# By hand: one student and one teacher unit of length one with overlap 0.5, c = [−1, 1], p = 1. Then dQ = [[−0.203]] and
# dM = [[0.196]], to three decimals.</details>

# %% check="drift"
check("03/drift", drift)

# %% see="drift"
see("03/drift", drift)

# %% [markdown] discussion="drift" tags=["solution"]
# **Discussion.** $J$ is the gradient of the population risk, unit by unit, divided by $c_j$: autograd through $I_2$ gives it too, which is the shortest
# test of the formula. $\dot Q$ needs both terms because both units of $Q_{jl}$ move; $J$ itself is not symmetric. At the solution, $Q = M = P = I$, it
# vanishes. The noise $\eta N$ is what one-pass SGD adds to $\dot Q$, and to $\dot Q$ alone.

# %% [markdown] exercise="plateau" stars=2 minutes=15 concept="noise plateau" role="core"
# ## Exercise 5: the height of the noise plateau
#
# ★★ · 15 minutes · derive, then implement · core
#
# The lesson derives the floor of *one* unit. With many units the error hardly knows the field of any one of them, so that $\mathbb E[g'^2 e^2]$ is nearly $\mathbb E[g'^2]\, \mathbb E[e^2]$, with
# $\mathbb E[e^2] = 2R + \Delta$. In one step the drift takes away $2\eta R\,\mathbb E[g'^2]$ of the risk (times a factor that you don't need), the noise adds
# $\frac{1}{2}\eta^2\,\mathbb E[g'^2]^2\,(2R + \Delta)$ (times the same factor). Derive the risk at which they balance. What is $\mathbb E[g'(u)^2]$ for a field of variance one?
#
# Write it in terms of the learning rate $\gamma$ and the number of units $p$. From some $\eta$ on there is no balance: return `math.inf`
# there, or raise an error.


# %% exercise="plateau"
def plateau(gamma, p, label_noise):
    """The risk R at the noise plateau.

    gamma: learning rate.   p: units; a committee is a mean.   label_noise: the variance Delta.
    Returns: a number (infinity, or an error, where there is no plateau).
    """
    ### BEGIN SOLUTION
    slope2 = 2 / math.pi / math.sqrt(3)
    a = gamma / p * slope2 / 2
    return label_noise / 2 * a / (1 - a) if a < 1 else math.inf
    ### END SOLUTION


# %% [markdown] hints="plateau"
# <details><summary>Hint 1</summary>
# 2 η R 𝔼[g′²] = ½ η² 𝔼[g′²]² (2R + Δ). Solve for R; it is on both sides.</details>
#
# <details><summary>Hint 2</summary>
# g′(u)² = (2/π) exp(−u²). Its mean over a field of variance one is (2/π)/√3, not 2/π, which is its value at u = 0.</details>
#
# <details><summary>Hint 3</summary>
# With a = η 𝔼[g′²]/2 it is R = (Δ/2) a/(1 − a). For γ = 4, p = 4 and Δ = 0.001 this is 1.13e-4.</details>

# %% check="plateau"
check("03/plateau", plateau)

# %% see="plateau"
see("03/plateau", plateau)

# %% [markdown] discussion="plateau" tags=["solution"]
# **Discussion.** It is an approximation, exact only for many units. The check compares with the end of the ODE of four to eight units, which it meets within 3 % as long as $\eta \le 1$; with one unit it would be
# 8 % too low there, because $\mathbb E[g'^4]$ is more than $\mathbb E[g'^2]^2$. At a fixed learning rate the floor falls as $1/p$: over-parameterisation averages the noise away. With committees that are *sums*, as in most
# of the older literature, the same floor grows with $p$, because there $\eta = \gamma p$ in our units: same physics, opposite headline. The pole at $\eta = \pi\sqrt3 = 5.44$ comes too late for the
# same reason: the ODE loses its solution at 4.06 to 5.33 for 1 to 16 units. For one unit the lesson's formula has its pole exactly there.

# %% [markdown] exercise="rests" stars=2 minutes=15 concept="a cut tells slow from noise" role="core"
# ## Exercise 6: slow or stuck in noise
#
# ★★ · 15 minutes · experiment · core
#
# You get a network that rests, and cannot look inside. `advance(eta, steps)` takes `steps` times $d$ steps of the size `eta` from where
# the network is, and returns its risk; it does not go back. Here is one at each rest:

# %%
for name, box in (
    ("one", rest(10_000, 1.0, 1e-3, 60.0)),
    ("another", rest(50, 2.0, 1e-3, 400.0)),
):
    risks = [box(2.0 if name == "another" else 1.0, 10) for _ in range(3)]
    print(name, *(f"{risk:.2e}" for risk in risks))

# %% [markdown]
# Write a function that says whether such a network is slow or whether the noise of its steps holds it up. Give each a time, steps times
# step size, of 100 at most. The check has seven of them, with step sizes from 0.3 to 3 and up to 100,000 inputs; not all have quite settled.
# (They follow the equations for the overlaps, so that each call is quick.)


# %% exercise="rests"
def rests(advance, eta):
    """What holds this network up.

    advance: advance(eta, steps), as above.   eta: the step size with which it came to its rest.
    Returns: "slow" or "noise".
    """
    ### BEGIN SOLUTION
    before = advance(eta, 1)
    after = advance(eta / 10, 250 / eta)
    return "noise" if after < 0.4 * before else "slow"
    ### END SOLUTION


# %% [markdown] hints="rests"
# <details><summary>Hint 1</summary>
# Which of the two goes down with the step size? By how much would it, if you divided the step by ten?</details>
#
# <details><summary>Hint 2</summary>
# Time is steps times step size. The floor is reached within a time of about 20, at any step size: with a smaller step you need more steps.</details>
#
# <details><summary>Hint 3</summary>
# Compare by a ratio. A slow network falls a little, too, to the level R₁ of equal units.</details>

# %% check="rests"
check("03/rests", rests)

# %% see="rests"
see("03/rests", rests)

# %% [markdown] discussion="rests" tags=["solution"]
# **Discussion.** Noise is proportional to the step size, nearly: after a cut by ten a tenth is left. A slow network loses only the noise on top of $R_1$, less than half of what it was. One of the noisy networks rests
# as high as a slow one, so its height says nothing. To wait without a cut works as well, but takes hundreds of units of time where the cut takes 25; and in a poor minimum you would wait for ever (exercise 8).

# %% [markdown] exercise="fluctuations" stars=3 minutes=15 concept="concentration" role="optional"
# ## Exercise 7: how deterministic is SGD
#
# ★★★ · 15 minutes · simulate and fit · optional
#
# Start many runs of SGD from the same overlaps $Q, M$ and integrate the ODE from there, too. The *distance* of one run is the largest
# $|\text{run} - \text{ODE}|$ over all entries of $Q$ and $M$ and over all the given times. Return its mean $D$ over the runs for each number of inputs
# $d$, and the slope of a straight line through $\log D$ against $\log d$.
#
# You have `integrate(Q, M, times, eta=..., label_noise=...)`, whose result has `Q` `(t, p, p)` and `M` `(t, p, k)` (NumPy arrays), and
# `overlap_chain(Q, M, d, eta, steps, label_noise=..., runs=..., seed=..., at=[...])`: so many steps of SGD, recorded after
# the numbers of steps in `at`, as a trace with `measured["Q"]` `(t, runs, p, p)` and `measured["M"]` (tensors). Pass `seed=d`.


# %% exercise="fluctuations"
def fluctuations(Q, M, eta, label_noise, times, ds, runs):
    """Mean distance between SGD and its ODE for each d, and its slope.

    Q: (p, p).   M: (p, k).   eta, label_noise: numbers.   times: a list that begins with 0.
    ds: a list of numbers of inputs.   runs: how many.   t d / eta is a whole number of steps.
    Returns: D, one number for each d, and the slope of log D against log d.
    """
    ### BEGIN SOLUTION
    path, D = integrate(Q, M, times, eta=eta, label_noise=label_noise), []
    for d in ds:
        at = [round(t * d / eta) for t in times]
        options = {"label_noise": label_noise, "runs": runs, "seed": d, "at": at}
        run = overlap_chain(Q, M, d, eta, at[-1], **options).measured
        apart = torch.cat(
            [
                (run[name] - torch.tensor(exact)[:, None]).flatten(2)
                for name, exact in (("Q", path.Q), ("M", path.M))
            ],
            2,
        )
        D.append(apart.abs().amax((0, 2)).mean().item())
    return D, np.polyfit(np.log(ds), np.log(D), 1)[0]
    ### END SOLUTION


# %% [markdown] hints="fluctuations"
# <details><summary>Hint 1</summary>
# A step lasts η/d. So the time t is reached after t d/η steps.</details>
#
# <details><summary>Hint 2</summary>
# Largest first, mean last: over times and entries of one run the maximum, over runs the mean. `tensor.amax((0, 2, 3))` takes several axes at
# once.</details>
#
# <details><summary>Hint 3</summary>
# `np.polyfit(np.log(ds), np.log(D), 1)[0]` is the slope.</details>

# %% check="fluctuations"
check("03/fluctuations", fluctuations)

# %% see="fluctuations"
see("03/fluctuations", fluctuations)

# %% [markdown] discussion="fluctuations" tags=["solution"]
# **Discussion.** The slope is $-1/2$: each step is a random kick of size $1/d$, and $d$ of them make a unit of time. The order of maximum and mean matters. Averaging
# the runs first would hide the fluctuations; an ODE from typical overlaps instead of the run's own would add an error that looks like them, of order
# $d^{-1/2}$ for random units, and that has nothing to do with SGD. For an $\eta$ that grows with $d$ the slope is `fluctuation_exponent`
# of the lesson; it reaches zero where the phases end.

# %% tags=["solution"]
ds = [50, 100, 200, 400, 800]
E, slope = fluctuations(*start(), 1.0, 1e-3, [0, 1, 2, 3, 4], ds, 24)
fig, (ax,) = panels(size=(5.4, 3.0))
curve(ax, torch.tensor(ds), torch.tensor(E), "SGD, 24 runs", markevery=1)
exponent = fluctuation_exponent(0)
line = E[2] * (np.array(ds) / ds[2]) ** exponent
predicted(ax, ds, line, f"predicted: slope {exponent:g}")
ax.set(xlabel="inputs d", ylabel="distance from the ODE", xscale="log", yscale="log")
ax.set_xticks(ds, [str(d) for d in ds], minor=False)
ax.minorticks_off()
legend(ax)
show(fig, f"From d = 50 to 800 the distance falls with slope {slope:.2f}.")

# %% [markdown] exercise="success_rates" stars=3 minutes=15 concept="slow is not stuck"
# ## Exercise 8: success rates
#
# ★★★ · 15 minutes · measure
#
# Does a wider student find the solution more often? With erf units nobody gets stuck; with ReLU units some do. `flow(k, p, seeds, until)` follows the
# gradient of the population risk up to the time `until`, from one random start a seed, for a student of $p$ ReLU units and a teacher of
# $k$ orthonormal ones. It returns a trace whose `loss` is the risk, `(records, runs)`. Here are eight starts, followed for a short time:

# %%
fig, axes = panels(2, size=(4.0, 3.0), sharey=True)
risk = {}
for ax, p in zip(axes, (10, 11), strict=True):
    trace = flow(10, p, range(8), until=1500)
    risk[p] = trace.loss[-1].median().item()
    ax.plot(trace.time[1:], trace.loss[1:], color="C0", linewidth=0.9)
    ax.set(xlabel="time t", yscale="log", title=f"k = 10, p = {p}")
axes[0].set_ylabel("risk")
show(
    fig,
    f"At t = 1500 the median risk of 8 starts is {risk[10]:.0e} with p = 10 units, "
    f"{risk[11]:.0e} with p = 11.",
)

# %% [markdown]
# Write a function that returns the share of starts that find the solution, with $p = k$ and with $p = k + 1$ units. Found means: the risk gets below
# $10^{-6}$ if it is given the time. How much time that is you have to find out. (24 starts to t = 1500 take about a second.) The check
# brings its own `flow`, with recorded runs for $k = 6$ and $k = 10$.


# %% exercise="success_rates"
def success_rates(flow, k, seeds):
    """Shares of starts that find the solution.

    flow: flow(k, p, seeds, until), as above.   k: teacher units.   seeds: a list.
    Returns: two numbers between 0 and 1, for p = k and for p = k + 1.
    """
    ### BEGIN SOLUTION
    ends = [flow(k, p, seeds, until=12000).loss[-1] for p in (k, k + 1)]
    return tuple((risk < 1e-6).double().mean().item() for risk in ends)
    ### END SOLUTION


# %% [markdown] hints="success_rates"
# <details><summary>Hint 1</summary>
# Change `until` in the cell above and look: which of the runs have stopped changing?</details>
#
# <details><summary>Hint 2</summary>
# Runs that are really stuck stand at one of few values, 1.9e-4 and 3.5e-4 among them. Runs that are slow keep falling.</details>
#
# <details><summary>Hint 3</summary>
# A time of 12000 is enough for all of these. If you would rather not rely on it: double `until` until every risk is either below the level
# or the same as at half the time.</details>

# %% check="success_rates"
check("03/success_rates", success_rates)

# %% see="success_rates"
see("03/success_rates", success_rates)

# %% [markdown] discussion="success_rates" tags=["solution"]
# **Discussion.** Stopped at $t = 1500$, one more unit seems to do harm: of 24 starts one has found the solution with ten units, none with
# eleven. Given the time it is the other way round: two thirds, and all. The wider student is slower at first and approaches the solution as a power of time, not exponentially; what stops the
# narrow one is a minimum in which one or two teacher units have no student of their own, and the students left over point away from them. "Stuck" is a statement about a limit. A figure with a time axis that is too
# short can turn it into its opposite, and nothing in the figure tells. With $k = 6$ nobody is stuck, so one more unit can't help. The effect
# is the one of Safran and Shamir 2018; Veiga et al. describe the same picture for erf units, where we found slow runs and no stuck ones.

# %% [markdown]
# ## Two questions to write about
#
# 10 minutes · three or four sentences each, in your own words, before you open the model answer
#
# **1.** Cutting the step size tells the two rests apart. Why does the risk of the second rest go down with the step, and why does that of the first
# stay where it is?
#
# <details><summary>A model answer</summary>
#
# At the second rest two things balance: per step, the drift takes away an amount in proportion to η, and noise adds one in proportion to η². So the risk at which
# they balance is nearly proportional to η. The first rest is no balance. There all units have learned the same, and the drift itself nearly vanishes; they leave as fast as their small
# differences grow, at a rate per unit of time that does not depend on the step. A smaller step only means more steps for the same time.</details>
#
# **2.** What would happen to each of the two rests if the labels had no noise at all, with a step size well below the critical one?
#
# <details><summary>A model answer</summary>
#
# The first would be there as before: it comes from the symmetry of the units, not from noise, and the time spent in it grows with log d. The second would disappear: its height is proportional to Δ. What noise is
# left comes from the error itself, on single samples, and vanishes with it. So the risk falls exponentially until the arithmetic ends it. (Above the critical step it would not come down even so: exercise 5
# has no balance there.)</details>
