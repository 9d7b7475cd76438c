# ---
# jupyter:
#   regimes:
#     title: "Edge of stability: deeper"
#     minutes: 70
#     needs: ["08"]
#     papers: [cai2024]
#     objectives:
#       - say how well the force of a swing, the edge meter and the central flow hold over seeds and steps
#       - tell a catapult from hovering, and predict where a run comes to rest
#       - measure sharpness, and know four ways to get it wrong
#       - say what the loss, the scaling, mini-batches and Gauss-Newton change
# ---

# %% [markdown]
# # Edge of stability: deeper
#
# The evidence for [lesson 08](../08_edge_of_stability.ipynb) over seeds, and what it leaves out: two losses of two numbers that can be solved, inputs around 0, digits,
# four ways to get sharpness wrong. **Papers:** Cohen, Kaur, Li, Kolter, Talwalkar 2021 (we had its published code); Cai, Wu, Mei, Lindsey, Bartlett 2024 (abstract, introduction,
# captions); Cohen, Damian, Talwalkar, Kolter, Lee 2025 and the others: abstracts. Formulas are derived here.

# %%
import torch
from IPython.display import display

from regimes.directions import gradient
from regimes.hessians import hessian
from regimes.losses import logistic, squared
from regimes.metrics import sharpness, sometimes, spectrum
from regimes.networks import TwoLayer
from regimes.optimizers import GradientDescent
from regimes.problems import chebyshev, even_odd, teacher_student
from regimes.theory import edge_of_stability as theory
from regimes.theory.gauss_newton import step_loss
from regimes.training import train
from regimes_course.kit import Ledger, seeds, show, span
from regimes_course.lesson08 import experiments
from regimes_course.lesson08 import figures as draw
from regimes_course.lesson08.climb import Task, descend, middle, start
from regimes_course.lesson08.runs import Runs
from regimes_course.lesson08.widgets import chebyshev_fit, degree_four

# %% [markdown]
# ## 1. The lesson's network, over seeds
#
# 20 tanh units in mean-field scaling fit the Chebyshev polynomial of degree three on 20 points between 0 and 2, up to $t = \eta k = 300$. Gradient descent is the
# library's; what is predicted (gradient flow, central flow) is written out in `lesson08/climb.py`, and a test compares its slopes with the library's.

# %%
ledger, SEEDS, S5 = Ledger("08"), seeds(10), seeds(5)
runs = {eta: Runs(eta, SEEDS) for eta in (0.4, 0.6, 0.8)}
one, ten = runs[0.6], {"seeds": len(SEEDS)}
_ = ledger.claim("climb", one.climb, **ten)
_ = ledger.claim("same-path", one.off_the_flow(), **ten)

# %% [markdown]
# **The force of a swing.** At the crossing of $2/\eta$ we compare both sides of the law, at a small swing of 0.05. Then we push by 1 % of the length of the weights along the
# sharpest direction, and compare how far $\eta S/2$ rises above one.

# %%
alone, pushed = one.overshoot(0.0), one.overshoot(0.01)
_ = ledger.claim("swing-law", one.law_of_the_swing(0.05), **ten)
_ = ledger.claim("push", pushed / alone, **ten)
print(f"ηS/2 up to {span(1 + alone, '.3g')}; pushed {span(1 + pushed, '.3g')}")

# %% [markdown]
# **The edge meter and the central flow.** If $g = s + b$ with a part $s$ that changes sign from step to step and a part $b$ that stays, at right angles, then
# $m = |s|^2/(|s|^2+|b|^2)$: its distance from one is the share of the squared gradient that does not swing.

# %%
ratios = {eta: run.windows() for eta, run in runs.items()}
show(*draw.windows(ratios, 25))

# %%
miss = [(ratio - 1).abs() for ratio in ratios.values()]
later = torch.cat([off[3:].flatten() for off in miss])
with_swing, centre, flow = (
    torch.stack([run.late(getattr(run, name)) for run in runs.values()])
    for name in ("predicted", "centre", "flow")
)
_ = ledger.claim("edge-meter", torch.cat([runs[0.4].meter(), one.meter()]), 1.0, **ten)
_ = ledger.claim("edge-meter-large", runs[0.8].meter(), 1.0, **ten)
_ = ledger.claim("central-flow", with_swing, 1.0, **ten)
_ = ledger.claim("central-flow-early", torch.cat([off[:3] for off in miss]), **ten)
_ = ledger.claim("central-flow-later", later[~later.isnan()], **ten)
_ = ledger.claim("flow-off", flow, **ten)
_ = ledger.claim("half-swing", 1 - centre / with_swing, **ten)

