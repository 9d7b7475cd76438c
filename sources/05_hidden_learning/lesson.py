# ---
# jupyter:
#   regimes:
#     title: Hidden learning
#     minutes: 45
#     needs: ["01", "02"]
#     papers: [arbel2023]
#     objectives:
#       - ask a network what its hidden layer knows, by one line of code
#       - tell hidden learning from a gap with nothing behind it
#       - predict how quietly a network speaks, and repair it by one number
#       - test an explanation, and give it up when it fails
# ---

# %% [markdown]
# # Is my network learning nothing?
#
# You watch the test loss (blue), and it is poor. Now keep the hidden layer as it is, and fit only the last layer anew (green):

# %% tags=["hero"]
from regimes_course.kit import evidence, guess, show
from regimes_course.lesson05 import figures as draw

show(*draw.hero())

# %% [markdown]
# Same network, same moment, and four thousand times better: it had learned nearly everything, and said it too quietly. A loss curve cannot show this, so it may
# make you stop a run that is nearly done, or praise one that has learned no features at all. (Rows 2 and 3 show three moments; mind how the axes of row 2 grow.)
#
# <details><summary>What you will be able to do, and what this rests on</summary>
#
# - ask a network what its hidden layer knows, by one line of code;
# - tell hidden learning from a gap with nothing behind it;
# - predict how quietly a network speaks, and repair it by one number;
# - test an explanation, and give it up when it fails.
#
# Needs lessons [01](01_gradient_descent_and_gauss_newton.ipynb) and [02](02_mean_field_convergence.ipynb). 45 minutes. The paper is Arbel, Menegaux, Wolinski
# 2023. This lesson relies on its three abstracts and its published code; formulas are derived here.</details>
#
# ## 1. Ask the hidden layer
#
# A network with one hidden layer is a set of *features* times a last layer:
#
# $$\begin{aligned}
# f(x) &= \Phi(x)\, v, \\
# \Phi_j(x) &= \tfrac1m\, \phi(w_j\cdot x).
# \end{aligned}$$
#
# Here $w_j$ are the weights of hidden unit $j$, one of $m = 100$, φ(z) = z · sigmoid(z) (*SiLU*), and $x$ has three coordinates and a one for the bias. At the start the hidden
# weights are random with standard deviation (*std*) 0.1, and $v = 0$. A *teacher* of two hidden units made the labels $y$ of 50 training points and of 500 test points.
#
# To ask what the features know, throw $v$ away and take the *shortest* $v$ that fits the training data: $v^* = \Phi^+ y$, with the pseudo-inverse of the
# 50 × 100 matrix of the features of all training points. This is a *re-fit*. Its test loss is what the hidden layer is worth. (`rtol` leaves out directions in which
# the features hardly vary; there the re-fit does not fit.)

# %%
import torch

from regimes.networks import TwoLayer
from regimes.problems import teacher_student

data = teacher_student(50, 3, teacher_width=2, seed=0)
X = torch.cat([data.x, torch.ones(50, 1)], 1)
X_test = torch.cat([data.x_test, torch.ones(500, 1)], 1)
y, y_test = data.y, data.y_test


# %% tags=["idea"] vary="rtol=1e-3 -> rtol=1e-6"
def features(W, x):
    z = x @ W.T
    return z * torch.sigmoid(z) / len(W)


def refit(W, y, rtol=1e-3):
    return torch.linalg.pinv(features(W, X), rtol=rtol) @ y  # the whole instrument


def test_loss(W, v):
    return (features(W, X_test) @ v - y_test).square().mean().item() / 2


W0, v0 = TwoLayer(3, 100, std=0.1, seed=50).W.detach(), torch.zeros(100).double()
zero, random = test_loss(W0, v0), test_loss(W0, refit(W0, y))
print(f"says zero: {zero:.2g}, random features re-fitted: {random:.2g}")

