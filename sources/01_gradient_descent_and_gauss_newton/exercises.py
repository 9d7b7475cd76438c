# ---
# jupyter:
#   regimes:
#     title: "Exercises 01: gradient descent and Gauss-Newton"
#     minutes: 70
#     needs: ["01"]
#     papers: [arbel2023]
#     objectives:
#       - write the Gauss-Newton direction in sample space
#       - build a kernel without building a Jacobian
#       - predict how many steps training takes
#       - recognise a run that fits without learning features
# ---

# %% [markdown]
# # Exercises 01: gradient descent and Gauss-Newton
#
# Four exercises on [lesson 01](../lessons/01_gradient_descent_and_gauss_newton.ipynb). Replace the lines `# YOUR CODE HERE` and
# `raise NotImplementedError()`, run the cell, and
# run the check under it: it answers at once, and it recognises typical mistakes. The cell after it, `see`, redraws a picture of the
# lesson with your function; until yours passes, it takes a solution and says so. Hints are folded. Nothing later in this notebook
# depends on your answers, so you can take the exercises in any order. With little time, do the two that are marked *core*; the
# *optional* one is for the fast.
#
# Arrays are `torch.float64` tensors; exercise 2 takes and returns plain numbers. Return new tensors; leave the arguments as they are.
# Entries have to agree to seven digits of the largest one, in exercise 3 to nine. The formulas are yours to write: in exercises 1 to 3 an
# answer calls nothing of `regimes`.

# %%
import math

import torch

from regimes.metrics import loss_on
from regimes.optimizers import GaussNewton
from regimes.theory import gauss_newton as theory
from regimes.training import train
from regimes_course.exercises import check, see
from regimes_course.lesson01.experiments import fresh

# %% [markdown] exercise="gn_direction" stars=2 minutes=15 concept="sample space" role="core"
# ## Exercise 1: the Gauss-Newton direction in sample space
#
# ★★ · 15 minutes · implement · core
#
# Among all parameter movements $\delta$, the damped Gauss-Newton direction minimises
# $\lVert J\delta - r\rVert^2 + \mu \lVert\delta\rVert^2$. There are two forms of it, with a $p \times p$ and with an $n \times n$ system, for $p$ parameters and
# $n$ samples. Here $p \gg n$: use the small one. At $\mu = 0$ the function should return the shortest $\delta$ with $J\delta = r$. (As in the
# lesson, the damping $\mu$ is added to $JJ^T$, and $\varepsilon = m\mu$ to $K = m JJ^T$.)


# %% exercise="gn_direction"
def gn_direction(J, r, damping):
    """The direction that is subtracted from the parameters.

    J: (n, p) Jacobian.   r: (n,) residual f - y.   damping: μ, a number >= 0.
    Returns: (p,).
    """
    ### BEGIN SOLUTION
    K = J @ J.T + damping * torch.eye(len(r), dtype=J.dtype)
    return J.T @ torch.linalg.solve(K, r)
    ### END SOLUTION


# %% [markdown] hints="gn_direction"
# <details><summary>Hint 1</summary>
# The textbook form is (JᵀJ + μ I)⁻¹ Jᵀ r, with a p × p matrix. Which n × n matrix can stand in its place?</details>
#
# <details><summary>Hint 2</summary>
# Section 3 of the lesson goes from one form to the other, and its cell computes both for one network.</details>
#
# <details><summary>Hint 3</summary>
# By hand: J = [[1, 0, 1], [0, 2, 0]], r = [1, 2] gives J Jᵀ = [[2, 0], [0, 4]], so without damping the direction is [1/2, 1, 1/2].</details>

# %% check="gn_direction"
check("01/gn_direction", gn_direction)

# %% see="gn_direction"
see("01/gn_direction", gn_direction)

# %% [markdown] discussion="gn_direction" tags=["solution"]
# **Discussion.** $(J^T J + \mu I)\, J^T = J^T (J J^T + \mu I)$ is called the push-through identity. Both forms are the same vector for μ > 0; at
# μ = 0 and $p > n$ only the second exists, because $J^T J$ has rank $n$ at most. With more samples than parameters it is the other way round, and the
# $p \times p$ system is the small one: a library looks at the shape of $J$ and takes the smaller. `solve` is a good choice while $JJ^T$ is well conditioned: forming it squares the
# condition number of $J$. The library's `regimes.linalg` corrects for that with two products with $J$.

