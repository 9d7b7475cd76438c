# ---
# jupyter:
#   regimes:
#     title: Phases of SGD
#     minutes: 60
#     needs: ["01", "02"]
#     papers: [veiga2022]
#     objectives:
#       - replace a network with many weights by a few overlaps and their ODE
#       - predict the height of the two plateaus of learning
#       - place a learning rate and a width in the phase diagram
#       - test a published phase boundary and a published curve by measurement
#       - tell a network that is slow from one that is stuck
# ---

# %% [markdown]
# # Phases of SGD
#
# **After these 60 minutes you will be able to**
#
# - replace a network with many weights by a few overlaps and their ODE,
# - predict the height of the two plateaus of learning,
# - place a learning rate and a width in the phase diagram,
# - test a published phase boundary and a published curve by measurement,
# - tell a network that is slow from one that is stuck.
#
# **Needs** lessons [01](01_gradient_descent_and_gauss_newton.ipynb) and [02](02_mean_field_convergence.ipynb). **Paper:** Veiga, Stephan, Loureiro, Krzakala, Zdeborová 2022 (*Phase diagram of Stochastic Gradient
# Descent in high-dimensional two-layer neural networks*). We had its abstract, its introduction, its figures and its published code, not its proofs.
#
# **Recap.** Answer before you unfold.
#
# <details><summary>1. What does the 1/m in front of a mean-field network do to the gradient of one hidden unit?</summary>
# It makes it of order 1/m. The time scale m takes that out again, so that units move at a speed that does not depend on the width.</details>
#
# <details><summary>2. What is left of a mean-field network when its width grows?</summary>
# A cloud of units that follows a deterministic flow; the distance to it falls as 1/m on average.</details>
#
# <details><summary>3. What does time mean in this course?</summary>
# The sum of the step sizes.</details>

# %%
import numpy as np
import torch
from IPython.display import display

from regimes.flows import RungeKutta4
from regimes.networks import committee
from regimes.online_sgd import one_pass, overlap_chain, overlap_distance, overlaps
from regimes.population_risk import PopulationGradient
from regimes.problems import evenly_spread, student_and_teacher, unit_vectors
from regimes.theory import sgd_phases as theory
from regimes.theory import symmetric_committee as symmetric
from regimes.theory.online_sgd import integrate
from regimes.training import train
from regimes_course.kit import Ledger, guess, seeds, show, span
from regimes_course.lesson03 import figures as draw
from regimes_course.lesson03.widgets import phase_diagram

ledger, S = Ledger("03"), seeds(32)
first, noise = int(S[0]), 1e-3  # the variance Δ of the noise on the labels

# %% [markdown]
# ## 1. A few numbers instead of all weights
#
# A **committee** is the mean of $p$ units, $f(x) = \frac1p\sum_j g(w_j\cdot x)$ with $g(u) = \mathrm{erf}(u/\sqrt2)$; its output weights are fixed. The
# teacher is a committee of $k$ orthonormal units. Each step sees one fresh input $x\sim N(0, I_d)$ with label $f^*(x) + \sqrt\Delta\,\zeta$:
# one-pass SGD,
#
# $$w_j \leftarrow w_j + \frac{\eta}{d}\,E\,g'(w_j\cdot x)\,x, \qquad E = \text{label} - f(x), \qquad \eta = \frac{\gamma}{p},$$
#
# where $\gamma$ is the learning rate of the literature. Everything that the risk $R = \frac12 E[(f-f^*)^2]$ depends on is in the **overlaps**
# $Q = WW^\top$ ($p\times p$) and $M = WW^{*\top}$ ($p\times k$). Given them, the fields $w_j\cdot x$ are jointly Gaussian, so averages over
# $x$ are functions of $Q$ and $M$, and for erf they have closed forms (exercise 1). Averaging a step, in the time $t = \eta\cdot\text{steps}/d$,
#
# $$\dot M = J_*, \qquad \dot Q = J + J^\top + \eta N, \qquad J_{jb} = E[g'(u_j)\,u_b\,E],\quad N_{jl} = E[g'(u_j)\,g'(u_l)\,E^2].$$
#
# $J$ is the **drift**, $N$ the **noise**: two gradients of the same sample multiplied. All of it depends on $d$ and $\gamma$ through $\eta$ alone.
#
# **Claim.** As $d$ grows SGD becomes this ODE, with a distance of order $d^{-1/2}$ (Veiga et al. 2022; first Goldt et al. 2019).
#
# **Predict.** From $d = 50$ to $d = 800$, by what factor does the distance between SGD and its ODE fall?

