# ---
# jupyter:
#   regimes:
#     title: Phases of SGD
#     minutes: 44
#     needs: ["01", "02"]
#     papers: [veiga2022]
#     objectives:
#       - tell a network that is slow from one that is stuck in noise, by one cut of the step size
#       - get from one step of SGD to an equation for a few overlaps
#       - say how long the first rest lasts, and how high the second lies
#       - place a learning rate and a width in the phase diagram
# ---

# %% [markdown]
# # Your loss has not moved for an hour: stuck or slow?
#
# Do you wait, or lower the learning rate? Below, a small network rests twice, for thousands of steps each time. At each rest we made the same test: divide the
# step size by ten.

# %% tags=["hero"]
import numpy as np

from regimes_course.kit import evidence, guess, show
from regimes_course.lesson03 import figures as draw

show(*draw.hero())

# %% [markdown]
# At the first rest the two units of the network still have to decide who learns what (right), and that takes time: the cut makes it take longer. At the second
# they are done. What is left is the noise of single samples, and the cut lowers it.
#
# **Mind which loss you plot.** These curves are the *risk*, without label noise. A loss on noisy labels lies higher, by half the variance of the noise, which no cut takes away, and there the two cuts
# look alike (above): subtract that height, or use clean labels.
#
# <details><summary>What you will be able to do</summary>
#
# - tell a network that is slow from one that is stuck in noise, by one cut of the step size;
# - get from one step of SGD to an equation for a few overlaps;
# - say how long the first rest lasts, and how high the second lies;
# - place a learning rate and a width in the phase diagram.
#
# Needs: lessons [01](01_gradient_descent_and_gauss_newton.ipynb) and [02](02_mean_field_convergence.ipynb), Gaussian averages. 44 minutes. Paper: Veiga, Stephan,
# Loureiro, Krzakala, Zdeborová 2022 (*Phase diagram of Stochastic Gradient Descent in high-dimensional two-layer neural networks*). This lesson relies on its abstract,
# introduction, figures and published code; the formulas are derived here.</details>
#
# ## 1. From one step to two equations
#
# A *committee* is the mean of p hidden units, $f(x) = \frac1p \sum_j g(w_j \cdot x)$, with $g(u) = \mathrm{erf}(u/\sqrt2)$. The labels come
# from a *teacher*: a committee of k units $w^*_r$, at right angles and of length one, plus noise of variance Δ. Inputs x are d independent standard normal
# numbers. Each sample is used once (*one-pass* stochastic gradient descent, SGD). With $u_j = w_j \cdot x$ and the error $e = \text{label} - f(x)$, a step is
#
# $$w_j \;\leftarrow\; w_j + \frac{\eta}{d}\, e\, g'(u_j)\, x .$$
#
# Here η = γ/p with the learning rate γ, because the gradient of a mean has the factor 1/p, and 1/d makes up for $|x|^2 \approx d$. In code, with $g'(u) = \sqrt{2/\pi}\, e^{-u^2/2}$ as `slope`, from a
# `beginning` where the two units of the student have overlaps of 0.3 and 0.1, or 0.1 and 0.2, with the teacher's two units:

# %% tags=["idea"] vary="beginning(50), 1.0, -> beginning(50), 0.3,"
from regimes_course.lesson03.experiments import beginning, g, slope


def sgd(W, T, eta, noise, steps, rng):  # W: student, a row per unit; T: teacher
    d, path = W.shape[1], []
    X = rng.standard_normal((steps, d))  # a fresh sample for each step
    labels = g(X @ T.T).mean(1) + noise**0.5 * rng.standard_normal(steps)
    for i in range(steps):
        u = W @ X[i]
        e = labels[i] - g(u).mean()
        W = W + eta / d * e * np.outer(slope(u), X[i])
        path.append(W)
    return np.array(path)  # all weights after each step


P = sgd(*beginning(50), 1.0, 0.004, 150 * 50, np.random.default_rng(4))

