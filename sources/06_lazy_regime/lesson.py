# ---
# jupyter:
#   regimes:
#     title: The lazy regime
#     minutes: 45
#     needs: ["01", "02"]
#     papers: [buffelli2024]
#     objectives:
#       - turn a network from rich to lazy by one number, and say how far its weights will go
#       - write the kernel of an infinitely wide network, and predict a function without training
#       - count how many samples a kernel needs, before training
#       - say which scaling makes a wide network lazy, and which does not
# ---

# %% [markdown]
# # Why doesn't my network move?
#
# You train a wide network. Its loss goes to zero, and its weights have moved by one per cent. What did it learn? Look at the right column:

# %% tags=["hero"]
from regimes_course.kit import evidence, guess, show
from regimes_course.lesson06 import figures as draw

show(*draw.hero())

# %% [markdown]
# Left and right are the same 200 units, the same start and the same nine points; only a factor in front differs. Left, the *rich* network moved its bends to where the
# data bend. Right, the *lazy* one left them where chance had put them, and leans on all of them a little. Both fit. On a task that needs features, only one of them will be right.
#
# <details><summary>What you will be able to do, and what this rests on</summary>
#
# - turn a network from rich to lazy by one number, and say how far its weights will go;
# - write the kernel of an infinitely wide network, and predict a function without training;
# - count how many samples a kernel needs, before training;
# - say which scaling makes a wide network lazy, and which does not.
#
# Needs lessons [01](01_gradient_descent_and_gauss_newton.ipynb) and [02](02_mean_field_convergence.ipynb). 45 minutes. The papers are Jacot, Gabriel, Hongler 2018
# and Chizat, Oyallon, Bach 2019. The formulas are derived here.</details>
#
# ## 1. The dial
#
# A unit with weight w, bias b and ReLU is a straight line with a bend at −b/w. Our network adds up $m = 200$ of them; the input carries a one for the bias, so that $w_j$
# holds both:
#
# $$f_\alpha(x) = \frac{\alpha}{\sqrt m}\sum_{j=1}^m v_j\,\phi(w_j\cdot x).$$
#
# The number $\alpha$ is the *dial*. All weights start as standard normal numbers. Each unit has a twin with the opposite $v_j$, so that f is zero at the start,
# whatever the dial. One factor $\alpha$ is in the gradient, and a second in what a step does to the output. So we divide the step by $\alpha^2$: all dials then move
# their outputs equally fast at first.
#
# **Predict.** Turn the dial from 1 to 10. What share of their way do the weights still go? A number.

# %%
import math

import torch

from regimes.problems import parity

my_guess = ...
x = torch.linspace(-1, 1, 9).double()
X, y = torch.stack([x, torch.ones(9).double()], 1), (1 - 2 * x.abs()).clamp(min=0)


def relu(z):
    return torch.relu(z), (z > 0).double()  # and its slope


