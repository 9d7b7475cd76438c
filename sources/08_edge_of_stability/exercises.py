# ---
# jupyter:
#   regimes:
#     title: "Exercises 08: edge of stability"
#     minutes: 90
#     needs: ["08"]
#     papers: [cai2024]
#     objectives:
#       - read from two gradients whether a run is at its edge
#       - compute a loss and its slope where the formula as written fails
#       - find the largest eigenvalue from products with a vector
#       - derive an exact step in two numbers, and watch it come to rest
#       - turn a sharpness into a step, in the units of another library
# ---

# %% [markdown]
# # Exercises 08: edge of stability
#
# Six exercises on [lesson 08](../lessons/08_edge_of_stability.ipynb). Replace the lines `# YOUR CODE HERE` and
# `raise NotImplementedError()`, run the cell, and
# run the check under it: it answers at once, and it recognises typical mistakes. The cell after it, `see`, redraws a picture of the
# lesson with your function; until yours passes, it takes a solution and says so. Hints are folded. Nothing later in this notebook
# depends on your answers, so you can take the exercises in any order. With little time, do the two that are marked *core*; the
# *optional* one is for the fast.
#
# Arrays are `torch.float64` tensors. Return new tensors; leave the arguments as they are. Where a number is asked for, a tensor with one element will do.
# Numbers have to agree to seven digits, where an exercise does not say otherwise. The formulas are yours to write: outside exercise 4 an answer
# calls nothing of `regimes`.

# %%
import torch
from torch.nn import functional as F

from regimes import metrics
from regimes.directions import time_scale
from regimes_course.exercises import check, see
from regimes_course.lesson08.experiments import network_hessian, networks

# %% [markdown] exercise="edge_meter" stars=1 minutes=15 concept="curvature without a Hessian" role="core"
# ## Exercise 1: an edge meter
#
# ★ · 15 minutes · derive, then implement · core
#
# A step of gradient descent of size $\eta$ leads from a place with gradient $g$ to one with gradient $g'$. Along the step the gradient changes by the mean Hessian times the step,
# $g' - g = -\eta \bar H g$. Find $\frac\eta2\, g\cdot\bar H g / |g|^2$, the stability number along the step, from $g$ and $g'$ alone. Show on paper that it is one in a swing of period two, where
# $g' = -g$. (It needs no Hessian and no knowledge of the network: the picture tries it on a plain torch module under `torch.optim.SGD`.)


# %% exercise="edge_meter"
def edge_meter(before, after):
    """The stability number along a step of gradient descent.

    before, after: tensors (p,), the gradients before and after the step.
    Returns: a number.
    """
    ### BEGIN SOLUTION
    return ((1 - after @ before / (before @ before)) / 2).item()
    ### END SOLUTION


# %% [markdown] hints="edge_meter"
# <details><summary>Hint 1</summary>
# Multiply g′ − g = −η H̄ g by g.</details>
#
# <details><summary>Hint 2</summary>
# So η g·H̄ g = g·g − g·g′. What is left is to divide, twice.</details>

# %% check="edge_meter"
check("08/edge_meter", edge_meter)

# %% see="edge_meter"
see("08/edge_meter", edge_meter)

# %% [markdown] discussion="edge_meter" tags=["solution"]
# **Discussion.** $m = (1 - g'\cdot g/|g|^2)/2$. In a swing of period two it is one *however large the swing is*: the two ends see different Hessians, their mean between them is
# what counts. Without a swing the steps go along flatter directions, and it reads less than the sharpness would say: in the picture it sees the edge in bursts, each of which pushes the
# sharpness down. If the gradient has a part that swings and, at right angles to it, one that stays, $m$ is the swinging part's share of $|g|^2$. Another optimizer takes other steps: with Adam, the
# step, not the gradient, has to stand in these products.

# %% [markdown] exercise="logistic_loss_and_weight" stars=1 minutes=10 concept="overflow and cancellation"
# ## Exercise 2: the logistic loss, for any q
#
# ★ · 10 minutes · implement
#
# The logistic loss of a sample is $\ell(q) = \log(1+e^{-q})$, with $q = yf$. Large steps drive $q$ to places where this formula fails:


# %%
q = torch.tensor([-1000.0, 0.0, 16.0, 38.0, 700.0], dtype=torch.float64)
print("as written:", torch.log(1 + torch.exp(-q)).tolist())