# %% [markdown]
# Nothing was trained, and the re-fit is far better than saying zero: a hundred random functions of three inputs are a decent basis. So this is the baseline: a
# network has learned features if its re-fit beats *random* ones. (Every number below depends on `rtol`; in section 4 we look whether the verdict does.)
#
# ## 2. Train it
#
# We take the Gauss-Newton steps of lessons 01 and 02. With the residual $r = f - y$, one number per training point, and a damping $\varepsilon$ that keeps us from dividing by nothing,
#
# $$\begin{aligned}
# a &= \Big(JJ^T + \frac{\varepsilon}{m} I\Big)^{-1} r, \\
# \Delta v &= -\eta\,\Phi^T a, \\
# \Delta w_j &= -\eta \sum_i a_i\, D_{ij}\, x_i .
# \end{aligned}$$
#
# $J$ holds all derivatives of the 50 outputs ($m JJ^T$ is the kernel $K$ of those lessons), and $\eta$ is the step; after $k$ steps the *time* is $t = \eta k$.
# $D_{ij} = \frac1m v_j\,\phi'(w_j\cdot x_i)$ says how the output at $x_i$ answers to what goes into unit $j$.
#
# Look for $v$ in these formulas before you read on: at the start it is zero.


# %% tags=["idea"] vary="eta=0.02, -> eta=0.1,"
def gauss_newton(W, v, y, steps=300, eta=0.02, eps=5e-3):
    path = [(W, v)]
    for _ in range(steps):
        Phi, s = features(W, X), torch.sigmoid(X @ W.T)
        D = v * s * (1 + X @ W.T * (1 - s)) / len(v)
        JJ = Phi @ Phi.T + (D @ D.T) * (X @ X.T)  # ∂f_i/∂v = Phi_i, ∂f_i/∂w_j = D_ij x_i
        a = torch.linalg.solve(JJ + eps / len(v) * torch.eye(50), Phi @ v - y)
        v, W = v - eta * Phi.T @ a, W - eta * (D.T * a) @ X
        path.append((W, v))
    return path


quiet = gauss_newton(W0, v0, y)
print(*(f"|v| = {v.norm():.2g}, largest w {W.abs().max():.2g};" for W, v in quiet[:3]))

# %% [markdown]
# The first step leaves the hidden layer where it is, since D = 0: it fits a little of the labels with random features. Tiny features need a large $v$, and there it is, after one step.
# From then on a hidden unit moves in proportion to its $v_j$. Gauss-Newton asks both layers *together* for the shortest move that fits, and with a large $v$ that is to turn and to
# grow the units: the second step already triples the largest weight. While the units are tiny, φ′ is ½ for all of them, and all move along one line, the sum of the $a_i x_i$: where the
# labels call. That they then part along the teacher's two directions the first picture shows; we do not derive it.
#
# ## 3. Two ratios
#
# They say what the picture showed:
#
# $$\begin{aligned}
# G &= \frac{\text{test loss}}{\text{re-fitted}}, \\[4pt]
# F &= \frac{\text{random features}}{\text{re-fitted}}.
# \end{aligned}$$
#
# The *gap* $G$ says how much is left unsaid, the *gain* $F$ how much was learned beyond the start.
#
# **Predict.** Now let the hidden weights start a hundred times as large, at std 10. Relative to their size they then hardly move. Is $G$ at $t = 0.5$ near 1, or large?
# Write a number.

# %%
my_guess = ...


# %% tags=["idea"] vary="100 * W0 -> 30 * W0"
def curves(path, y):  # test losses of the network and of its re-fit, at every fifth step
    some = path[::5]
    return [test_loss(W, v) for W, v in some], [test_loss(W, refit(W, y)) for W, _ in some]


test, again = curves(gauss_newton(100 * W0, v0, y), y)
G, F = test[5] / again[5], again[0] / again[5]  # at t = 0.5
time = 0.02 * torch.arange(0, 301, 5)
show(*draw.two_starts(time, {0.1: curves(quiet, y), 10: (test, again)}))
guess(my_guess, f"G = {G:.3g}, although F = {F:.3g}", number=G)

# %% [markdown]
# **A gap alone proves nothing.** The run on the right is *lazy*: a regression on the features it was born with, and its curve looks just as promising. A large $G$ says that the last layer is not
# done. A large $F$ says that the hidden layer has learned. **Hidden learning needs both.**
#
# ## 4. The volume
#
# Each undamped step takes the residual from $r$ to $(1-\eta)\,r$, to first order, whatever the units do (lesson 01). From $f = 0$, that is $r = -y$, on the training data:
#
# $$f = \big(1 - (1-\eta)^k\big)\, y.$$
#
# The network says the right thing, times a number that we know. At t = 0.5 this *share* is 0.4, the slope of the blue line in the first picture. And $f$ is linear
# in $v$: divide $v$ by the share, and the training fit is repaired without looking at any data.
#
# **Predict.** How much of the gap does this one number close: `"little"`, `"most"`, or `"all"`?