# %%
my_guess = ...


# %%
runs, times = {}, np.geomspace(0.1, 400, 40)
for d in (40, 160):
    student, teacher = student_and_teacher(d, 2, 2, seed=S[:4])
    starts, at = zip(*overlaps(student, teacher), strict=True), [0, *(times * d).round()]
    run = one_pass(student, teacher, 1.0, 400 * d, label_noise=noise, seed=first, at=at)
    runs[d] = run, [integrate(*QM, run.time, eta=1.0, label_noise=noise) for QM in starts]

# %% [markdown]
# These are networks. From here on we mostly use a shortcut: $(Q, M)$ is itself a Markov chain, so `overlap_chain` draws the fields of a sample from
# the overlaps and needs no vectors of length $d$. It has the same law (tested), and its steps cost the same at every $d$. We measure how far it goes from its ODE, from $W = AW^*$ with one $A$ for all $d$.


# %%
def distance(A, d, total, seed, end=10.0):  # largest of any overlap, mean of 16 runs
    eta, power = d**-total, 1 + (total if total >= 0 else 2 * total)
    steps = max(5, round(end * d**power))
    options = dict(runs=16, seed=int(seed), at=np.linspace(0, steps, 21).round())
    run = overlap_chain(A @ A.T, A, d, eta, steps, label_noise=noise, **options)
    path = integrate(A @ A.T, A, run.time, eta=eta, label_noise=noise)
    return overlap_distance(run, path.Q, path.M).mean()


def slope(x, y):  # of log y against log x, for each column of y
    return np.polyfit(np.log(x), np.log(np.asarray(y)), 1)[0]


ds = [50, 100, 200, 400, 800]
starts = [(unit_vectors(4, 8, seed=s), s) for s in S[:3]]
apart = torch.tensor([[distance(A, d, 0.0, s) for A, s in starts] for d in ds])
show(*draw.learning(runs, ds, apart))
_ = ledger.claim("slope", slope(ds, apart), theory.fluctuation_exponent(0.0))
ratio = runs[160][0].loss.numpy() / np.stack([path.risk for path in runs[160][1]], 1)
_ = ledger.claim("on-the-line", ratio[1:], 1)
guess(my_guess, f"by {span(apart[0] / apart[-1], '.1f')}; √16 = 4 was predicted")

# %% [markdown]
# The ODE of each run starts from the run's *own* overlaps. Starting it from typical ones adds an error of order $d^{-1/2}$, as large as the effect (exercise 6).
#
# ## 2. First plateau: the units cannot decide
#
# In the figure the risk falls, rests, and falls again. On the way to the first rest all units of the student learn the same thing, the sum of
# the teacher's units. When all of them are one and the same unit, at its best, $Q = \frac{1}{2k-1}$, $M = \frac{1}{\sqrt{k(2k-1)}}$, and
#
# $$R_{\text{plat}} = \frac{1}{6k} - \frac1\pi \arcsin\frac{1}{2k},$$
#
# at every width (derived; gradient flow). To go on, the student has to tell the teacher's units apart: it **specialises**. A random start knows the difference
# to order $d^{-1/2}$, and this difference grows like $e^{\lambda t}$. So the time of escape should be $\frac{1}{2\lambda}\log d$ plus a constant, with the $\lambda$ of
# the ODE linearised on the plateau.
#
# **Predict.** From $d = 100$ to $10^5$ inputs, a thousand times as many: by what factor does the plateau become longer?