# %% [markdown]
# That is 100 weights. But x enters only through the numbers $u_j$ and $u^*_r = w^*_r \cdot x$. They are jointly Gaussian, and their covariances are the *overlaps*
# $Q = WW^T$ (how long and how alike the units are) and $M = WW^{*T}$ (how much they know of the teacher). So every average over x, the risk
# $R = \frac12 \mathbb E (f - f^*)^2$ among them, depends on those few numbers alone. What does a step do to them? Multiply it out:
#
# $$\begin{aligned}
# &w_j \cdot w_l \;\text{ changes by} \\
# &\qquad \frac{\eta}{d}\, e\, \big(g'(u_j)\, u_l + g'(u_l)\, u_j\big) \\
# &\qquad {} + \frac{\eta^2}{d}\, e^2 g'(u_j)\, g'(u_l), \\
# &w_j \cdot w^*_r \;\text{ by }\; \frac{\eta}{d}\, e\, g'(u_j)\, u^*_r .
# \end{aligned}$$
#
# Each step moves the overlaps by about 1/d, so over many steps averages replace single samples. In the time t = ην/d after ν steps,
#
# $$\dot Q = J + J^T + \eta N, \qquad \dot M = J^* ,$$
#
# with $J_{jl} = \mathbb E[e\, g'(u_j)\, u_l]$, $J^*_{jr} = \mathbb E[e\, g'(u_j)\, u^*_r]$ and $N_{jl} = \mathbb E[e^2 g'(u_j)\, g'(u_l)]$. J is the *drift*: gradient descent on the
# risk. N is the *noise*, the square of a single step, and it carries one more η. The inputs d are gone, and the width comes in through η = γ/p. In the cell, 40,000
# samples of the four u, the same at each step of 0.5 in t, make the averages; they have closed forms, too (exercise 3).
#
# **Predict.** We take four times as many inputs and keep η. How many times as many steps does SGD need for the same curve? A number.

# %%
my_guess = ...

# %% tags=["idea"] vary="eta, noise = 1.0, 0.004 -> eta, noise = 3.0, 0.004"
eta, noise = 1.0, 0.004
t, path = 0.5 * np.arange(301), []
z = np.random.default_rng(3).standard_normal((5, 40_000))
W, T = beginning(50)
Q, M = W @ W.T, W @ T.T
for _ in t:
    path.append(M)
    u = np.linalg.cholesky(np.block([[Q, M], [M.T, np.eye(2)]])) @ z[:4]  # u, then u*
    e = g(u[2:]).mean(0) + noise**0.5 * z[4] - g(u[:2]).mean(0)
    push = e * slope(u[:2])
    J, N, J_star = push @ u[:2].T / 40_000, push @ push.T / 40_000, push @ u[2:].T / 40_000
    Q, M = Q + 0.5 * (J + J.T + eta * N), M + 0.5 * J_star

# %%
large = sgd(*beginning(200), 1.0, 0.004, 150 * 200, np.random.default_rng(4))
show(*draw.curves({50: P, 200: large}, np.array(path), t))
why = {1: "steps look like time; but one step moves the overlaps by η/d only"}
guess(my_guess, "4 times: drawn against steps/d the curves are one", number=4, why=why)

# %% [markdown]
# No trace of the hundreds of weights is left but a little scatter, of the order $d^{-1/2}$.
#
# ## 2. The map, at a first look
#
# So one number weighs noise against drift, η. Let learning rate and width change with the inputs, $\gamma = d^{-\delta}$ and $p \propto d^{\kappa}$. Then
# $\eta = d^{-(\kappa + \delta)}$, and as d grows
#
# - η → 0: only the drift is left (*perfect learning*);
# - η fixed: both, as in our first picture (*plateau*);
# - η → ∞: the noise wins, since a step moves Q by η²/d and M by η/d only: what the units know stays frozen (*bad learning*);
# - from η ~ √d on η²/d is no longer small: no equation.
#
# A wider network is no different if the learning rate grows with it.

# %%
show(*draw.phases())

# %% [markdown]
# (*Natural time*: steps times η/d or η²/d, whichever is larger.) At finite d the map is a smooth slope; the phases are what becomes of it as d grows. The step of $d = 10^8$ left of the line: runs near rest 1,
# our next section. Its flat end: what the drift has not finished.
#
# ## 3. Rest 1: slow
#
# Why did the units of section 1 wait for 50 units of time before each chose a teacher unit?
# At first each unit gains most by learning the *average* of the teacher's units. Once both are that average, they feel the same push, and the loss stands still. If all
# units are equal, the best they can do (at the length $|w|^2 = 1/(2k-1)$) is
#
# $$R_1 = \frac{1}{6k} - \frac1\pi \arcsin\frac{1}{2k} .$$
#
# To go on, they have to become different. A random start knows the difference to the order $d^{-1/2}$, the overlap of two random directions, and close to the rest this grows like $e^{\lambda t}$;
# λ, the rate of the linearised equations, does not depend on d. We leave the noise out and let each unit start with $d^{-1/2}$ of "its" teacher unit:

