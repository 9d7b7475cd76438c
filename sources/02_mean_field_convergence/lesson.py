# ---
# jupyter:
#   regimes:
#     title: Mean-field convergence
#     minutes: 45
#     needs: ["01"]
#     papers: [arbel2023]
#     objectives:
#       - see a wide network as a cloud of particles, and test the picture
#       - say how far a network of a given width is from the infinitely wide one
#       - predict the loss of Gauss-Newton without knowing where the units go
#       - say when a network has no bad minima, and when it has too few units for that
# ---

# %% [markdown]
# # What does a network become when you keep making it wider?
#
# You double the width, and the training curve stays the same. Was it wasted? Watch the hidden units of two networks, one fifty times as
# wide as the other:

# %% tags=["hero"]
from regimes_course.kit import evidence, guess, show
from regimes_course.lesson02 import figures as draw

show(*draw.hero())

# %% [markdown]
# Each dot is a hidden unit, at its two input weights; it moves as the network learns (by gradient descent, the rule of section 1, from input weights of
# standard deviation 0.1). The crowd of a thousand does what the twenty do, only more densely: it goes out along one line, then turns to three rays, and the loss
# waits and falls with it. There is *one* cloud, and the width says how many samples of it you carry. That makes wide networks predictable: what happens to a cloud can be written down.
#
# <details><summary>What you will be able to do, and what this rests on</summary>
#
# - see a wide network as a cloud of particles, and test the picture;
# - say how far a network of a given width is from the infinitely wide one;
# - predict the loss of Gauss-Newton without knowing where the units go;
# - say when a network has no bad minima, and when it has too few units for that.
#
# Needs lesson [01](01_gradient_descent_and_gauss_newton.ipynb). 45 minutes. The paper is Arbel, Menegaux, Wolinski 2023. This lesson relies on its abstract and
# its published code; formulas are derived here.</details>
#
# ## 1. The rule of one unit does not know how many there are
#
# In *mean-field scaling* the output of a network with $m$ hidden units is an average over them:
#
# $$f(x) = \frac1m \sum_{j=1}^m v_j\,\phi(w_j\cdot x).$$
#
# Here $\phi$ is SiLU, a smooth version of ReLU. Each input $x$ has two coordinates and a third that is always 1, so that the third entry of $w_j$ is the bias.
# There are $n = 40$ samples $x_i$ with labels $y_i$, made by a *teacher*, a network of three units: the rays in the picture. In code:

# %%
import math

import torch

from regimes.problems import teacher_student

data = teacher_student(40, 2, teacher_width=3, seed=293)
X, y = torch.cat([data.x, torch.ones(40, 1)], 1), data.y


def units(W, v, X):
    z = X @ W.T  # a row for each sample, a column for each unit
    s = torch.sigmoid(z)
    phi, D = z * s, v * s * (1 + z * (1 - s))  # phi(z) and v phi'(z)
    return phi, D, phi @ v / len(v)  # and f, the average over the units


# %% [markdown]
# A unit is a *particle* with the coordinates $(w_j, v_j)$. Gradient descent moves it by
#
# $$\begin{aligned}
# \Delta v_j &= -\eta \sum_{i=1}^n a_i\,\phi(w_j\cdot x_i), \\
# \Delta w_j &= -\eta \sum_{i=1}^n a_i\,v_j\,\phi'(w_j\cdot x_i)\,x_i, \\
# a_i &= \frac{r_i}{n},
# \end{aligned}$$
#
# with the step $\eta$ and the residual $r_i = f(x_i) - y_i$. (The gradient has a factor $1/m$, which the step makes up for, so that units move at one speed at
# every width.) A particle feels its own place and, through the residual, the average over all: the *mean field*. The number of units is nowhere.
#
# **Predict.** Write every unit twice: the average, and so the function, stays what it is. Now give one copy $1.5\,v_j$ and the other $0.5\,v_j$: at the start it
# is still the same function. And after 50 steps of training? Write `"same"` or `"other"`.

# %%
my_guess = ...


# %% tags=["idea"] vary="1.0 * v, 1.0 * v -> 1.5 * v, 0.5 * v"
def train(W, v, X, y, steps, eta=0.25):
    for _ in range(steps):
        phi, D, f = units(W, v, X)
        a = (f - y) / len(y)  # then both rules; sums over i are products of matrices
        W, v = W - eta * (D.T * a) @ X, v - eta * phi.T @ a
    return W, v


