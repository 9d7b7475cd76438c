# ---
# jupyter:
#   regimes:
#     title: "Large steps: deeper"
#     minutes: 80
#     needs: ["09"]
#     papers: [cai2024, wu2024]
#     objectives:
#       - derive from which risk on gradient descent can only descend, also for networks
#       - bound the number of mistakes of gradient descent with the logistic loss, whatever its step
#       - say where the law of the late risk holds, and where luck takes over
#       - tell a margin that nearly grows from one that grows
#       - say which bounds of the theory predict something here
# ---

# %% [markdown]
# # Large steps: deeper
#
# The evidence for [lesson 09](../09_large_steps.ipynb), and what it leaves out: the lemma for networks, bounds on the first phase and on the average risk, digits, other activations,
# data that no plane separates. **Papers:** Cai, Wu, Mei, Lindsey, Bartlett 2024 (*Large stepsize gradient descent for non-homogeneous two-layer
# networks*), of which we had the abstract, the introduction and all captions; Wu, Bartlett, Telgarsky, Yu 2024 for logistic regression, in full.
# What we test beyond that is derived here.

# %%
import torch
from IPython.display import display

from regimes import metrics, problems
from regimes.losses import logistic
from regimes.networks import ACTIVATIONS, TwoLayer, fix_signs
from regimes.optimizers import GradientDescent
from regimes.theory import large_steps as theory
from regimes.training import train
from regimes_course.kit import Ledger, median, seeds, show, span
from regimes_course.lesson09 import experiments as two
from regimes_course.lesson09 import figures as draw
from regimes_course.lesson09.widgets import digit_steps, tug_of_war

ledger, SEEDS = Ledger("09"), seeds(8)
kappa = theory.CONSTANTS["leaky_softplus"].kappa

# %% [markdown]
# Labels are $y_i = \pm1$, inputs have $|x_i| \le 1$, and the **risk** is $L = \frac1n\sum_i \ell(q_i)$ with $\ell(q) = \log(1+e^{-q})$ and
# $q_i = y_i f(x_i)$. The network is $f(x) = \frac1m\sum_j a_j\,\phi(w_j\cdot x)$: $a_j = \pm1$ is fixed, $W$ is trained. With one
# unit and $\phi(z) = z$ it is logistic regression. Our step $\eta$ is theirs divided by $m$.


# %%
def network(d, m, activation="leaky_softplus", runs=(), **start):
    return fix_signs(TwoLayer(d, m, activation=activation, runs=runs, bias=False, **start))


def descend(net, points, eta, steps, **measure):
    rule = GradientDescent(net, eta, loss=logistic)
    return train(net, *points, rule, steps, measure=measure)


def table(*rows):
    return torch.tensor(rows, dtype=torch.float64)


# %% [markdown]
# ## 1. Curvature is bounded by the risk
#
# For every $q$: $\ell'' \le |\ell'| \le \ell$. So with $|\phi'| \le \mathrm{Lip}$ and $|\phi''| \le \beta$, and with lengths in the units of our step (the gradient
# times $\sqrt m$, the Hessian times $m$, whose largest eigenvalue is then the sharpness $S$),
#
# $$|\nabla L| \le \mathrm{Lip}\,L, \qquad S \le (\mathrm{Lip}^2 + \beta)\,L .$$
#
# Line by line. A unit's gradient is $\frac1m$ times a mean of terms of length at most $|\ell'|\,\mathrm{Lip}\,|x|$, so that of all $m$ units together is at most $\mathrm{Lip}\,L/\sqrt m$: times
# $\sqrt m$, the first bound. The Hessian has two parts. One is a mean of $\ell''$ times squares of gradients of $f$, at most $\mathrm{Lip}^2/m$; the other a mean of $\ell'$ times the Hessian of $f$,
# which has one block a unit, $\frac1m a_j\phi''\,x x^T$, and so is at most $\beta/m$. Times $m$, the second bound.
#
# A small risk makes a flat loss. Below $L = 2/(\eta(\mathrm{Lip}^2+\beta))$ the curvature is below $2/\eta$ *here*. But a step goes from here to there. Write
# $c = \eta(\mathrm{Lip}^2 + \beta)L$. The step moves the weights by $m\eta$ times the gradient, at most $\eta\sqrt m\,\mathrm{Lip}\,L$, and $f$ has slope at most $\mathrm{Lip}/\sqrt m$ in them: each $q_i$
# moves by at most $\eta\,\mathrm{Lip}^2 L \le c$. Because $|\ell'| \le \ell$, $\log\ell$ moves no faster than $q$: the risk and its bound on the curvature grow by a factor of at most $e^c$ on the way. Taylor's formula gives
#
# $$L^+ \le L - \eta|\nabla L|^2\left(1 - \tfrac12\,c\,e^c\right) .$$
#
# The bracket is positive while $c\,e^c < 2$, that is $c < W(2) = 0.8526$, with Lambert's $W$. Then $L^+ < L$, so $c$ is smaller at the next step, and so on:
#
# $$\begin{aligned}
# &L \le \frac{0.852}{\eta(\mathrm{Lip}^2+\beta)} \quad\text{once} \\
# &\quad\Longrightarrow\quad \text{the risk falls for ever.}
# \end{aligned}$$
#
# **Claim** (derived here; the threshold of Cai et al. 2024 is of the same order, $1/\eta$). We try to break it: logistic regression on 200 random
# pairs of points, and 40 networks, with random steps from 3 to 1000.
#
# No step from $c < 0.852$ may raise the risk. From which $c$ on does one?

