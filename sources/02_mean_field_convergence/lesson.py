# ---
# jupyter:
#   regimes:
#     title: Mean-field convergence
#     minutes: 45
#     needs: ["01"]
#     papers: [arbel2023]
#     objectives:
#       - see a wide network as a cloud of particles, and test the picture
#       - measure how fast a network approaches its infinitely wide limit
#       - predict the loss of the Gauss-Newton flow at any conditioning, and bound it with damping
#       - tell a worst-case bound from a prediction
#       - name three places where the law of the rate breaks, and recognise them
# ---

# %% [markdown]
# # Mean-field convergence
#
# **After these 45 minutes you will be able to**
#
# - see a wide network as a cloud of particles, and test the picture,
# - measure how fast a network approaches its infinitely wide limit,
# - predict the loss of the Gauss-Newton flow at any conditioning, and bound it with damping,
# - tell a worst-case bound from a prediction,
# - name three places where the law of the rate breaks, and recognise them.
#
# **Needs** lesson [01](01_gradient_descent_and_gauss_newton.ipynb). **Paper:** Arbel, Menegaux, Wolinski 2023 (*Rethinking Gauss-Newton for learning over-parameterized models*). We
# had its abstracts and its published code, not its theorems: what we say about them is marked, and formulas are derived here.
#
# **Recap.** Answer before you unfold.
#
# <details><summary>1. Why does the Gauss-Newton flow have one rate for all modes?</summary>
# Its residual obeys ṙ = −K K⁻¹ r = −r, as long as K is invertible.</details>
#
# <details><summary>2. The average of m independent numbers: how far is it from the mean?</summary>
# About σ/√m: a quarter of the distance needs sixteen times as many numbers.</details>
#
# <details><summary>3. What is the time scale c of a network in mean-field scaling, and what is it for?</summary>
# c = m. The gradient by one unit's weights carries the factor 1/m; multiplied by m, each unit moves at a speed that does not depend on m.</details>

# %%
import numpy as np
import torch
from IPython.display import display

from regimes.directions import gauss_newton
from regimes.flows import RungeKutta4
from regimes.linalg import Singular
from regimes.metrics import condition_number, spectrum
from regimes.networks import TwoLayer
from regimes.optimizers import EdgeFraction, GaussNewton, GradientDescent
from regimes.problems import teacher_student
from regimes.sweeps import sweep
from regimes.theory import gauss_newton as theory
from regimes.training import train
from regimes_course.kit import Ledger, at_scale, guess, seeds, show, span
from regimes_course.lesson02 import figures as draw
from regimes_course.lesson02.widgets import particles

# %%
ledger = Ledger("02")
size = at_scale(
    course=dict(n=50, d=5, m=100, total=8192, seeds=5),
    paper=dict(n=500, d=10, m=1000, total=65536, seeds=1),
)

# %% [markdown]
# ## 1. A network is a cloud of particles
#
# In mean-field scaling the output is an *average* over hidden units,
# $$f(x) = \frac1m \sum_{j=1}^m v_j\,\phi(w_j\cdot x + b_j) = \int v\,\phi(w\cdot x+b)\;d\mu(w,b,v).$$
# Each unit is a particle with the coordinates $(w_j, b_j, v_j)$; the network is the cloud $\mu$ of its $m$ particles, and who is who does
# not matter. Under gradient flow with the time scale $m$ a particle moves with the velocity
# $$\dot w_j = -\frac1n \sum_i r_i\, v_j\, \phi'(w_j\cdot x_i + b_j)\, x_i ,$$
# which knows the particle itself and, through the residual $r$, the cloud. The number $m$ is not in it. Gauss-Newton replaces $r/n$
# by $(K+\varepsilon I)^{-1} r$, and $K = m\,JJ^\top$ is an average over particles too.
#
# **Claim.** Renumber the units, or write each of them twice: the function stays the same *during the whole training*.
#
# **Predict.** We write every unit twice and train 50 steps. By how much do the test outputs change, relative to their size, (a) in
# mean-field scaling, (b) in NTK scaling $1/\sqrt m$? Guess (b).

