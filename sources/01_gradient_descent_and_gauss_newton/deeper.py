# ---
# jupyter:
#   regimes:
#     title: "Gradient descent and Gauss-Newton: deeper"
#     minutes: 50
#     needs: ["01"]
#     papers: [arbel2023]
#     objectives:
#       - say what Gauss-Newton still depends on
#       - test the laws of the lesson over conditionings and seeds, and see where they stop
#       - say what a damping costs, and what a full first step is
# ---

# %% [markdown]
# # Gradient descent and Gauss-Newton: deeper
#
# The evidence for [lesson 01](../01_gradient_descent_and_gauss_newton.ipynb), over seeds, conditionings and real images, and two things that the lesson leaves out: what
# Gauss-Newton still depends on, and what its full first step is. **Paper:** Arbel, Menegaux, Wolinski 2023 (*Rethinking Gauss-Newton for learning over-parameterized
# models*). This page relies on its abstract and its published code; the formulas are derived here.
#
# The data are $n$ inputs $x_i$ in $d$ dimensions with targets $y_i$. The network has $m$ hidden units in *mean-field scaling*,
# $$f(x) = \frac1m \sum_{j=1}^m v_j\, \phi(w_j \cdot x + b_j),$$
# with the activation $\phi(z) = z/(1+e^{-z})$ (SiLU). All its $p = m(d+2)$ parameters together are called $w$. At initialisation $w_j$ and
# $b_j$ are standard normal and $v = 0$, so $f = 0$. The loss is $L = \frac{1}{2n}\lVert r\rVert^2$ with the residual $r = f - y$, one number per sample. $J$ is the
# Jacobian of the outputs, and the parameters move by $-\eta\,\delta$: $\delta$ is a direction, free of the step size $\eta$.

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
from regimes_course.lesson01 import experiments
from regimes_course.lesson01 import figures as draw

ledger, SEEDS = Ledger("01"), seeds(3)

# %% [markdown]
# ## 1. Gauss-Newton does not know which parameters are natural
#
# In classical least squares, with more data than parameters, the Gauss-Newton step does not depend on how the parameters are written.
#
# **Predict.** Here there are more parameters. Rewrite them all as $w = T w'$ with a random invertible matrix $T$, and take one undamped step in $w'$. $J$ has full row
# rank. What stays the same, to first order: the movement of the training outputs, of the test outputs, both, or neither?

# %%
my_guess = ...

# %%
tiny = teacher_student(15, 8, seed=0)
net = TwoLayer(8, 10, output_std=1.0, seed=50)
J, J_test = (jacobian(net, inputs).dense() for inputs in (tiny.x, tiny.x_test))
r = net(tiny.x).detach() - tiny.y
p = J.shape[1]  # parameters: 10 units, each with 8 weights, a bias and an output weight


def move(T):  # of the parameters w = T w', by one undamped step in w'
    return T @ torch.linalg.pinv(J @ T) @ r


def change(T, seen):  # of the move of the outputs, relative to that without T
    plain = seen @ move(torch.eye(p, dtype=J.dtype))
    return torch.stack([(seen @ move(t) - plain).norm() / plain.norm() for t in T])


generators = (torch.Generator().manual_seed(seed) for seed in SEEDS.tolist())
T = torch.stack([torch.randn(p, p, generator=g, dtype=J.dtype) for g in generators])
rotations = torch.linalg.qr(T)[0]

# %%
cases = {
    "train": (T, J, "training outputs"),
    "not-test": (T, J_test, "test outputs"),
    "rotation": (rotations, J_test, "test outputs, T orthogonal"),
}
for name, (matrix, seen, words) in cases.items():
    moved = change(matrix, seen)
    entry = ledger.claim(f"invariant-{name}", moved, n=len(r), d=8, m=10, p=p)
    print(f"relative change of the {words}: {entry.spread}")
guess(my_guess, "the training outputs move alike, the test outputs do not")