# %% [markdown]
# One of these five, that of q = 0, is right to all digits. Write a function that returns the loss and its slope $\ell'(q)$, right to twelve digits each, for any $q$
# between −1000 and 1000. (The size of the slope is the *weight* of the sample in the gradient.)


# %% exercise="logistic_loss_and_weight"
def logistic_loss_and_weight(q):
    """The logistic loss and its derivative.

    q: a tensor of any shape.
    Returns: two tensors of the same shape, the loss and its derivative by q.
    """
    ### BEGIN SOLUTION
    return -F.logsigmoid(q), -torch.sigmoid(-q)
    ### END SOLUTION


# %% [markdown] hints="logistic_loss_and_weight"
# <details><summary>Hint 1</summary>
# For negative q take the larger exponent out: 1 + e⁻ᵠ = e⁻ᵠ (1 + eᵠ). For positive q use that torch.log1p(t) is right for tiny t.</details>
#
# <details><summary>Hint 2</summary>
# The slope is −1/(1 + eᵠ), which is minus a sigmoid. Of which argument? Not one minus something.</details>
#
# <details><summary>Hint 3</summary>
# torch has both: torch.nn.functional.logsigmoid and torch.sigmoid.</details>

# %% check="logistic_loss_and_weight"
check("08/logistic_loss_and_weight", logistic_loss_and_weight)

# %% see="logistic_loss_and_weight"
see("08/logistic_loss_and_weight", logistic_loss_and_weight)

# %% [markdown] discussion="logistic_loss_and_weight" tags=["solution"]
# **Discussion.** $\ell(q) = -\log\sigma(q)$. Where a sample is right by far, its loss and its weight are both $e^{-q}$: tiny, and *not* zero. In
# lesson 09 these tiny numbers are the whole second phase of training. A gradient taken by autograd through `clamp` or `where` is a second trap: the loss is right
# and the slope is not.

# %% [markdown] exercise="shifted_power" stars=2 minutes=10 concept="largest, not largest in size"
# ## Exercise 3: the largest eigenvalue, by a shift
#
# ★★ · 10 minutes · implement
#
# The Hessian $H$ of a network with $p$ parameters has $p^2$ entries, but a product $Hv$ costs about two gradients. Multiply a vector again and again, and it turns to the
# eigenvector whose eigenvalue is largest *in size*: at a saddle that may be a negative one. Here for a matrix with the eigenvalues 1 and −3:

# %%
H = torch.diag(torch.tensor([1.0, -3.0], dtype=torch.float64))
v = torch.tensor([0.8, 0.6], dtype=torch.float64)
for k in range(5):
    print(f"after {k} products: vᵀHv = {v @ H @ v:.3g}")
    v = H @ v / (H @ v).norm()

# %% [markdown]
# Find the *largest* eigenvalue, to six digits, if you know a number that no eigenvalue exceeds in size. The check asks for six small matrices, with at most 300 products each.


# %% exercise="shifted_power"
def shifted_power(hvp, dim, size):
    """The largest eigenvalue of a symmetric matrix that is known by its products.

    hvp: a function; hvp(v) is H v, for v of shape (dim,).   dim: a whole number.
    size: a number; every eigenvalue lies between -size and size.
    Returns: a number.
    """
    ### BEGIN SOLUTION
    v = torch.sin(torch.arange(1.0, dim + 1, dtype=torch.float64))
    for _ in range(200):
        v = hvp(v) + size * v
        v = v / v.norm()
    return (v @ hvp(v)).item()
    ### END SOLUTION


# %% [markdown] hints="shifted_power"
# <details><summary>Hint 1</summary>
# H + c·1 has the same eigenvectors, and eigenvalues that are larger by c. For which c is none of them negative?</details>
#
# <details><summary>Hint 2</summary>
# With c = size. Iterate with hvp(v) + size·v, and at the end ask for vᵀHv with the matrix itself. The larger c, the slower: so do not take more.</details>

# %% check="shifted_power"
check("08/shifted_power", shifted_power)

# %% see="shifted_power"
see("08/shifted_power", shifted_power)

# %% [markdown] discussion="shifted_power" tags=["solution"]
# **Discussion.** Each product shrinks what is left of the other eigenvectors by $(\lambda_2 + c)/(\lambda_1 + c)$: a shift buys safety and pays in products. The lesson's central flow takes none, since
# along ordinary training runs the negative eigenvalues are small. Near a saddle it would go astray.