# %%
my_guess = ...

# %%
data = teacher_student(40, 3, teacher_width=2, seed=seeds(3))
methods = {
    "gradient descent": lambda net: GradientDescent(net, 0.25),
    "Gauss-Newton": lambda net: GaussNewton(net, 0.05, damping=1e-2),
}


def outputs(net, data, optimizer, steps):  # on test inputs, after training
    train(net, data.x, data.y, optimizer(net), steps, every=steps)
    return net(data.x_test).detach()


def relative(a, b):
    return (a - b).norm(dim=-1) / b.norm(dim=-1)


units = torch.arange(60)
shuffled = units[torch.randperm(60, generator=torch.Generator().manual_seed(0))]
start = TwoLayer(3, 60, runs=(3,), output_std=1.0, seed=seeds(3) + 50)
for method, optimizer in methods.items():
    plain = outputs(start.units(units), data, optimizer, 50)
    for what, index in (("permuted", shuffled), ("doubled", units.repeat(2))):
        other = outputs(start.units(index), data, optimizer, 50)
        entry = ledger.claim(f"{what}-{method[0]}", relative(other, plain))
        print(f"{method}, units {what}: test outputs change by {entry.spread}")

# %%
start = TwoLayer(3, 60, runs=(3,), scaling="ntk", output_std=1.0, seed=seeds(3) + 50)
cases = start.units(units.repeat(2)), start.units(units)
ntk = relative(*(outputs(net, data, methods["gradient descent"], 50) for net in cases))
guess(my_guess, f"{span(ntk)} by gradient descent")

# %% [markdown]
# In NTK scaling $f$ is not an average: twice as many units with the factor $1/\sqrt{2m}$ make $\sqrt2$ times the function at the start;
# training removes only part of that. (Exercise 1 asks
# you for a test that tells the two apart without looking inside.)
#
# ## 2. How far is a finite cloud from the infinite one?
#
# **Claim.** A cloud drawn from a distribution is a sample of it. The outputs of different networks of width $m$ scatter around their
# mean by $O(m^{-1/2})$; their *mean* is nearer to the limit, at a distance of $O(1/m)$, because the first-order errors
# cancel and only the interaction of the errors is left.
#
# To see the second, smaller effect we use one cloud twice. Train a very wide network; cut *the same particles* into pieces of width $m$,
# and train the pieces apart. If particles did not interact, the mean of the pieces would be the whole, exactly.
#
# **Predict.** The pieces get four times as wide. By what factor does the distance of their mean from the whole shrink?

# %%
my_guess = ...

# %%
widths = [16, 32, 64, 128, 256, 512]


def distances(seed):
    data = teacher_student(20, 3, teacher_width=2, n_test=50, seed=seed)
    cloud, units = TwoLayer(3, size.total, seed=seed + 50), torch.arange(size.total)
    pieces = [units, *(units.reshape(-1, m) for m in widths)]
    rule = methods["gradient descent"]
    whole, *parts = (outputs(cloud.units(p), data, rule, 20) for p in pieces)
    mean = [(f.mean(0) - whole).square().mean().sqrt() for f in parts]
    spread = [f.var(0).mean().sqrt() for f in parts]
    return torch.tensor([mean, spread])


measured = torch.stack([distances(seed) for seed in seeds(3).tolist()], -1)
show(*draw.width(widths, *measured))

# %%
slopes = [np.polyfit(np.log(widths), np.log(d), 1)[0] for d in measured.numpy()]
_ = ledger.claim("mean-slope", slopes[0], -1)
_ = ledger.claim("spread-slope", slopes[1], -1 / 2)
guess(my_guess, f"four times as wide, {span(4 ** -slopes[0])} times nearer")