# %%
many, g = seeds(200), torch.Generator().manual_seed(int(SEEDS[0]))
u, v = torch.rand(2, 200, generator=g, dtype=torch.float64)
gamma, eta = 0.02 + 0.28 * u, 10 ** (0.5 + 2.5 * v)
one = network(2, 1, "identity", many.shape, std=3.0, seed=many)
net = network(2, 20, runs=(40,), seed=many[:40])
one = descend(one, problems.two_points(gamma), eta, 300).loss
net = descend(net, problems.tug_of_war(gamma[:40]), eta[:40], 300).loss
size = 1 + theory.CONSTANTS["leaky_softplus"].beta  # Lip^2 + beta, with Lip = 1
taken = {"logistic": (eta * one, one), "networks": (size * eta[:40] * net, net)}
for kind, (c, L) in taken.items():
    runs = zip(c[:-1].T, metrics.rises(L).T, strict=True)
    low = [run[up].min() for run, up in runs if up.any()]
    _ = ledger.claim(f"lemma-{kind}", low, low=theory.stable_threshold(1))
show(*draw.lemma(taken))

# %% [markdown]
# The lemma holds, and it is careful: nothing rises until $c$ is several times as large. Mind what it does *not* say. A large $c$ need not raise the
# risk: most steps on the right side of the figure lower it.
#
# ## 2. Two points that pull apart
#
# The smallest problem with all of this: $x_1 = (\gamma, \sqrt{1-\gamma^2})$ and $x_2 = (\gamma, -\frac12\sqrt{1-\gamma^2})$, both labelled $+1$, with
# logistic regression from $w = 0$ (the data of a lower bound in Wu et al. 2024). Along the first axis the points agree: that is the margin $\gamma$. Along the second
# they pull apart.
#
# The very first step is easy to compute: it raises the risk if $\ell(q_1)+\ell(q_2) > 2\log 2$ at $w = -\eta\nabla L(0)$. That is one equation for $\eta$ (derived here).
#
# The curvature at $w = 0$ gives $2/\lambda = 12.8$ for $\gamma = 0.05$. Is the largest step without a single rise smaller, equal, or larger?

# %%
gammas, etas = (0.025, 0.05, 0.1, 0.2), (24.0, 32.0, 64.0, 256.0, 1024.0)
grid, k = torch.arange(12.015, 24, 0.02).tolist(), torch.arange(1, 501)
largest = [max(e for e in grid if two.monotone(g, e)) for g in gammas]
first = [theory.first_rise(g) for g in gammas]
L = torch.stack([torch.stack([two.walk(g, e, 500) for e in etas]) for g in gammas])
last = metrics.phase_switch(L.permute(2, 0, 1), 1.0).last_increase
g, eta = table(*gammas)[:, None], table(*etas)
bound = theory.logistic_average_bound(k, eta[:, None], g[..., None])
apart = (table(*largest) - table(*first))[:3]
_ = ledger.claim("largest-monotone", apart, 0.0, steps=len(k))
ratio = (L[..., :-1].cumsum(-1) / k / bound).amax(-1)
_ = ledger.claim("average", ratio, steps=len(k))
_ = ledger.claim("switch-margin", last * g**2)
_ = ledger.claim("switch-step", last[:, -1] / last[:, 0])
_ = ledger.claim("transition-loose", theory.transition_bound(eta, g, 2) / last)
display(draw.switches(gammas, largest, first, etas, last, [*map(two.perceptron, gammas)]))