# %% [markdown]
# On the training data the step is fixed by the condition $J\delta = r$, which has solutions because $J$ has full row rank. Which of them is *shortest* depends on how
# length is measured, and that decides the test outputs. Gauss-Newton repairs the speed of training; the choice among the
# interpolants, the *implicit bias*, is still made by the parametrisation.
#
# ## 2. Slow modes
#
# Gradient descent takes $\delta = m J^T r/n$. With $K = m J J^T$ the residual becomes $(I - \frac{\eta}{n} K)\, r$, to first order in $\eta$, and exactly if the
# features are frozen: along an eigenvector with eigenvalue $\lambda$ it is multiplied by $1 - \eta\lambda/n$. How small do the eigenvalues get? We make the inputs
# ever less round: their coordinates are standard normal times factors that fall evenly (on a logarithmic scale) from 1 to $1/\kappa$, so that $\kappa$ is the *condition number* of the inputs.

# %%
n, d, m = 40, 5, 100
kappa = torch.tensor([1.0, 10.0, 100.0])[:, None]
data = teacher_student(n, d, kappa=kappa, labels="noise", seed=SEEDS)
size = {"n": n, "d": d, "m": m}
each = size | {"seeds": len(SEEDS)}


def fresh():  # nine networks side by side: three conditionings (first axis), three seeds
    return TwoLayer(d, m, runs=(3, len(SEEDS)), seed=SEEDS + 50)


show(*draw.spectra(spectrum(fresh(), data.x), kappa))

# %% [markdown]
# To have a kernel that stands still we freeze the hidden weights and train $v$ alone.
#
# **Predict.** The step is half the stability limit, $\eta = n/\lambda_{\max}$. How much is left, after 300 steps, of the mode with the 20th largest eigenvalue? Read the
# two eigenvalues off the figure for κ = 1.

# %%
my_guess = ...

# %%
x, y, steps = data.x[0, 0], data.y[0, 0], 300
net = TwoLayer(d, m, seed=50)
net.W.requires_grad_(False)
K = neural_tangent_kernel(net, x)
lr = n / spectrum(net, x)[0].item()
residual = {"r": lambda net: net(x) - y}
trace = train(net, x, y, GradientDescent(net, lr), steps, measure=residual)

measured, predicted = trace.measured["r"], theory.frozen_residual(K, -y, lr, n, trace.step)
show(*draw.modes(K, measured, predicted))

# %%
mode = torch.linalg.eigh(K)[1][:, -20]
left = (measured[-1] @ mode / (measured[0] @ mode)).abs().item()
guess(my_guess, f"{left:.2g} of mode 20 is left", number=left)
deviation = (measured - predicted).norm(dim=-1).max() / y.norm()
_ = ledger.claim("frozen-modes", deviation, steps=steps, **size)

# %% [markdown]
# Markers sit on the dashed lines. The factor of the first mode is zero, so it is gone after one step; of the twentieth more than a third is left at the end, and half
# of the modes are slower still.
#
# ## 3. Gauss-Newton: one rate for all modes
#
# Ask for the *shortest* $\delta$ with which, to first order, every output moves straight towards its target:
# $$\begin{aligned}
# &\min \lVert\delta\rVert \ \text{ such that }\ J\delta = r \\
# &\quad\Longrightarrow\quad \delta = J^T (J J^T)^{-1} r .
# \end{aligned}$$
#
# With a *damping* $\varepsilon > 0$ the condition is relaxed: $\delta = m J^T (K + \varepsilon I)^{-1} r$ minimises
# $\lVert J\delta - r\rVert^2 + \frac{\varepsilon}{m} \lVert\delta\rVert^2$. The library never builds the $n\times p$ matrix $J$: `gram` and `vjp` give $JJ^T$ and $J^T a$
# from two $n\times m$ arrays (exercises 1 and 2 are these lines).

# %%
net = TwoLayer(d, m, output_std=1.0, seed=50)  # v ≠ 0, so that the hidden weights count too
damping = 1e-3

J = jacobian(net, x)
K = m * J.gram()
a = torch.linalg.solve(K + damping * torch.eye(n, dtype=K.dtype), J.outputs - y)
delta = m * J.flatten(J.vjp(a))

library = J.flatten(gauss_newton(net, x, y, damping=damping).tensors)
apart = (delta - library).norm() / library.norm()
print("these lines against the library:", digits3(apart.item()))