def start(m, d, seed=0):
    torch.manual_seed(seed)
    W, v = torch.randn(d + 1, m // 2, dtype=torch.float64).split([d, 1])
    return torch.cat([W, W], 1).T, torch.cat([v, -v], 1)[0]  # twins


def moved(W, v):  # the way of all weights, in lengths of the start
    W0, v0 = start(len(v), W.shape[1])
    way = (W - W0).norm() ** 2 + (v - v0).norm() ** 2
    return (way / (W0.norm() ** 2 + v0.norm() ** 2)).sqrt().item()


# %% tags=["idea"] vary="(0.1, 1, 10) -> (0.3, 3, 30)"
def train(X, y, alpha, m=200, lr=0.03, steps=3000, left=1e-3, act=relu):
    W, v = start(m, X.shape[1])
    for _ in range(steps):
        phi, slope = act(X @ W.T)
        r = alpha / m**0.5 * phi @ v - y
        if r @ r < left * y @ y:
            break
        a = lr / alpha**2 * alpha / m**0.5 * r
        W, v = W - ((slope * v).T * a) @ X, v - phi.T @ a
    return W, v


far = [moved(*train(X, y, alpha)) for alpha in (0.1, 1, 10)]
guess(my_guess, f"a tenth, nearly: from {far[1]:.2g} of their length to {far[2]:.2g}")

# %% [markdown]
# To make the same outputs at ten times the dial, the weights need a tenth of the way. (At 1 and at 10 the 3000 steps end first, with less than a hundredth of the loss left.) And a unit that hardly moves cannot take its bend anywhere. That is the whole
# trick: *a large factor makes any network lazy, at any width.*
#
# ## 2. If nothing moves, training is solved
#
# Over a short way a function is its tangent. Let $J$ hold the derivatives of the nine outputs with respect to all weights. A step $\eta$ against the gradient of
# half the squared length of the residual $r = f - y$ moves the weights by $-\eta J^T r$, and so the outputs by $-\eta JJ^T r$. Only the *kernel* $K = JJ^T$
# counts, the *neural tangent kernel* or NTK (lesson 01): its entry $K(x, x')$ says how much training on $x'$ moves the output at $x$. If it stands still, then after k steps
#
# $$\begin{aligned}
# f_k(x) &= K(x, X)\, K^{-1} \\
# &\quad \cdot \big[1 - (1-\eta K)^k\big]\, y,
# \end{aligned}$$
#
# at any x, with the nine points in $X$. Nothing has to be trained. (The dial drops out: twice in the kernel, squared under the step.)
#
# It gets better. At the start the kernel is an average over random units. At infinite width that is an expectation, and for ReLU it can be written down. With the
# angle $\theta$ between two inputs (the one for the bias included),
#
# $$\begin{aligned}
# K_\infty(x, x') &= \frac{\lVert x\rVert\lVert x'\rVert}{2\pi} \\
# &\quad \cdot \big[\sin\theta + 2(\pi - \theta)\cos\theta\big].
# \end{aligned}$$
#
# **Predict.** Which part of the tent does a frozen kernel learn last: `"height"`, `"flat parts"`, or `"corners"`?

# %%
my_guess = ...


# %% tags=["idea"] vary="(16, 128, 2048) -> (32, 512, 4096)"
def kernel(W, v, X, Z):  # both layers are trained: two parts
    (phi, slope), (phi_z, slope_z) = relu(X @ W.T), relu(Z @ W.T)
    return (phi @ phi_z.T + (slope * v) @ (slope_z * v).T * (X @ Z.T)) / len(v)


def K_infinite(X, Z):
    size = X.norm(dim=1).outer(Z.norm(dim=1))
    theta = torch.arccos((X @ Z.T / size).clamp(-1, 1))  # rounding makes 1.0000000000000002
    return size / (2 * math.pi) * (theta.sin() + 2 * (math.pi - theta) * theta.cos())


for m in (16, 128, 2048):
    gaps = [(kernel(*start(m, 2, s), X, X) - K_infinite(X, X)).norm() for s in range(20)]
    print(f"{m} units: off by {sum(gaps) / 20 / K_infinite(X, X).norm():.0%}")

# %% [markdown]
# (Means over 20 draws.) With two thousand units hardly any draw matters, and the kernel is known before a weight is drawn. Now our 200 units train with the dial at 100, and stop on the way, beside the
# formula with their own kernel at the start:


# %% tags=["idea"] vary="100, {} -> 1, {}"
def tangent(K, K_new, y, k, lr=0.03):
    left = torch.linalg.matrix_power(torch.eye(len(y)) - lr * K, k)
    return K_new @ torch.linalg.solve(K, y - left @ y)


grid = torch.stack([torch.linspace(-1, 1, 201), torch.ones(201)], 1).double()
K, K_grid = (kernel(*start(200, 2), Z, X) for Z in (X, grid))
alpha, seen = 100, {}
for k in (10, 100, 1000):
    W, v = train(X, y, alpha, steps=k, left=0)
    seen[k] = alpha / 200**0.5 * relu(grid @ W.T)[0] @ v, tangent(K, K_grid, y, k)
show(*draw.learned(grid[:, 0], seen))
guess(my_guess, "the corners", why={"height": "but the tip of it is a corner, too"})

# %% [markdown]
# Along each eigenvector of the kernel the residual shrinks by its own factor, $1 - \eta\lambda$. Smooth, wide shapes have large eigenvalues λ; corners live in the small
# ones. (At a dial of 1 the network leaves the formula: try it. That this lazy curve is rugged is no law of lazy networks: with $K_\infty$ it is nearly the tent, see
# *deeper*.)
#
# ## 3. What laziness costs: 435 pairs and 256 samples
#
# On the tent both networks did well. Here is a task that rewards features, *sparse parity*. An input is 30 random signs (divided by √30, so that its length is 1). The label is the
# product of the first two. There are 256 samples, and nobody says which two signs count.

# %% tags=["idea"] vary="(0.1, 30) -> (0.3, 3)"
data, found = parity(256, 30, seed=0), {}
for alpha in (0.1, 30):
    W, v = train(data.x, data.y, alpha, m=256, lr=0.02, left=0.01)
    right = (relu(data.x_test @ W.T)[0] @ v * data.y_test > 0).double().mean()
    found[alpha] = kernel(W, v, data.x, data.x), right
    print(f"α = {alpha}: {right:.1%} of new samples right")

# %% [markdown]
# Both fit their samples; one understood. Why does the lazy one fail? **Count.** All inputs have one length, so to the kernel of infinite width only angles matter, and every pair of
# signs looks like every other. There are 30 · 29 / 2 = 435 products of two signs, no two of them correlated. The lazy answer is a sum of 256 functions, one for each
# sample. Such sums can hold, on average over the pairs, at most 256/435 = 59 % of the mean square of a product, whatever the labels (derived in *deeper*). (This bounds values. Of signs a coin
# already has half right, hence the larger share printed above.) The kernel
# pays for all pairs; the network looks for one.
#
# **Predict.** A reason should predict something else. 15 signs instead of 30, the same 256 samples: does the kernel solve it? And 45 signs?

# %%
my_guess = ...


# %% tags=["idea"] vary="seed=0 -> seed=1"
def kernel_right(d, n):  # the end of lazy training; equal samples need the 1e-9
    data = parity(n, d, seed=0)
    K, K_new = (K_infinite(Z, data.x) for Z in (data.x, data.x_test))
    f = K_new @ torch.linalg.solve(K + 1e-9 * torch.eye(n), data.y)
    return (f * data.y_test > 0).double().mean().item()


shares = {15: [], 20: [], 30: [], 45: []}
for d, n in ((d, n) for d in shares for n in (64, 128, 256, 512)):
    shares[d].append((n / math.comb(d, 2), kernel_right(d, n)))
show(*draw.pairs(data.x, found, shares))
guess(my_guess, f"105 pairs: {shares[15][2][1]:.0%}; 990 pairs: {shares[45][2][1]:.0%}")

# %% [markdown]
# Four tasks, nearly one curve: what matters is how many samples there are for each pair. About one is needed. And the red and blue blocks are what understanding looks like: to the rich network
# two samples with the same first signs have become alike. For products of k out of d signs, k even, set the number of samples against *d choose k* before you train
# anything. (Odd k from 3 on needs a bias: exercise 3 asks why.)
#
# ## 4. The width isn't the point, the scaling is
#
# "Wide networks are lazy", one often hears. Lesson 02 had a wide network full of moving particles. Both are right: its *mean-field scaling* has $1/m$ in
# front, ours (*NTK scaling*) $1/\sqrt m$. And
#
# $$\frac1m = \frac{1}{\sqrt m}\cdot\frac{1}{\sqrt m},$$
#
# so mean-field scaling is NTK scaling with the dial at $1/\sqrt m$, up to a constant. So two things change with its width: the dial, towards rich, and the number of units, towards lazy.
#
# **Predict.** From 50 to 1000 units, back at the tent: do the weights in mean-field scaling move `"less"`, `"as far"`, or `"further"`?

# %%
my_guess = ...

# %% tags=["idea"] vary="(50, 1000) -> (100, 400)"
runs = {}
for m in (50, 1000):
    for name, alpha in (("NTK scaling", 1), ("mean-field scaling", (50 / m) ** 0.5)):
        W, v = train(X, y, alpha, m)
        runs[name, m] = W, v, alpha / m**0.5 * relu(grid @ W.T)[0] @ v, moved(W, v)
show(*draw.two_scalings(grid[:, 0], runs))
guess(my_guess, "as far, nearly", why={"less": "that is NTK scaling, on the left"})

# %% [markdown]
# This is the core of μP, the maximal update parametrisation (Yang et al.): choose the scaling so that features move equally at every width, and a step that was tuned on a small network fits a large one. (Why
# a lazy network never climbs to the edge of stability is in lesson [08](08_edge_of_stability.ipynb).)
#
# ## It breaks when the network cannot
#
# The dial is no cure. Take erf for ReLU in the parity task, $\phi(z) = \mathrm{erf}(z/\sqrt2)$, on the rich side. It fits all its samples, too.
#
# **Predict.** Show it its own training samples with all signs flipped. (The label, a product of two, stays.) What share is right?

# %%
my_guess = ...


# %% tags=["idea"] vary="alpha=0.1 -> alpha=1"
def erf(z):
    return torch.erf(z / 2**0.5), (2 / math.pi) ** 0.5 * torch.exp(-(z**2) / 2)


W, v = train(data.x, data.y, alpha=0.1, m=256, lr=0.02, left=0.01, act=erf)
score = []
for Z, label in ((data.x, data.y), (data.x_test, data.y_test), (-data.x, data.y)):
    score.append((erf(Z @ W.T)[0] @ v * label > 0).double().mean().item())
show(*draw.mirror(score))
guess(my_guess, f"{score[2]:.0%}")

# %% [markdown]
# Without a bias erf is odd: $f(-x) = -f(x)$ whatever the weights, while $y(-x) = y(x)$. So on each flipped sample it says the opposite of what it has learned. A regime says
# how a network uses its functions; it doesn't give it new ones.
#
# ## Play
#
# The first picture with sliders. Find
#
# 1. with 200 units, the dial from which on fewer than half of the bends (by size, within 0.03, those between −0.9 and 0.9) sit at a corner,
# 2. at α = 1, the laziest width,
# 3. a run that fails.
#
# <details><summary>What we found</summary>
#
# 1. Between 1 and 2.
# 2. 1000 units, the widest: in NTK scaling the width turns the dial, too.
# 3. 50 units at α = 0.05: the kernel grows until the step is beyond its limit, two over the largest eigenvalue (lesson 08). With three times as many steps of a
#    third the run fits.</details>

# %% tags=["widget"] id="widget"
from regimes_course.lesson06.widgets import bends

bends.show()

# %% [markdown]
# ## The answer in three sentences
#
# A network is lazy when a small move of its weights is enough to fit: a large factor in front, or a large width in NTK scaling. It is then a kernel, known before
# training, that pays in samples for every combination of inputs that might matter. A rich network takes its features to the data and needs few samples, if it has the
# right features at all.
#
# ## How sure are we?

# %%
evidence("06", *"wide-net rich lazy count mean-field blind".split())

# %% [markdown]
# Over several seeds in [deeper](deeper/06_lazy_regime.ipynb), with the rates in the width. The weights drift as one over the root of the width; the kernel drifts
# less, as one over the width. That is known; the reason, and an experiment on it, are there.
#
# ## Exercises and what to read next
#
# `python3 course.py start 06` puts the exercises into your folder `work`: the formula of infinite width, a network predicted without training, count before you train, and the dial by
# hand. Next: lesson [07](07_exact_gauss_newton.ipynb), which asks whether exact Gauss-Newton makes deep networks lazy.
#
# <details><summary>Papers</summary>
#
# - A. Jacot, F. Gabriel, C. Hongler: *Neural tangent kernel*, NeurIPS 2018, arXiv 1806.07572.
# - L. Chizat, E. Oyallon, F. Bach: *On lazy training in differentiable programming*, NeurIPS 2019, arXiv 1812.07956.
# - F. Williams, M. Trager, C. Silva, D. Panozzo, D. Zorin, J. Bruna: *Gradient dynamics of shallow univariate ReLU networks*, NeurIPS 2019, arXiv 1906.07842: a theory of the
#   first picture. Lazy networks are smooth interpolants; in rich ones the knots cluster at the samples.
# - Since then: D. Karkada, *The lazy (NTK) and rich (µP) regimes: a gentle tutorial*, arXiv 2404.19719; G. Yang et al., *Tensor programs V*, arXiv 2203.03466 (μP).</details>
