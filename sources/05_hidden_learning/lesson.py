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
# make you stop a run that is nearly done, or praise one that has learned no features at all.
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
# $$f(x) = \Phi(x)\, v, \qquad \Phi_j(x) = \tfrac1m\, \phi(w_j\cdot x).$$
#
# Here $w_j$ are the weights of hidden unit $j$, one of $m = 100$, $\phi$ is SiLU, and $x$ has three coordinates and a one for the bias. At the start the hidden
# weights are random with standard deviation (*std*) 0.1, and $v = 0$. A *teacher* of two hidden units made the labels $y$ of 50 training points and of 500 test points.
#
# To ask what the features know, throw $v$ away and take the *shortest* $v$ that fits the training data: $v^* = \Phi^+ y$, with the pseudo-inverse of the
# 50 × 100 matrix of the features of all training points. This is a *re-fit*. Its test loss is what the hidden layer is worth.

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


def refit(W, y):
    return torch.linalg.pinv(features(W, X), rtol=1e-3) @ y  # the whole instrument


def test_loss(W, v):
    return (features(W, X_test) @ v - y_test).square().mean().item() / 2


W0, v0 = TwoLayer(3, 100, std=0.1, seed=50).W.detach(), torch.zeros(100).double()
zero, random = test_loss(W0, v0), test_loss(W0, refit(W0, y))
print(f"says zero: {zero:.2g}, random features re-fitted: {random:.2g}")

# %% [markdown]
# Nothing was trained, and the re-fit is far better than saying zero: a hundred random functions of three inputs are a decent basis. So this is the baseline: a
# network has learned features if its re-fit beats *random* ones. (`rtol` drops directions in which the features hardly vary. Run the cell with a smaller one: every
# number below depends on it.)
#
# ## 2. Train it
#
# We take the Gauss-Newton steps of lessons 01 and 02. With the residual $r = f - y$, one number per training point, and a damping $\varepsilon$ that keeps us from dividing by nothing,
#
# $$a = \Big(JJ^\top + \frac{\varepsilon}{m} I\Big)^{-1} r, \qquad \Delta v = -\eta\,\Phi^\top a, \qquad \Delta w_j = -\eta \sum_i a_i\, D_{ij}\, x_i .$$
#
# $J$ holds all derivatives of the 50 outputs ($m JJ^\top$ is the kernel $K$ of those lessons), and $\eta$ is the step; after $k$ steps the *time* is $t = \eta k$.
# $D_{ij} = \frac1m v_j\,\phi'(w_j\cdot x_i)$ says how the output at $x_i$ answers to what goes into unit $j$.
#
# Look for $v$ in these formulas before you read on: at the start it is zero.


# %% tags=["idea"] vary="quiet[25] -> quiet[5]"
def gauss_newton(W, v, y, steps=300, eta=0.02, eps=5e-3):
    path = [(W, v)]
    for _ in range(steps):
        Phi, s = features(W, X), torch.sigmoid(X @ W.T)
        D = v * s * (1 + X @ W.T * (1 - s)) / len(v)
        JJ = Phi @ Phi.T + (D @ D.T) * (X @ X.T)
        a = torch.linalg.solve(JJ + eps / len(v) * torch.eye(50), Phi @ v - y)
        v, W = v - eta * Phi.T @ a, W - eta * (D.T * a) @ X
        path.append((W, v))
    return path


quiet = gauss_newton(W0, v0, y)
print(f"largest hidden weight: {W0.abs().max():.2g}, then {quiet[25][0].abs().max():.2g}")

# %% [markdown]
# The first step leaves the hidden layer where it is, since $D = 0$: it fits a little of the labels with random features. From then on a hidden unit moves in proportion to its $v_j$.
# Gauss-Newton asks both layers *together* for the shortest move that fits. Tiny features need a large $v$, and with a large $v$ the shorter way is to turn and to
# grow the units: so the cloud of the first picture flies out along the teacher's two directions, long before the loss is low.
#
# ## 3. A gap alone proves nothing
#
# Two ratios say what the picture showed:
#
# $$G = \frac{\text{test loss}}{\text{re-fitted}}, \qquad F = \frac{\text{random features}}{\text{re-fitted}}.$$
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


lazy = gauss_newton(100 * W0, v0, y)
test, again = curves(lazy, y)
G, F = test[5] / again[5], again[0] / again[5]  # at t = 0.5
time = 0.02 * torch.arange(0, 301, 5)
show(*draw.two_starts(time, {0.1: curves(quiet, y), 10: (test, again)}))
guess(my_guess, f"G = {G:.3g}, although F = {F:.3g}", number=G)

# %% [markdown]
# The run on the right is *lazy*: a regression on the features it was born with, and its curve looks just as promising. A large $G$ says that the last layer is not
# done. A large $F$ says that the hidden layer has learned. **Hidden learning needs both.**
#
# ## 4. What is hidden, mostly: one number
#
# Each undamped step takes the residual from $r$ to $(1-\eta)\,r$, to first order, whatever the units do (lesson 01). From $f = 0$, that is $r = -y$:
#
# $$f = \big(1 - (1-\eta)^k\big)\, y \quad\text{on the training data.}$$
#
# The network says the right thing, times a number that we know. At t = 0.5 this *share* is 0.4, the slope of the blue line in the first picture. And $f$ is linear
# in $v$: divide $v$ by the share, and the training fit is repaired without looking at any data.
#
# **Predict.** How much of the gap does this one number close: `"little"`, `"most"`, or `"all"`? (After that we draw outputs on the training data at three times, and
# those of gradient descent where it has the same training loss.)

