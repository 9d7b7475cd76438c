# ---
# jupyter:
#   regimes:
#     title: "Exercises 08: edge of stability"
#     minutes: 60
#     needs: ["08"]
#     papers: [cai2024]
#     objectives:
#       - compute a loss and its slope where the formula as written fails
#       - find the largest eigenvalue from products with a vector
#       - derive an exact step in two numbers, and watch it come to rest
#       - turn a sharpness into a step, in the units of another library
# ---

# %% [markdown]
# # Exercises 08: edge of stability
#
# Four exercises on [lesson 08](../lessons/08_edge_of_stability.ipynb). Replace the lines `# YOUR CODE HERE` and
# `raise NotImplementedError()`, run the cell, and
# run the check under it: it answers at once, and it recognises typical mistakes. Hints are folded. Nothing later in this notebook
# depends on your answers, so you can take the exercises in any order.
#
# Arrays are `torch.float64` tensors. Return new tensors; leave the arguments as they are.

# %%
import torch
from torch.nn import functional as F

from regimes import metrics
from regimes.directions import time_scale
from regimes.theory.edge_of_stability import degree_four_end
from regimes_course.exercises import check
from regimes_course.kit import show
from regimes_course.kit.plotting import curve, legend, panels, predicted
from regimes_course.lesson08.experiments import descend, network_hessian, networks

# %% [markdown] exercise="logistic_loss_and_weight" stars=1 minutes=10 concept="overflow and cancellation"
# ## Exercise 1: the logistic loss, for any q
#
# ★ · 10 minutes · implement
#
# The logistic loss of a sample is $\ell(q) = \log(1+e^{-q})$, with $q = yf$. Large steps drive $q$ to places where this formula fails:


# %%
q = torch.tensor([-1000.0, 0.0, 16.0, 38.0, 700.0], dtype=torch.float64)
print("as written:", torch.log(1 + torch.exp(-q)).tolist())

# %% [markdown]
# Two of these five are right to all digits. Write a function that returns the loss and its slope $\ell'(q)$, right to twelve digits each, for any $q$
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

# %% [markdown] discussion="logistic_loss_and_weight" tags=["solution"]
# **Discussion.** $\ell(q) = -\log\sigma(q)$. Where a sample is right by far, its loss and its weight are both $e^{-q}$: tiny, and *not* zero. In
# lesson 09 these tiny numbers are the whole second phase of training. A gradient taken by autograd through `clamp` or `where` is a second trap: the loss is right
# and the slope is not.

# %% [markdown] exercise="sharpness" stars=3 minutes=20 concept="largest eigenvalue"
# ## Exercise 2: sharpness from products
#
# ★★★ · 20 minutes · implement
#
# The Hessian $H$ of a network with $p$ parameters has $p^2$ entries, but a product $Hv$ costs about two gradients. Given only such products, find the largest
# eigenvalue: the *largest*, not the largest in size. At a saddle these differ. Here is what a few products of the Hessian of a small network on digits look like:

# %%
H = network_hessian()
v = torch.ones(H.size, dtype=torch.float64) / H.size**0.5
for k in range(4):
    Hv = H.matvec(v)
    print(f"after {k} products: vᵀHv = {v @ Hv:.3g}")
    v = Hv / Hv.norm()

# %% [markdown]
# The check asks for five matrices. Four are small, two of them saddles; the fifth is this Hessian. Six digits are wanted, and for the fifth at most 60 products.


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
# Repeated products lead to the eigenvalue of largest size. H + c·1 has the same eigenvectors, and for a large enough c no negative eigenvalue is the
# largest in size any more. But the larger c, the slower.</details>
#
# <details><summary>Hint 2</summary>
# Do not throw the earlier vectors away. Keep an orthonormal basis Q of all of them: the largest eigenvalue of the small matrix QᵀHQ comes very near after a dozen
# products. This is Lanczos iteration.</details>
#
# <details><summary>Hint 3</summary>
# It is in SciPy: scipy.sparse.linalg.eigsh of a LinearOperator, with which="LA". It wants more than two dimensions; for two, build the matrix.</details>

# %% check="sharpness"
check("08/sharpness", sharpness)

# %% [markdown] discussion="sharpness" tags=["solution"]
# **Discussion.** The default of `eigsh` is `which="LM"`, the largest *magnitude*. Much published code measures sharpness so, and along ordinary training runs it does no harm:
# there the negative eigenvalues are small. Near a saddle it does. Orthogonalising twice (the `* 2` above) keeps the basis orthogonal to rounding; after convergence Lanczos vectors
# would otherwise come back.

# %% [markdown] exercise="closed_step" stars=2 minutes=15 concept="two numbers that close"
# ## Exercise 3: two numbers that close
#
# ★★ · 15 minutes · derive, then implement
#
# Gradient descent on $L = \frac14(x^2y^2-1)^2$ moves $x$ and $y$. The lesson used two other numbers, $p = xy$ and $q = x^2+y^2$: after a step they depend on $p$, $q$ and $\eta$ alone.
# Derive how, without looking it up, and write it down.


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

# %% [markdown]
# What the two numbers do at $\eta = 0.1$ (steps in $x$ and $y$; you may replace them by yours):

# %%
points, _ = descend(4.0, 0.26, 0.1, 1200)
number = torch.tensor(0.1 * (points**2).sum(1))
fig, (ax,) = panels(size=(5.4, 3.0))
steps = torch.arange(len(number))
curve(ax, steps, number, "ηS/2 of the valley")
predicted(ax, steps[[0, -1]], torch.full((2,), degree_four_end(0.1)), "1 − η²/4")
ax.set(xlabel="step k", ylabel="stability number ηS/2")
legend(ax)
show(
    fig,
    f"From ηS/2 = {number[0]:.2f} the run comes to rest {1 - number[-1]:.4f} below one.",
)

# %% [markdown] discussion="closed_step" tags=["solution"]
# **Discussion.** $x+y$ is multiplied by $1-\eta g$ and $x-y$ by $1+\eta g$, whence everything. Without the terms with $\eta^2$ the step would be the first order of a flow, and
# a flow knows no edge: $x^2-y^2$ would stay, and with it the valley in which the run ends.

# %% [markdown] exercise="largest_sgd_step" stars=2 minutes=15 concept="units of a step"
# ## Exercise 4: in the units of another library
#
# ★★ · 15 minutes · derive and check
#
# You train networks of this course with `torch.optim.SGD` on the full batch and `torch.nn.MSELoss`. What is the largest learning rate at which a quadratic with the
# same Hessian would be stable? `metrics.sharpness(net, x, y)` and `time_scale(net)` are at hand, and four networks:

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

# %% [markdown] discussion="largest_sgd_step" tags=["solution"]
# **Discussion.** The limit is $2/(2\lambda)$ with $\lambda = S/c$, so it is $c/S$. For a wide network in mean-field scaling it is enormous, of the order of the width: parameters get gradients of order $1/m$.
# Whoever forgets the factor trains $m$ times too slowly, sees a loss that falls at every step, and concludes that there is no edge.