# %% [markdown] exercise="steps_to" stars=2 minutes=10 concept="rates and envelopes"
# ## Exercise 2: how many steps?
#
# ★★ · 10 minutes · derive, then compare with a run
#
# A Gauss-Newton step of size $\eta$ multiplies a mode of the residual with eigenvalue $\lambda$ by $1 - \eta\rho$, with
# $\rho = \lambda/(\lambda+\varepsilon)$. The loss is proportional to the square of the residual. Return the fewest and the most steps after
# which the loss can first be *at most* `tolerance` times its start: the fewest if all of the residual lies in modes far above the damping ($\rho = 1$), the
# most if all of it lies in the mode of $\lambda_{\min}$. Assume $0 < \eta < 1$. (For comparison, on paper: how many does gradient descent need at half its
# stability limit, if all of the residual lies in the mode of $\lambda_{\min}$? The two eigenvalues of the lesson's first picture are 0.0155 and 0.835.)


# %% exercise="steps_to"
def steps_to(tolerance, step, lambda_min, damping):
    """The fewest and the most steps until the loss is at most tolerance times its start.

    tolerance, step: numbers between 0 and 1.   lambda_min: > 0.   damping: >= 0.
    Returns: a tuple of two whole numbers (int).
    """

    ### BEGIN SOLUTION
    def count(rho):
        return math.ceil(math.log(tolerance) / (2 * math.log(1 - step * rho)))

    return count(1.0), count(lambda_min / (lambda_min + damping))
    ### END SOLUTION


# %% [markdown] hints="steps_to"
# <details><summary>Hint 1</summary>
# After k steps a single mode has the loss (1 − ηρ)²ᵏ times its start. Take logarithms.</details>
#
# <details><summary>Hint 2</summary>
# To try: tolerance 1e-3, step 0.02, no damping gives 171 for both.</details>

# %% check="steps_to"
check("01/steps_to", steps_to)

# %% see="steps_to"
see("01/steps_to", steps_to)

# %% [markdown] discussion="steps_to" tags=["solution"]
# **Discussion.** Three typical slips: forgetting that the loss is a square (twice as many steps), using the flow's $e^{-2t}$ for a finite
# step (slightly too many), and dividing the count by $\rho$ instead of multiplying the step by it (which agrees only for small steps). Gradient descent at half
# its limit multiplies the slow mode by $1 - \lambda_{\min}/\lambda_{\max}$: to a thousandth that takes $\ln 10^{-3} / (2 \ln(1 - 0.0155/0.835))$, or 185 steps. The lesson's
# run took 181, since part of its residual was in the fast mode.

# %% [markdown] exercise="two_layer_gram" stars=2 minutes=20 concept="kernel without a Jacobian" role="optional"
# ## Exercise 3: the Gram matrix of a two-layer network
#
# ★★ · 20 minutes · derive, then implement · optional
#
# For $f(x) = \frac1m \sum_j v_j \tanh(w_j\cdot x + b_j)$ with parameters $W$, $b$ and $v$, compute the kernel $K = m\,JJ^T$ on the rows of
# $X$ without building $J$: two $n\times m$ arrays are enough.


# %% exercise="two_layer_gram"
def two_layer_gram(W, b, v, X):
    """The kernel K = m J J^T.

    W: (m, d) hidden weights.   b: (m,) biases.   v: (m,) output weights.   X: (n, d) inputs.
    Returns: (n, n).
    """
    ### BEGIN SOLUTION
    m = len(v)
    Phi = torch.tanh(X @ W.T + b)
    D = (1 - Phi**2) * v
    return (Phi @ Phi.T + (D @ D.T) * (X @ X.T + 1)) / m
    ### END SOLUTION


# %% [markdown] hints="two_layer_gram"
# <details><summary>Hint 1</summary>
# J Jᵀ is a sum over parameters of (∂f(x)/∂w)(∂f(x')/∂w). Take the three groups of parameters one after the other.</details>
#
# <details><summary>Hint 2</summary>
# ∂f(x)/∂v_j = φ(z_j)/m, ∂f(x)/∂b_j = v_j φ'(z_j)/m, ∂f(x)/∂w_j = v_j φ'(z_j) x/m, with z_j = w_j·x + b_j.</details>
#
# <details><summary>Hint 3</summary>
# The sum over the entries of x in the last group gives x·x'. With D = φ'(Z) diag(v), biases and weights together give an entry-wise
# product of D Dᵀ with (X Xᵀ + 1).</details>

# %% check="two_layer_gram"
check("01/two_layer_gram", two_layer_gram)

# %% see="two_layer_gram"
see("01/two_layer_gram", two_layer_gram)

# %% [markdown] discussion="two_layer_gram" tags=["solution"]
# **Discussion.** The cost is $4n^2m$ operations and the memory two $n\times m$ arrays, however many parameters there are. The same formula,
# inputs against inputs times sensitivities against sensitivities, holds for each layer of any feed-forward network: that is
# `regimes.jacobians.LayerwiseJacobian`. Duplicating every unit leaves $K$ unchanged: the factor $m$ makes it a property of the *cloud* of
# units (lesson 02).

