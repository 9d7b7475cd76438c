# ---
# jupyter:
#   regimes:
#     title: Large steps
#     minutes: 55
#     needs: ["08"]
#     papers: [cai2024, wu2024]
#     objectives:
#       - derive from which risk on gradient descent can only descend
#       - predict where two points start and stop to oscillate
#       - recognise two phases of training, and say what does not change their length
#       - tell a margin that nearly grows from one that grows
#       - choose a step for a number of steps, and say what it buys
# ---

# %% [markdown]
# # Large steps
#
# **After these 55 minutes you will be able to**
#
# - derive from which risk on gradient descent can only descend,
# - predict where two points start and stop to oscillate,
# - recognise two phases of training, and say what does not change their length,
# - tell a margin that nearly grows from one that grows,
# - choose a step for a number of steps, and say what it buys.
#
# **Needs** lesson [08](08_edge_of_stability.ipynb). **Papers:** Cai, Wu, Mei, Lindsey, Bartlett 2024 (*Large stepsize gradient descent for non-homogeneous two-layer
# networks*), of which we had the abstract, the introduction and all captions; Wu, Bartlett, Telgarsky, Yu 2024 for logistic regression, in full.
# What we test beyond that is derived here.
#
# **Recap.** Answer before you unfold.
#
# <details><summary>1. On a quadratic with curvature λ, which steps diverge?</summary>
# Those with η > 2/λ, exactly.</details>
#
# <details><summary>2. What does the sharpness do under the logistic loss, late in training?</summary>
# It collapses: the samples are fitted, and the loss becomes flat.</details>
#
# <details><summary>3. Two meanings of "edge of stability"?</summary>
# For Cohen et al. the sharpness hovers at 2/η; for the papers of this lesson it is any phase in which the loss is not monotone.</details>

# %%
import torch
from IPython.display import display

from regimes import metrics, problems
from regimes.losses import logistic
from regimes.networks import ACTIVATIONS, TwoLayer, fix_signs
from regimes.optimizers import GradientDescent
from regimes.theory import large_steps as theory
from regimes.training import train
from regimes_course.kit import Ledger, guess, median, seeds, show, span
from regimes_course.lesson09 import figures as draw
from regimes_course.lesson09.widgets import digit_steps, tug_of_war, two_points

ledger, S = Ledger("09"), seeds(8)
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
# A small risk makes a flat loss. Below $L = 2/(\eta(\mathrm{Lip}^2+\beta))$ the curvature is below $2/\eta$ *here*. But a step goes from here to there. Write
# $c = \eta(\mathrm{Lip}^2 + \beta)L$. Along the step each $q_i$ moves by at most $\eta\,\mathrm{Lip}^2 L \le c$. Because $|\ell'| \le \ell$, the risk and its bound on
# the curvature grow by a factor of at most $e^c$ on the way. Taylor's formula gives
#
# $$L^+ \le L - \eta|\nabla L|^2\left(1 - \tfrac12\,c\,e^c\right) .$$
#
# The bracket is positive while $c\,e^c < 2$, that is $c < W(2) = 0.853$, with Lambert's $W$. Then $L^+ < L$, so $c$ is smaller at the next step, and so on:
#
# $$L \le \frac{0.853}{\eta(\mathrm{Lip}^2+\beta)} \quad\text{once} \quad\Longrightarrow\quad \text{the risk falls for ever.}$$
#
# **Claim** (derived here; the threshold of Cai et al. 2024 is of the same order, $1/\eta$). We try to break it: logistic regression on 200 random
# pairs of points, and 40 networks, with random steps from 3 to 1000.
#
# No step from $c < 0.853$ may raise the risk. From which $c$ on does one?

# %%
many, g = seeds(200), torch.Generator().manual_seed(int(S[0]))
u, v = torch.rand(2, 200, generator=g, dtype=torch.float64)
gamma, eta = 0.02 + 0.28 * u, 10 ** (0.5 + 2.5 * v)
one = network(2, 1, "identity", many.shape, std=3.0, seed=many)
net = network(2, 20, runs=(40,), seed=many[:40])
one = descend(one, problems.two_points(gamma), eta, 300).loss
net = descend(net, problems.tug_of_war(gamma[:40]), eta[:40], 300).loss
taken = {"logistic": (eta * one, one), "networks": (1.125 * eta[:40] * net, net)}
for kind, (c, L) in taken.items():
    low = c[:-1].where(metrics.rises(L), torch.inf).amin(0)
    _ = ledger.claim(f"lemma-{kind}", low[low < 1e9], low=theory.stable_threshold(1))
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
# **Predict.** The curvature at $w = 0$ gives $2/\lambda = 12.8$ for $\gamma = 0.05$. Is the largest step without a single rise smaller, equal, or larger? And how
# does the last rise move when $\eta$ doubles, or when $\gamma$ halves?

