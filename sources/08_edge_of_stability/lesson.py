# ---
# jupyter:
#   regimes:
#     title: Edge of stability
#     minutes: 45
#     needs: ["01", "02"]
#     papers: [cai2024]
#     objectives:
#       - say how large a step can be, and why training survives a larger one
#       - derive, in two lines, the force that pushes a run back to its edge
#       - read from two gradients whether a run is at its edge
#       - predict the loss of a swinging run without the swing
#       - say which networks, losses and methods have no such edge
# ---

# %% [markdown]
# # Why does training not blow up?
#
# You raise the learning rate. The loss jumps, you reach for the stop button, and it comes back down. By every textbook the run should have exploded. What
# saved it?

# %% tags=["hero"]
from regimes_course.kit import evidence, guess, show
from regimes_course.lesson08 import figures as draw

show(*draw.hero())

# %% [markdown]
# Three runs of one network climb the same hill, pass the sharpness at which a step of their size should make them explode, and are thrown back to it. This lesson
# says why, in two lines that hold for every network, and ends with a curve that predicts the loss *through* the chaos.
#
# <details><summary>What you will be able to do, and what this rests on</summary>
#
# - say how large a step can be, and why training survives a larger one;
# - derive, in two lines, the force that pushes a run back to its edge;
# - read from two gradients whether a run is at its edge;
# - predict the loss of a swinging run without the swing;
# - say which networks, losses and methods have no such edge.
#
# Needs lessons [01](01_gradient_descent_and_gauss_newton.ipynb) and [02](02_mean_field_convergence.ipynb). 45 minutes. Papers at the end: of Cohen et al. 2021 we had
# the published code, of the others abstracts at most; formulas are derived here.</details>
#
# ## 1. The edge, and the climb
#
# On a parabola of curvature S, a step of size η multiplies the distance z to the bottom:
#
# $$z \to (1 - \eta S)\, z .$$
#
# Up to S = 2/η this shrinks. Beyond, z changes sign and grows at every step. So 2/η is the *edge*, and the *stability number* ηS/2 is 1 there.
# A network's loss has many curvatures, the eigenvalues of its Hessian (the matrix of second derivatives). The largest is the *sharpness* S, its eigenvector u the
# sharpest direction. But a network is no parabola: S changes as it trains.
#
# Ours has 20 tanh units, 60 numbers p in all, and fits a polynomial on 20 points. The width, 20, sets the unit of time as in lesson 02: a step follows
# $\ell = 20 L$, where L is the loss. `slope` is the gradient of $\ell$, and S its sharpness.
#
# **Predict.** With infinitely small steps S goes from 0.8 to 7.7 by t = 300 (dashed in the picture). Take η = 0.2. What is its stability number at t = 300? A number.

# %%
import torch
from torch.func import grad, hessian

from regimes import GradientDescent, TwoLayer, train
from regimes.metrics import sharpness

x = torch.linspace(0, 2, 20, dtype=torch.float64)
y = torch.cos(3 * torch.arccos(x - 1))  # a polynomial of degree three


def loss(p):
    w, b, v = p.reshape(3, 20)
    return ((torch.tanh(torch.outer(x, w) + b) @ v / 20 - y) ** 2).mean() / 2


def slope(p):
    p = p.detach().requires_grad_()
    return 20 * torch.autograd.grad(loss(p), p)[0]


hess = hessian(lambda p: 20 * loss(p))
torch.manual_seed(0)
wb, v = torch.randn(20, 2, dtype=x.dtype), torch.randn(20, dtype=x.dtype)
my_guess = ...


# %% tags=["idea"] vary="0.2, 1500), 1498, 0.2 -> 0.1, 3000), 2998, 0.1"
def descend(p, eta, steps):
    path = [p]
    for _ in range(steps):
        path.append(path[-1] - eta * slope(path[-1]))
    return path


def number(path, k, eta):
    middle = (path[k] + 2 * path[k + 1] + path[k + 2]) / 4  # a swing cancels
    return eta * torch.linalg.eigvalsh(hess(middle))[-1].item() / 2


start = torch.cat([wb.T.flatten(), v])
small = number(descend(start, 0.2, 1500), 1498, 0.2)
guess(my_guess, f"{small:.2f}: it never meets its edge, 10", number=small)