# %% [markdown]
# For the three small margins the first step decides, and the formula is exact: $\eta = 14.7$ at $\gamma = 0.05$. The curvature at the start, $2/\lambda = 12.8$, is
# too careful, because it falls along the way. At $\gamma = 0.2$ a later step rises earlier.
#
# ### Why the step has no part in it
#
# The oscillation lasts about $0.1/\gamma^2$ to $0.16/\gamma^2$ steps (0.09 to 0.17 in the ledger), and it does **not** last longer with a larger step. The bound of Wu et al. 2024 on this time,
# $\frac{60}{\gamma^2}\max\{\eta, n, \dots\}$, is thousands of times too large, and it grows with $\eta$. In units of $\eta$ the rule tends to the batch perceptron (last column), whose
# mistakes lesson 09 bounds by $n/\gamma^2$; here is the same for the logistic loss itself, at any $\eta$. Let $G_k$ be the mean of $\sigma(-q_i)$ at step $k$ and $e$ the best direction. From $w = 0$,
#
# $$\begin{aligned}
# w_K\cdot e &\ge \eta\gamma\sum_{k<K} G_k, \\
# |w_K|^2 &\le \sum_{k<K}\big(0.56\,\eta + \eta^2 G_k\big),
# \end{aligned}$$
#
# since $2q\,\sigma(-q) \le 0.56$ for every $q$ and $G_k^2 \le G_k$. So $A = \sum G_k$ obeys $\gamma^2A^2 \le A + 0.56\,K/\eta$. A step with a mistake has $G_k \ge 1/(2n)$; hence among the first $K$ steps at most
#
# $$\frac{2n}{\gamma^2}\left(\tfrac12 + \sqrt{\tfrac14 + 0.56\,\gamma^2K/\eta}\right)$$
#
# have one (derived here). A larger step makes this *smaller*, down to $2n/\gamma^2$. We test it on random points that a plane separates, and the perceptron on margins at random.
# Crawshaw and Liu 2026 prove a bound without $\eta$ in two dimensions; Tyurin 2024 meets the perceptron as we do (both known to us by their abstracts).

# %%
used, switches, n, K = [], [], 6, 2000
for seed in seeds(20).tolist():
    gamma, eta, wrong = two.mistakes(seed, n, K)
    used.append(wrong / two.most_mistakes(n, gamma, eta, K))
    (gamma,) = two.drawn(seed, (0.015, 0.095))
    rise = metrics.phase_switch(two.walk(gamma, 4096.0, 1500), 1.0).last_increase
    switches.append(rise / two.perceptron(gamma))
_ = ledger.claim("mistakes", used, n=n, K=K)
_ = ledger.claim("perceptron", switches)

# %% [markdown]
# ### The wild start in the first picture
#
# How much of the lead of the wild run is luck? From random weights of standard deviation one:

# %%
rng = torch.Generator().manual_seed(int(SEEDS[0]))
ws = torch.randn(30, 2, generator=rng, dtype=torch.float64).tolist()
tame, wild = table(*([two.path(0.05, e, 500, w)[1][-1] for w in ws] for e in (14, 256)))
_ = ledger.claim("wild-wins", tame / wild, low=256 / 14)

# %% [markdown]
# The ratio of the steps, 18, is what the law of section 5 promises. The rest is where the run lands: see there.
#
# ## 3. A network: two phases, at any width
#
# Now the two-layer network, on four points: $(1, g)$ and $(-2, g)$ labelled $+1$, their negatives $-1$, scaled into the unit ball. The activation is the leaky
# softplus $\frac12 z + \frac12\log(1+e^z)$ of the paper.
#
# **Claim.** There are two phases. Once the risk is below a threshold of order $1/\eta$ it falls for ever (Cai et al. 2024, stable phase). The width plays no part: the
# theory is for any width.
#
# We take $g = 0.1$ and widths 2, 20 and 200.

