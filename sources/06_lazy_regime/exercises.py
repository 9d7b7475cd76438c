# ---
# jupyter:
#   regimes:
#     title: "Exercises 06: the lazy regime"
#     minutes: 80
#     needs: ["06"]
#     papers: [buffelli2024]
#     objectives:
#       - write the kernel of infinite width in closed form
#       - predict a network at new inputs without training it
#       - count the samples that a kernel needs for a task
#       - write the loss of the dial from rich to lazy
# ---

# %% [markdown]
# # Exercises 06: the lazy regime
#
# Four exercises on [lesson 06](../lessons/06_lazy_regime.ipynb). Replace the lines `# YOUR CODE HERE` and
# `raise NotImplementedError()`, run the cell, and
# run the check under it: it answers at once, and it recognises typical mistakes. The cell after it, `see`, redraws a picture of the
# lesson with your function; until yours passes, it takes a solution and says so (the picture of exercise 3 waits: it prints the answer). Hints are folded. Nothing later in this notebook
# depends on your answers, so you can take the exercises in any order. With little time, do the two that are marked *core*; the
# *optional* one is for the fast.
#
# Arrays are `torch.float64` tensors; exercise 3 takes and returns plain numbers. Return new tensors; leave the arguments as they are. Entries have
# to agree to seven digits of the largest one, in exercise 1 to six, in exercise 4 to nine. The formulas are yours to write: an answer calls
# nothing of `regimes`.

# %%
import math

import torch

from regimes.kernels import LazyScaling, neural_tangent_kernel
from regimes.metrics import change_from_init
from regimes.networks import TwoLayer
from regimes.optimizers import GradientDescent
from regimes.problems import digits, parity
from regimes.theory import lazy
from regimes.training import train
from regimes_course.exercises import check, see

# %% [markdown] exercise="relu_limit" stars=2 minutes=20 concept="the kernel of infinite width" role="core"
# ## Exercise 1: the kernel of infinite width
#
# ★★ · 20 minutes · derive, then implement · core
#
# A network $f(x) = \frac{1}{\sqrt m}\sum_j v_j\,\phi(w_j\cdot x)$ with ReLU, $\phi(z) = \max(z, 0)$, and weights from $N(0, 1)$ has at infinite
# width the kernel
#
# $$\begin{aligned}
# K(x, z) &= E[\phi(w\cdot x)\,\phi(w\cdot z)] \\
# &\;\; {} + x\cdot z\;E[\phi'(w\cdot x)\,\phi'(w\cdot z)].
# \end{aligned}$$
#
# (The lesson states the result for you to compare with: its bracket holds both parts.) Let $\theta$ be the angle between $x$ and $z$. The second expectation is the share of directions $w$ that have a positive inner product with
# both: find it in the plane of $x$ and $z$. The first one takes an integral, and its value is
#
# $$\begin{aligned}
# &E[\phi(w\cdot x)\,\phi(w\cdot z)] \\
# &\quad = \frac{|x||z|}{2\pi}\left[\sin\theta + (\pi - \theta)\cos\theta\right].
# \end{aligned}$$
#
# Write the kernel. Inputs have any length; some are parallel, some opposite, none is zero.


# %% exercise="relu_limit"
def relu_limit(X, Z):
    """The neural tangent kernel of a two-layer ReLU network of infinite width, both layers trained.

    X: (n, d).   Z: (k, d).
    Returns: (n, k).
    """
    ### BEGIN SOLUTION
    inner = X @ Z.T
    lengths = X.norm(dim=1)[:, None] * Z.norm(dim=1)
    cosine = (inner / lengths).clamp(-1, 1)
    other = math.pi - torch.arccos(cosine)
    features = lengths * (torch.sin(other) + other * cosine)
    return (features + inner * other) / (2 * math.pi)
    ### END SOLUTION


# %% [markdown] hints="relu_limit"
# <details><summary>Hint 1</summary>
# In the plane, w has a positive inner product with x on a half circle. Two half circles, turned by θ against each other, have an arc of π − θ in
# common.</details>
#
# <details><summary>Hint 2</summary>
# The cosine of θ is x·z / |x||z|. Rounding can make it 1 + 2·10⁻¹⁶ for parallel inputs, and torch.arccos gives NaN there.</details>
#
# <details><summary>Hint 3</summary>
# By hand: K(x, x) = |x|² (a half from each layer), K(x, −x) = 0, and orthogonal inputs of length one have 1/2π = 0.159.</details>

# %% check="relu_limit"
check("06/relu_limit", relu_limit)

# %% see="relu_limit"
see("06/relu_limit", relu_limit)

# %% [markdown] discussion="relu_limit" tags=["solution"]
# **Discussion.** $\sin(\pi-\theta) = \sin\theta$, which is why the solution can work with the complement alone. $K(x, x) = |x|^2$, half of it from each layer. The
# library has this as `regimes.theory.lazy.relu_kernel`; below is what wide networks make of it.