# %%
my_guess = ...

# %%
show(*two_points.filmstrip("Two points.", (9.6, 3.2)))

# %% [markdown]
# Below the first step that raises the risk, nothing happens. Above it, the weights jump across the wedge in which both points are right, drift
# along the margin, and settle when the wedge is wide enough. The very first step is easy to compute: it raises the risk if
# $\ell(q_1)+\ell(q_2) > 2\log 2$ at $w = -\eta\nabla L(0)$. That is one equation for $\eta$ (derived here).

# %%
gammas, etas = (0.025, 0.05, 0.1, 0.2), (24.0, 32.0, 64.0, 256.0, 1024.0)
walk, grid = two_points.compute, torch.arange(12.015, 24, 0.02).tolist()
largest = [max(eta for eta in grid if not len(walk(g, eta).rises)) for g in gammas]
first = [theory.first_rise(g) for g in gammas]
walks = [[walk(g, eta) for eta in etas] for g in gammas]
last = torch.tensor([[w.rises[-1] for w in row] for row in walks])
L = table(*([w.loss.tolist() for w in row] for row in walks))[..., :-1]
g, eta, k = table(*gammas)[:, None], table(*etas), torch.arange(1, L.shape[-1] + 1)
bound = theory.logistic_average_bound(k, eta[:, None], g[..., None])
apart = (table(*largest) - table(*first))[:3]
_ = ledger.claim("largest-monotone", apart, 0.0, steps=len(k))
_ = ledger.claim("average", (L.cumsum(-1) / k / bound).amax(-1), steps=len(k))
_ = ledger.claim("switch-margin", last * g**2)
_ = ledger.claim("switch-step", last[:, -1] / last[:, 0])
_ = ledger.claim("transition-loose", theory.transition_bound(eta, g, 2) / last)
display(draw.switches(gammas, largest, first, etas, last))
guess(my_guess, "larger; η hardly moves the last rise, halving γ moves it fourfold")

# %% [markdown]
# For the three small margins the first step decides, and the formula is exact: $\eta = 14.7$ at $\gamma = 0.05$. The curvature at the start, $2/\lambda = 12.8$, is
# too careful, because it falls along the way. At $\gamma = 0.2$ a later step rises earlier.
#
# The oscillation lasts about $0.1/\gamma^2$ to $0.16/\gamma^2$ steps (0.09 to 0.17 in the ledger), and it does **not** last longer with a larger step. The bound of Wu et al. 2024 on this time,
# $\frac{60}{\gamma^2}\max\{\eta, n, \dots\}$, is thousands of times too large, and it grows with $\eta$. (For two dimensions Crawshaw and Liu 2026
# prove a bound without $\eta$; we saw no growth either.) The bound on the *average* risk holds at every $t$, and is 25 to 60 times too large here.
#
# Look at the middle panels, too. At $\eta = 256$ most steps that raise the risk start where $\eta S/2$ is far *below* one: gradient descent jumps from one flat side to the
# other. "The local curvature is above $2/\eta$" and "the next step raises the risk" are two different things here.
#
# Try the knobs. Find
#
# 1. the largest step on the slider without a rise, for each margin,
# 2. what doubling the step does to the last rise, and what doubling the margin does,
# 3. a step that ends far below the dashed line.
#
# <details><summary>What we found</summary>1. 14, 14, 16, 20. 2. Next to nothing; about four times earlier. 3. 256, for example.</details>

# %% tags=["widget"] id="two-points"
two_points.show()

# %% [markdown]
# ## 3. A network: two phases, at any width
#
# Now the two-layer network, on four points: $(1, g)$ and $(-2, g)$ labelled $+1$, their negatives $-1$, scaled into the unit ball. The activation is the leaky
# softplus $\frac12 z + \frac12\log(1+e^z)$ of the paper.
#
# **Claim.** There are two phases. Once the risk is below a threshold of order $1/\eta$ it falls for ever (Cai et al. 2024, stable phase). The width plays no part: the
# theory is for any width.
#
# **Predict.** $g = 0.1$, $\eta = 48$, $m = 20$: the risk rises for the last time at step 65. When with $m = 2$? With $m = 200$?