# %% [markdown]
# So central flow is right at rest, and not on the way there. After the crossing it is too high: it swings at once, while the run's swing has to grow. Then, at the smallest step, it is too low for a while; why, we
# did not test. In the last 50 units of time it is within 15 % in every run. Before the crossing, the curves of gradient descent are those of the flow.
#
# ## 2. Three widths in two scalings
#
# At a loss of 0.05, the sharpness over that at initialisation. Mean-field runs have $\eta = 0.2$ up to $t = 300$, NTK runs 0.6 up to 900; both stay below their edges. All networks add
# the polynomial to their outputs at initialisation.


# %%
def at_one_loss(scaling, m):
    loss, S, _ = experiments.climb_of_width(scaling, m, tuple(S5.tolist()))
    return S.gather(0, (loss <= 0.05).int().argmax(0)[None])[0], S[0]


rich = [at_one_loss("mean_field", m) for m in (20, 80, 320)]
lazy = [at_one_loss("ntk", m) for m in (20, 80, 320)]
for name, found in (("mean-field", rich), ("NTK", lazy)):
    print(f"{name}, widths 20, 80, 320:", *(f"{span(S)};" for S, _ in found))
S = torch.stack([S for S, _ in rich])
_ = ledger.claim("lazy-never-climbs", lazy[2][0] / lazy[2][1], seeds=len(S5))
_ = ledger.claim("rich-climbs", rich[2][0] / rich[2][1], seeds=len(S5))
_ = ledger.claim("one-climb", S.amax(0) / S.amin(0), seeds=len(S5))

# %% [markdown]
# ## 3. Mini-batches
#
# Mean $\eta S/2$ of the full loss from $t = 200$ on, $\eta = 0.6$; and of the *batch sharpness*, the curvature of a batch's own loss along its own gradient, which Andreyev
# and Beneventano 2024 find at $2/\eta$. With 20 samples we do not: noise decides here, not instability.

# %%
for size in (1, 4, 10):
    whole, own = experiments.with_batches(size, SEEDS)
    _ = ledger.claim(f"batches-{size}", whole, **ten)
    _ = ledger.claim(f"batch-sharpness-{size}", own, 1.0, **ten)

# %% [markdown]
# ## 4. A quadratic has an edge, exactly
#
# On a quadratic a step multiplies the component along an eigenvector by $1-\eta\lambda$. So on a *convex* quadratic gradient descent diverges if and only if $\eta > 2/S$ and the start has a
# part along the top eigenvector. (With a negative eigenvalue every step diverges.)
#
# A network with frozen hidden weights has a quadratic loss. Below, $\eta$ is set to a share of $2/S$ and the gradient's component along the top
# eigenvector is followed. `sharpness` has the network's time scale in it, as `GradientDescent` has: $\eta S/2$ means the same at any width.

# %%
data = teacher_student(20, 3, seed=S5)
share = torch.tensor([0.98, 0.99, 1.0, 1.01, 1.02], dtype=torch.float64)[:, None]
net = TwoLayer(3, 40, runs=(5, 5), seed=S5.expand(5, 5))
net.W.requires_grad_(False)
q = torch.linalg.eigh(hessian(net, data.x, data.y).dense())[1][..., -1]
along = {"q": lambda net: (gradient(net, data.x, data.y).tensors[0] * q).sum(-1)}
rule = GradientDescent(net, share * 2 / sharpness(net, data.x, data.y))
trace = train(net, data.x, data.y, rule, 200, measure=along)
top = (trace.measured["q"] / trace.measured["q"][0]).abs()
wanted = theory.quadratic_factor(trace.step[:, None, None], 2.0, share)
_ = ledger.claim("quadratic", (top / wanted - 1).abs().amax((0, 1)))

# %% [markdown]
# ## 5. Two losses of two numbers
#
# **A product.** $L = \frac12(uv-1)^2$. Its flow keeps $u^2-v^2$ (lesson 04). One step multiplies $u+v$ by $1-\eta r$ and $u-v$ by $1+\eta r$,
# with $r = uv-1$, hence exactly
#
# $$(u^2-v^2)_{k+1} = (u^2-v^2)_k\,(1-\eta^2 r_k^2).$$
#
# Large steps *balance*, as long as $|\eta r| < \sqrt2$, and a balanced product is flat: near a solution $S = u^2+v^2$, at least 2.
#
# We start where $S$ is up to 1.9 times $2/\eta$. A quadratic would diverge. What happens here, and from which $\eta S/2$ on does it diverge?