# %%
my_guess = ...

# %% tags=["idea"] vary="eta = 25, 0.02 -> eta = 5, 0.02"
k, eta = 25, 0.02
share = 1 - (1 - eta) ** k
W, v = quiet[k]
as_is, louder, anew = (test_loss(W, u) for u in (v, v / share, refit(W, y)))
why = {"all": "the law is exact for small steps without damping; ours are neither"}
guess(my_guess, f"most, {as_is:.2g} to {louder:.2g}; left: {louder / anew:.2g} ×", why=why)
for rtol in (1e-2, 1e-3, 1e-4, 1e-6, 1e-10):
    born, now = (test_loss(u, refit(u, y, rtol)) for u in (W0, W))
    print(f"rtol {rtol:g}: G = {as_is / now:,.0f}, F = {born / now:,.0f}")


# %% tags=["idea"] vary="eta=10.0 -> eta=20.0"
def left(path):  # of the training loss, step by step
    off = torch.stack([features(W, X) @ v - y for W, v in path])
    return off.square().sum(1) / off[0].square().sum()


slow = gauss_newton(W0, v0, y, eta=10.0, eps=1e4)  # a ~ r m/ε: gradient descent
seen = {"Gauss-Newton": {}, "gradient descent": {}}
for k in (5, 25, 50):  # and the step at which gradient descent has as much left
    share, j = 1 - 0.98**k, int((left(slow) - left(quiet)[k]).abs().argmin())
    for name, (W, v) in {"Gauss-Newton": quiet[k], "gradient descent": slow[j]}.items():
        seen[name][share] = features(W, X) @ v
        F = random / test_loss(W, refit(W, y))
        print(f"{left(quiet)[k]:.0%} left, {name}: F = {F:.3g}")
show(*draw.outputs(y, seen))

# %% [markdown]
# Gradient descent fits what lies along large eigenvalues of $K$ first, so no single number repairs it. Gauss-Newton treats all directions alike. And look at the printed gains. Those of
# Gauss-Newton are large (they swing with the cut-off, as the lines on `rtol` show, and stay large). Where gradient descent has as much left of the loss, its features are at first worth *less* than random ones, or a
# little more: try `refit(W, y, 1e-10)`. So what this lesson says of hidden learning, it says of Gauss-Newton.
#
# ## 5. And the rest?
#
# A factor is left over at t = 0.5. There are two suspects, since the law is one of small steps without damping. The *damping* slows the small modes, so that those should be
# quieter than the law says. The *finite step* leaves out what is of second order. To tell them apart, change one at a time, and print the factor again.
#
# **Predict.** What closes the rest: `"less damping"` or `"smaller steps"`?

# %%
my_guess = ...

# %% tags=["idea"] vary="0.5 / eta -> 0.2 / eta"
etas, rest = [0.05, 0.02, 0.01, 0.005, 0.002], {}
for eps in (5e-4, 5e-3, 5e-2):
    rest[eps] = []
    for eta in etas:
        k = round(0.5 / eta)
        W, v = gauss_newton(W0, v0, y, k, eta, eps)[k]
        share = 1 - (1 - eta) ** k
        rest[eps].append(test_loss(W, v / share) / test_loss(W, refit(W, y)))

# %%
show(*draw.rest(etas, rest))
told = ", ".join(f"{factor:.2g}" for factor in rest[5e-3][1:])
told = f"smaller steps: {told}; a tenth of the damping: {rest[5e-4][1]:.2g}"
why = {"less damping": "it no longer slows the small modes; but the first steps overshoot"}
guess(my_guess, told, why=why)