# %% [markdown]
# **Claim.** As long as $JJ^T$ is invertible, under the undamped Gauss-Newton flow $r(t) = e^{-t} r(0)$ and $L(t) = e^{-2t} L(0)$, *whatever the conditioning*
# (Arbel et al. 2023, abstract: conditioning drops out; derived here: $\dot f = -J J^T (J J^T)^{-1} r = -r$). In steps of
# size $\eta < 1$, $r_{k+1} = (1-\eta)\, r_k + O(\eta^2)$. If the $O(\eta^2)$ is neglected (the next cells test whether it may be), $\log L$ falls
# at the rate $-2\ln(1-\eta)/\eta$ per unit of $t = \eta k$, and $L/L_0$ is at most a tolerance after
# $\lceil \ln \mathrm{tol} / (2\ln(1-\eta)) \rceil$ steps.
#
# The targets are pure noise, with a part along every eigenvector. Gradient descent takes half its stability limit, recomputed every five steps.
#
# *Is it fair to count steps?* A gradient costs about $4nmd$ operations. A Gauss-Newton step needs $4n^2m + n^3/3$ on top, for the kernel and its factorisation: in
# gradients $1 + n/d + n^2/(12md)$, which is 9.3 here. In seconds it is less, since products of matrices run faster than the rest: timed once, in plain torch on one
# core, between 2 and 8 gradients where the count says 3 to 18. And an undamped step of $\eta = 1$ would need *one* step where the law holds exactly (section 6); the small
# steps are there to follow the flow.

# %%
races = {}
for eta, steps in ((0.02, 400), (0.1, 100)):
    net = fresh()
    races[eta] = train(net, data.x, data.y, GaussNewton(net, eta), steps)
net = fresh()
descent = train(net, data.x, data.y, GradientDescent(net, EdgeFraction(0.5)), 2000)
show(*draw.race(races, descent, kappa))

# %%
flat = [f"{k:g}" for k in kappa.flatten().tolist()]
slow, tol = races[0.02].steps_to(1e-3), theory.steps_to(1e-3, 0.02)
rate = races[0.02].rate(), theory.discrete_rate(0.02)
_ = ledger.claim("gn-rate", *rate, kappas=", ".join(flat), eta=0.02, **each)
_ = ledger.claim("gn-steps-ill", slow[2], tol, kappa=flat[2], eta=0.02, **each)
for eta, race in races.items():
    for tol in (1e-3, 1e-6):
        count, expected = race.steps_to(tol)[0], theory.steps_to(tol, eta)
        entry = ledger.claim(
            f"gn-steps-{eta}-{tol}", count, expected, kappa=flat[0], **each
        )
        print(f"η = {eta}, to {tol}: predicted {expected} steps, took {entry.spread}")

# %% [markdown]
# The kernel's condition number spans orders of magnitude, and the Gauss-Newton curves with the small step cannot be told apart. The larger step misses its prediction at
# κ = 100: in some runs the loss rises at first, and the tolerance is reached some steps late. The law is first order in the *movement*, and along a small eigenvalue the
# parameters have to move far: $\lVert\delta\rVert^2 = m\, r^T K^{-1} r$. The next cell prints that length.
#
# How slow is slow? Three seeds say little about how much gradient descent leaves, which differs from seed to seed. So this claim is about the median of twelve.

# %%
K = neural_tangent_kernel(fresh(), data.x)
length = (m * (data.y * torch.linalg.solve(K, data.y)).sum(-1)).sqrt()
for k, one in zip(flat, length, strict=True):
    print(f"κ = {k}: length of the first δ {span(one, '.1e')}")

dozen, steps, limit = seeds(12), 2000, EdgeFraction(0.5)
ill = teacher_student(n, d, kappa=kappa[2].item(), labels="noise", seed=dozen)
net = TwoLayer(d, m, runs=(len(dozen),), seed=dozen + 50)
crawl = train(net, ill.x, ill.y, GradientDescent(net, limit), steps)
ran = size | {"kappa": flat[2], "seeds": len(dozen), "steps": steps, "every": limit.every}
entry = ledger.claim("gd-crawls", crawl.relative[-1], **ran)
print(f"gradient descent at κ = {flat[2]}: {entry.measured} left ({entry.spread})")