# %% tags=["idea"] vary="(50, 5_000) -> (50, 500)"
from regimes.theory.online_sgd import integrate  # the two equations, averages exact

R1, I = 1 / 12 - np.arcsin(1 / 4) / np.pi, np.eye(2)
times, paths = np.linspace(0, 300, 1201), {}
for d in (50, 5_000):
    paths[d] = integrate(I, I / d**0.5, times, eta=0, keep="drift", rtol=1e-9)
    end = times[np.argmax(paths[d].risk < R1 / 2)]
    print(f"d = {d:,}: the risk is below R1 / 2 at t = {end:.0f}")

# %% [markdown]
# **Predict.** And with a hundred times more inputs again, d = 500,000? A time.

# %%
my_guess = ...

# %%
d = 500_000
paths[d] = integrate(I, I / d**0.5, times, eta=0, keep="drift", rtol=1e-9)
show(*draw.waits(paths))
last = times[np.argmax(paths[d].risk < R1 / 2)]
guess(my_guess, f"t = {last:.0f}", number=last)

# %% [markdown]
# A hundred times more inputs make the difference ten times smaller at the start, and growth needs the same extra time to make up for it (a little more, since λ is reached only slowly).
# So the wait grows like log d in t; in steps, multiply by d.
#
# **Slow is not stuck: the loss is blind to what grows.** In the first picture SGD rests *above* R₁, 2.90e-3 for k = 2: the units are still merging, and noise makes them too long. The cut takes the noise away, and the
# orange curve creeps down to R₁. There the difference grows on, at a tenth of the pace: the sign of slow.
#
# ## 4. Rest 2: stuck in noise
#
# Near the solution each step removes a part ∝ η of the error and adds noise ∝ η². Take one unit, off its teacher by the vector ε with $s = |\varepsilon|^2$. The error is
# $e = -g'(u)\, \varepsilon \cdot x + \zeta$ with the label noise ζ, and a step changes s by $\frac{2\eta}{d}\, e\, g' \varepsilon \cdot x + \frac{\eta^2}{d}\, e^2 g'^2$. In many dimensions ε is
# nearly at right angles to the unit, so that ε · x does not know u. With $A = \mathbb E\, g'^2 = \frac{2}{\pi\sqrt3}$ and $B = \mathbb E\, g'^4 = \frac{4}{\pi^2\sqrt5}$, to first order in s,
#
# $$\begin{aligned}
# \dot s &= -2As + \eta\,(Bs + A\Delta) = 0 \\
# \Rightarrow\; R_2 &= \frac{As}{2} \\
# &= \frac\Delta2\, \frac{\eta A/2}{1 - \eta B/(2A)} .
# \end{aligned}$$
#
# With many units the error hardly knows the field of one, so that $\mathbb E\, e^2 g'^2 = A\,(2R + \Delta)$, and the fraction becomes a/(1 − a) with a = ηA/2. (Two units lie between.)
#
# **Predict.** Many papers take the *sum* of the units instead of the mean. At a fixed learning rate γ, has a wider sum `"more"` noise, `"less"`, or `"the same"`?

# %%
my_guess = ...

# %% tags=["idea"] vary="(0.5, 1, 2, 3) -> (0.5, 1, 2, 3.5)"
from regimes_course.lesson03.experiments import risk  # a closed form of Q and M

A, B = 2 / np.pi / 3**0.5, (2 / np.pi) ** 2 / 5**0.5
noise, T, measured, rng = 0.004, np.eye(1, 100), {}, np.random.default_rng(0)
for eta in (0.5, 1, 2, 3):
    floor = noise / 2 * (eta * A / 2) / (1 - eta * B / (2 * A))
    P = sgd(T, T, eta, noise, 20_000, rng)  # starts at the solution
    measured[eta] = risk(P[5_000::20], T).mean()
    print(f"η = {eta}: R2 = {floor:.2e}, SGD rests at {measured[eta]:.2e}")


# %%
def many(eta):
    return noise / 2 * (eta * A / 2) / (1 - eta * A / 2)