# %% tags=["solution"]
x = digits(3, 8, n=20, unit=True, seed=0).x
for m in (100, 10_000):
    net = TwoLayer(64, m, activation="relu", scaling="ntk", bias=False, output_std=1.0)
    K, limit = neural_tangent_kernel(net, x), lazy.relu_kernel(x)
    print(f"m = {m:6}: relative error {((K - limit).norm() / limit.norm()).item():.1e}")

# %% [markdown] exercise="predict" stars=2 minutes=15 concept="training without training"
# ## Exercise 2: predict a network without training it
#
# ★★ · 15 minutes · derive, then implement
#
# On a kernel that does not move, gradient flow on the loss $\frac{1}{2n}\lVert r\rVert^2$ obeys $\dot r = -Kr/n$ on the training data,
# and the outputs at new inputs follow: $\dot f_{\rm new} = -K_{\rm new}\, r/n$, where $K_{\rm new}$ is the kernel between new inputs and training inputs. Integrate: what is
# $f_{\rm new}$ at time $t$? Write the formula. The kernels you get have full rank. (In the picture a network was trained, and your formula was not.)


# %% exercise="predict"
def predict(K, K_new, r0, f_new, t):
    """Outputs at new inputs after gradient flow for a time t, on a kernel that does not move.

    K: (n, n), on the training inputs.   K_new: (k, n), between new inputs and training inputs.
    r0: (n,), residual f - y at the start.   f_new: (k,), outputs at the start.   t: a number.
    Returns: (k,).
    """
    ### BEGIN SOLUTION
    left = torch.linalg.matrix_exp(-K * t / len(r0)) @ r0
    return f_new - K_new @ torch.linalg.solve(K, r0 - left)
    ### END SOLUTION


# %% [markdown] hints="predict"
# <details><summary>Hint 1</summary>
# With one sample: r(t) = e^(−Kt/n) r₀. Integrate it from 0 to t.</details>
#
# <details><summary>Hint 2</summary>
# The integral of e^(−Ks/n) ds from 0 to t is n K⁻¹ (1 − e^(−Kt/n)). Matrices that are functions of K commute.</details>
#
# <details><summary>Hint 3</summary>
# The exponential of a matrix is torch.linalg.matrix_exp, or use torch.linalg.eigh. By hand: K = [[2]], K_new = [[0.5]], r0 = [−3],
# f_new = [1] and t = 0.5 give 1 + 0.25 · 3 · (1 − e⁻¹) = 1.47.</details>

# %% check="predict"
check("06/predict", predict)

# %% see="predict"
see("06/predict", predict)

# %% [markdown] discussion="predict" tags=["solution"]
# **Discussion.** Each eigenvector of $K$ contributes what it has learned, $1 - e^{-\lambda t/n}$, divided by $\lambda$. For $t \to \infty$ this is kernel regression; at a
# finite time the small eigenvalues are left out softly, so that stopping early is a regulariser. With small $\lambda$ solving with $K$ loses digits:
# `torch.expm1` on the eigenvalues does not, and serves a singular $K$ as well (the library's `lazy.flow_prediction`).

# %% [markdown] exercise="samples_needed" stars=2 minutes=15 concept="count before you train" role="core"
# ## Exercise 3: count before you train
#
# ★★ · 15 minutes · derive, then implement · core
#
# Inputs are $d$ random signs, divided by $\sqrt d$. The label is the product of $k$ of them, and nobody says which. A lazy network of infinite width, ReLU and no bias,
# has the kernel
#
# $$K(x, z) = \frac{1}{2\pi}\,\big[\sin\theta + 2(\pi-\theta)\cos\theta\big].$$
#
# **First question.** It sees angles only, so all products of $k$ signs have the same weight for it. How many are there? With fewer samples than that, $n$ of them, it can hold on average at
# most the part $n/C$ of one of $C$ products.
#
# **Second question.** Some products have weight zero. Flip all signs of $z$: the angle becomes $\pi - \theta$. Work out $K(x, z) - K(x, -z)$, and say which products of an odd
# number of signs the kernel can tell from zero.
#
# Return the number of products that share the weight of the target: below it a kernel cannot learn the task. Return `math.inf` where no number of samples will do.


# %% exercise="samples_needed"
def samples_needed(d, k):
    """How many samples the kernel of infinite width needs at least for a product of k out of d signs.

    d: number of signs.   k: from 1 to d.
    Returns: an integer, or math.inf.
    """
    ### BEGIN SOLUTION
    return math.inf if k % 2 == 1 and k > 1 else math.comb(d, k)
    ### END SOLUTION


# %% [markdown] hints="samples_needed"
# <details><summary>Hint 1</summary>
# Subsets of k out of d: the order doesn't matter, and no sign comes twice. Python has math.comb.</details>
#
# <details><summary>Hint 2</summary>
# sin(π − θ) = sin θ and cos(π − θ) = −cos θ. The sines cancel, and 2(π − θ) cos θ + 2θ cos θ = 2π cos θ.</details>
#
# <details><summary>Hint 3</summary>
# So K(x, z) − K(x, −z) = cos θ = x·z. The odd part of the kernel is linear: single signs. A product of three signs is odd, and not linear.</details>

