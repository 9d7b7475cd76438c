# ---
# jupyter:
#   regimes:
#     title: Gradient descent and Gauss-Newton
#     minutes: 45
#     needs: ["00"]
#     papers: [arbel2023]
#     objectives:
#       - follow training in the space of outputs, where it is nearly linear
#       - say why gradient descent crawls, and predict its error mode by mode
#       - derive the Gauss-Newton step, and predict its loss and its number of steps
#       - choose a damping, and say what it costs
#       - say what Gauss-Newton still depends on
# ---

# %% [markdown]
# # Gradient descent and Gauss-Newton
#
# **After these 45 minutes you will be able to**
#
# - follow training in the space of outputs, where it is nearly linear,
# - say why gradient descent crawls, and predict its error mode by mode,
# - derive the Gauss-Newton step, and predict its loss and its number of steps,
# - choose a damping, and say what it costs,
# - say what Gauss-Newton still depends on.
#
# **Needs** lesson [00](00_start_here.ipynb), the chain rule, eigenvalues of symmetric matrices. **Paper:** Arbel, Menegaux, Wolinski 2023 (*Rethinking
# Gauss-Newton for learning over-parameterized models*). We had only its abstract and its published code; formulas below are derived here.
#
# **Recap.** Answer before you unfold.
#
# <details><summary>1. A matrix J has more columns than rows, and full rank. How many solutions has J δ = r?</summary>
# Infinitely many. The shortest is δ = Jᵀ(J Jᵀ)⁻¹ r.</details>
#
# <details><summary>2. A is symmetric with eigenvalues between 0 and 1. Along which eigenvectors does r survive longest under r ← (I − A) r?</summary>
# Along those with the smallest eigenvalues: each component is multiplied by 1 − λ.</details>
#
# <details><summary>3. In lesson 00, what made a run lazy?</summary>
# The scaling 1/√m: smaller movements of all the units sufficed, the smaller the wider the network.</details>

# %%
import torch
from IPython.display import display

from regimes.directions import gauss_newton, gradient
from regimes.jacobians import jacobian
from regimes.kernels import neural_tangent_kernel
from regimes.linalg import SmallestEigenvalue
from regimes.metrics import loss_on, spectrum
from regimes.networks import TwoLayer
from regimes.optimizers import EdgeFraction, GaussNewton, GradientDescent
from regimes.problems import digits, teacher_student
from regimes.theory import gauss_newton as theory
from regimes.training import train
from regimes_course.kit import Ledger, digits3, guess, seeds, show, span
from regimes_course.lesson01 import figures as draw
from regimes_course.lesson01.widgets import gd_against_gn

ledger = Ledger("01")

# %% [markdown]
# ## 1. Training, seen from the outputs
#
# The data are $n$ inputs $x_i$ in $d$ dimensions with targets $y_i$. The network has $m$ hidden units in *mean-field scaling*,
# $$f(x) = \frac1m \sum_{j=1}^m v_j\, \phi(w_j \cdot x + b_j),$$
# with the activation $\phi(z) = z/(1+e^{-z})$ (SiLU). All its $p = m(d+2)$ parameters together are called $w$. At the start $w_j$ and
# $b_j$ are standard normal and $v = 0$, so $f = 0$. The loss is
# $L = \frac{1}{2n}\lVert r\rVert^2$ with the *residual* $r = f - y$, a vector with one entry a sample.
#
# Move the parameters by $-\delta$. To first order the outputs move by $-J\delta$, where the *Jacobian* $J$ has a row for each
# sample and a column for each parameter. Gradient descent with the step size $\eta$ takes
# $\delta = \eta\, m\, J^\top r/n$ (the factor $m$ makes the outputs move at a speed that does not depend on the width), so that, to first
# order in $\eta$, and exactly if the features are frozen,
# $$r \;\leftarrow\; \Big(I - \frac{\eta}{n} K\Big)\, r, \qquad K = m\, J J^\top .$$
#
# Everything is in the $n\times n$ matrix $K$, the *neural tangent kernel* on the data. Along an eigenvector of $K$ with eigenvalue
# $\lambda$ the residual is multiplied by $1 - \eta\lambda/n$: stable while $\eta < 2n/\lambda_{\max}$, and slow where $\lambda$ is
# small. How small do they get?