# %%
def steps_of_uv(u, v, eta, steps):
    path = [(u, v)]
    for _ in range(steps):
        r = u * v - 1
        u, v = u - eta * r * v, v - eta * r * u
        path.append((u, v))
    return (torch.stack(numbers) for numbers in zip(*path, strict=True))


chance = torch.Generator().manual_seed(S5[0].item())
a, b, c = torch.rand(3, 8, generator=chance, dtype=torch.float64)
u, v = steps_of_uv(3.4 + a, 0.05 + 0.25 * b, 0.2, 60)
d = u**2 - v**2
wanted = theory.imbalance_after(d[0], (u * v - 1)[:-1], 0.2)
S = (u**2 + v**2 + torch.hypot(d, 2 * (2 * u * v - 1))) / 2  # of the 2 x 2 Hessian
show(*draw.two_certainties(share[:, 0], top, 0.2, S, d, wanted))

# %%
shares = torch.linspace(0.9, 1.1, 81, dtype=torch.float64)[:, None]
limit = shares * theory.catapult_limit(u[0] ** 2 + v[0] ** 2)
far, _ = steps_of_uv(u[0].expand(81, 8), v[0].expand(81, 8), limit, 300)
stays = far[-1].isfinite().int().cumprod(0)  # up to the first that diverges
_ = ledger.claim("balancing", (d - wanted).abs().amax(0) / d[0])
_ = ledger.claim("catapult", 0.2 * S[-1] / 2)
_ = ledger.claim("catapult-limit", 2 * (shares * stays).amax(0), 2.0)

# %% [markdown]
# Left: $2/S$ is exact, at any number of steps. Right: beyond the edge the loss rises, $\eta^2r^2$ takes the imbalance away, and the run lands in a valley that is flat enough:
# the *catapult* (Lewkowycz et al. 2020). Up to $\eta S/2 \approx 2$, that is. For the loss $\frac12(uv)^2$, with $f = uv$ and $q = u^2+v^2$, the number two follows in a line: a step is
#
# $$q' = q + \eta f^2\,(\eta q - 4),$$
#
# so that the sharpness $q$ falls at every step if $\eta q < 4$. But the run ends well *below* the edge. It does not hover there.
#
# **Degree four.** $L = \frac14(x^2y^2-1)^2$ (Zhu et al. 2023) does. With $p = xy$, $q = x^2+y^2$ and $g = p(p^2-1)$ a step is, exactly,
#
# $$\begin{aligned}
# p' &= p\,(1+\eta^2g^2) - \eta g\,q, \\
# q' &= q\,(1+\eta^2g^2) - 4\eta g\,p.
# \end{aligned}$$
#
# The valley $p = 1$ has $S = 2q$ at its floor. Write $\eta q = 1+\delta$ (this is $\eta S/2$) and $p = 1+e$. Two steps change $a = e^2$ and $\delta$, to leading order,
# by
#
# $$\Delta a = (8\delta - 32a)\,a, \qquad \Delta\delta = -8\eta^2a.$$
#
# Beyond the edge the oscillation $a$ grows, a large oscillation pushes $\delta$ down, and a smaller $\delta$ calms the oscillation. To lowest order $a$ sits where it does not change, $a = \delta/4$. But $\delta$ falls,
# and $a$ has to follow: $\Delta a = \Delta\delta/4 = -2\eta^2a$. Put this into the first equation: $8\delta - 32a = -2\eta^2$, so $a = (\delta + \eta^2/4)/4$. Hence
# $\delta+\eta^2/4$ falls as $e^{-\eta^2k}$, and the run comes to rest at
#
# $$\eta S/2 = 1 - \eta^2/4 .$$

# %%
starts = 1.2 + 0.6 * c[:5]
runs = [degree_four.compute(0.05, start, 1.01) for start in starts.tolist()]
gaps = [(1 - run.number[-1]) / 0.05**2 for run in runs]
_ = ledger.claim("gap", gaps, 0.25)
_ = ledger.claim("settling", [run.left for run in runs], 0.368)
show(*degree_four.filmstrip("Three slider positions.", (9, 3.4)))

# %% tags=["widget"]
degree_four.show()

# %% [markdown]
# *Try:* does the place of rest depend on the start? On what does it depend whether $xy$ ends at 1 or at −1? In the middle panel each run slides down the
# dashed curve: where does it leave it, and why is $\eta^2/4$ less good at η = 0.2?
#
# ## 6. Inputs around 0
#
# The same task on [−1, 1], where the polynomial is odd. There sharpness climbs less, to about 2.4, and *two* eigenvalues climb side by side: two swings interfere, and runs are ragged. With the
# squared loss, $S$ rises during training (*progressive sharpening*) until it is $2/\eta$; then it hovers there, the loss is
# not monotone any more, and falls all the same (Cohen et al. 2021).