# %%
eta = table(48.0, 256.0)[:, None].expand(2, 8)
points, k = problems.tug_of_war(0.1), torch.arange(1, 801)[:, None, None]
plane, last, wait, ratio = problems.separation(*points).margin, [], [], []
for m in (2, 20, 200):
    net = network(2, m, runs=(2, 8), seed=SEEDS.expand(2, 8))
    start = net.W.detach().square().sum((-1, -2)) / m
    L = descend(net, points, eta, 800).loss
    bound = theory.average_risk_bound(k, eta, plane, 0.5, kappa, start)
    ratio.append((L[:-1].cumsum(0) / k / bound).amax(0))
    rise, below = metrics.phase_switch(L, 1 / eta)
    last.append(median(rise.double()))
    wait.append(below - rise)
last = torch.stack(last)
_ = ledger.claim("switch-48", last[:, 0])
_ = ledger.claim("switch-256", last[:, 1])
_ = ledger.claim("threshold", torch.stack(wait))
_ = ledger.claim("average-network", torch.stack(ratio))

# %%
show(*tug_of_war.filmstrip("Four points, m = 20.", (9.6, 3.2)))

# %% [markdown]
# Two phases, and the same switch at widths 2, 20 and 200 (the step of the paper, $m\eta$, is a hundred times as large in the last case). At $\eta = 48$ the threshold $1/\eta$ is crossed
# hundreds of steps after the last rise: sufficient, and loose. At $\eta = 256$ it is crossed within a few steps of it (dotted lines in the figure). The average risk stays below its bound
# (re-derived here for networks; constants of the paper differ).
#
# ## 4. The margin, nearly
#
# **Claim.** In the stable phase the normalised margin $\bar\gamma = \sqrt m \min_i q_i/\lVert W\rVert$ grows *nearly* monotonically; a smoothed margin,
# $\gamma^a = \sqrt m\,(\log\frac{1}{2nL} - \kappa)/\lVert W\rVert$, never falls (Cai et al. 2024). Here $\kappa$ bounds
# $|\phi(z) - z\phi'(z)|$: how far the activation is from homogeneous.
#
# "Nearly": by how much does $\bar\gamma$ fall, at worst, and for how long? (`margin-dip` in the ledger.)

# %%
points, eta = problems.tug_of_war(0.2), table(150.0, 192.0, 300.0)[:, None].expand(3, 8)
net = network(2, 20, runs=(3, 8), seed=SEEDS.expand(3, 8))
margins = {
    "raw": lambda net: metrics.normalised_margin(net, *points),
    "smooth": lambda net: metrics.smoothed_margin(net, *points, kappa),
}
trace = descend(net, points, eta, 1000, **margins)
since = metrics.phase_switch(trace.loss, 1 / eta).first_below
raw, smooth = (metrics.largest_fall(trace.measured[m], since) for m in margins)
_ = ledger.claim("margin-dip", raw[1])
_ = ledger.claim("margin-nearly", raw)
_ = ledger.claim("margin-smooth", smooth)

# %%
down = trace.measured["raw"].diff(dim=0) < 0
falls = (down & (torch.arange(1000)[:, None, None] >= since)).sum(0)
print("falling steps, η = 150, 192, 300:", [span(n, "d") for n in falls])