# %%
n, d, m = 40, 5, 100
kappa = torch.tensor([1.0, 10.0, 100.0])[:, None]  # condition number of the inputs
data = teacher_student(n, d, kappa=kappa, labels="noise", seed=seeds(3))


def fresh():  # nine networks side by side: three conditionings, three seeds
    return TwoLayer(d, m, runs=(3, 3), seed=seeds(3) + 50)


show(*draw.spectra(spectrum(fresh(), data.x), kappa))

# %% [markdown]
# **Claim.** On features that do not move, each mode of the residual decays geometrically at its own rate, and gradient descent
# crawls along the small eigenvalues.
#
# To have a kernel that stands still we freeze the hidden weights and train $v$ alone.
#
# **Predict.** The step is half the stability limit. How much is left, after 300 steps, of the mode with the *largest* eigenvalue,
# and of the one with the 20th largest? Guess the second (a fraction between 0 and 1).

# %%
my_guess = ...

# %%
x, y = data.x[0, 0], data.y[0, 0]
net = TwoLayer(d, m, seed=50)
net.W.requires_grad_(False)
K = neural_tangent_kernel(net, x)
lr = n / spectrum(net, x)[0].item()
residual = {"r": lambda net: net(x) - y}
trace = train(net, x, y, GradientDescent(net, lr), 300, measure=residual)

measured, predicted = trace.measured["r"], theory.frozen_residual(K, -y, lr, n, trace.step)
show(*draw.modes(K, measured, predicted))

# %%
mode = torch.linalg.eigh(K)[1][:, -20]
left = (measured[-1] @ mode / (measured[0] @ mode)).abs()
guess(my_guess, f"{left:.2g} of mode 20 is left")
_ = ledger.claim("frozen-modes", (measured - predicted).norm(dim=-1).max() / y.norm())

# %% [markdown]
# Markers sit on the dashed lines. At half the limit the factor $1-\eta\lambda_{\max}/n$ is zero, so the first mode is gone after one step;
# of the twentieth more than a third is left at the end, and half of the modes are slower still. No step size mends this: the largest eigenvalue caps the step, the smallest ones set the waiting time.
#
# ## 2. Gauss-Newton: one rate for all modes
#
# Turn the question round. Instead of asking where the loss falls most steeply, ask for the *shortest* step after which, to first
# order, every entry of the residual has shrunk by the same factor $1-\eta$:
# $$\min \lVert\delta\rVert \ \text{ such that }\ J\delta = \eta\, r
#   \qquad\Longrightarrow\qquad \delta = \eta\, J^\top (J J^\top)^{-1} r .$$
#
# With a *damping* $\varepsilon > 0$ the condition is relaxed: $\delta = m J^\top (K + \varepsilon I)^{-1} r$ minimises
# $\lVert J\delta - r\rVert^2 + \frac{\varepsilon}{m} \lVert\delta\rVert^2$, and the parameters move by $-\eta\,\delta$:

# %%
net = TwoLayer(d, m, output_std=1.0, seed=50)  # v ≠ 0, so that the hidden weights count too
damping = 1e-3

J = jacobian(net, x)
r = J.outputs - y
K = m * J.gram()
a = torch.linalg.solve(K + damping * torch.eye(n, dtype=K.dtype), r)
step = m * J.flatten(J.vjp(a))

library = J.flatten(gauss_newton(net, x, y, damping=damping).tensors)
apart = (step - library).norm() / library.norm()
print("these five lines against the library:", digits3(apart.item()))

# %% [markdown]
# The $n \times p$ matrix $J$ never appears: `gram` and `vjp` give $JJ^\top$ and $J^\top a$ from two $n\times m$ arrays.
# (Exercises 1 and 2 are these lines.)
#
# **Claim.** As long as $JJ^\top$ is invertible, under the undamped Gauss-Newton flow $r(t) = e^{-t} r(0)$ and $L(t) = e^{-2t} L(0)$, *whatever the conditioning*
# (Arbel et al. 2023, abstract: conditioning drops out; derived here: $\dot f = -J J^\top (J J^\top)^{-1} r = -r$). In steps of
# size $\eta$, $r_{k+1} = (1-\eta)\, r_k + O(\eta^2)$. If the $O(\eta^2)$ is neglected (the next cells test whether it may be), $\log L$ falls
# at the rate $-2\ln(1-\eta)/\eta$ per unit of $t = \eta k$, and $L/L_0$ is at most a tolerance after
# $\lceil \ln \mathrm{tol} / (2\ln(1-\eta)) \rceil$ steps.
#
# The targets are pure noise, with a part along every eigenvector. Gradient descent gets half its stability limit, recomputed
# every five steps.
#
# **Predict.** How many times longer will Gauss-Newton take at κ = 100 than at κ = 1?

