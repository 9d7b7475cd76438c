# ---
# jupyter:
#   regimes:
#     title: "Exercises 02: mean-field convergence"
#     minutes: 40
#     needs: ["02"]
#     papers: [arbel2023]
#     objectives:
#       - test whether a law of training sees only the cloud of units
#       - tell rounding from a real dependence on the width
#       - derive the loss of the damped Gauss-Newton flow mode by mode
#       - say where a formula for frozen features stops being exact
# ---

# %% [markdown]
# # Exercises 02: mean-field convergence
#
# Two exercises on [lesson 02](../lessons/02_mean_field_convergence.ipynb): the first tests its section 1 on other laws, the second opens its law of the loss,
# mode by mode. Replace the lines `# YOUR CODE HERE` and
# `raise NotImplementedError()`, run the cell, and
# run the check under it: it answers at once, and it recognises typical mistakes. Hints are folded. Nothing later in this notebook
# depends on your answers, so you can take the exercises in any order. Arrays are `torch.float64` tensors.

# %%
from functools import partial

import torch

from regimes.directions import gauss_newton
from regimes.flows import RungeKutta4
from regimes.kernels import neural_tangent_kernel
from regimes.metrics import spectrum
from regimes.networks import TwoLayer
from regimes.problems import teacher_student
from regimes.theory import gauss_newton as theory
from regimes.training import train
from regimes_course.exercises import check
from regimes_course.kit import show
from regimes_course.kit.plotting import curve, legend, panels, predicted

# %% [markdown] exercise="duplication_test" stars=2 minutes=20 concept="particle picture"
# ## Exercise 1: does a law of training see only the cloud?
#
# ★★ · 20 minutes · write a property test
#
# In mean-field scaling, $f(x) = \frac1m \sum_j v_j\,\phi(w_j\cdot x + b_j)$ is a mean over units. Take every unit twice, in whatever
# order: $m$ doubles, and the function stays the same. A law of training fits the picture of a cloud of particles if this is still so
# *at all times*: the two networks, trained by the same law, remain one function, on the training inputs and on any others.
#
# Not every law passes. A time scale without the factor $m$ slows the units of a wide network down, and there are subtler ways to
# depend on the width. You write the test that finds them. The check hands it 22 laws, each with a network, and compares your verdicts
# with the right ones. All of these laws are deterministic, and a dozen steps are plenty.


# %% exercise="duplication_test"
def duplication_test(step, net, x, y, x_new):
    """Whether a law of training sees only the cloud of units: True or False.

    step: the law. Called as step(a_network, x, y), it trains that network in place, by one step.
    net: a TwoLayer to try it on, which you may train. It has net.width units, and net.units(index) makes
        another network from copies of the units that index, a tensor of whole numbers, names.
    x: (n, d) and y: (n,), the training data.   x_new: (n_new, d) other inputs.
    """
    ### BEGIN SOLUTION
    index = torch.arange(net.width)
    twin = net.units(torch.cat([index, index.flip(0)]))
    for _ in range(10):
        for cloud in (net, twin):
            step(cloud, x, y)
    return torch.allclose(net(x_new), twin(x_new), rtol=1e-6, atol=1e-8)
    ### END SOLUTION


# %% [markdown] hints="duplication_test"
# <details><summary>Hint 1</summary>
# Make the second network before you train the first: <code>step</code> works in place. Both take equally many steps.</details>
#
# <details><summary>Hint 2</summary>
# What is the derivative of f by a hidden weight while v = 0? How many steps does it take until the hidden weights move?</details>
#
# <details><summary>Hint 3</summary>
# A cloud has no order, so take the copies in another order than the originals. Sums of the same numbers in another order differ in
# the last digits: <code>torch.allclose</code>, with its tolerances as they are, is neither too strict nor too loose.</details>

# %% check="duplication_test"
check("02/duplication_test", duplication_test)

# %% [markdown] discussion="duplication_test" tags=["solution"]
# **Discussion.** A property test needs no right answer to compare with, only something that must not change. What you vary decides what
# it can find. Copies in the same order miss a law that looks at a unit's place; one step from $v = 0$ misses whatever acts on the
# hidden weights; outputs on the training data alone miss a law that fits them exactly and moves the features at a speed of its own. It
# is outputs that must agree, not parameters: a law may store its units in another order at any time. And equality means up to rounding:
# here far below the weakest dependence on the width.
#
# Some of the laws that failed are met in practice: a gradient divided by its norm over *all* parameters, which is what clipping does,
# weight decay in proportion to the number of units, or a damping that acts on $JJ^\top$.

# %% [markdown] exercise="damped_envelope" stars=2 minutes=15 concept="rates mode by mode"
# ## Exercise 2: the damped flow, mode by mode
#
# ★★ · 15 minutes · derive, then compare with two runs
#
# In the lesson the damping $\varepsilon$ was so small that all of the residual shrank at one rate. In small steps, as a flow, and with any damping the residual
# obeys $\dot r = -K (K + \varepsilon I)^{-1} r$: along each eigenvector of $K$ at a rate of its own. Whatever the residual, the loss then lies in an
# *envelope*, between its fall without any damping (low) and the fall at the slowest rate, that of the smallest eigenvalue (high).
#
# Suppose that $K$ stands still, as it does when the hidden layer is frozen. Then more can be said: the loss itself is known at every time. Derive
# $L(t)/L(0)$ from $K$ and the residual at the start, and return it together with the two ends of the envelope.


