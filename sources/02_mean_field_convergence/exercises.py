# ---
# jupyter:
#   regimes:
#     title: "Exercises 02: mean-field convergence"
#     minutes: 60
#     needs: ["02"]
#     papers: [arbel2023]
#     objectives:
#       - test whether a law of training sees only the cloud of units
#       - tell rounding from a real dependence on the width
#       - derive the loss of the damped Gauss-Newton flow mode by mode
#       - say where a formula for frozen features stops being exact
#       - estimate the infinite cloud from narrow networks
# ---

# %% [markdown]
# # Exercises 02: mean-field convergence
#
# Three exercises on [lesson 02](../lessons/02_mean_field_convergence.ipynb): the first tests its section 1 on other laws, the second opens its law of the loss,
# mode by mode, the third makes use of its section 2. Replace the lines `# YOUR CODE HERE` and
# `raise NotImplementedError()`, run the cell, and
# run the check under it: it answers at once, and it recognises typical mistakes. The cell after it, `see`, redraws a picture of the
# lesson with your function; until yours passes, it takes a solution and says so. Hints are folded. Nothing later in this notebook
# depends on your answers, so you can take the exercises in any order. With little time, do the two that are marked *core*; the
# *optional* one is for the fast.
#
# Arrays are `torch.float64` tensors; leave the arguments of exercises 2 and 3 as they are. Entries have to agree to seven digits of the largest one. The formulas are
# yours to write: an answer calls nothing of `regimes.theory`.

# %%
import torch

from regimes_course.exercises import check, see

# %% [markdown] exercise="duplication_test" stars=2 minutes=20 concept="particle picture" role="core"
# ## Exercise 1: does a law of training see only the cloud?
#
# ★★ · 20 minutes · write a property test · core
#
# In mean-field scaling, $f(x) = \frac1m \sum_j v_j\,\phi(w_j\cdot x + b_j)$ is a mean over units. Take every unit twice, in whatever
# order: $m$ doubles, and the function stays the same. A law of training fits the picture of a cloud of particles if this is still so
# *at all times*: the two networks, trained by the same law, remain one function, on the training inputs and on any others.
#
# Not every law passes. A time scale without the factor $m$ slows the units of a wide network down, and there are subtler ways to
# depend on the width. You write the test that finds them. The check hands it 24 laws, each with a network, and compares your verdicts
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

# %% see="duplication_test"
see("02/duplication_test", duplication_test)

# %% [markdown] discussion="duplication_test" tags=["solution"]
# **Discussion.** A property test needs no right answer to compare with, only something that must not change. What you vary decides what
# it can find. Copies in the same order miss a law that looks at a unit's place; one step from $v = 0$ misses whatever acts on the
# hidden weights; outputs on the training data alone miss a law that fits them exactly and moves the features at a speed of its own. It
# is outputs that must agree, not parameters: a law may store its units in another order at any time. And equality means up to rounding:
# here far below the weakest dependence on the width.
#
# Some of the laws that failed are met in practice: a gradient divided by its norm over *all* parameters, which is what clipping does,
# weight decay in proportion to the number of units, or a damping that acts on $JJ^T$.

# %% [markdown] exercise="damped_envelope" stars=2 minutes=15 concept="rates mode by mode" role="core"
# ## Exercise 2: the damped flow, mode by mode
#
# ★★ · 15 minutes · derive, then compare with two runs · core
#
# In the lesson the damping $\varepsilon$ was so small that all of the residual shrank at one rate. In small steps, as a flow, and with any damping the residual
# obeys $\dot r = -K (K + \varepsilon I)^{-1} r$: along each eigenvector of $K$ at a rate of its own. Whatever the residual, the loss then lies in an
# *envelope*: *low* is its fall without any damping, whatever $K$ (so not the fall at the rate of the largest eigenvalue, which would be a tighter end), *high* the fall at
# the slowest rate, that of the smallest eigenvalue of $K$.
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

# %% see="damped_envelope"
see("02/damped_envelope", damped_envelope)