# %% [markdown]
# This is what makes the infinitely wide limit a useful object: it describes networks of a few hundred units, at this time. The rates are
# those of a sample, and the clouds are compared at one early time, $t = 5$; errors can grow along the way.
#
# ## 3. Watch the particles
#
# The inputs have two dimensions, so that a particle can be drawn: its hidden weights $w_j$, the size of the dot for $|v_j|$. The
# rays are the three units of the teacher that made the labels. The *weighted cosine distance* to the teacher is the mean distance
# $\sqrt{2(1-\cos)}$ of a particle's direction from the nearest ray, long particles counting more: 0 on the rays, 2 at most. Three positions of the sliders:

# %%
says = "Hidden weights as a cloud that moves while the network learns."
show(*particles.filmstrip(says, (8, 2.9)))

# %% [markdown]
# Run the next cell and move time with the arrow keys. Find out
#
# 1. which particles move first, and along which directions,
# 2. from which std of the start on the cloud stands still while the loss falls,
# 3. whether a cloud of 20 particles ends along the same directions as one of 500.
#
# <details><summary>What we found</summary>1. From v = 0 the first step moves no hidden weight; then those near a ray go ahead, along it.
# 2. Only the largest std. 3. In other positions, but along the same three rays.</details>

# %% tags=["widget"] id="widget"
particles.show()

# %% [markdown]
# ## 4. Convergence, whatever the conditioning
#
# **Claim.** The Gauss-Newton flow of a mean-field network converges globally, and faster than gradient flow, because its rate
# does not depend on conditioning (Arbel et al. 2023, abstract; their assumption, as far as we could find out: the Gram matrix of the
# *initial features* is invertible). While $K$ stays invertible the rate is ours to predict: $L(t) = e^{-2t}L(0)$, in steps of $\eta$
# the rate $-2\ln(1-\eta)/\eta$.
#
# Lesson 01 tested this on noise labels. Now both kinds of labels, and inputs with condition numbers up to 1000, all of them as one
# batch. Gradient descent gets a quarter of its stability limit, recomputed every five steps.
#
# **Predict.** Labels made by a teacher network, inputs of condition number 100. Who reaches one percent of the loss in fewer
# steps: Gauss-Newton with $\eta = 0.02$, or gradient descent?

# %%
my_guess = ...

# %%
kappa = torch.tensor([1.0, 10.0, 100.0, 1000.0])[:, None]
S = seeds(size.seeds)
noise = teacher_student(size.n, size.d, kappa=kappa, labels="noise", seed=S)
teacher = teacher_student(size.n, size.d, kappa=kappa, seed=S)
x, y = noise.x, torch.stack([noise.y, teacher.y])  # the same inputs: (labels, κ, seeds, n)


def fresh():
    return TwoLayer(size.d, size.m, runs=y.shape[:3], seed=S + 50)


net = fresh()
condition = condition_number(net, x)[0]
newton = train(net, x, y, GaussNewton(net, 0.02), 240)
net = fresh()
worst = {"1/condition": lambda net: 1 / condition_number(net, x)}
quarter = GradientDescent(net, EdgeFraction(0.25))
descent = train(net, x, y, quarter, 1000, every=5, measure=worst)
show(*draw.race(newton, descent, kappa, condition))

# %%
runs = {"Gauss-Newton": newton, "gradient descent": descent}
first = {name: span(run.steps_to(1e-2)[1, 2], ".0f") for name, run in runs.items()}
guess(my_guess, ", ".join(f"{name} after {steps} steps" for name, steps in first.items()))
expected, count = theory.discrete_rate(0.02), theory.steps_to(1e-3, 0.02)
_ = ledger.claim("gn-rate-noise", newton.rate()[0, :3], expected)
_ = ledger.claim("gn-rate-teacher", newton.rate()[1], expected)
_ = ledger.claim("gn-steps", newton.steps_to(1e-3)[:, 0], count)
_ = ledger.claim("gd-noise", descent.relative[-1, 0, 2])
_ = ledger.claim("gd-teacher", descent.relative[-1, 1, 2])