# %%
def rises(loss):
    return loss.diff(dim=0) > 1e-10 * loss[:-1]  # by more than rounding


def tanh_units(seed, inputs=1, **start):
    return TwoLayer(inputs, 20, activation="tanh", runs=seed.shape, seed=seed, **start)


def watch(net, data, eta, steps, every, loss=squared):
    measure = {"S": sometimes(lambda net: sharpness(net, data.x, data.y, loss=loss), every)}
    rule = GradientDescent(net, eta, loss=loss)
    trace = train(net, data.x, data.y, rule, steps, measure=measure)
    return trace, eta * trace.measured["S"][::every] / 2


data, eta = chebyshev(3), torch.tensor([[0.4], [1.2], [1.6]]).double().expand(3, 5)
many = S5.expand(3, 5)
trace, number = watch(tanh_units(many, output_std=1.0), data, eta, 3000, 25)
show(*draw.sharpening(eta[:, 0], trace.loss, trace.step[::25], 2 * number / eta))

# %%
up, means = rises(trace.loss).sum(0), draw.late(number)
_ = ledger.claim("sharpening", number[-1, 0] / number[0, 0])
_ = ledger.claim("monotone", up[0])
_ = ledger.claim("hovering", means[1:], 1.0)
_ = ledger.claim("not-monotone", up[1])
_ = ledger.claim("falls", draw.late(trace.loss)[1] / trace.loss[500:1000, 1].mean(0))
nudged, _ = watch(tanh_units(many, output_std=1 + 1e-12), data, eta, 1500, 1500)
apart = (nudged.loss / trace.loss[:1501] - 1).abs().amax(0)
_ = ledger.claim("not-chaotic", apart[0])
_ = ledger.claim("chaotic", apart[1])
around = Task(0.0)
paths = middle(descend(around, start(SEEDS), 1.2, 250))[::2]
peak = torch.linalg.eigvalsh(around.hessian(paths))[..., -2:].amax(0)
_ = ledger.claim("two-at-the-edge", peak[:, 0] / peak[:, 1], **ten)

# %% [markdown]
# The climb is the network's own; $\eta$ only decides where it ends. In the oscillating runs a nudge of $10^{-12}$ grows by many orders of magnitude: their **curves do not reproduce** on
# another machine, their averages do. We claim averages only.
#
# Is it the scaling? The same task with a plain module, $f = v\cdot\tanh(wx+b)+c$, in which `sharpness` differentiates twice:

# %%
for e in (0.2, 0.3):
    nets = [experiments.plain_module(seed) for seed in seeds(2).tolist()]
    means = torch.stack([draw.late(watch(net, data, e, 3600, 20)[1]) for net in nets])
    _ = ledger.claim(f"module-{e}", means)

# %% tags=["widget"]
chebyshev_fit.show()

# %% [markdown]
# *Try:* from which step on does the run reach the edge within 500 steps? What do width and degree change? What is $\eta S/2$ when a run diverges?
#
# ## 7. The loss decides what happens at the edge
#
# Even against odd digits, 200 images, 20 tanh units. The curvature of the logistic loss is at most the loss itself.


# %%
def on_digits(loss, eta, steps, every):
    net = tanh_units(seeds(3), 64, std=0.3, output_std=0.5)
    return watch(net, images, eta, steps, every, loss)


images = even_odd(200, seed=seeds(3))
runs = {
    "squared, η = 1": on_digits(squared, 1.0, 800, 50),
    "squared, η = 2": on_digits(squared, 2.0, 1500, 50),
    "logistic, η = 6": on_digits(logistic, 6.0, 300, 2),
}
show(*draw.digits(runs))

# %%
(calm, _), (_, edgy), (classes, number) = runs.values()
up, beyond = rises(classes.loss), number[:-1] > 1
_ = ledger.claim("digits-calm", rises(calm.loss).sum(0))
_ = ledger.claim("digits-hovering", draw.late(edgy), 1.0)
_ = ledger.claim("logistic-peak", number.amax(0))
_ = ledger.claim("logistic-end", number[-1] / number[0])
_ = ledger.claim("logistic-last", (up * torch.arange(1, 301)[:, None]).amax(0))
_ = ledger.claim("beyond-and-falling", (beyond & ~up[::2]).sum(0) / beyond.sum(0))