# %% [markdown] exercise="largest_sgd_step" stars=2 minutes=15 concept="units of a step" role="core"
# ## Exercise 4: in the units of another library
#
# ★★ · 15 minutes · derive and check · core
#
# You train networks of this course with `torch.optim.SGD` on the full batch and `torch.nn.MSELoss`. What is the largest learning rate at which a quadratic with the
# same Hessian would be stable (to five digits)? `metrics.sharpness(net, x, y)` and `time_scale(net)` are at hand, and four networks:

# %%
for name, (net, x, y) in networks().items():
    c, S = time_scale(net), metrics.sharpness(net, x, y).item()
    print(f"{name:32} time scale {c:4g}, sharpness {S:.3g}")


# %% exercise="largest_sgd_step"
def largest_sgd_step(net, x, y):
    """Two over the largest eigenvalue of the Hessian of MSELoss.

    net: a TwoLayer, or any module with outputs (n,).   x: (n, d).   y: (n,).
    Returns: a number.
    """
    ### BEGIN SOLUTION
    return (time_scale(net) / metrics.sharpness(net, x, y)).item()
    ### END SOLUTION


# %% [markdown] hints="largest_sgd_step"
# <details><summary>Hint 1</summary>
# Two conventions differ: the half in the loss, and the time scale. SGD knows neither.</details>
#
# <details><summary>Hint 2</summary>
# MSELoss = 2 L, so its Hessian is 2 H. And metrics.sharpness(net, x, y) is c times the largest eigenvalue of H.</details>

# %% check="largest_sgd_step"
check("08/largest_sgd_step", largest_sgd_step)

# %% see="largest_sgd_step"
see("08/largest_sgd_step", largest_sgd_step)

# %% [markdown] discussion="largest_sgd_step" tags=["solution"]
# **Discussion.** The limit is $2/(2\lambda)$ with $\lambda = S/c$, so it is $c/S$. For a wide network in mean-field scaling it is enormous, of the order of the width: parameters get gradients of order $1/m$.
# Whoever forgets the factor trains $m$ times too slowly, sees a loss that falls at every step, and concludes that there is no edge.

# %% [markdown] exercise="closed_step" stars=2 minutes=15 concept="two numbers that close"
# ## Exercise 5: two numbers that close
#
# ★★ · 15 minutes · derive, then implement
#
# Gradient descent on $L = \frac14(x^2y^2-1)^2$ moves $x$ and $y$. Take two other numbers, $p = xy$ and $q = x^2+y^2$: after a step they depend on $p$, $q$ and $\eta$ alone.
# Derive how, without looking it up in *deeper*, and write it down, right to ten digits. (The picture follows your two numbers for 1200 steps.)


# %% exercise="closed_step"
def closed_step(p, q, eta):
    """A step of gradient descent, seen in the product and the sum of squares.

    p, q: tensors of one shape, p = x y and q = x^2 + y^2.   eta: a number.
    Returns: the two tensors after the step.
    """
    ### BEGIN SOLUTION
    g = p * (p**2 - 1)
    both = 1 + eta**2 * g**2
    return p * both - eta * g * q, q * both - 4 * eta * g * p
    ### END SOLUTION


# %% [markdown] hints="closed_step"
# <details><summary>Hint 1</summary>
# The derivative by x is g y, the one by y is g x, with the same g. It depends on p alone.</details>
#
# <details><summary>Hint 2</summary>
# Multiply (x − ηgy)(y − ηgx) out, and (x − ηgy)² + (y − ηgx)². What is left are x y and x² + y².</details>

# %% check="closed_step"
check("08/closed_step", closed_step)

# %% see="closed_step"
see("08/closed_step", closed_step)

# %% [markdown] discussion="closed_step" tags=["solution"]
# **Discussion.** $x+y$ is multiplied by $1-\eta g$ and $x-y$ by $1+\eta g$, whence everything. Without the terms with $\eta^2$ the step would be the first order of a flow, and
# a flow knows no edge: $x^2-y^2$ would stay, and with it the valley in which the run ends.