# %% tags=["idea"] vary="eta = 0.6 -> eta = 0.8"
eta = 0.6
path = descend(start, eta, 500)
for k in (0, 100, 174, 240, 300, 498):
    print(
        f"step {k}: stability number {number(path, k, eta):.2f}, loss {loss(path[k]):.2g}"
    )

# %% [markdown]
# Beyond the edge the swing should grow at every step; at a stability number of 1.5 it doubles. Yet the run settles near 1. The climb is the network's own; η only decides where it
# ends. (We measure, here and in the first picture, at the middle of the swing.)
#
# ## 2. Why it comes back: the swing pushes
#
# Let the weights swing between $p + a u$ and $p - a u$. What do two steps feel on average? Expand both gradients in the size a of the swing. The odd terms cancel:
#
# $$\begin{aligned}
# &\tfrac12\big[\nabla\ell(p + au) + \nabla\ell(p - au)\big] \\
# &\quad = \nabla\ell(p) + \tfrac{a^2}{2}\,\nabla S(p) + \dots
# \end{aligned}$$
#
# The quadratic term is the third derivative of $\ell$, twice along u, and that *is* the gradient of $S = u^T H u$ ($H$ is the Hessian of $\ell$; that u turns does not matter
# to first order, because an eigenvector makes $u^T H u$ stationary). What is left out is of order $a^4$.
#
# **So a swing of size a is gradient descent on $\ell + \frac{a^2}{2} S$: swinging puts a price on sharpness.** This holds for every smooth loss. Now the cycle: too
# sharp, the swing grows; it pushes S down; it dies; S climbs again (Damian, Nichani, Lee 2023).
#
# **Predict.** When the run of section 1 crosses its edge (step 174), we push the weights by one hundredth of their length along the sharpest direction. Will the overshoot
# be `"larger"` or `"smaller"`?

# %%
my_guess = ...

# %% tags=["idea"] vary="(0.05, 0.2) -> (0.1, 0.5)"
p = path[174]
u = torch.linalg.eigh(hess(p))[1][:, -1]
dS = grad(lambda p: torch.linalg.eigvalsh(hess(p))[-1])(p)  # the gradient of S
for a in (0.05, 0.2):
    felt = (slope(p + a * u) + slope(p - a * u)) / 2 - slope(p)
    off = (felt - a**2 / 2 * dS).norm() / felt.norm()
    print(f"swing {a}: the law is off by {100 * off:.2g} %")

# %% tags=["idea"] vary="(0.0, 0.01) -> (0.0, 0.003)"
numbers, losses = {}, {}
for push in (0.0, 0.01):
    run = descend(p + push * p.norm() * u, eta, 121)
    numbers[push] = [number(run, k, eta) for k in range(0, 120, 4)]
    losses[push] = [loss(q).item() for q in run]
show(*draw.pushed(numbers, losses))
guess(my_guess, f"smaller: {max(numbers[push]):.3g}, not {max(numbers[0.0]):.3g}")

# %% [markdown]
# Left alone, the swing starts from almost nothing and has to grow, while S goes on climbing. A push gives it a start. (A random direction is almost as good, 1.13 to
# 1.22 in five draws: whatever part lies along u grows. A push ten times as long costs more than it saves.) The swing is not the enemy; it is the brake.
#
# **An edge meter to take home.** Two gradients in a row, $g_k$ and $g_{k+1}$, differ by $-\eta \bar H g_k$, where $\bar H$ is the mean Hessian along the step. So
#
# $$m = \frac12\Big(1 - \frac{g_{k+1}\cdot g_k}{|g_k|^2}\Big) = \frac{\eta}{2}\,\frac{g_k\cdot\bar H g_k}{|g_k|^2}$$
#
# is a stability number, along the last step, and it needs no Hessian. In a swing of period two, $g_{k+1} = -g_k$ and m = 1 *exactly, however large
# the swing*. (Without a swing, or with a faint one, steps go along flatter directions, and m is small.)

# %% tags=["idea"] vary="375 -> 450"
g = torch.stack([slope(p) for p in path])
m = (1 - (g[1:] * g[:-1]).sum(1) / (g[:-1] ** 2).sum(1)) / 2
print(f"at t = 90: {m[150]:.2g}; mean from t = 225 on: {m[375:].mean():.4f}")