torch.manual_seed(0)
W, v = torch.randn(60, 3).double(), torch.randn(60).double()
twin = torch.cat([W, W]), torch.cat([1.0 * v, 1.0 * v])
once = units(*train(W, v, X, y, steps=50), X)[2]
twice = units(*train(*twin, X, y, steps=50), X)[2]
print(f"after 50 steps they differ by {(twice - once).norm() / once.norm():.10f}")

# %%
split = torch.cat([W, W]), torch.cat([1.5 * v, 0.5 * v])
other = units(*train(*split, X, y, steps=50), X)[2]
gap = (other - once).norm() / once.norm()
guess(my_guess, f"other, by {100 * gap:.2g} %; with two equal copies, the same")

# %% [markdown]
# With two equal copies the networks stay *one function during the whole training*: the cloud is the same, only denser. With $1.5\,v_j$ and $0.5\,v_j$ the function
# at the start is the same, but the cloud is another, and $v_j$ stands in the speed of $w_j$. (With $1/\sqrt m$ in front not even the start would agree: twice
# the sum, over √2 times the root.)
#
# ## 2. How far is a network from the limit?
#
# A network with random units is a sample of an infinite cloud. At the start its output is an average, and so (after training, too: Bordelon and Pehlevan, last lines)
#
# $$\begin{aligned}
# f_m &= f_\infty + \frac{\xi}{\sqrt m} + \frac{\zeta}{m} + \dots, \\
# \mathbb E[\xi] &= 0.
# \end{aligned}$$
#
# $f_\infty$ is the output of the infinite cloud; $\xi$ and $\zeta$ differ from one network to the next. The first is the usual error of an average, as often
# too high as too low. The second arises where two averages are *multiplied*, as in training the residual and a unit's features, which both depend on
# the draw. There errors do not cancel: the square of an average is too large on the whole.
#
# **Predict.** Networks get four times as wide. A single one is then about twice as near to the limit. How many times nearer is the *mean* of many networks? (We
# shall look twice: first at the square of an average of $m$ random numbers, without any network. Then, half a minute, at a cloud of $2^{16}$ units, trained whole, and cut
# into pieces of $m$ that are trained alone; outputs are compared on a circle of inputs. The pieces together are the whole, so that their ξ cancel exactly.)

# %%
my_guess = ...

# %% tags=["idea"] vary="** 2 -> ** 1"
torch.manual_seed(0)
for m in (4, 16, 64):
    square = (1 + torch.randn(100000, m)).mean(1) ** 2
    print(f"m = {m}: scatter {square.std():.2g}, mean off by {square.mean() - 1:.2g}")


# %% tags=["idea"] vary="(32, 128, 512) -> (16, 64, 256)"
def answer(W):
    trained = train(W, 0 * W[:, 0], X, y, steps=20)  # from v = 0
    return units(*trained, circle)[2]


torch.manual_seed(0)
cloud = torch.randn(2**16, 3).double()
angle = torch.linspace(0, 2 * math.pi, 100).double()
circle = torch.stack([1.5 * angle.cos(), 1.5 * angle.sin(), 1 + 0 * angle], 1)
whole = answer(cloud)
off = {}
for m in (32, 128, 512):
    off[m] = torch.stack([answer(piece) for piece in cloud.split(m)]) - whole
mean = torch.stack([gap.mean(0).norm() for gap in off.values()])

# %%
show(*draw.pieces(angle, off))
nearer = (mean[:-1] / mean[1:]).tolist()
guess(my_guess, f"{nearer[0]:.2g}, then {nearer[-1]:.2g} times", number=nearer[-1])