# %% [markdown]
# Noise labels are a hard case for gradient descent, with a part along every eigenvector, also the slowest. Targets that lie mostly along large eigenvalues, as a
# teacher network's do, are learned faster than the slowest mode suggests (lesson 02 measures it).
#
# ## 4. Damping
#
# With damping a mode decays at the rate $\rho = \lambda/(\lambda+\varepsilon)$: modes above $\varepsilon$ are trained like
# Gauss-Newton, modes below it like gradient descent. So the loss stays in an *envelope*,
# $$\begin{aligned}
# e^{-2t} &\;\le\; L(t)/L(0) \\
# &\;\le\; \exp\Big(-2t\,\frac{\lambda_{\min}}{\lambda_{\min}+\varepsilon}\Big).
# \end{aligned}$$
# Here $\lambda_{\min}$ is the smallest eigenvalue met along the path. The published code takes
# $\varepsilon = \max(\text{floor}, \lambda_{\min}(K))$ at each step. Without its floor (we set it to $10^{-12}$) the guaranteed rate is half
# of the best; where the floor exceeds $\lambda_{\min}$ it is less. At the other end, for large $\varepsilon$,
# $\varepsilon\delta \to m J^T r$, which is $n$ times the gradient direction of section 2, with a relative error of at most
# $\lambda_{\max}/\varepsilon$.

# %%
net, eta = fresh(), 0.02
rule = GaussNewton(net, eta, damping=SmallestEigenvalue(alpha=1.0, floor=1e-12))
damped = train(net, data.x, data.y, rule, 300)

net = TwoLayer(d, m, output_std=1.0, seed=50)
flatten, top = jacobian(net, x).flatten, spectrum(net, x)[0].item()
slope = n * flatten(gradient(net, x, y).tensors)
eps = top * torch.logspace(-6, 4, 21, dtype=torch.float64)
moves = [e * flatten(gauss_newton(net, x, y, damping=e).tensors) for e in eps]
error = torch.stack([(move - slope).norm() / slope.norm() for move in moves])

# %%
envelope = theory.damped_envelope(damped.time, 1.0, 1.0)  # the damping is lambda_min
show(*draw.damping(damped, envelope, eps, error, bound=top / eps))
rate, best = damped.rate((0.5, 1e-2)), theory.discrete_rate(eta)
ends = {"low": 0.99 * best / 2, "high": 1.01 * best}
_ = ledger.claim("damped-envelope", rate, **ends, kappas=", ".join(flat), eta=eta, **each)
_ = ledger.claim("large-damping", (error * eps / top)[eps > top], **size)

# %% [markdown]
# ## 5. A little damping is not a little insurance
#
# The envelope holds to first order in the step. Where ε lies far above the smallest eigenvalue and far below the others, the first steps can throw the units so far that
# they saturate. The two inputs of the lesson, brought to a hundredth of each other, all weights trained:

# %%
distance, eta, weak, steps, five = 0.01, 0.1, 1e-3, 1000, seeds(5).tolist()
x2, y2 = experiments.two_points(distance)
starts = [experiments.initial(m, seed=seed) for seed in five]
ends = {}
for eps in (0.0, weak, 10 * weak):
    rule = experiments.gauss_newton(eta, eps)
    ends[eps] = [experiments.follow(rule, s, x2, y2, steps, enough=1e-3) for s in starts]
fits = {eps: [path.loss[-1].item() < 1e-3 for path in paths] for eps, paths in ends.items()}
print(", ".join(f"ε = {eps:g}: {sum(fit)} of {len(five)} fit" for eps, fit in fits.items()))
least = min(experiments.saturated(path.theta[-1], x2) for path in ends[weak])
print(
    f"at ε = {weak:g} nine tenths of the units or more saturate in every run: {least >= 0.9}"
)
ran = {"distance": distance, "m": m, "seeds": len(five), "eta": eta, "damping": weak}
_ = ledger.claim("little-damping", torch.tensor(fits[weak]), steps=steps, **ran)

# %% [markdown]
# Saturated units say the same at both inputs, and their derivatives vanish: the eigenvalue along the difference is gone, and the two answers can no
# longer be told apart. The best that is left is the mean of the labels for both, with 0.98/1.16 = 0.84 of the loss at the start. (Paths in this corner are chaotic: step by step they differ between machines. Whether they fit does not.)
#
# ## 6. The first full step is a random-feature fit
#
# At initialisation $v = 0$. The derivative of $f$ with respect to a hidden weight carries the factor $v_j$, so it is zero: the first step moves only
# $v$, on the random features $\Phi$ with entries $\phi(w_j\cdot x_i + b_j)$. Let $m \ge n$ and $\Phi\Phi^T$ be invertible. With $\eta = 1$ the step is the shortest $v$ that
# interpolates the data; then the residual is zero and nothing moves any more.
#
# **Claim.** One full undamped step from $v = 0$ *is* the minimum-norm fit of random features (derived here). For a step $\eta$, the
# first move of every output is $\eta$ times that fit.