told = ", ".join(f"{many(0.2 * p):.2g} with {p}" for p in (2, 8))
why = {"less": "a mean averages the noise away, with η = γ/p; but a sum does not"}
why["the same"] = "γ is the same; but the step of a sum is η = γp"
told += f" units; for means {many(0.1):.2g} and {many(0.025):.2g}"
guess(my_guess, f"more: at γ = 0.2 the formula for many says {told}", why=why)

# %% [markdown]
# Small steps, a low floor: that is why learning rates are decayed. (At the largest step the formula, of first order in s, is too high.) A sum with learning rate γ is p times a mean with η = γp:
# before you compare widths, ask for η.
#
# ## It breaks when the step passes the pole
#
# $R_2$ has a *pole* where the denominator is zero, at η = 2A/B = π√(5/3). With the push of two units on each other it lies a little higher (right), for many at 2/A = π√3. Left, the floors that you measured;
# right, two units, a hundredth off the solution, without label noise:

# %%
show(*draw.breaks(measured, noise))

# %% [markdown]
# Beyond the pole the solution no longer holds SGD: the noise that the *error itself* makes, Bs, outgrows the drift. (Not all is forgotten: look at the risk.)
#
# And the test has a blind spot: it does not tell slow from a *poor minimum*. Our erf units never got caught in one, but ReLU units do; there only waiting tells (*deeper*).
#
# ## Play
#
# The first picture as the two equations give it, with sliders. A rest *ends* when the risk is below R₁/2.
#
# 1. At d = 50, η = 1, Δ = 0.004: at step 40 d, which change of the step size ends rest 1 soonest?
# 2. What do the same changes do at step 240 d?
# 3. Find a step size at which rest 2 lies as high as R₁.
#
# <details><summary>What we found</summary>
#
# 1. Doubling it: rest 1 ends at step 114 d instead of 125 d. Halved, it ends at 188 d, divided by ten at 675 d. Raising helps little, since the noise slows the
#    units down as they part.
# 2. Divided by ten, the floor falls from 4.7e-4 to 4.1e-5; halved, to 2.1e-4; doubled, it rises to 1.3e-3.
# 3. η = 3: the floor is at 2.88e-3, R₁ at 2.90e-3. The height of a rest tells you nothing; the cut does.</details>

# %% tags=["widget"] id="widget"
from regimes_course.lesson03.widgets import two_rests

two_rests.show()

# %% [markdown]
# ## The answer in three sentences
#
# A flat risk is slow if something that it cannot see still grows (here the difference between two units, from $d^{-1/2}$ like $e^{\lambda t}$), and stuck in noise if the step size holds it up. Cut the
# step size: slow gets slower, noise goes down. Drift and noise differ by one factor η = γ/p, and the phase diagram is what becomes of that factor when width and learning rate change with the
# inputs.
#
# ## How sure are we?

# %%
evidence("03", *"slope escape-rate first-rest one-unit-floor exponent-3 erf-stuck".split())

# %% [markdown]
# The last row disagrees with the paper's abstract, which sets wide networks against narrow ones that get stuck. The rest, and what the paper's code and figures say differently, stands in
# [deeper](deeper/03_phases_of_sgd.ipynb).
#
# ## Exercises
#
# `python3 course.py start 03` puts eight exercises into your folder `work`. Then lesson [04](04_min_norm_bias.ipynb): here the data were endless. With few data many fits have zero loss; which one is found?
#
# <details><summary>What to read next</summary>
#
# - R. Veiga, L. Stephan, B. Loureiro, F. Krzakala, L. Zdeborová: *Phase diagram of Stochastic Gradient Descent in high-dimensional two-layer neural networks*, NeurIPS 2022, arXiv 2202.00293.
# - D. Saad, S. Solla: *On-line learning in soft committee machines*, Physical Review E 52, 1995: the equations, with sums.
# - S. Goldt et al.: *Dynamics of stochastic gradient descent for two-layer neural networks in the teacher-student setup*, NeurIPS 2019, arXiv 1906.08632: that SGD follows them.
# - L. Arnaboldi, L. Stephan, F. Krzakala, B. Loureiro: *From high-dimensional & mean-field dynamics to dimensionless ODEs*, COLT 2023, arXiv 2302.05882: one description from gradient flow to mean-field.
# - G. Ben Arous, R. Gheissari, A. Jagannath: *High-dimensional limit theorems for SGD: effective dynamics and critical scaling*, NeurIPS 2022, arXiv 2206.04030: the noise term at the critical step.</details>