# %% [markdown]
# The theory says 4: in the mean ξ cancels, and ζ/m is left; 2 is right for one network. (At 32 units the dots in the formula still count.) This is what makes the limit useful:
# here, a network of a few hundred units *is* the infinite one, up to the thin band on the right. Whoever understands the cloud understands them all.
#
# ## 3. Does the loss care how the cloud moves?
#
# By gradient descent it does: in the first picture the loss waits until the units have grown. *Gauss-Newton* (lesson 01) keeps the rules of section 1 and
# replaces only the numbers $a_i$:
#
# $$\begin{aligned}
# a &= (K + \varepsilon I)^{-1} r, \\
# K_{il} &= \frac1m \sum_{j=1}^m \big[\phi_{ij}\,\phi_{lj} \\
# &\qquad\qquad {} + v_j^2\,\phi'_{ij}\,\phi'_{lj}\; x_i\cdot x_l\big],
# \end{aligned}$$
#
# with $\phi_{ij} = \phi(w_j\cdot x_i)$ and a small $\varepsilon$. The kernel (that of lesson 01, written out) is an average over the cloud, too. It says how outputs answer: to first order
# a step moves them by $-\eta K a \approx -\eta\, r$, and the residual shrinks by the factor $1-\eta$.
#
# We start four clouds from $v = 0$ and input weights of standard deviation (*std*) 0.1, 0.3, 1 and 3. Some rebuild themselves, some hardly move.
#
# **Predict.** After how many steps of η = 0.05 has the one with std 0.1, which moves most, one percent of its loss left? A number. And the others?

# %%
my_guess = ...

# %% tags=["idea"] vary="eta = 0.05 -> eta = 0.1"
eta = 0.05
law = math.log(0.01) / (2 * math.log(1 - eta))  # steps to 1 %


def gauss_newton(W, v, X, y, eta, steps=200, eps=5e-3):
    losses = []
    for _ in range(steps):
        phi, D, f = units(W, v, X)
        losses.append(((f - y) ** 2).mean() / 2)
        K = (phi @ phi.T + (D @ D.T) * (X @ X.T)) / len(v)
        a = torch.linalg.solve(K + eps * torch.eye(len(y)).double(), f - y)
        W, v = W - eta * (D.T * a) @ X, v - eta * phi.T @ a
    return W, v, torch.stack(losses)


# %%
torch.manual_seed(0)
start, stds = torch.randn(100, 3).double(), (0.1, 0.3, 1.0, 3.0)
steps = max(200, 2 * int(law))
ends = {s: gauss_newton(s * start, 0 * start[:, 0], X, y, eta, steps) for s in stds}
show(*draw.starts(start, ends, law))
X_new = torch.cat([data.x_test, torch.ones(500, 1)], 1)
answers = torch.stack([units(W, v, X_new)[2] for W, v, _ in ends.values()])
test = (answers - data.y_test).square().mean(1) / 2
took = [int((losses > 0.01 * losses[0]).sum()) for *_, losses in ends.values()]
guess(my_guess, f"{took[0]}; the others {took[1:]}", number=took[0])
print(f"The test loss at the end: {test[0]:.1g} from std 0.1, {test[-1]:.1g} from std 3.")

# %% [markdown]
# There is no cloud in $1-\eta$: this loss curve tells nothing of what the units do. (1 % comes after ln 0.01/(2 ln 0.95) = 45 steps; if you said 90: the loss
# is a square.) What it needs is a residual along eigenvectors of $K$ whose eigenvalue λ is far above ε. Here it lies there, though from std 0.1 most of the 40
# eigenvalues are below; an invertible $K$ with ε = 0 would guarantee it, to first order.
#
# **No bad minima?** The squared length of the gradient is, up to a factor, $r^T K r$. Where $K$ is invertible, that is zero only at the fit. Arbel et al. prove
# that Gauss-Newton in this scaling finds the fit, and faster than gradient descent.
#
# **And on new data?** The test loss does see the cloud: here those that move do better. Lesson 05 asks why.
#
# ## It breaks when there are too few particles
#
# $K$ has a row for each sample and is made of derivatives with respect to the weights, so its rank is at most their number. With fewer weights than samples it
# cannot be invertible, and no choice of weights meets labels drawn at random. Take 50 such samples with five inputs. A unit has seven weights: five, a bias, and $v_j$.
#
# **Predict.** From how many units on does counting *allow* a fit?

# %%
my_guess = ...

# %% tags=["idea"] vary="seed = 0 -> seed = 2"
seed = 0
noise = teacher_student(50, 5, labels="noise", seed=seed)
X5, outputs = torch.cat([noise.x, torch.ones(50, 1)], 1), {}
for m in (4, 7, 8, 9):
    torch.manual_seed(seed)
    W, v = torch.randn(m, 6).double(), torch.randn(m).double()
    W, v, losses = gauss_newton(W, v, X5, noise.y, eta=0.01, steps=1000, eps=1e-3)
    outputs[m] = units(W, v, X5)[2]