# %%
my_guess = ...


# %%
def from_random(d, seed):  # when the risk falls below half the plateau
    QM, t = overlaps(*student_and_teacher(d, 2, 2, seed=seed)), np.linspace(0, 1000, 4001)
    path = integrate(*QM, t, eta=0.0, keep="drift")
    return t[np.argmax(path.risk < theory.unspecialised_plateau(2) / 2)]


inputs, many = [100, 1000, 10000, 100000], np.geomspace(100, 1e5, 7)
escapes = torch.tensor([[from_random(d, s) for s in S[:20]] for d in inputs])
law = many, [symmetric.escape_time(d, 2, 2) for d in many]
show(*draw.specialisation(runs[160], inputs, escapes, law))

# %%
single, teacher = student_and_teacher(50, 1, 4, seed=S[:10])
flow = RungeKutta4(single, PopulationGradient(teacher), 2.0)
end = train(single, None, None, flow, 200, every=200).loss[-1]
_ = ledger.claim("unspecialised", end, theory.unspecialised_plateau(4))
_ = ledger.claim("escape-grows", escapes[-1] / escapes[0])
late = symmetric.escape_time(1e8, 2, 2) - symmetric.escape_time(1e6, 2, 2)
_ = ledger.claim("escape-rate", late * 2 * theory.specialisation_rate(2, 2) / np.log(100))
guess(
    my_guess,
    f"by {span(escapes[-1] / escapes[0], '.1f')}: in the middle {escapes[-1].mean() / escapes[0].mean():.1f}",
)

# %% [markdown]
# A logarithm is slow: so much for "high dimension makes it impossible". The asymptotic slope is approached slowly, from above (the students are still
# merging while the difference grows): even from $10^6$ to $10^8$ inputs the ODE needs more time than $\frac{1}{2\lambda}\log 100$, by a few per cent (the ledger has the number). And if the start knows no
# difference at all, $M = 0$, the ODE never escapes; `integrate` refuses such a start and says why.
#
# ## 3. Second plateau: the noise of the labels
#
# Near a solution with unit vectors SGD is linear regression with noise. Every step removes a part $\propto\eta$ of the risk and adds $\propto\eta^2(2R + \Delta)$. In
# balance (derived; exercise 5)
#
# $$R_\infty = \frac\Delta2\,\frac{a}{1-a}, \qquad a = \frac{\eta}{\pi\sqrt3} = 0.184\,\frac{\gamma}{p}.$$
#
# So at a fixed learning rate a wider network has *less* noise. This headline hangs on a convention. Saad and Solla 1995 and Goldt et al. 2019 take the **sum** of the units, not
# their mean.
#
# **Predict.** With sums, at a fixed learning rate, a wider network has more noise, less, or the same?

# %%
my_guess = ...