# %% [markdown] exercise="find_the_bug" stars=3 minutes=15 concept="fitting is not feature learning" role="core"
# ## Exercise 4: find the bug
#
# ★★★ · 15 minutes · break it, and mend it · core
#
# A colleague trains a network of 120 units with small hidden weights on 60 labels from a teacher with two units. The training loss
# reaches zero, faster than ever. But on test data the network is no better than random features with a fitted last layer. Run the next
# cell and look at the numbers.


# %%
def colleagues_training(net, x, y):
    return train(net, x, y, GaussNewton(net, lr=1.0), 20)


net, data = fresh(seed=0)
start = net.W.detach().clone()
features, new_features = (
    net.hidden(inputs)[0].detach() for inputs in (data.x, data.x_test)
)
baseline = theory.random_feature_prediction(features, data.y, new_features)
trace = colleagues_training(net, data.x, data.y)
print(f"training loss below 1e-20: {bool(trace.loss[-1] < 1e-20)}")
print(f"test loss of the network:  {loss_on(net, data.x_test, data.y_test):.3f}")
print(f"test loss of random features: {(baseline - data.y_test).square().mean() / 2:.3f}")

# %% [markdown]
# Write a training function that fits the training data too (to 1e-6 of the loss of predicting zero) *and* has a test loss at least five
# times below that of random features. It must start from the network it is given. Do not look at the test data: there is something about
# the run itself that you can measure and that gives the bug away.


# %% exercise="find_the_bug"
def find_the_bug(net, x, y):
    """Train net on x, y, and return the Trace that train() returns.

    net: a TwoLayer with v = 0.   x: (n, d).   y: (n,).
    """
    ### BEGIN SOLUTION
    return train(net, x, y, GaussNewton(net, lr=0.05), 200)
    ### END SOLUTION


# %% [markdown] hints="find_the_bug"
# <details><summary>Hint 1</summary>
# How far did the hidden weights move? Compare net.W with start.</details>
#
# <details><summary>Hint 2</summary>
# What is the derivative of f with respect to a hidden weight while v = 0? And what is the residual after one full step?</details>
#
# <details><summary>Hint 3</summary>
# See section 6 of <a href="../lessons/deeper/01_gradient_descent_and_gauss_newton.ipynb">deeper</a>. After k steps of size η the time is t = kη, and the loss falls as e^(−2t).</details>

# %% check="find_the_bug"
check("01/find_the_bug", find_the_bug)

# %% see="find_the_bug"
see("01/find_the_bug", find_the_bug)

# %% [markdown] discussion="find_the_bug" tags=["solution"]
# **Discussion.** With $v = 0$ the hidden weights have no derivative, so the first step moves only $v$. A full step makes the residual zero at
# once; then every later step is zero, up to rounding, and the hidden weights stay where they were. Small steps leave a residual while $v$ grows, and
# the hidden weights follow it. A large damping does something similar, because it leaves a residual too: try
# `GaussNewton(net, lr=1.0, damping=0.1)` with 100 steps. Whether features *help* is a matter of the problem: here the teacher has two units, and
# finding their directions pays.

# %% [markdown]
# ## Two questions to write about
#
# 10 minutes · three or four sentences each, in your own words, before you open the model answer
#
# **1.** A Gauss-Newton step shrinks every mode of the residual by the same factor, a gradient step does not. Where in the two steps does the
# difference come from? And why does it not follow that Gauss-Newton predicts better on test data?
#
# <details><summary>A model answer</summary>
#
# To first order a step δ changes the outputs by −J δ. The gradient step is a multiple of Jᵀr and changes the residual by a multiple of J Jᵀ r: each
# mode in proportion to its eigenvalue. Gauss-Newton puts (J Jᵀ)⁻¹ in between, which cancels the eigenvalues: J Jᵀ (J Jᵀ)⁻¹ r = r. But this
# is a statement about the residual on the training data, and says nothing about other inputs. What the network predicts there depends on
# the features with which it fits, and one full step fits before the features have moved (exercise 4).</details>
#
# **2.** What would happen to the two counts of exercise 2 if the damping were a hundred times the largest eigenvalue? Which method would this be?
#
# <details><summary>A model answer</summary>
#
# Nothing would lie far above the damping: even the fastest mode would have the rate ρ = 1/101, so the first count would no longer be reached. For all
# modes ρ would be nearly λ/ε, and for such small rates the counts go as 1/ρ: the slowest mode would need λ_max/λ_min times as many steps as the
# fastest. The conditioning is back, because (K + ε I)⁻¹ is nearly I/ε: these are the lesson's gradient steps, of the size ηn/ε. To be
# as fast as before they would have to be about a hundred times as large.</details>