# %% [markdown]
# (Lesson 09 draws a ceiling of $\frac34\gamma$. For the leaky softplus $\phi(z) - \phi(-z) = \frac32 z$, and the four points are two with their mirror images, so that the $q$ of such a pair add up to $\frac32\,u\cdot x$
# with $u = \frac1m\sum_j a_jw_j$: the smaller is at most $\frac34\gamma|u|$, and $|u| \le \lVert W\rVert/\sqrt m$. No weights exceed it. On other data $\frac34\gamma$ is what the best plane tends to, copied into
# all units: each has its input on one side, where the slope is 1, or on the other, where it is 1/2, and half of them see each.)
#
# The third row of the figure of section 3 has such a run: after the threshold $\bar\gamma$ rises, and then it falls for more than a hundred steps, by three percent in all, and does not
# come back within the run. The smoothed margin rises at every step. So "nearly" is a statement about the size of the falls, not about their number, and a check of $\bar\gamma$ on one run at $\eta = 150$ would not have shown why it is needed.
#
# Try the knobs. Find
#
# 1. the step from which on the risk rises at all ($g = 0.1$),
# 2. a step at which $\bar\gamma$ falls and one at which it does not ($g = 0.2$),
# 3. an activation with which the risk never comes below $1/\eta$.
#
# <details><summary>What we found</summary>
#
# 1. Between 24 and 32.
# 2. 192 and 150, for example.
# 3. tanh.</details>

# %% tags=["widget"] id="tug-of-war"
tug_of_war.show()

# %% [markdown]
# ## 5. What a large step buys
#
# Late in a run with a fixed step $L \approx 1/(\eta\bar\gamma^2 t)$ (derived here; the paper has the order $1/(\eta t)$). So for $T$ steps take $\eta$ proportional to $T$: then the risk at the end is of the
# order $1/T^2$ (Cai et al. 2024; Wu et al. 2024). A run that never rises cannot do that: on two points with $\gamma = 0.1$ its step is below 16.7, so it
# ends at about $1/(16.7\,\gamma^2T)$ or above, of the order $1/T$. By the law the two cross at $T = 128 \times 16.7$. (Earlier we took $T/512$, which has the better slope
# and was worse than the best monotone run at every $T$ that we showed.)
#
# Is a step proportional to $T$ better the larger it is? Watch the third curve.

# %%
T, gamma = 2.0 ** torch.arange(9, 14, dtype=torch.float64), 0.1
tame = theory.first_rise(gamma) - 0.01
etas = torch.stack([1 + 0 * T, 4 + 0 * T, tame + 0 * T, T / 128, T / 16])
ends = two.ends(gamma, etas, T)
late = theory.asymptotic_risk(T, etas, gamma)
_ = ledger.claim("slope-fixed", draw.slopes(T, ends[:3].T), -1.0)
_ = ledger.claim("slope-grown", draw.slopes(T, ends[3]), -2.0)
_ = ledger.claim("asymptote", (ends / late)[:3, -1], 1.0)
lead = (ends[3] / ends[2]).log()
i = int((lead < 0).int().argmax())  # between T[i - 1] and T[i] the curves cross
crossing = T[i] * 2 ** (lead[i] / (lead[i - 1] - lead[i]))
_ = ledger.claim("crossing", crossing / (128 * tame), 1.0)
names = ("largest without a rise", "η = T/128", "η = T/16")
pair = {name: (ends[i], late[i]) for i, name in enumerate(names, 2)}

# %%
S3, T3 = SEEDS[:3], 2.0 ** torch.arange(8, 12, dtype=torch.float64)
digits = problems.digits_in_the_ball(n=100, seed=S3)
eta = torch.stack([torch.full_like(T3, 64.0), T3 / 4])[..., None].expand(2, 4, 3)
net = network(65, 20, runs=(2, 4, 3), seed=S3.expand(2, 4, 3))
L = descend(net, (digits.x, digits.y), eta, int(T3[-1])).loss
risk = torch.stack([L[int(t), :, i] for i, t in enumerate(T3)])
_ = ledger.claim("digits-fixed", draw.slopes(T3, risk[:, 0]))
_ = ledger.claim("digits-grown", draw.slopes(T3, risk[:, 1]))
print("steps that raise the risk on the digits:", int(metrics.rises(L).sum()))
show(*draw.rates((T, pair), (T3, {"η = 64": risk[:, 0], "η = T/4": risk[:, 1]})))