# %% [markdown] exercise="sharpness" stars=3 minutes=15 concept="largest eigenvalue" role="optional"
# ## Exercise 6: sharpness from few products
#
# ★★★ · 15 minutes · implement · optional
#
# The shift of exercise 3 is slow, and it throws away every vector but the last. Again find the *largest* eigenvalue from products, and no bound is given. Here is what a few products of the Hessian
# of a small network on digits look like:

# %%
H = network_hessian()
v = torch.ones(H.size, dtype=torch.float64) / H.size**0.5
for k in range(4):
    Hv = H.matvec(v)
    print(f"after {k} products: vᵀHv = {v @ Hv:.3g}")
    v = Hv / Hv.norm()

# %% [markdown]
# The check asks for seven matrices. Six are small, four of them saddles; the seventh is this Hessian. Six digits are wanted, and for the seventh at most 60 products.


# %% exercise="sharpness"
def sharpness(hvp, dim):
    """The largest eigenvalue of a symmetric matrix that is known by its products.

    hvp: a function; hvp(v) is H v, for v of shape (dim,).   dim: a whole number.
    Returns: a number.
    """
    ### BEGIN SOLUTION
    q = torch.sin(torch.arange(1.0, dim + 1, dtype=torch.float64))
    basis, images = [q / q.norm()], []
    while len(images) < min(dim, 40):
        images.append(hvp(basis[-1]))
        rest = images[-1]
        for q in basis * 2:
            rest = rest - (q @ rest) * q
        if rest.norm() < 1e-9 * images[0].norm():
            break
        basis.append(rest / rest.norm())
    small = torch.stack(basis[: len(images)]) @ torch.stack(images).T
    return torch.linalg.eigvalsh((small + small.T) / 2)[-1].item()
    ### END SOLUTION


# %% [markdown] hints="sharpness"
# <details><summary>Hint 1</summary>
# Do not throw the earlier vectors away: keep an orthonormal basis Q of all of them. What can you say of the eigenvalues of the small matrix QᵀHQ?</details>
#
# <details><summary>Hint 2</summary>
# Its largest one comes very near after a dozen products. Make each new vector from H times the last one, less its parts along all earlier ones, twice. This is Lanczos iteration.</details>
#
# <details><summary>Hint 3</summary>
# It is in SciPy: scipy.sparse.linalg.eigsh of a LinearOperator, with which="LA". The operator gets arrays of NumPy, hvp wants tensors.</details>

# %% check="sharpness"
check("08/sharpness", sharpness)

# %% see="sharpness"
see("08/sharpness", sharpness)

# %% [markdown] discussion="sharpness" tags=["solution"]
# **Discussion.** The default of `eigsh` is `which="LM"`, the largest *magnitude*. Much published code measures sharpness so, and along ordinary training runs it does no harm:
# there the negative eigenvalues are small. Near a saddle it does. Orthogonalising twice (the `* 2` above) keeps the basis orthogonal to rounding; after convergence Lanczos vectors
# would otherwise come back.

# %% [markdown]
# ## Two questions to write about
#
# 10 minutes · three or four sentences each, in your own words, before you open the model answer
#
# **1.** Gradient descent on a quadratic beyond its edge diverges. Why does a network that crosses its edge swing for a while, and then stay near it,
# instead?
#
# <details><summary>A model answer</summary>
#
# On a quadratic the curvature is the same everywhere, so a swing along the sharpest direction grows for ever. In a network the sharpness
# depends on the place. A swing of both signs feels the third derivative: on average it adds a force against the gradient of the sharpness, in
# proportion to the square of the swing. So the larger the swing, the faster the sharpness falls, until it is below 2/η and the swing shrinks again. Where
# nothing swings, the sharpness climbs as before: the edge is where the two balance.</details>
#
# **2.** A run with the step 0.6 has come to its edge. What would happen to its sharpness and to its loss if the step were halved at this moment?
# And if it were doubled?
#
# <details><summary>A model answer</summary>
#
# Halved, the edge 2/η moves up by a factor of two. The run is now far below it: the swing along the sharpest direction dies out within a few
# steps, and with it the loss that it costs. Then the sharpness climbs as that of gradient flow does, perhaps up to the new edge. Doubled, the edge
# moves down to half of the sharpness: the factor a step is about 1 − 2 · 2 = −3, so the swing grows threefold at every step, the loss jumps, and
# the run is either thrown into a flatter place, or diverges.</details>