# %%
my_guess = ...

# %%
eta = table(48.0, 256.0)[:, None].expand(2, 8)
points, k = problems.tug_of_war(0.1), torch.arange(1, 801)[:, None, None]
plane, last, wait, ratio = problems.separation(*points).margin, [], [], []
for m in (2, 20, 200):
    net = network(2, m, runs=(2, 8), seed=S.expand(2, 8))
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
guess(my_guess, f"{span(last[:, 0], '.0f')}, medians over 8 seeds")

# %%
show(*tug_of_war.filmstrip("Four points, m = 20.", (9.6, 3.2)))

# %% [markdown]
# Two phases, and the same switch at widths 2, 20 and 200 (the step of the paper, $m\eta$, is a hundred times as large in the last case). At $\eta = 48$ the threshold $1/\eta$ is crossed
# hundreds of steps after the last rise: sufficient, and loose. At $\eta = 256$ it is crossed within a few steps of it (dotted lines in the figure). The average risk stays below its bound
# (re-derived here for networks; constants of the paper differ).
#
# ## 4. The margin, nearly
#
# **Claim.** In the stable phase the normalised margin $\bar\gamma = \sqrt m \min_i q_i/\lVert W\rVert$ *nearly* never falls; a smoothed margin,
# $\gamma^a = \sqrt m\,(\log\frac{1}{2nL} - \kappa)/\lVert W\rVert$, never does (Cai et al. 2024). Here $\kappa$ bounds
# $|\phi(z) - z\phi'(z)|$: how far the activation is from homogeneous.
#
# **Predict.** "Nearly": by how many percent does $\bar\gamma$ fall, at worst?

# %%
my_guess = ...

# %%
points, eta = problems.tug_of_war(0.2), table(150.0, 192.0, 300.0)[:, None].expand(3, 8)
net = network(2, 20, runs=(3, 8), seed=S.expand(3, 8))
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
guess(my_guess, f"{median(raw[1]):.1%} (median, η = 192); smoothed {smooth.max():.0%}")

# %% [markdown]
# The third row of the figure above has such a run: after the threshold $\bar\gamma$ rises, and then it falls by three percent. The smoothed margin rises at every step.
# So "nearly monotone" is the right word, and a check of $\bar\gamma$ on one run at $\eta = 150$ would not have shown why it is needed.
#
# Try the knobs. Find
#
# 1. the step from which on the risk rises at all ($g = 0.1$),
# 2. a step at which $\bar\gamma$ falls and one at which it does not ($g = 0.2$),
# 3. an activation with which the risk never comes below $1/\eta$.
#
# <details><summary>What we found</summary>1. Between 24 and 32. 2. 192 and 150, for example. 3. tanh.</details>

# %% tags=["widget"] id="tug-of-war"
tug_of_war.show()

# %% [markdown]
# ## 5. What a large step buys
#
# Late in a run with a fixed step $L \approx 1/(\eta\bar\gamma^2 t)$ (derived here; the paper has the order $1/(\eta t)$). So for $T$ steps take $\eta$ proportional to $T$: then the risk at the end is of the
# order $1/T^2$ (Cai et al. 2024; Wu et al. 2024). A run that never rises cannot do that: on two points with $\gamma = 0.1$ its step is below 16.7, so it
# ends at about $1/(16.7\,\gamma^2T)$ or above, of the order $1/T$.
#
# Is a step proportional to $T$ better the larger it is? Watch the third curve.

# %%
T, gamma = 2.0 ** torch.arange(9, 14, dtype=torch.float64), 0.1
eta = torch.cat([table(1.0, 4.0, 14.0), T / 512, T / 16])
one = network(2, 1, "identity", eta.shape, std=0.0)
L = descend(one, problems.two_points(gamma), eta, int(T[-1])).loss[T.long()]
fixed, grown, bold = L[:, :3], L[:, 3:8].diagonal(), L[:, 8:].diagonal()
_ = ledger.claim("slope-fixed", draw.slopes(T, fixed), -1.0)
_ = ledger.claim("slope-grown", draw.slopes(T, grown), -2.0)
late = theory.asymptotic_risk(T[:, None], eta, gamma)
_ = ledger.claim("asymptote", (fixed / late[:, :3])[-1], 1.0)
pair = {"η = 14": (fixed[:, 2], late[:, 2]), "η = T/512": (grown, late.diagonal(3))}
pair["η = T/16"] = bold, late[:, 8:].diagonal()