# %% [markdown]
# The meter reads 1 where the middle of the swing has 1.05 (section 1): curvature is larger in the middle than at the ends. *Its mean along the step* is at the edge.
#
# ## 3. The run without the swing
#
# If a swing of size a acts like the force $\frac{a^2}{2}\nabla S$, the average path needs no swing: follow the loss, and where S would exceed 2/η, add just
# the force that keeps it there. This is the *central flow* (Cohen, Damian, Talwalkar, Kolter, Lee 2025):
#
# $$\begin{aligned}
# \dot p &= -\nabla\ell - \tfrac{a^2}{2}\,\nabla S, \\
# a^2 &= \frac{-2\,\nabla\ell\cdot\nabla S}{|\nabla S|^2}\ \text{ at the edge,} \\
# a^2 &= 0 \ \text{ below.}
# \end{aligned}$$
#
# So the size of the swing is *known*, and with it the mean loss: $L + \frac{a^2}{20\,\eta}$, half of $a^2$ times the curvature 2/η (over 20, from $\ell$ to L). In code we step back to
# the edge along $\nabla S$ and read off how far that was. Both u and $\nabla S$ come from a few gradients.


# %% tags=["idea"] vary="eta / 2 -> eta / 4"
def central_flow(p, eta, end, h=1e-3):
    u, dt, losses = torch.ones_like(p), eta / 2, []
    for _ in range(round(end / dt)):
        p = p - dt * slope(p)  # follow the loss
        Hu = (slope(p + h * u) - slope(p - h * u)) / (2 * h)
        S, u = Hu.norm(), Hu / Hu.norm()  # u turns slowly: once a step is enough
        dS = (slope(p + h * u) + slope(p - h * u) - 2 * slope(p)) / h**2
        back = (S - 2 / eta).clamp(min=0) / (dS @ dS)  # a^2 dt / 2
        p = p - back * dS  # beyond the edge: straight back to it
        losses.append([loss(p), loss(p) + 2 * back / dt / (20 * eta)])
    return torch.tensor(losses).T  # of the centre alone, and with its swing


centre, predicted = central_flow(start, eta, end=300)

# %%
measured = torch.stack([loss(p) for p in path])
show(*draw.central(eta, measured, centre, predicted))

# %% [markdown]
# Gradient descent lies far above gradient flow. Is it behind on the same path, or swinging above a good place? Both: more than half of its loss is the swing itself, and the
# centre, too, lies above gradient flow, since it keeps to flatter ground.
#
# Where is the dashed curve wrong? Soon after the crossing: it swings at once, whereas the run has to grow its swing first.
# *Deeper* measures it over seeds: within 15 % in the last 50 units of time, not earlier. And our version steers one eigenvalue: the second has to stay below the edge, as it does on these
# inputs.
#
# ## 4. Where features do not move
#
# S climbs because features move. To take that away, write $1/\sqrt m$ in front of m units instead of $1/m$: then the wider the network, the less its features move
# (lesson [06](06_lazy_regime.ipynb)). Without that movement the model is linear in its weights, and the curvature of its squared loss does not change: the dashed line below.
#
# **Predict.** Widths 20, 80, 320, each in both scalings. Write which networks climb: `"all"`, `"all with 1/m"`, or `"the widest"`. (Each has to add the same polynomial to
# what it says at initialisation. We plot against the loss that is left, not time, so that nobody is ahead.)

# %%
my_guess = ...

# %% tags=["idea"] vary="range(31) -> range(11)"
X, climbs = x.reshape(20, 1), {}
for scaling, step in {"mean_field": 0.2, "ntk": 0.6}.items():  # 1/m, 1/sqrt(m)
    for m in (20, 80, 320):
        kind = dict(activation="tanh", output_std=1.0, seed=0)
        net = TwoLayer(1, m, scaling=scaling, **kind)
        wanted = y + net(X).detach()
        left, S = [], []
        for _ in range(31):
            left.append(((net(X) - wanted) ** 2).mean().item() / 2)
            S.append(sharpness(net, X, wanted).item())
            train(net, X, wanted, GradientDescent(net, step), 50)
        climbs[scaling, m] = left, S