# %% exercise="damped_envelope"
def damped_envelope(t, K, r0, damping):
    """The relative loss L(t) / L(0) of the damped Gauss-Newton flow, and the envelope it lies in.

    t: (k,) times.   K: (n, n) kernel, symmetric; eigenvalues below zero are rounding, take them for zero.
    r0: (n,) residual at t = 0.   damping: > 0, or 0 if K is invertible.
    Returns: (3, k), the rows loss, low and high.
    """
    ### BEGIN SOLUTION
    lam, Q = torch.linalg.eigh(K)
    rho = lam.clamp(min=0) / (lam.clamp(min=0) + damping)
    share = (Q.T @ r0) ** 2 / (r0 @ r0)
    loss = torch.exp(-2 * torch.outer(t, rho)) @ share
    return torch.stack([loss, torch.exp(-2 * t), torch.exp(-2 * rho[0] * t)])
    ### END SOLUTION


# %% [markdown] hints="damped_envelope"
# <details><summary>Hint 1</summary>
# K and (K + ε I)⁻¹ have the same eigenvectors. Write the residual in terms of them: each coefficient obeys an equation of its own.</details>
#
# <details><summary>Hint 2</summary>
# A coefficient decays as exp(−ρt) with ρ = λ/(λ + ε). The loss is the sum of their squares, divided by 2n, and the eigenvectors
# returned by <code>torch.linalg.eigh</code> are the columns of its second result.</details>
#
# <details><summary>Hint 3</summary>
# To try: K = diag(2, 1/2), r0 = [1, 2] and ε = 1/2 have the rates 4/5 and 1/2, and at t = 1 the loss (e^(−1.6) + 4 e^(−1))/5 = 0.335.</details>

# %% check="damped_envelope"
check("02/damped_envelope", damped_envelope)

# %% [markdown]
# Two runs to compare with, from the same start on noise labels: one with its hidden layer frozen, and one that learns features. If your
# function passes, draw `damped_envelope(t, K, r0, damping)[0]` into the figure, with the function `curve`.

# %%
data, damping = teacher_student(12, 4, labels="noise", seed=1), 1e-2
watch = {"least": lambda net: spectrum(net, data.x)[-1]}
runs = {}
for name in ("random features", "feature learning"):
    net = TwoLayer(4, 80, seed=2)
    K, r0 = neural_tangent_kernel(net, data.x), net(data.x).detach() - data.y
    net.W.requires_grad_(name == "feature learning")
    flow = RungeKutta4(net, partial(gauss_newton, damping=damping), dt=0.1)
    runs[name] = train(net, data.x, data.y, flow, 40, measure=watch)

# %%
t = runs["random features"].time
least = min(run.measured["least"].min() for run in runs.values())
low, high = theory.damped_envelope(t, least, damping)
fig, (ax,) = panels(size=(5.4, 3.2))
for name, run in runs.items():
    curve(ax, t, run.relative, name)
predicted(ax, t, low, "envelope")
predicted(ax, t, high, None)
ax.set(xlabel="time t", ylabel="relative loss $L(t)/L(0)$", yscale="log")
legend(ax)
frozen, learned = (run.relative[20] for run in runs.values())
show(
    fig,
    f"At t = 2 the loss is at {frozen:.2g} of its start with frozen features and at "
    f"{learned:.2g} with features that learn; the envelope goes from {low[20]:.2g} to {high[20]:.2g}.",
)

# %% [markdown] discussion="damped_envelope" tags=["solution"]
# **Discussion.** With $K = Q\,\mathrm{diag}(\lambda)\,Q^\top$ and $a = Q^\top r_0$ each coefficient obeys $\dot a_i = -\rho_i a_i$, so that
# $$\frac{L(t)}{L(0)} = \sum_i \frac{a_i^2}{\lVert r_0\rVert^2}\, e^{-2\rho_i t}, \qquad \rho_i = \frac{\lambda_i}{\lambda_i+\varepsilon} .$$
# It is a mean of exponentials: early on the fast modes set the slope, in the end the slowest mode that the residual contains. The two ends of the
# envelope are the extreme cases, all of the residual in one mode. On a singular kernel the upper end is 1: what lies in its null
# space is never learned.
#
# The formula is exact for the frozen layer (next cell). When the hidden weights learn it is only a first guess, good for short times: at the start
# $v = 0$ and both runs have the same kernel, then $v$ grows, and with it the part of $K$ that comes from the hidden layer. Eigenvalues
# rise above the damping, and the loss falls almost as without damping. The envelope still holds, because it takes the smallest
# eigenvalue along the whole path.

# %% tags=["solution"]
loss = damped_envelope(t, K, r0, damping)[0]
for name, run in runs.items():
    off = (run.relative / loss - 1).abs()
    print(f"{name}: off by {off[1]:.1g} at t = 0.1 and {off[20]:.1g} at t = 2")