# %%
S3, T3 = S[:3], 2.0 ** torch.arange(8, 12, dtype=torch.float64)
digits = problems.digits_in_the_ball(n=100, seed=S3)
eta = torch.stack([torch.full_like(T3, 64.0), T3 / 4])[..., None].expand(2, 4, 3)
net = network(65, 20, runs=(2, 4, 3), seed=S3.expand(2, 4, 3))
L = descend(net, (digits.x, digits.y), eta, int(T3[-1])).loss
risk = L[T3.long(), :, range(4)]
_ = ledger.claim("digits-fixed", draw.slopes(T3, risk[:, 0]))
_ = ledger.claim("digits-grown", draw.slopes(T3, risk[:, 1]))
print("steps that raise the risk on the digits:", int(metrics.rises(L).sum()))
show(*draw.rates((T, pair), (T3, {"η = 64": risk[:, 0], "η = T/4": risk[:, 1]})))

# %% [markdown]
# Both slopes are as predicted. On the digits, pixels are centred and a constant feature is added; the step $T/4$ is 512 at the end. Real,
# separable data leave the first phase fast, if they enter it at all. Three warnings.
#
# - The slope is $-2$ only while the run ends on the asymptote. With $\eta = T/16$ on the two points it leaves it, downwards: one lucky jump across the wedge lands at a huge margin. Where that
#   happens is erratic, and nothing to count on.
# - With raw pixels, which all point in much the same direction, the risk does rise, during the first steps.
# - At the same $T$ a larger step need not mean a larger margin.
#
# Try it on the digits. Find
#
# 1. with raw pixels, the smallest step on the slider with which the risk rises,
# 2. two steps of which the larger ends at the smaller margin,
# 3. what centring does to both.
#
# <details><summary>What we found</summary>1. 32. 2. 64 and 128. 3. The risk hardly ever rises, and the margin is about twice as large.</details>

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
L = descend(network(2, 20, runs=S.shape, seed=S), xor, 256.0, 200).loss
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
# | the slope is $-2$ for any $\eta \propto T$ | not for $\eta = T/16$ on two points: the run leaves the asymptote, erratically, downwards |
# | a larger step gives a larger margin | not at equal $T$ on raw pixels |
# | the margin grows at every step | it fell by three percent; the smoothed one did not |
# | a rise means $\eta S/2 > 1$ | at very large steps most rises begin where the curvature is tiny |
# | the constants of the theory predict something here | bounds on the first phase are $10^3$ to $10^6$ too large, on the average risk 20 to 600 times |

# %%
share = [(row[3].stability[row[3].rises - 1] > 1).mean() for row in walks[:3]]
_ = ledger.claim("curvature-blind", share)
raw = [[digit_steps.compute("raw", e, s) for s in S3.tolist()] for e in (64, 128)]
_ = ledger.claim(
    "raw-margin",
    [b.margin[-1] / a.margin[-1] for a, b in zip(*raw, strict=True)],
    steps=len(raw[0][0].loss) - 1,
)
display(ledger)

# %% [markdown]
# ## Limits
#
# - Toy data of two, four and five points; 100 images. Full-batch gradient descent in float64; networks without bias, of which the hidden layer alone is trained.
# - The theory of deeper networks needs other assumptions: with all layers trained the outputs are not Lipschitz in the weights, and a large step can diverge. Here it cannot.
# - $0.853$ is our constant, from the derivation of section 1. The paper's constants we know from notes on its statements, not from its text.
#
# ## Exercises and what to read next
#
# `python3 course.py start 09` puts the exercises into your folder `work`: the near-homogeneity gap, the switch of phases, the largest monotone step and the best one, the stable threshold.
#
# - Y. Cai, J. Wu, S. Mei, M. Lindsey, P. Bartlett: *Large stepsize gradient descent for non-homogeneous two-layer networks: margin improvement and fast optimization*, NeurIPS 2024, arXiv 2406.08654.
# - J. Wu, P. Bartlett, M. Telgarsky, B. Yu: *Large stepsize gradient descent for logistic loss: non-monotonicity of the loss improves optimization efficiency*, COLT 2024, arXiv 2402.15926.
# - M. Crawshaw, M. Liu, 2026, on the transition time in two dimensions; J. Cohen et al., ICLR 2021, for the other meaning of the edge.