# %% [markdown]
# With teacher labels Gauss-Newton keeps its rate up to the largest condition number. Who is first to one percent depends on the teacher; gradient
# descent suffers far less from conditioning here than with noise labels. A teacher's labels lie mostly along large eigenvalues, which are learned
# early; only the rest is slow. With noise labels at κ = 100 (some runs) and κ = 1000 (all) the step is not small enough: section 5 comes back to it.
#
# **An honest box: a bound is not a prediction.** For gradient descent one often sees $L_k \le (1-\eta\lambda_{\min}/n)^{2k} L_0$. On a kernel
# that stands still it holds for steps up to half the stability limit (for a network we put in the worst condition number met on the way, and check), and it is what "slow at bad conditioning" means: the worst case, in which all of
# the residual lies along the smallest eigenvalue. How far is it from what happens?

# %%
late = descent.step >= 500
slowest = descent.measured["1/condition"][late].amin(0)
fall = (descent.relative[-1] / descent.relative[late][0]).log()
factor = fall / theory.descent_bound(500, 0.5, slowest, 1).log()  # step: 0.5 n/λ_max
show(*draw.bound(condition, factor))
_ = ledger.claim("gd-bound", factor)
_ = ledger.claim("gd-bound-loose", factor[1, 2])

# %% [markdown]
# With well conditioned inputs the bound is off by a small factor on noise labels and by a larger one on a teacher's; at κ = 100 it is off by orders of
# magnitude on both. Nobody should draw it as *the* prediction for gradient descent; in this course it is a bound, and only frozen features (lesson 01)
# have a prediction.
#
# **The damped flow has an envelope.** With a fixed damping $\varepsilon$ the rate of the loss lies between $2\lambda_{\min}/(\lambda_{\min}+\varepsilon)$ and 2 at
# every moment. Here the flow itself, integrated by a Runge-Kutta method; $\lambda_{\min}$ is the smallest eigenvalue met along the path.

# %%
eps = torch.tensor([[1e-3], [1e-1], [10.0]], dtype=x.dtype)
problem = teacher_student(size.n, size.d, labels="noise", seed=S)
net = TwoLayer(size.d, size.m, runs=(3, *S.shape), seed=S + 50)
flow = RungeKutta4(net, lambda *args: gauss_newton(*args, damping=eps), 0.05)
smallest = {"smallest": lambda net: spectrum(net, problem.x)[..., -1]}
damped = train(net, problem.x, problem.y, flow, 80, measure=smallest)
time, lowest = damped.time[:, None, None], damped.measured["smallest"].amin(0)
low, high = theory.damped_envelope(time, lowest, eps)
show(*draw.envelope(damped, low, high, eps))
room = (damped.relative.log() - low.log()) / (high.log() - low.log())
_ = ledger.claim("envelope", torch.stack([room[1:].amin(0), room[1:].amax(0)]))

# %% [markdown]
# The loss stays inside, and the upper bound is a worst case again: little of the residual lies along the smallest eigenvalue.
#
# ## 5. Where it breaks
#
# **Too few parameters.** The rate needs a $K$ of full rank, so at least as many parameters as samples. Here with noise labels, $n = 50$
# samples and $d = 5$ inputs, that is $p = 7m$ parameters. **Predict** the width from which the data are fitted.

# %%
my_guess = ...

# %%
small = teacher_student(50, 5, labels="noise", seed=seeds(5))
narrow = [2, 4, 6, 7, 8, 10, 14, 20, 40]


def left(m):  # of the loss, after t = 10
    net = TwoLayer(5, m, runs=(5,), output_std=1.0, seed=seeds(5) + 50)
    rule = GaussNewton(net, 0.05, damping=1e-3)
    return train(net, small.x, small.y, rule, 200, every=200).relative[-1]


last = torch.stack([left(m) for m in narrow])
show(*draw.threshold([7 * m for m in narrow], last, samples=50))
_ = ledger.claim("too-narrow", last[:3])
_ = ledger.claim("wide-enough", last[5:])
fits = [m for m, loss in zip(narrow, last, strict=True) if (loss < 1e-6).all()]
guess(my_guess, f"all runs fit from m = {fits[0]} on, {7 * fits[0]} parameters")