# %% [markdown]
# The slopes are as predicted. On the digits, pixels are centred and a constant feature is added; the step $T/4$ is 512 at the end. Real,
# separable data leave the first phase fast, if they enter it at all. With raw pixels, which all point in much the same direction, the risk does rise, during the first steps.
# At the same $T$ a larger step need not mean a larger margin.
#
# ### The law, and where it ends
#
# The law is what a run tends to, not a bound: at a finite $T$ runs may end above it. And with $\eta = T/16$ the run leaves it, downwards. Here is why. The law needs $w_2$ to have settled where the two
# points balance. A wild run lands anywhere in the wedge, mostly so that one point is much less right than the other. Then this one alone counts: $L = \frac12 e^{-q}$, a step raises its $q$
# by $\eta|x|^2L$, and $1/L$ grows by $\eta|x|^2$ a step, with $|x_1|^2 = 1$ or $|x_2|^2 \approx \frac14$ in place of $\gamma^2$. (An earlier version of this lesson called the difference luck.)
#
# First the law at random margins, steps and lengths with $\eta\gamma^2T \ge 20$. Then large steps, whose end we predict from the first step with a risk below $0.852/\eta$:
# from that risk, and from which point is the less right one there.

# %%
ratio = []
for seed in seeds(100).tolist():
    gamma, eta, t = two.drawn(seed, (0.03, 0.19), (1.0, 1000.0), (500.0, 5000.0))
    if eta * gamma**2 * int(t) >= 20:
        law = theory.asymptotic_risk(int(t), eta, gamma)
        ratio.append(two.walk(gamma, eta, int(t))[-1] / law)
_ = ledger.claim("law-excess", ratio)
print(f"risk over law: {span(torch.stack(ratio), '.2g')} in {len(ratio)} runs")

single = [two.drawn(seed, (0.03, 0.12), (256.0, 4096.0)) for seed in seeds(40).tolist()]
_ = ledger.claim("one-point", [two.one_point(*run, 500) for run in single], 1.0)

# %% [markdown]
# Up to a few percent above the law, and down to a tiny share of it; and from where it lands, the end of a wild run is known. Where it lands is erratic, and nothing to count on.
#
# Try it on the digits. Find
#
# 1. with raw pixels, the smallest step on the slider with which the risk rises,
# 2. two steps of which the larger ends at the smaller margin,
# 3. what centring does to both.
#
# <details><summary>What we found</summary>
#
# 1. 32.
# 2. 64 and 128.
# 3. The risk hardly ever rises, and the margin is about twice as large.</details>

# %% tags=["widget"] id="digit-steps"
digit_steps.show()

# %% [markdown]
# ## 6. Which activations
#
# The theory asks of an activation: (a) $|\phi(z) - z\phi'(z)| \le \kappa$; (b) a bounded $\phi''$; (c) $\phi' \ge \alpha > 0$ for the bounds on the first phase. ReLU fails (b); softplus, GELU and SiLU fail
# (c), and a leak repairs that.
#
# tanh satisfies (a) and (b), and so does the whole list but ReLU. What does that buy? The risk on the digits after 400 steps of $\eta = 64$:

# %%
z, found = torch.linspace(-60, 60, 240001, dtype=torch.float64), {}
for name in ("softplus", "gelu", "silu", "relu", "tanh", "leaky_softplus", "leaky_gelu"):
    phi, slope = ACTIVATIONS[name](z)
    net = network(65, 20, name, (3,), seed=S3)
    risk = descend(net, (digits.x, digits.y), 64.0, 400).loss[-1]
    found[name] = (phi - z * slope).abs().max().item(), risk
gaps = [top - theory.CONSTANTS[name].kappa for name, (top, _) in found.items()]
_ = ledger.claim("kappa", gaps, 0.0)
_ = ledger.claim("tanh", found["tanh"][1])
display(draw.activations(found))

# %% [markdown]
# **This breaks it.** A bounded activation makes a bounded network: $|f| \le 1$, so $L \ge \log(1+e^{-1}) = 0.313$, for ever above $1/\eta$ at $\eta = 64$. Near-homogeneity alone is not
# enough. ReLU, for which the theorem says nothing, behaves like the others here.
#
# Data that no plane separates have no $\gamma$, and no bound on the first phase:

# %%
xor = problems.xor()
L = descend(network(2, 20, runs=SEEDS.shape, seed=SEEDS), xor, 256.0, 200).loss
rise, below = (span(k, "d") for k in metrics.phase_switch(L, 1 / 256))
print(f"{problems.is_separable(*xor) = }; last rise {rise}, L ≤ 1/η at {below}")