# %% [markdown] discussion="damped_envelope" tags=["solution"]
# **Discussion.** With $K = Q\,\mathrm{diag}(\lambda)\,Q^T$ and $a = Q^T r_0$ each coefficient obeys $\dot a_i = -\rho_i a_i$, so that
# $$\begin{aligned}
# \frac{L(t)}{L(0)} &= \sum_i \frac{a_i^2}{\lVert r_0\rVert^2}\, e^{-2\rho_i t}, \\[4pt]
# \rho_i &= \frac{\lambda_i}{\lambda_i+\varepsilon} .
# \end{aligned}$$
# It is a mean of exponentials: early on the fast modes set the slope, in the end the slowest mode that the residual contains. The two ends of the
# envelope are the extreme cases, all of the residual in one mode. On a singular kernel the upper end is 1: what lies in its null
# space is never learned.
#
# The formula is exact for the frozen layer (see the picture). When the hidden weights learn it is only a first guess, good for short times: at the start
# $v = 0$ and both runs have the same kernel, then $v$ grows, and with it the part of $K$ that comes from the hidden layer. Eigenvalues
# rise above the damping, and the loss falls almost as without damping. The envelope still holds, because it takes the smallest
# eigenvalue along the whole path.

# %% [markdown] exercise="infinite_cloud" stars=2 minutes=15 concept="extrapolation in the width" role="optional"
# ## Exercise 3: the infinite cloud from narrow networks
#
# ★★ · 15 minutes · implement · optional
#
# In section 2 of the lesson the mean of many networks was off from the infinite cloud by nearly $\zeta/m$. What is off by a known law can be taken out. Suppose
# that at each input the outputs of networks with $m$ units scatter around a straight line in $1/m$, $f_\infty + \zeta/m$. Fit that line by least
# squares, with one point for every network, and return $f_\infty$.


# %% exercise="infinite_cloud"
def infinite_cloud(widths, outputs):
    """What the infinite cloud says, from what narrow networks say.

    widths: a list of two or more different whole numbers.
    outputs: for each width a tensor (networks, n), what some networks of it say at n inputs.
        There may be more networks of one width than of another.
    Returns: (n,).
    """
    ### BEGIN SOLUTION
    every = zip(widths, outputs, strict=True)
    x = torch.cat([f.new_full((len(f),), 1 / m) for m, f in every])
    design = torch.stack([torch.ones_like(x), x], 1)
    return torch.linalg.lstsq(design, torch.cat(outputs)).solution[0]
    ### END SOLUTION


# %% [markdown] hints="infinite_cloud"
# <details><summary>Hint 1</summary>
# In which variable is it a straight line? And where on its axis is the infinite cloud?</details>
#
# <details><summary>Hint 2</summary>
# torch.linalg.lstsq(A, B).solution fits all inputs at once: A has a row for each network, with a one and a 1/m, and B the outputs of that network in its row.</details>
#
# <details><summary>Hint 3</summary>
# By hand: two networks of 2 units that say [1, 4] and [3, 4], two of 4 units that say [1, 3] and [1, 6]. The means are [2, 4] and [1, 4.5], and the
# lines meet 1/m = 0 at [0, 5].</details>

# %% check="infinite_cloud"
check("02/infinite_cloud", infinite_cloud)

# %% see="infinite_cloud"
see("02/infinite_cloud", infinite_cloud)

# %% [markdown] discussion="infinite_cloud" tags=["solution"]
# **Discussion.** With as many networks of $m$ units as of $4m$ this is $\frac13\,(4 \bar f_{4m} - \bar f_m)$, which is called Richardson extrapolation. What it leaves is
# the next term of the expansion, in $1/m^2$, and the scatter of the two means, which it makes larger: the narrower the networks, the more of the first, the fewer of
# them, the more of the second. Least squares as it stands trusts all networks alike. A single output scatters as $1/\sqrt m$, so weights in proportion to $m$ would be better.

# %% [markdown]
# ## Two questions to write about
#
# 10 minutes · three or four sentences each, in your own words, before you open the model answer
#
# **1.** In mean-field scaling the gradient has a factor 1/m, and a step of the lesson makes up for it by a factor m. What would happen in wide
# networks without the factor m, and why is this not another kind of training, only another clock?
#
# <details><summary>A model answer</summary>
#
# The output is a mean, so a single unit has a share of 1/m in it, and so has the derivative of the loss by its weights. Without the factor m a step
# moves each unit 1/m as far. All units are slowed down alike, and the function with them: to small steps it is the same path through the same clouds, walked m times as
# slowly. After a given number of steps a wide network has hardly moved, which looks like lazy training, and is only too early.</details>
#
# **2.** A colleague divides the gradient by its length over all parameters before each step. What would happen to the speed of a unit if every unit
# were written four times? Which length would be right?
#
# <details><summary>A model answer</summary>
#
# The function and what each unit feels stay as they are, but four times as many units have a length twice as large: the root of a sum over four times as many squares. So each
# unit would move half as far in a step. That is a dependence on the number of units, and the two networks part at once. The root of the *mean* square over units does not change
# when units are copied: a law that divides by it sees only the cloud.</details>