# %%
my_guess = ...

# %%
races = {}
for eta, steps in ((0.02, 400), (0.1, 100)):
    net = fresh()
    races[eta] = train(net, data.x, data.y, GaussNewton(net, eta), steps)
net = fresh()
descent = train(net, data.x, data.y, GradientDescent(net, EdgeFraction(0.5)), 2000)
show(*draw.race(races, descent, kappa))

# %%
slow = races[0.02].steps_to(1e-3)
ratio = slow[2] / slow[0]
guess(my_guess, f"{ratio.min():.2f} to {ratio.max():.2f} times as long")

_ = ledger.claim("gn-rate", races[0.02].rate(), theory.discrete_rate(0.02))
_ = ledger.claim("gn-steps-ill", slow[2], theory.steps_to(1e-3, 0.02))
_ = ledger.claim("gd-crawls", descent.relative[-1, 2])
for eta, race in races.items():
    for tol in (1e-3, 1e-6):
        count, expected = race.steps_to(tol)[0], theory.steps_to(tol, eta)
        entry = ledger.claim(f"gn-steps-{eta}-{tol}", count, expected)
        print(f"η = {eta}, to {tol}: predicted {expected} steps, took {entry.spread}")

# %% [markdown]
# The kernel's condition number spans orders of magnitude, and the Gauss-Newton curves with the small step cannot be told apart. The
# larger step misses its prediction at κ = 100: in some runs the loss rises at first, and the tolerance is reached some steps late, since the
# law is first order in the step. A word of care about gradient descent: noise labels are a hard case, with a part along every
# eigenvector, also the slowest. Targets that lie mostly along large eigenvalues, as a teacher network's do, are learned faster than the slowest mode
# suggests (lesson 02 measures it).
#
# ## 3. Damping: between the two
#
# With damping a mode decays at the rate $\rho = \lambda/(\lambda+\varepsilon)$: modes above $\varepsilon$ are trained like
# Gauss-Newton, modes below it like gradient descent. So the loss stays in an *envelope*,
# $$e^{-2t} \;\le\; L(t)/L(0) \;\le\; \exp\Big(-2t\,\frac{\lambda_{\min}}{\lambda_{\min}+\varepsilon}\Big).$$
# Here $\lambda_{\min}$ is the smallest eigenvalue met along the path. The published code takes
# $\varepsilon = \max(\text{floor}, \lambda_{\min}(K))$ at each step. Without its floor (we set it to $10^{-12}$) the guaranteed rate is half
# of the best; where the floor exceeds $\lambda_{\min}$ it is less. At the other end, for large $\varepsilon$,
# $\varepsilon\delta \to m J^\top r$, which is $n$ times the gradient direction of section 1, with a relative error of at most
# $\lambda_{\max}/\varepsilon$.

# %%
net = fresh()
rule = GaussNewton(net, 0.02, damping=SmallestEigenvalue(alpha=1.0, floor=1e-12))
damped = train(net, data.x, data.y, rule, 300)

net = TwoLayer(d, m, output_std=1.0, seed=50)
flat, top = jacobian(net, x).flatten, spectrum(net, x)[0].item()
slope = n * flat(gradient(net, x, y).tensors)
eps = top * torch.logspace(-6, 4, 21, dtype=torch.float64)
steps = [e * flat(gauss_newton(net, x, y, damping=e).tensors) for e in eps]
error = torch.stack([(step - slope).norm() / slope.norm() for step in steps])

# %%
envelope = theory.damped_envelope(damped.time, 1.0, 1.0)  # the damping is lambda_min
show(*draw.damping(damped, envelope, eps, error, bound=top / eps))
rate, best = damped.rate((0.5, 1e-2)), theory.discrete_rate(0.02)
_ = ledger.claim("damped-envelope", rate, low=0.99 * best / 2, high=1.01 * best)
_ = ledger.claim("large-damping", (error * eps / top)[eps > top])