# %% check="samples_needed"
check("06/samples_needed", samples_needed)

# %% see="samples_needed"
see("06/samples_needed", samples_needed)

# %% [markdown] discussion="samples_needed" tags=["solution"]
# **Discussion.** The picture sets the count beside what regression with the kernel gets right on new samples. The count is a bound: below it a kernel fails, and at products of three signs it fails for ever. How far above
# it has to be depends on the weight, which falls with $k$: for pairs about one sample each is enough, for four signs it takes more. A bias gives the kernel all odd products, too: append a one to the
# inputs and try. A network that learns features is not bound by any of this.

# %% [markdown] exercise="scaled_loss" stars=2 minutes=20 concept="the dial from rich to lazy" role="optional"
# ## Exercise 4: the dial
#
# ★★ · 20 minutes · implement · optional
#
# Chizat, Oyallon and Bach scale what a network adds to its start, $f_\alpha(x) = \alpha\,[f(x) - f_0(x)]$, and train it with the loss
# $\frac{1}{\alpha^2}\,L(f_\alpha)$, where $L$ is the course's squared loss, with its half and its mean. What the dial does, with the library's `LazyScaling`:

# %%
data = parity(96, 16, seed=0)
for alpha in (0.1, 1.0, 10.0):
    start = TwoLayer(16, 128, activation="relu", scaling="ntk", bias=False, output_std=1.0)
    net = LazyScaling(start, alpha)
    trace = train(net, data.x, data.y, GradientDescent(net, 3.0), 400, until=0.01)
    right = (net(data.x_test).sign() == data.y_test).double().mean().item()
    far = change_from_init(net, data.x)
    print(
        f"α = {alpha:<4}  {len(trace.step) - 1:3} steps  weights moved {far['weights'].item():.2g}  ",
        end="",
    )
    print(f"kernel drifted {far['drift'].item():.2g}  new samples right {right:.0%}")

# %% [markdown]
# Write the loss for a network `net` that began as `start`, such that autograd gives its gradient by the parameters of `net`.


# %% exercise="scaled_loss"
def scaled_loss(net, start, x, y, alpha):
    """The loss of the dial, with outputs alpha (net(x) - start(x)).

    net, start: modules that take (n, d) to (n,).   x: (n, d).   y: (n,).   alpha: a number > 0.
    Returns: the loss, a tensor without axes, differentiable by the parameters of net.
    """
    ### BEGIN SOLUTION
    with torch.no_grad():
        f0 = start(x)
    residual = alpha * (net(x) - f0) - y
    return residual.square().mean() / (2 * alpha**2)
    ### END SOLUTION


# %% [markdown] hints="scaled_loss"
# <details><summary>Hint 1</summary>
# At the start the outputs are zero, so the loss is the mean of y² divided by 2α².</details>
#
# <details><summary>Hint 2</summary>
# Only the outputs are scaled, not the labels. Without the division by α² a step that is right for α = 1 is α² times too long.</details>

# %% check="scaled_loss"
check("06/scaled_loss", scaled_loss)

# %% see="scaled_loss"
see("06/scaled_loss", scaled_loss)

# %% [markdown] discussion="scaled_loss" tags=["solution"]
# **Discussion.** Pull $\alpha$ into the square and the loss is $\frac{1}{2n}\lVert f - f_0 - y/\alpha\rVert^2$: a large $\alpha$ asks the network for a small change. That is all there is to
# the dial, and why it is lazy: the labels are small. The kernel to measure is that of $f$, not of $f_\alpha$, which is $\alpha^2$ times as large; in the
# library the time scale $c = 1/\alpha^2$ takes care of that.

# %% [markdown]
# ## Two questions to write about
#
# 10 minutes · three or four sentences each, in your own words, before you open the model answer
#
# **1.** A lazy network fits its training data without moving its weights by much. How can a small movement of the weights change the outputs by as much
# as is needed, and why does its kernel then stand still?
#
# <details><summary>A model answer</summary>
#
# Many weights, or a large factor in front, make the outputs sensitive: each weight contributes a little, and all contribute in the same direction.
# So the way to the labels is short, measured in lengths of the start. Over a short way the network is its tangent: the derivatives of the outputs,
# and with them the kernel, change in proportion to that way. The outputs change by a finite amount, the kernel by a small one. No unit goes
# anywhere, so the features are those that were drawn.</details>
#
# **2.** The label is the product of two signs out of 200, and you have 2000 samples. What would happen with a lazy network of infinite width? And what if
# somebody told you ten signs among which the two are?
#
# <details><summary>A model answer</summary>
#
# 200 signs have 19,900 pairs, and all of them have the same weight for the kernel. With 2000 samples it can hold a tenth of one of them on average:
# it fits its samples, and is hardly better than guessing on new ones. With ten signs there are 45 pairs, and 2000 samples are plenty. What was
# told is which features to look at; a network in the rich regime has to find that out from the data, and can, because its units turn to the signs
# that count.</details>