# %% [markdown]
# It is the finite step: with our damping smaller steps leave nothing (below 1 the louder network even beats its re-fit). From tiny features $v$ grows so fast that 0.02 is not yet a small step,
# and less damping makes it grow faster still. At small steps, what remains is the damping's: with ten times ours a floor stays. (Over ten teachers some of the factor remains: *deeper*.)
# An earlier version of this lesson blamed the damping, "probably", because it sounded right. A few lines of code could have told.
#
# ## When the labels are noisy
#
# A re-fit follows its labels, noise included. We add noise of standard deviation 0.3 to the training labels (those of the test stay clean) and watch again.
#
# **Predict.** Is the gain $F$ at t = 0.5 `"above"` 1 or `"below"`?

# %%
my_guess = ...

# %% tags=["idea"] vary="noise=0.3 -> noise=0.03"
noisy = teacher_student(50, 3, teacher_width=2, noise=0.3, seed=0).y
path = gauss_newton(W0, v0, noisy)
test, again = curves(path, noisy)
show(*draw.noise(time, test, again))
kept = [int(torch.linalg.matrix_rank(features(W, X), rtol=1e-3)) for W in (W0, path[25][0])]
for rtol in (3e-2, 1e-3, 1e-6):
    born, now = (test_loss(W, refit(W, noisy, rtol)) for W in (W0, path[25][0]))
    print(f"rtol {rtol:g}: random {born:.2g}, learned {now:.2g}")
guess(my_guess, f"below: F = {again[0] / again[5]:.2g}; directions kept: {kept}")

# %% [markdown]
# **It breaks.** By this re-fit, random features would have been better. Learned ones vary in more directions (the two counts), and in each of them a re-fit can follow the noise. How
# much worse they are is the cut-off's doing: a coarser one puts the two level, and 1e-6 ruins both. With noise, regularise the re-fit before you judge features by it.
#
# ## Play
#
# The first picture with sliders, in steps of 0.05 instead of 0.02, so that its numbers differ a little. (Dashed: the residual shrinks like $e^{-t}$, so the training loss like its square.) Run the cell, and find
#
# 1. a start with G above 10 and F about 1,
# 2. a step and a damping at which the training loss rises before it falls (a red badge says so),
# 3. a noise at which learned features are worth less than random ones.
#
# <details><summary>What we found</summary>
#
# 1. std 10.
# 2. η = 1 with ε = 5e-4: it rises to thousands of times its start, because the first step gives tiny features a huge v.
# 3. Noise 0.3, at seed 0.</details>

# %% tags=["widget"] id="widget"
from regimes_course.lesson05.widgets import flow

flow.show()

# %% [markdown]
# ## The answer in three sentences
#
# A test loss mixes what the hidden layer knows with how loudly the last layer says it. A re-fit separates them: the gap is what is unsaid, the gain tells whether there is
# anything to say beyond the start. From a small start and clean labels Gauss-Newton learns the features early and speaks them at the rate $1 - e^{-t}$: so re-fit such a run before you
# call it dead, and any run before you call it a success.
#
# ## How sure are we?

# %%
evidence("05", *"gap-0.1 gain-0.1 gain-10 rescaled finite-step noise".split())

# %% [markdown]
# Ten teachers each, in [deeper](deeper/05_hidden_learning.ipynb); two of them are hard, and their gains are small. A *sanity bound* is a number that we chose to test against. The paper's first abstract said that
# features learned by Gauss-Newton generalise worse than those of gradient flow; we do not see that. Its last one says *hidden learning*; we do, and most of the gap is
# the one number.
#
# ## Exercises and what to read next
#
# `python3 course.py start 05` puts the exercises into your folder `work`: a diagnosis, a training that ends badly, when a hidden layer is done, your own re-fit, and the one number.
# Next: lesson [06](06_lazy_regime.ipynb), on networks that learn no features at all.
#
# <details><summary>Papers</summary>
#
# - M. Arbel, R. Menegaux, P. Wolinski: *Rethinking Gauss-Newton for learning over-parameterized models*, NeurIPS 2023, arXiv 2302.02904 (three versions).
# - L. Chizat, E. Oyallon, F. Bach: *On lazy training in differentiable programming*, NeurIPS 2019, arXiv 1812.07956.
# - The re-fit elsewhere: G. Alain, Y. Bengio, *Understanding intermediate layers using linear classifier probes*, arXiv 1610.01644; P. Kirichenko,
#   P. Izmailov, A. G. Wilson, *Last layer re-training is sufficient for robustness to spurious correlations*, arXiv 2204.02937.</details>