# %% [markdown]
# Damping is not free insurance. The envelope holds to first order in the step; when ε lies far above the smallest eigenvalues, the
# first steps can overshoot where the undamped ones do not. You will find such a place with the widget below.
#
# ## 4. The first full step is a random-feature fit
#
# At the start $v = 0$. The derivative of $f$ by a hidden weight carries the factor $v_j$, so it is zero: the first step moves only
# $v$, on the random features $\Phi$ with entries $\phi(w_j\cdot x_i + b_j)$. With $\eta = 1$ it is the shortest $v$ that interpolates
# the data, and then the residual is zero and nothing moves ever again.
#
# **Claim.** One full undamped step from $v = 0$ *is* the minimum-norm fit of random features (derived here). For a step $\eta$, the
# first move of every output is $\eta$ times that fit.

# %%
problem = teacher_student(n, d, seed=seeds(3))
full, small = (TwoLayer(d, m, runs=(3,), seed=seeds(3) + 50) for _ in range(2))
start = full.W.detach().clone()
Phi, Phi_test = (full.hidden(inputs)[0].detach() for inputs in (problem.x, problem.x_test))
cases = zip(Phi, problem.y, Phi_test, strict=True)
fits = torch.stack([theory.random_feature_prediction(*case) for case in cases])

_ = train(full, problem.x, problem.y, GaussNewton(full, 1.0), 1)
_ = train(small, problem.x, problem.y, GaussNewton(small, 0.05), 200)
apart = (full(problem.x_test).detach() - fits).norm(dim=-1) / fits.norm(dim=-1)
print("full step against random features:", ledger.claim("first-step", apart).spread)

# %%
for name, net in (("the full step", full), ("steps of 0.05", small)):
    fitted = bool((loss_on(net, problem.x, problem.y) < 1e-6).all())
    test = span(loss_on(net, problem.x_test, problem.y_test))
    far = span((net.W - start).detach().norm(dim=(1, 2)) / start.norm(dim=(1, 2)))
    print(f"{name}: data fitted {fitted}, test loss {test}, W moved by {far} of |W|")

# %% [markdown]
# Both fit the training data. A small step follows the flow, along which the hidden weights do move; the full step jumps to the end
# of the training data's story and stays with the features it drew at random. Whether the small step pays on the test data depends on
# problem, start and damping; lesson 05 measures it. (Exercise 4 is a bug of this kind.)
#
# ## 5. What breaks: Gauss-Newton does not know which parameters are natural
#
# In classical least squares, with more data than parameters, the Gauss-Newton step does not depend on how the parameters are
# written. **Predict.** Rewrite all parameters as $w = T w'$ with a random invertible matrix $T$ and take one undamped step in $w'$. What stays
# the same, to first order: the movement of the training outputs, of the test outputs, both, or neither?

# %%
my_guess = ...

# %%
tiny = teacher_student(15, 8, seed=0)
net = TwoLayer(8, 10, output_std=1.0, seed=50)
J, J_test = (jacobian(net, inputs).dense() for inputs in (tiny.x, tiny.x_test))
r = net(tiny.x).detach() - tiny.y


def move(T):  # of the parameters w = T w', by one undamped step in w'
    return T @ torch.linalg.pinv(J @ T) @ r


def change(T, seen):  # of the move of the outputs, relative to that without T
    plain = seen @ move(torch.eye(100, dtype=J.dtype))
    return torch.stack([(seen @ move(t) - plain).norm() / plain.norm() for t in T])


generators = (torch.Generator().manual_seed(seed) for seed in seeds(3).tolist())
T = torch.stack([torch.randn(100, 100, generator=g, dtype=J.dtype) for g in generators])
rotations = torch.linalg.qr(T)[0]

# %%
cases = {
    "train": (T, J, "training outputs"),
    "not-test": (T, J_test, "test outputs"),
    "rotation": (rotations, J_test, "test outputs, T orthogonal"),
}
for name, (matrix, seen, words) in cases.items():
    entry = ledger.claim(f"invariant-{name}", change(matrix, seen))
    print(f"relative change of the {words}: {entry.spread}")