# %% [markdown]
# There are two phases all the same.
#
# ## 7. Two neurons that are both wrong
#
# Five points in three dimensions, two neurons with $a = \pm1$, $\eta = 1.5$ (the paper's step 3; its figure 4). No neuron classifies all five.
# (Inputs are up to 3 long here, as in the paper; the thresholds above are for a length of one.)
#
# Can the network, if neither neuron ever does?

# %%
points, each = problems.five_points(), torch.tensor([[0], [1]])
net = network(3, 2, runs=(3,), seed=S3, std=0.1)
margins = {
    "both": lambda net: metrics.normalised_margin(net, *points),
    "each": lambda net: metrics.normalised_margin(net.units(each), *points),
}
trace = descend(net, points, 1.5, 3000, **margins)
both, each = (trace.measured[name] for name in margins)
crossing = (both > 0).int().argmax(0)
_ = ledger.claim("five-crossing", crossing)
_ = ledger.claim("five-neurons", each[crossing.min() :].amax(0))
show(*draw.five(trace.step, both, each, crossing, problems.separation(*points).margin))

# %% [markdown]
# The margin of the *network* becomes positive at about step 1220, whatever the seed, while each neuron alone keeps a negative margin. Margins of a network are not margins of its neurons.
#
# ## 8. What does not reproduce
#
# | one might think | what we saw |
# |---|---|
# | a large step oscillates long on real data | a few steps on raw pixels, none on centred ones |
# | the first phase lasts longer with a larger step, as its bounds say | it does not: $0.1/\gamma^2$ to $0.16/\gamma^2$ |
# | $T/512$ is a good step, as it has the slope $-2$ | below $T = 8{,}500$ it is smaller than the largest step without a rise |
# | the slope is $-2$ for any $\eta \propto T$ | not for $\eta = T/16$ on two points: the run lands where one point alone counts, and ends below the law |
# | a larger step gives a larger margin | not at equal $T$ on raw pixels |
# | the margin grows at every step | at some steps η it fell for long, by three percent; the smoothed one did not |
# | a rise means $\eta S/2 > 1$ | at very large steps most rises begin where the curvature is tiny |
# | the constants of the theory predict something here | bounds on the first phase are $10^3$ to $10^6$ too large, on the average risk 20 to 600 times |

# %%
points, eta = problems.two_points(table(*gammas[:3])), 256.0
one = network(2, 1, "identity", (3,), std=0.0)
sharp = {"S": lambda net: metrics.sharpness(net, *points, loss=logistic)}
trace = descend(one, points, eta, 500, **sharp)
number, up = eta * trace.measured["S"][:-1] / 2, metrics.rises(trace.loss)
share = ((number > 1) & up).sum(0) / up.sum(0)
_ = ledger.claim("curvature-blind", share)
raw = [[digit_steps.compute("raw", e, s) for s in S3.tolist()] for e in (64, 128)]
less = [b.margin[-1] / a.margin[-1] for a, b in zip(*raw, strict=True)]
_ = ledger.claim("raw-margin", less, steps=len(raw[0][0].loss) - 1)
display(ledger)

# %% [markdown]
# ## Limits
#
# - Toy data of two, four and five points; 100 images. Full-batch gradient descent in float64; networks without bias, of which the hidden layer alone is trained.
# - The theory of deeper networks needs other assumptions: with all layers trained the outputs are not Lipschitz in the weights, and a large step can diverge. Here it cannot.
# - $0.852$ is our constant, from the derivation of section 1. The paper's constants we know from notes on its statements, not from its text.
#
# ## Papers
#
# - Y. Cai, J. Wu, S. Mei, M. Lindsey, P. Bartlett: *Large stepsize gradient descent for non-homogeneous two-layer networks: margin improvement and fast optimization*, NeurIPS 2024, arXiv 2406.08654.
# - J. Wu, P. Bartlett, M. Telgarsky, B. Yu: *Large stepsize gradient descent for logistic loss: non-monotonicity of the loss improves optimization efficiency*, COLT 2024, arXiv 2402.15926.
# - A. Tyurin 2024, arXiv 2412.08424; M. Crawshaw, M. Liu 2026, arXiv 2602.12471; J. Cohen et al., ICLR 2021, for the other meaning of the edge.