# %%
means, sums, widths = [], [], [2, 4, 8]
options = dict(label_noise=noise, seed=first, at=np.linspace(6000, 12000, 30).round())
for p in widths:
    M, units = np.eye(2).repeat(p // 2, 0), torch.eye(50, dtype=torch.float64)[:p]
    means.append(overlap_chain(M @ M.T, M, 50, 1 / p, 12000, runs=16, **options).loss)
    networks = (committee(units.expand(16, p, 50), total=True) for _ in range(2))
    sums.append(one_pass(*networks, 0.05 / p, 12000, **options).loss)
means, sums = (torch.stack(r).reshape(3, 30, 4, 4).mean((1, 3)) for r in (means, sums))

# %%
etas, grid, I = [0.2, 0.5, 1.0], np.array([0.05, 0.2, 0.5, 1, 2, 3, 4, 4.5]), np.eye(4)
options |= {"runs": 16, "at": np.linspace(15000, 35000, 41).round()}
sgd = [overlap_chain(I, I, 100, e, 35000, **options).loss.mean(0) for e in etas]
ode = [integrate(I, I, [0, 400], eta=e, label_noise=noise).risk[-1] for e in grid]
show(*draw.plateaus(etas, torch.stack(sgd), (grid, ode), widths, means, sums, noise))
closed, p = theory.noise_plateau(grid, noise), np.array(widths)
_ = ledger.claim("plateau-ode", (ode / closed)[:4], 1)
_ = ledger.claim("plateau-sgd", torch.stack(sgd).mean(1).numpy() / closed[1:4], 1)
falls, rises = (slope(p, theory.noise_plateau(e, noise)) for e in (1 / p, 0.05 * p))
_ = ledger.claim("means-fall", slope(p, means), falls)
_ = ledger.claim("sums-rise", slope(p, sums), rises)
guess(my_guess, f"slopes {span(slope(p, sums), '.2f')}: more noise")

# %% [markdown]
# Same physics, opposite headline: a sum of $p$ units with learning rate $\gamma$ is a mean with $\eta = \gamma p$ and labels $p$ times smaller. Ask for $\eta$ before you compare widths.
# (The formula is for unit vectors. Where many students share one unit of the teacher, the noise slowly pulls them apart, and the plateau sinks below it: look at $\kappa = 1$ in the widget.)
#
# **What breaks.** From $\eta = \pi\sqrt3 = 5.44$ on the formula has no solution; the ODE loses its stable solution earlier, at a critical step that can be computed
# (`critical_eta`: 4.06 for one unit, 4.61 for two). We start a hundredth off the solution, without label noise, on both sides of it.

# %%
for name, eta in (("below-critical", 4.0), ("too-large", 6.0)):
    student, teacher = student_and_teacher(100, 2, 2, seed=S[:16])
    student.W.data.mul_(0.01).add_(teacher.W)
    run = one_pass(student, teacher, eta, round(400 * 100 / eta), seed=first)
    size = run.measured["Q"][-1].diagonal(dim1=-2, dim2=-1).amax(-1)
    _ = ledger.claim(name, run.loss[-1] if eta < 5 else size)
    print(f"η = {eta:g}: risk {span(run.loss[-1], '.0e')}, units {span(size, '.2g')}")
print(f"critical step for two units: {theory.critical_eta(2):.2f}")

# %% [markdown]
# ## 4. The phase diagram
#
# Let learning rate and width grow with the inputs, $\gamma\propto d^{-\delta}$ and $p\propto d^{\kappa}$. Then $\eta\propto d^{-(\kappa+\delta)}$, and the two terms of the ODE part company:
#
# | phase | where | what is left as $d$ grows | natural time |
# |---|---|---|---|
# | perfect learning | $\kappa+\delta > 0$ | drift; the noise plateau sinks as $d^{-(\kappa+\delta)}$ | $\text{steps}/d^{1+\kappa+\delta}$ |
# | plateau | $\kappa+\delta = 0$ | both: the ODE of Saad and Solla | $\text{steps}/d$ |
# | bad learning | $-\frac12 < \kappa+\delta < 0$ | noise; $M$ is frozen | $\text{steps}/d^{1+2(\kappa+\delta)}$ |
# | no ODE | $\kappa+\delta\le-\frac12$ | a single step is of order one | |
#
# (Veiga et al. 2022, Fig. 1.) At one $d$ a map of the risk over the plane is one smooth slope. The phases are in how it changes *with* $d$. A symmetric student with
# five overlaps makes the map cheap: its width is just a number.

# %%
kappa, delta = [0, 0.5, 1, 1.5], np.arange(-2, 1.01, 0.25)


def risk(d, k, x):
    if theory.phase(k, x) == "no ODE":
        return np.nan
    return symmetric.natural_path(k, x, d, [0, 1000], label_noise=noise).risk[-1]


maps = {d: np.array([[risk(d, k, x) for x in delta] for k in kappa]) for d in (1e3, 1e5)}
show(*draw.trend(kappa, delta, maps, 2))

# %% [markdown]
# **The sign of the trend is the phase.** Now the lower boundary. In natural time the distance between SGD and the ODE is of the order of the root of one step, $d^{-(1+2(\kappa+\delta))/2}$ in bad learning: zero
# exponent at $-\frac12$.
#
# **Two mismatches in the record.** The published code tests for bad learning by $\kappa < -\delta < (\kappa+1)/2$, which is the same at $\kappa = 0$ and leaves no bad learning at all from $\kappa = 1$ on
# (while the paper's own Fig. 8 shows $\kappa = 5/4$, $\delta = -3/2$ as such). And in the paper's Fig. 7 SGD lies far below the ODE of bad learning. We measure both.
#
# **Predict.** $\kappa = 1$, $\delta = -5/4$: by the code there is no ODE, so that runs should not agree more at larger $d$. Do they?

# %%
my_guess = ...


# %%
wide, wider, narrow, broad = [400, 1600, 6400], [48, 96, 192], {0: slope(ds, apart)}, {}
for x in (-0.25, -0.375, -0.5, -0.6):
    narrow[x] = slope(wide, [[distance(A, d, x, s) for A, s in starts] for d in wide])
for x in (-0.25, -0.5, -0.75):
    fan = [[distance(evenly_spread(d // 8), d, x, s) for s in S[:3]] for d in wider]
    broad[x] = slope(wider, fan)

# %%
A, orange, natural = unit_vectors(4, 8, seed=first), {}, np.geomspace(1, 1000, 16)
for d in (1000, 4000):
    eta, at = d**0.375, [0, *(natural * d**0.25).round()]
    options = dict(label_noise=noise, runs=8, seed=first, at=at)
    run = overlap_chain(A @ A.T, A, d, eta, int(at[-1]), **options)
    options = dict(eta=eta, label_noise=noise)
    terms = (integrate(A @ A.T, A, run.time, keep=k, **options) for k in ("both", "noise"))
    orange[d] = run, *terms
show(*draw.concentration(narrow, broad, orange, natural))

# %%
for i, x in enumerate((0, -0.25, -0.375, -0.5)):
    _ = ledger.claim(f"exponent-{i}", narrow[x], theory.fluctuation_exponent(x))
_ = ledger.claim("kappa-one", broad[-0.25])
_ = ledger.claim("kappa-one-below", broad[-0.75])
ends = [(r.loss[-1].mean().item(), b.risk[-1], a.risk[-1]) for r, b, a in orange.values()]
_ = ledger.claim("both-terms", [sgd / both for sgd, both, _ in ends])
_ = ledger.claim("noise-alone", [alone / sgd for sgd, _, alone in ends])
guess(my_guess, f"they do: exponents {span(broad[-0.25], '.2f')}")

# %% [markdown]
# So the boundary is at $\kappa+\delta = -\frac12$ for $\kappa = 1$ too: above it runs agree more and more, below it less and less. (At these $d$ the spread of single overlaps still has a part from the
# drift, which falls as $d^{-1/2}$: the exponents at $-\frac14$ lie between the two.) And the mismatch is no failure of the theory: the limit drops a drift of relative size $d^{-|\kappa+\delta|}$, which at
# $d = 4000$ is not small. The ODE with both terms costs the same and is right at finite $d$. Use it.
#
# ## 5. Toward mean-field: slow is not stuck
#
# In the green phase SGD becomes the mean-field flow of lesson 02: many units, no noise. The paper's abstract sets it against narrow networks that are stuck in
# poor minima. We look for them by gradient flow on the population risk: with erf units, with ReLU units ($k = 10$; this second experiment is after Safran and Shamir 2018, not in this paper), and
# in between at how fast erf networks approach infinite width.
#
# **Predict.** A teacher of ten ReLU units; students of ten and of eleven, 32 random starts. What share finds the solution? What share has found it at $t = 1500$?

# %%
my_guess = ...


# %%
def descend(p, k, d, dt, end, activation):
    networks = student_and_teacher(d, p, k, seed=S, activation=activation)
    flow = RungeKutta4(student := networks[0], PopulationGradient(networks[1]), dt)
    return train(student, None, None, flow, round(end / dt), every=25)


relu = {f"{p} units": descend(p, 10, 22, 6.0, 9000, "relu") for p in (10, 11)}
erf = descend(4, 4, 50, 4.0, 2000, "erf").loss[-1]

# %%
sizes, t = [4, 8, 16, 32, 64], np.linspace(0, 60, 61)
options = dict(eta=0.0, keep="drift")
wide = {p: symmetric.integrate_symmetric(2, p / 2, t, **options) for p in (*sizes, 1e7)}
gaps = [np.abs(wide[p].risk - wide[1e7].risk).max() for p in sizes]
show(*draw.narrow(sizes, gaps, relu, 1500))
_ = ledger.claim("infinite-width", slope(sizes, gaps), -1)
_ = ledger.claim("erf-stuck", (erf > 1e-6).double().mean())
ten, eleven = ((trace.loss < 1e-6).double().mean(1) for trace in relu.values())
_ = ledger.claim("relu-stuck", eleven[-1] - ten[-1])
_ = ledger.claim("relu-early", eleven[10])
guess(
    my_guess,
    f"{ten[-1]:.0%} and {eleven[-1]:.0%}; at 1500 {ten[10]:.0%} and {eleven[10]:.0%}",
)

# %% [markdown]
# With ReLU one more unit makes the difference the abstract speaks of. The runs that are stuck have the same few risks: one defect, two defects. With erf units and an orthonormal teacher *we could not make
# a network stuck*, and the ledger says so. And look at $t = 1500$: nearly all runs look stuck there, whatever will become of them. A run has to be followed until its risk no longer moves. **Slow is not stuck.**
#
# ## 6. Turn the knobs
#
# A student in two equal groups, five overlaps: $q$ with itself, $c$ in the group, $e$ across, $m$ with the own teacher unit, $n$ with the other. Three points of the diagram:

# %%
show(*phase_diagram.filmstrip("Three phases.", (11.4, 4.3)))

# %% [markdown]
# Run the next cell. Find
#
# 1. two points on one dash-dotted line with different widths: what do they share?
# 2. the smallest $\delta$ at $\kappa = 1$ at which the students specialise by natural time 1000, at $d = 10^2$ and at $10^6$,
# 3. a point where the limit ODE and the ODE at this $d$ agree, and one where they do not, even at $d = 10^6$.
#
# <details><summary>What we found</summary>1. η, hence the natural time, and the noise plateau as long as units keep their length. 2. −5/4 and −1: at finite d the line κ + δ = 0 is no wall; it
# becomes one as d grows. 3. At κ = 0 they agree at δ = 1, and at δ = −1/8 they are far apart.</details>

# %% tags=["widget"] id="widget"
phase_diagram.show()

# %% [markdown]
# ## What we measured against what was predicted

# %%
display(ledger)

# %% [markdown]
# ## Limits
#
# - Gaussian inputs, one pass, output weights fixed, orthonormal teacher. The theorem's constant and its factor $\log p$ were not tested.
# - At $\kappa = 1$ we measured short runs up to $d = 256$; long ones would take hours.
# - The map of section 4 is that of a symmetric student, which specialises a little sooner than a random one.
#
# ## Exercises and what to read next
#
# `python3 course.py start 03` puts the exercises into your folder `work`: closed forms, the drift, phases and times, the noise plateau, the slope, and success rates with a trap. Lesson 04 asks which solution
# is found where many are.
#
# - R. Veiga, L. Stephan, B. Loureiro, F. Krzakala, L. Zdeborová: *Phase diagram of Stochastic Gradient Descent in high-dimensional two-layer neural networks*, NeurIPS 2022, arXiv 2202.00293.
# - D. Saad, S. Solla: *On-line learning in soft committee machines*, Physical Review E 52, 1995.
# - S. Goldt et al.: *Dynamics of stochastic gradient descent for two-layer neural networks in the teacher-student setup*, NeurIPS 2019, arXiv 1906.08632.
# - I. Safran, O. Shamir: *Spurious local minima are common in two-layer ReLU neural networks*, ICML 2018, arXiv 1712.08968.