# %%
problem = teacher_student(n, d, seed=SEEDS)
full, small = (TwoLayer(d, m, runs=(len(SEEDS),), seed=SEEDS + 50) for _ in range(2))
start = full.W.detach().clone()
Phi, Phi_test = (full.hidden(inputs)[0].detach() for inputs in (problem.x, problem.x_test))
fits = torch.stack(
    [
        theory.random_feature_prediction(Phi[i], problem.y[i], Phi_test[i])
        for i in range(len(SEEDS))
    ]
)
_ = train(full, problem.x, problem.y, GaussNewton(full, 1.0), 1)
_ = train(small, problem.x, problem.y, GaussNewton(small, 0.05), 200)
apart = (full(problem.x_test).detach() - fits).norm(dim=-1) / fits.norm(dim=-1)
entry = ledger.claim("first-step", apart, tests=fits.shape[-1], **each)
print("full step against random features:", entry.spread)

# %%
for name, net in (("the full step", full), ("steps of 0.05", small)):
    fitted = bool((loss_on(net, problem.x, problem.y) < 1e-6).all())
    test = span(loss_on(net, problem.x_test, problem.y_test))
    far = span((net.W - start).detach().norm(dim=(1, 2)) / start.norm(dim=(1, 2)))
    print(f"{name}: data fitted {fitted}, test loss {test}, W moved by {far} of |W|")

# %% [markdown]
# Both fit the training data. A small step follows the flow, along which the hidden weights do move; the full step fits the training data at once, and stays with the features
# it drew at random. Whether the small step pays on the test data depends on problem, initialisation and damping; lesson 05 measures it. (Exercise 4 is a bug of this kind.)
#
# ## 7. Real images
#
# Handwritten threes against eights, 100 training images of 8 × 8 pixels, labels −1 and +1; the step is 0.1.

# %%
images, m, eta = digits(3, 8, n=100, seed=SEEDS), 200, 0.1
right = {"accuracy": lambda net: (net(images.x_test) * images.y_test > 0).double().mean(-1)}
runs = {}
for name, steps in (("Gauss-Newton", 100), ("gradient descent", 600)):
    net = TwoLayer(64, m, runs=(len(SEEDS),), seed=SEEDS + 50)
    gn = name == "Gauss-Newton"
    optimizer = GaussNewton(net, eta) if gn else GradientDescent(net, EdgeFraction(0.5))
    runs[name] = train(net, images.x, images.y, optimizer, steps, measure=right)

# %%
gn, ran = (
    runs["Gauss-Newton"],
    {"n": images.x.shape[-2], "m": m, "seeds": len(SEEDS), "eta": eta},
)
show(*draw.images(runs, gn.step, theory.step_loss(gn.step, eta)))
_ = ledger.claim("digits-rate", gn.rate(), theory.discrete_rate(eta), **ran)
_ = ledger.claim("digits-steps", gn.steps_to(1e-6), theory.steps_to(1e-6, eta), **ran)

# %% [markdown]
# The same law, the same number of steps. Here the test accuracies at the end are close: on this problem, fitting the training data much
# better did not mean generalising better.
#
# ## What we measured against what was predicted

# %%
display(ledger)

# %% [markdown]
# ## Limits
#
# - The law is about the *training* loss, for the squared loss, in the undamped flow, as long as $K$ stays invertible. At an initialisation
#   with tiny hidden weights $K$ is nearly singular and "the" Gauss-Newton step does not exist: damping decides (lesson 05).
# - Newton's method in the lesson is the plain one. With a line search, or with negative eigenvalues turned round, it leaves its saddles.
# - The step of gradient descent was half its stability limit, refreshed every five steps. Between two refreshes the kernel can grow past
#   that limit: this is the bump near step 5 in section 7. Lesson 08 looks at that edge.