# %% [markdown]
# The squared loss has curvature one everywhere: the edge holds the run. The logistic loss flattens where it is small: sharpness rises, goes beyond the edge, and collapses. Lesson 09 makes this a theorem.
#
# **A trap of words.** "Edge of stability" means two things. In Cohen et al. 2021: the sharpness *hovers at* $2/\eta$. In Wu et al. and Cai et al. 2024: the *non-monotone phase*,
# whatever the sharpness does. On a quadratic they coincide. Here they do not: the logistic runs have a non-monotone phase and never hover; and at most of the recorded steps with $S > 2/\eta$ the loss *falls*.
#
# ## 8. Four ways to get sharpness wrong
#
# `sharpness` takes all eigenvalues of a closed-form Hessian where parameters are few; otherwise Lanczos iteration for the largest *algebraic* eigenvalue, a dozen products $Hv$, each about two gradients. The network of section 6, at its start:

# %%
net = tanh_units(S5, output_std=1.0)
S = sharpness(net, data.x, data.y)
lanczos = sharpness(net, data.x, data.y, method="lanczos")
newton = spectrum(net, data.x)[..., 0] / len(data.x)
print(f"Lanczos / all eigenvalues: one up to {(lanczos / S - 1).abs().max():.0e}")
print(f"Gauss-Newton matrix / Hessian: {span(newton / S)}")

# %% [markdown]
# 1. **Time scale.** Without the factor $c$ (here $m = 20$) the stability number is 20 times too small, and a run at the edge looks calm.
# 2. **Half and mean.** With torch's `MSELoss` the Hessian is twice ours, and a number computed from it hovers at 2; with a sum and the half it is $n$ times ours, with
#    `MSELoss(reduction="sum")` $2n$ times.
# 3. **Gauss-Newton matrix.** $\lambda_{\max}(K)/n$ is right where the fit is: the rest of the Hessian is multiplied by residuals. At the start it is not.
# 4. **Largest magnitude.** Power iteration, and `eigsh` unless told otherwise, find the eigenvalue that is largest in *size*: for diag(1, −3) they say −3. Along
#    ordinary training runs negative eigenvalues are small, and nobody notices. (Exercises 3 and 6. The lesson's central flow does just that: near its edge it is harmless.)
#
# ReLU is a trap of its own: almost everywhere its second derivative is zero, and a Hessian without the kinks is all that can be computed.
#
# ## 9. Does Gauss-Newton have an edge?
#
# Undamped Gauss-Newton makes $r \to (1-\eta)\,r$ to first order: its edge should be at $\eta = 2$, **at every place, whatever the sharpness**. We go to an interpolant, for two conditionings of the inputs, and start
# again from there.

# %%
places = {"kappa": [1.0, 100.0], "seeds": seeds(3)}
etas = torch.tensor([1.9, 1.99, 2.1])
losses = experiments.gauss_newton(etas.tolist(), **places).flatten(2)
net, data = experiments.near_an_interpolant(**places)
edge = 2 / sharpness(net, data.x, data.y)
descent, number = watch(net, data, 1.2 * edge, 600, 50)
show(*draw.newton(etas, losses, edge, 1.2, descent, number.flatten(1)))

# %%
_ = ledger.claim("newton-below", losses[20, 0], step_loss(20, 1.9).item())
_ = ledger.claim("newton-above", losses[20, -1], step_loss(20, 2.1).item())
_ = ledger.claim("newton-stays", losses[100:, -1].amin(0))
_ = ledger.claim("descent-escapes", number[-1])

# %% [markdown]
# So there is an edge, at a step of 2 in function space (lesson 01), and sharpness has nothing to do with it: the limits of gradient descent differ from run to run, that of Gauss-Newton does not. The difference beyond it is deeper. For gradient descent the edge is a property of
# the *place*, so oscillating leads to a flatter one. Gauss-Newton finds the same edge everywhere. Its loss grows until the tangent fails, and stays large: no self-stabilisation.
#
# ## What we measured, and what the papers say

# %%
display(ledger)

# %% [markdown]
# ## Limits
#
# - Theorems here: the quadratic, the balancing identity, the edge meter, the law of a small swing. The rest at the edge is a leading order, good for small steps. Hovering in networks is a measurement.
# - Central flow is measured on one task, where one eigenvalue is at the edge; on [−1, 1] it would need two.
# - Small networks, full batches, tanh. With ReLU the Hessian exists almost everywhere only, and says nothing about kinks.
# - Large steps in mean-field scaling are tame; with other settings of the same network runs above twice the step of the climb get ragged or diverge.
#
# ## Read next
#
# - Cohen et al. 2021 for the phenomenon, Damian, Nichani, Lee 2023 for self-stabilisation, Zhu et al. 2023 for degree four, Lewkowycz et al. 2020 for the catapult.
# - Lesson 09: with the logistic loss, large steps are not only survived. They pay.