# %%
my_guess = ...

# %% tags=["idea"] vary="eta = 25, 0.02 -> eta = 5, 0.02"
k, eta = 25, 0.02
share = 1 - (1 - eta) ** k
W, v = quiet[k]
as_is, louder, anew = (test_loss(W, u) for u in (v, v / share, refit(W, y)))
print(f"as it is {as_is:.2g}, v / share {louder:.2g}, re-fitted {anew:.2g}")
guess(
    my_guess,
    f"most: a factor of {as_is / louder:.0f}; a factor of {louder / anew:.2g} is left",
    why={"all": "the law is exact for small steps without damping; ours are neither"},
)


# %% tags=["idea"] vary="eta=10.0 -> eta=20.0"
def left(path):  # of the training loss, step by step
    off = torch.stack([features(W, X) @ v - y for W, v in path])
    return off.square().sum(1) / off[0].square().sum()


slow = gauss_newton(W0, v0, y, eta=10.0, eps=1e4)  # a huge damping: gradient descent
seen = {"Gauss-Newton": {}, "gradient descent": {}}
for k in (5, 25, 50):  # and the step at which gradient descent has as much left
    share, j = 1 - 0.98**k, int((left(slow) - left(quiet)[k]).abs().argmin())
    seen["Gauss-Newton"][share] = features(quiet[k][0], X) @ quiet[k][1]
    seen["gradient descent"][share] = features(slow[j][0], X) @ slow[j][1]
show(*draw.outputs(y, seen))

# %% [markdown]
# Gradient descent fits what lies along large eigenvalues of $K$ first, so no single number repairs it. Gauss-Newton treats all directions alike.
#
# ## 5. And the rest?
#
# A factor is left over. There are two suspects, since the law is one of small steps without damping. The *damping* slows the small modes, so that those should be
# quieter than the law says. The *finite step* leaves out what is of second order. To tell them apart, change one at a time, and measure how far the
# outputs are from share times $y$. We look early, at $t = 0.1$.
#
# **Predict.** What brings the outputs nearer to the law: `"less damping"` or `"smaller steps"`?

# %%
my_guess = ...

# %% tags=["idea"] vary="0.1 / eta -> 0.2 / eta"
etas, miss = [0.05, 0.02, 0.01, 0.005, 0.002], {}
for eps in (5e-4, 5e-3, 5e-2):
    miss[eps] = []
    for eta in etas:
        steps = round(0.1 / eta)
        W, v = gauss_newton(W0, v0, y, steps, eta, eps)[steps]
        wanted = (1 - (1 - eta) ** steps) * y
        miss[eps].append(((features(W, X) @ v - wanted).norm() / wanted.norm()).item())

# %%
show(*draw.faithful(etas, miss))
guess(
    my_guess,
    f"smaller steps: {miss[5e-3][1]:.2g} to {miss[5e-3][-1]:.2g}; a tenth of the damping: {miss[5e-4][1]:.2g}",
    why={
        "less damping": "it removes what slows the small modes; but then the first steps overshoot"
    },
)

# %% [markdown]
# It is the finite step. From tiny features $v$ grows so fast that 0.02 is not yet a small step, and less damping makes it grow faster still. Only at ten times our
# damping a floor remains that no step removes. (The factor left in the test loss falls with the step, too, if less regularly: see *deeper*.) An earlier version of this
# lesson blamed the damping, "probably", because it sounded right. A few lines of code could have told.
#
# ## It breaks when the labels are noisy
#
# A re-fit interpolates, noise included. We add noise of standard deviation 0.3 to the training labels (those of the test stay clean) and watch again.
#
# **Predict.** Is the gain $F$ at t = 0.5 `"above"` 1 or `"below"`?

# %%
my_guess = ...

# %% tags=["idea"] vary="noise=0.3 -> noise=0.03"
noisy = teacher_student(50, 3, teacher_width=2, noise=0.3, seed=0).y
test, again = curves(gauss_newton(W0, v0, noisy), noisy)
F = again[0] / again[5]
show(*draw.noise(time, test, again))
guess(my_guess, f"F = {F:.2g}")

# %% [markdown]
# Random features would have been better. Learned ones can follow the noise; random ones cannot so easily, because the cut-off `rtol` keeps their fit smooth. Without it
# they, too, are far worse on noisy labels.
#
# ## Play
#
# The first picture with sliders. Run the cell, and find
#
# 1. a start with G above 10 and F about 1,
# 2. a step and a damping at which the training loss rises before it falls (a red badge says so),
# 3. a noise at which learned features are worth less than random ones.
#
# <details><summary>What we found</summary>1. std 10. 2. η = 1 with ε = 5e-4: it rises to thousands of times its start, because the first step gives tiny features a
# huge v. 3. Noise 0.3, at seed 0.</details>

# %% tags=["widget"] id="widget"
from regimes_course.lesson05.widgets import flow

flow.show()

# %% [markdown]
# ## The answer in three sentences
#
# A test loss mixes what the hidden layer knows with how loudly the last layer says it. A re-fit separates them: the gap is what is unsaid, the gain tells whether there is
# anything to say beyond the start. From a small start Gauss-Newton learns the features early and speaks them at the rate $1 - e^{-t}$: so re-fit before you
# call a run dead, and before you call it a success.
#
# ## How sure are we?

# %%
rows = "gap-0.1 gain-0.1 gain-10 rescaled step-not-damping noise"
evidence("05", *rows.split())

# %% [markdown]
# Ten teachers each, in [deeper](deeper/05_hidden_learning.ipynb); two of them are hard, and their gains are small. The paper's first abstract said that
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