# %%
show(*draw.narrow(noise.y, outputs, weights=7))
least = math.ceil(len(noise.y) / 7)
fits = [m for m, f in outputs.items() if (f - noise.y).norm() < 1e-3 * noise.y.norm()]
guess(my_guess, f"{least}, or {7 * least} weights; fitted: {fits}", number=least)

# %% [markdown]
# Counting forbids 7 units and promises nothing of 8. There $K$ is invertible, but nearly not: one of its eigenvalues is below ε, so that damping holds the
# run back in that direction. What is left after these 1000 steps depends on the draw (seeds 0 to 9: between 4e-6 and 2 %; try seed 2), and only some draws
# get there with more steps. With 9 units at most 2e-6 is left in all ten.
#
# <details><summary>A question to follow up: is counting always off by as little?</summary>No. How nearly singular K is depends on the inputs. Take
# <code>teacher_student(40, 2, labels="noise", seed=seed)</code>, four weights a unit: counting says 10 units, and most of our draws needed about 15.</details>
#
# ## Play
#
# The first picture, with time in your hand. Move the sliders, by mouse or with the arrow keys. (*Distance from the nearest ray* is, for an
# angle $\alpha$ to it, $\sqrt{2(1-\cos\alpha)}$; long units count more. Later lessons call it the weighted cosine distance. Where the loss of Gauss-Newton leaves the
# dashed law, below a millionth, what is left lies in directions with λ below ε: damping holds it back.)
#
# 1. Which units move first, and when?
# 2. From which std on does the cloud stand still while the loss falls?
# 3. Gradient descent or Gauss-Newton: who is ahead after 20 steps from std 0.1, who from std 1, and who after 200?
#
# <details><summary>What we found</summary>
#
# 1. None in the first step: v = 0, and v stands in the speed of w. From the second step on all move, out along one line; fastest those that were long and near
#    that line, because the first step gave them a large v.
# 2. At std 3; at std 1 units still move by more than a third of their length.
# 3. From std 0.1 Gauss-Newton (0.045 against 0.33): gradient descent has to wait for the units. From std 1 gradient descent (0.014 against 0.046): its step,
#    0.25, is the larger one. After 200 steps Gauss-Newton, from everywhere and more than a thousandfold: what gradient descent leaves lies along small
#    eigenvalues.</details>

# %% tags=["widget"] id="widget"
from regimes_course.lesson02.widgets import particles

particles.show()

# %% [markdown]
# ## The answer in three sentences
#
# In mean-field scaling a network is an average over particles, each of which follows a rule without $m$: the width you doubled was not wasted, it bought more
# samples of one cloud. A network of width $m$ is off by $1/\sqrt m$ by chance and by $1/m$ on average. By Gauss-Newton the loss falls at the same rate however
# the cloud moves; what the cloud *learns* on the way is another question.
#
# ## How sure are we?

# %%
rows = "doubled-g spread-slope mean-slope rate-blind just-enough wide-enough"
evidence("02", *rows.split())

# %% [markdown]
# Measured over several seeds in [deeper](deeper/02_mean_field_convergence.ipynb), with noise labels, bad conditioning, damping and large steps. Nothing here
# disagrees with the paper's abstract; of its theorem we know only that.
#
# ## Exercises and what to read next
#
# `python3 course.py start 02` puts three exercises into your folder `work`: a test that finds out whether a law of training sees only the cloud, the damped
# flow mode by mode, and the infinite cloud from narrow networks. Worth an hour on your own: put two other averages that multiply into the toy of section 2. When is their mean off by $1/m$, and when not at
# all? Next: lesson [03](03_phases_of_sgd.ipynb), in which each sample is seen once.
#
# <details><summary>Papers</summary>
#
# - M. Arbel, R. Menegaux, P. Wolinski: *Rethinking Gauss-Newton for learning over-parameterized models*, NeurIPS 2023, arXiv 2302.02904.
# - S. Mei, A. Montanari, P.-M. Nguyen: *A mean field view of the landscape of two-layer neural networks*, PNAS 2018, arXiv 1804.06561.
# - L. Chizat, F. Bach: *On the global convergence of gradient descent for over-parameterized models using optimal transport*, NeurIPS 2018, arXiv 1805.09545.
# - Since then: B. Bordelon, C. Pehlevan, NeurIPS 2023, arXiv 2304.03408: the expansion of section 2 as a theory, also where features are learned.</details>