# %% [markdown]
# Counting parameters is necessary, not sufficient: close to the threshold $K$ is probably so near to singular that the damping holds small modes back, and at
# $t = 10$ some loss is left. (*Fitted* means here: less than a millionth is left.)
#
# **A start that is too small.** With hidden weights near zero all features are nearly linear in $x$: $d+1$ directions, and $K$ has hardly
# a larger rank. Whether "the" Gauss-Newton step exists is then a matter of rounding, and the library refuses:

# %%
tiny = TwoLayer(5, 100, runs=(5,), std=0.01, seed=seeds(5) + 50)
try:
    gauss_newton(tiny, small.x, small.y)
except Singular as error:
    print("Singular:", str(error).split(":")[0])

# %% [markdown]
# The rest of the message names the rank, the smallest eigenvalue and what helps: larger hidden weights at the start, more units, or a
# damping. Lesson 05 shows that at such a start the *damping* decides what is learned.
#
# **Steps that are too large.** The law $r \leftarrow (1-\eta)r$ is first order. Where small eigenvalues demand large movements of the
# weights, the neglected terms are not small. The largest training loss met on the way, relative to the start:

# %%
steps = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]


def run(kappa, eta, seed):
    data = teacher_student(50, 5, kappa=kappa, labels="noise", seed=seed)
    net = TwoLayer(5, 100, runs=eta.shape, seed=seed + 50)
    trace = train(net, data.x, data.y, GaussNewton(net, eta), 30)
    return {"peak": trace.relative.amax(0)}


grid = {"kappa": [10.0, 100.0, 1000.0], "eta": steps, "seed": seeds(5)}
peaks = sweep(run, grid, stack=10)
show(*draw.peaks(peaks))
_ = ledger.claim("no-peak", peaks["peak"][0])
_ = ledger.claim("peak", peaks["peak"][2, 4])
_ = ledger.claim("no-peak-full", peaks["peak"][:, -1])

# %% [markdown]
# On well conditioned inputs no step below 1 overshoots. On badly conditioned ones the loss first rises, in some runs more than a hundredfold, and a
# smaller step helps: the flow itself never rises. A *full* step does not overshoot either. From $v = 0$ it moves $v$ alone, on which
# $f$ depends linearly (lesson 01), and then it is done. Look at the largest loss on the way before you believe a small one at
# the end.
#
# ## What we measured against what was predicted

# %%
display(ledger)

# %% [markdown]
# ## Limits
#
# - The rate holds while $K$ stays invertible. That it does so for all times, in mean-field scaling, is what a convergence theorem has to show. We
#   measured a few hundred runs of finite width; that is no proof.
# - All of this is about the *training* loss. What the particles learn on the way, and whether it helps on new data, is lesson 05.
# - The exponents of section 2 are those of an i.i.d. start, at an early time.
#
# At the paper's size: `python3 course.py paper 02` runs these cells with $n = 500$, $d = 10$, $m = 1000$ and one seed.
#
# ## Exercises and what to read next
#
# `python3 course.py start 02` puts two exercises into your folder `work`: a property test for particles, and the damped envelope. Lesson 03 looks at
# clouds that see each sample only once; lesson 05 at what Gauss-Newton learns in its small steps.
#
# - M. Arbel, R. Menegaux, P. Wolinski: *Rethinking Gauss-Newton for learning over-parameterized models*, NeurIPS 2023, arXiv 2302.02904.
# - S. Mei, A. Montanari, P.-M. Nguyen: *A mean field view of the landscape of two-layer neural networks*, PNAS 2018, arXiv 1804.06561.
# - L. Chizat, F. Bach: *On the global convergence of gradient descent for over-parameterized models using optimal transport*, NeurIPS 2018, arXiv 1805.09545.