guess(my_guess, "the training outputs move alike, the test outputs do not")

# %% [markdown]
# On the training data the step is fixed by the condition $J\delta = \eta r$. Which of the many solutions is *shortest* depends on how
# length is measured, and that decides the test outputs. Gauss-Newton repairs the speed of training; the choice among the
# interpolants, the *implicit bias*, is still made by the parametrisation.
#
# ## 6. Inputs nobody made up
#
# Handwritten threes against eights, 100 training images of 8 × 8 pixels, labels −1 and +1. **Predict.** The step is 0.1. Does the loss
# need the same number of steps as on the synthetic data?

# %%
images = digits(3, 8, n=100, seed=seeds(3))
right = {"accuracy": lambda net: (net(images.x_test) * images.y_test > 0).double().mean(-1)}
runs = {}
for name, steps in (("Gauss-Newton", 100), ("gradient descent", 600)):
    net = TwoLayer(64, 200, runs=(3,), seed=seeds(3) + 50)
    gn = name == "Gauss-Newton"
    optimizer = GaussNewton(net, 0.1) if gn else GradientDescent(net, EdgeFraction(0.5))
    runs[name] = train(net, images.x, images.y, optimizer, steps, measure=right)

# %%
gn = runs["Gauss-Newton"]
show(*draw.images(runs, gn.step, theory.step_loss(gn.step, 0.1)))
_ = ledger.claim("digits-rate", gn.rate(), theory.discrete_rate(0.1))
_ = ledger.claim("digits-steps", gn.steps_to(1e-6), theory.steps_to(1e-6, 0.1))

# %% [markdown]
# The same law, the same number of steps. Here the test accuracies at the end are close: on this problem, fitting the training data much
# better did not mean generalising better.
#
# ## 7. Your turn to turn the knobs
#
# Three positions of the sliders, for readers without a running kernel:

# %%
last = gd_against_gn.compute(**list(gd_against_gn.frames.values())[-1])
show(
    gd_against_gn.film((3.4, 2.9), columns=3),
    "Gauss-Newton against gradient descent on 20 noise labels. Conditioning slows gradient "
    "descent and leaves Gauss-Newton alone; with a damping above the smallest eigenvalue the "
    f"loss first rises to {last.gauss_newton.max():.0f} times its start, outside its dashed "
    "envelope, which is first order in the step.",
)

# %% [markdown]
# Run the next cell; arrow keys move a slider. Find
#
# 1. a damping at which Gauss-Newton is hardly better than gradient descent,
# 2. the step beyond which the undamped loss no longer falls (what does $r \leftarrow (1-\eta) r$ say?),
# 3. at κ = 100 and ε = 1e-4, the largest step without an overshoot.

# %% tags=["widget"] id="widget"
gd_against_gn.show()

# %% [markdown]
# ## What we measured against what was predicted

# %%
display(ledger)

# %% [markdown]
# ## Limits
#
# - The law is about the *training* loss, for the squared loss, in the undamped flow, as long as $K$ stays invertible. At a start
#   with tiny hidden weights $K$ is nearly singular and "the" Gauss-Newton step does not exist: damping decides (lesson 05).
# - A Gauss-Newton step costs a kernel and a factorisation, about $4 n^2 m + n^3/3$ operations, against about $4 n m d$ for a gradient.
# - The step of gradient descent was half its stability limit, refreshed every five steps. Between two refreshes the kernel can grow past
#   that limit: this is the bump near step 5 in section 6. Lesson 08 looks at that edge.
#
# ## Exercises and what to read next
#
# `python3 course.py start 01` puts four exercises into your folder `work`: the Gauss-Newton direction, the Gram matrix in closed form,
# counting steps, and a bug to find. Then lesson 02 asks what a very wide network is, and lesson 05 what the small steps learn.
#
# - M. Arbel, R. Menegaux, P. Wolinski: *Rethinking Gauss-Newton for learning over-parameterized models*, NeurIPS 2023, arXiv 2302.02904.
# - A. Jacot, F. Gabriel, C. Hongler: *Neural tangent kernel: convergence and generalization in neural networks*, NeurIPS 2018, arXiv 1806.07572.