# %%
show(*draw.lazy(climbs))
at = [S[sum(loss > 0.05 for loss in left)] for left, S in climbs.values()]
guess(my_guess, f"all with 1/m: S = {at[2]:.3g} at width 320, {at[5]:.3g} with 1/√m")

# %% [markdown]
# With $1/m$ the climb, hence the edge, hence the largest step below it does not depend on the width: tune it on a small network, use it on a large one. (That is
# η; a library's learning rate on *L* is *m* η.) This is *learning-rate transfer*; μP (Yang et al. 2021) carries this scaling through all layers, and Noci et al. 2024 found the same in ResNets and transformers: sharpness keeps its course
# across widths under μP, not in the lazy scaling. A wide lazy network keeps the sharpness it was born with: textbook step sizes are right where no features are learned.
#
# ## It breaks when
#
# Change the *loss*: the logistic loss (digits, even against odd, η = 6) has hardly any curvature where it fits. Change the *method*: Gauss-Newton multiplies the
# residual by $1 - \eta$, wherever it is (lesson 01).

# %%
show(*draw.breaks())

# %% [markdown]
# Nothing hovers on the left: the run jumps to where the loss is flat (lesson [09](09_large_steps.ipynb)). And Gauss-Newton has nowhere to flee. The edge of gradient descent belongs to
# the *place*, so that swinging leads to a flatter one. Gauss-Newton finds the same edge everywhere.
#
# **If you train with mini-batches,** do not expect 2/η. By section 2 *any* noise along the sharpest direction pushes S down, not only the swing. Here, with η = 0.6, it stays near a fifth
# of the edge with batches of 1, near half of it with 4 (*deeper*). Andreyev and Beneventano 2024 find the batch's own sharpness at 2/η instead; at our size we do not.
# And give the meter two gradients of the *same* batch, or it compares batches, not curvature.
#
# ## Play
#
# The first picture with sliders. Find
#
# 1. a step that never meets its edge,
# 2. where the inputs must sit for η = 0.6 to be harmless,
# 3. the largest step that survives. Is it a good one?
#
# <details><summary>What we found</summary>
#
# 1. 0.2; and 0.25 hardly touches it.
# 2. Around 0: centred inputs climb less, and the sharpness ends below the edge.
# 3. 3 survives at all seeds, 4 does not; but a swing costs: the loss at the end is lowest at 0.2 and 0.25, which hardly have one.</details>

# %% tags=["widget"] id="widget"
from regimes_course.lesson08.widgets import edge

edge.show()

# %% [markdown]
# ## The answer in three sentences
#
# A step of size η is stable up to the sharpness 2/η, and a network that learns features climbs there by itself. Beyond it the weights swing, the swing acts like a force
# against sharpness, and the run settles where the mean curvature under its swing is 2/η. So what you see is a smooth path plus a swing whose size can be computed;
# and a lazy network, the logistic loss and Gauss-Newton each lack one link of that chain.
#
# ## How sure are we?

# %%
rows = "climb push edge-meter central-flow lazy-never-climbs newton-above"
evidence("08", *rows.split())

# %% [markdown]
# All of it over seeds, and more, in [deeper](deeper/08_edge_of_stability.ipynb).
#
# ## Exercises and what to read next
#
# `python3 course.py start 08` puts the exercises into your folder `work`.
# Next: lesson [09](09_large_steps.ipynb), where large steps are not only survived. They pay.
#
# <details><summary>Papers</summary>
#
# - J. Cohen, S. Kaur, Y. Li, J. Z. Kolter, A. Talwalkar: *Gradient descent on neural networks typically occurs at the edge of stability*, ICLR 2021.
# - A. Damian, E. Nichani, J. D. Lee: *Self-stabilization*, ICLR 2023, arXiv 2209.15594.
# - Central flows: arXiv 2410.24206, ICLR 2025. P. Marion: *Edge Flow*, arXiv 2606.18080, is about the time soon after the crossing.
# - Mini-batches: A. Andreyev, P. Beneventano, arXiv 2412.20553. Widths: L. Noci et al., arXiv 2402.17457.</details>
