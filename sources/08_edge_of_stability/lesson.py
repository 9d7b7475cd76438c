# ---
# jupyter:
#   regimes:
#     title: Edge of stability
#     minutes: 50
#     needs: ["01"]
#     papers: [cai2024]
#     objectives:
#       - find the largest stable step of gradient descent, and say for what it is exact
#       - tell a catapult from hovering, and predict where a run comes to rest
#       - measure sharpness, and know four ways to get it wrong
#       - say what the loss has to do with it
#       - say whether Gauss-Newton has an edge
# ---

# %% [markdown]
# # Edge of stability
#
# **After these 50 minutes you will be able to**
#
# - find the largest stable step of gradient descent, and say for what it is exact,
# - tell a catapult from hovering, and predict where a run comes to rest,
# - measure sharpness, and know four ways to get it wrong,
# - say what the loss has to do with it,
# - say whether Gauss-Newton has an edge.
#
# **Needs** lesson [01](01_gradient_descent_and_gauss_newton.ipynb). **Papers:** Cohen, Kaur, Li, Kolter, Talwalkar 2021 (*Gradient descent on neural networks typically occurs at the
# edge of stability*; we had its published code) and Cai, Wu, Mei, Lindsey, Bartlett 2024 (lesson 09; we had its abstract, introduction and captions). Formulas below are
# derived here.
#
# **Recap.** Answer before you unfold.
#
# <details><summary>1. On frozen features gradient descent turns r into (1 − ηK/n) r. For which η does r shrink?</summary>
# For η below 2n/λ_max(K).</details>
#
# <details><summary>2. What does one undamped Gauss-Newton step of size η make of r, to first order?</summary>
# (1 − η) r, whatever the eigenvalues.</details>
#
# <details><summary>3. The squared loss of this course has a half and a mean. torch's MSELoss has no half. What does this do to a step?</summary>
# A step lr there is 2 lr here: its Hessian is twice ours.</details>

# %%
import torch
from IPython.display import display

from regimes.directions import gradient
from regimes.hessians import hessian
from regimes.losses import logistic, squared
from regimes.metrics import sharpness, sometimes, spectrum
from regimes.networks import TwoLayer
from regimes.optimizers import GaussNewton, GradientDescent
from regimes.problems import chebyshev, even_odd, teacher_student
from regimes.theory import edge_of_stability as theory
from regimes.theory.gauss_newton import step_loss
from regimes.training import train
from regimes_course.kit import Ledger, guess, seeds, show, span
from regimes_course.lesson08 import figures as draw
from regimes_course.lesson08.widgets import chebyshev_fit, degree_four

ledger, S5 = Ledger("08"), seeds(5)

# %% [markdown]
# ## 1. A quadratic has an edge, exactly
#
# **Sharpness** $S$ is the largest eigenvalue of the Hessian $H$ of the loss. On a quadratic a step multiplies the component along an
# eigenvector by $1-\eta\lambda$. So gradient descent diverges if and only if $\eta > 2/S$. We shall follow the **stability number** $\eta S/2$:
# below one is stable.
#
# A network with frozen hidden weights has a quadratic loss. Below, $\eta$ is set to a share of $2/S$ and the gradient's component along the top
# eigenvector is followed. `sharpness` has the network's time scale in it, as `GradientDescent` has: $\eta S/2$ means the same at any width.
#
# How large is the component after 200 steps with $\eta$ one or two percent beyond $2/S$? The figure stands in section 2.

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
# ## 2. Two losses of two numbers
#
# **A product.** $L = \frac12(uv-1)^2$. Its flow keeps $u^2-v^2$ (lesson 04). One step multiplies $u+v$ by $1-\eta r$ and $u-v$ by $1+\eta r$,
# with $r = uv-1$, hence exactly
#
# $$(u^2-v^2)_{k+1} = (u^2-v^2)_k\,(1-\eta^2 r_k^2).$$
#
# Large steps *balance*, and a balanced product is flat: near a solution $S = u^2+v^2$, at least 2.
#
# **Predict.** We start where $S$ is up to 1.9 times $2/\eta$. A quadratic would diverge. What happens here, and from which $\eta S/2$ on does it diverge?

# %%
my_guess = ...


# %%
def descend(u, v, eta, steps):
    path = [(u, v)]
    for _ in range(steps):
        r = u * v - 1
        u, v = u - eta * r * v, v - eta * r * u
        path.append((u, v))
    return (torch.stack(numbers) for numbers in zip(*path, strict=True))


chance = torch.Generator().manual_seed(S5[0].item())
a, b, c = torch.rand(3, 8, generator=chance, dtype=torch.float64)
u, v = descend(3.4 + a, 0.05 + 0.25 * b, 0.2, 60)
d = u**2 - v**2
wanted = theory.imbalance_after(d[0], (u * v - 1)[:-1], 0.2)
S = (u**2 + v**2 + torch.hypot(d, 2 * (2 * u * v - 1))) / 2
show(*draw.two_certainties(share[:, 0], top, 0.2, S, d, wanted))

# %%
shares = torch.linspace(0.9, 1.1, 81, dtype=torch.float64)[:, None]
limit = shares * theory.catapult_limit(u[0] ** 2 + v[0] ** 2)
far, _ = descend(u[0].expand(81, 8), v[0].expand(81, 8), limit, 300)
stays = far[-1].isfinite().int().cumprod(0)  # up to the first that diverges
largest = 2 * (shares * stays).amax(0)
_ = ledger.claim("balancing", (d - wanted).abs().amax(0) / d[0])
_ = ledger.claim("catapult", 0.2 * S[-1] / 2)
_ = ledger.claim("catapult-limit", largest, 2.0)
guess(my_guess, f"it converges, up to ηS/2 = {span(largest)}")

# %% [markdown]
# Left: $2/S$ is exact, at any number of steps. Right: beyond the edge the loss rises, $\eta^2r^2$ takes the imbalance away, and the run lands in a valley that is flat enough:
# the *catapult* (Lewkowycz et al. 2020). Up to $\eta S/2 \approx 2$, that is. For the loss $\frac12(uv)^2$ the number two follows in a line (`theory.catapult_limit`).
# But the run ends well *below* the edge. It does not hover there.
#
# **Degree four.** $L = \frac14(x^2y^2-1)^2$ (Zhu et al. 2023) does. With $p = xy$, $q = x^2+y^2$ and $g = p(p^2-1)$ a step is, exactly,
#
# $$p' = p\,(1+\eta^2g^2) - \eta g\,q, \qquad q' = q\,(1+\eta^2g^2) - 4\eta g\,p.$$
#
# The valley $p = 1$ has $S = 2q$ at its floor. Write $\eta q = 1+\delta$ (this is $\eta S/2$) and $p = 1+e$. Two steps change $a = e^2$ and $\delta$, to leading order,
# by
#
# $$\Delta a = (8\delta - 32a)\,a, \qquad \Delta\delta = -8\eta^2a.$$
#
# Beyond the edge the oscillation $a$ grows, a large oscillation pushes $\delta$ down, and a smaller $\delta$ calms the oscillation: **self-stabilisation** (Damian et al. 2023). As $\delta$ is slow, $a = (\delta + \eta^2/4)/4$. So
# $\delta+\eta^2/4$ falls as $e^{-\eta^2k}$, and the run comes to rest at
#
# $$\eta S/2 = 1 - \eta^2/4 .$$
#
# **Predict.** With half the step, how much nearer to the edge does the run come to rest?

# %%
my_guess = ...


# %%
starts = 1.2 + 0.6 * c[:5]
runs = [degree_four.compute(0.05, start, 1.01) for start in starts.tolist()]
gaps = [(1 - run.number[-1]) / 0.05**2 for run in runs]
_ = ledger.claim("gap", gaps, 0.25)
_ = ledger.claim("settling", [run.left for run in runs], 0.368)
guess(my_guess, f"four times: gap / η² is {gaps[0]:.2g} at η = 0.05")

# %%
show(*degree_four.filmstrip("Three slider positions.", (9, 3.4)))

# %% tags=["widget"]
degree_four.show()

# %% [markdown]
# *Try:* does the place of rest depend on the start? On what does it depend whether $xy$ ends at 1 or at −1? In the middle panel each run slides down the
# dashed curve: where does it leave it, and why is $\eta^2/4$ less good at η = 0.2?
#
# ## 3. A network climbs to the edge by itself
#
# **Claim.** With the squared loss, sharpness rises during training (*progressive sharpening*) until it is $2/\eta$; then it hovers there, the loss is
# not monotone any more, and falls all the same (Cohen et al. 2021). A network of 20 tanh units fits a Chebyshev polynomial of degree three on 20 points, both layers trained.
#
# **Predict.** $\eta S/2$ starts below 0.7 at each of the steps 0.4, 1.2 and 1.6. Where is it at the end, at each of the three?

# %%
my_guess = ...


# %%
def rises(loss):
    return loss.diff(dim=0) > 1e-10 * loss[:-1]  # by more than rounding


def watch(net, data, eta, steps, every, loss=squared):
    measure = {"S": sometimes(lambda net: sharpness(net, data.x, data.y, loss=loss), every)}
    trace = train(
        net, data.x, data.y, GradientDescent(net, eta, loss=loss), steps, measure=measure
    )
    return trace, eta * trace.measured["S"][::every] / 2


def tanh_units(seed, inputs=1, **start):
    return TwoLayer(inputs, 20, activation="tanh", runs=seed.shape, seed=seed, **start)


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
guess(my_guess, f"{span(means[0])}; {span(means[1])}; {span(means[2])}")

# %% [markdown]
# The climb is the network's own; $\eta$ only decides where it ends. In the oscillating runs a nudge of $10^{-12}$ grows by many orders of magnitude: their **curves do not reproduce** on
# another machine, their averages do. We claim averages only.
#
# Is it the scaling? The same task with a plain module, $f = v\cdot\tanh(wx+b)+c$, in which `sharpness` differentiates twice:


# %%
def module(seed):
    torch.manual_seed(seed)
    first, last = torch.nn.Linear(1, 20), torch.nn.Linear(20, 1)
    return torch.nn.Sequential(first, torch.nn.Tanh(), last, torch.nn.Flatten(0)).double()


for e in (0.2, 0.3):
    runs = [watch(module(seed), data, e, 3600, 20) for seed in seeds(2).tolist()]
    means = torch.stack([draw.late(number) for _, number in runs])
    _ = ledger.claim(f"module-{e}", means)
    print(f"η = {e}: mean ηS/2 is one up to {(means - 1).abs().max():.1g}")

# %%
show(*chebyshev_fit.filmstrip("Three slider positions.", (9, 3.4)))

# %% tags=["widget"]
chebyshev_fit.show()

# %% [markdown]
# *Try:* from which step on does the run reach the edge within 500 steps? What do width and degree change? What is $\eta S/2$ when a run diverges?
#
# ## 4. The loss decides what happens at the edge
#
# Even against odd digits, 200 images, 20 tanh units. **Predict.** With the logistic loss, is the sharpness at the end above or below that at the start? The curvature of this loss is at most the loss itself.

# %%
my_guess = ...


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
guess(my_guess, f"below: {span(number[-1] / number[0])} of it")

# %% [markdown]
# The squared loss has curvature one everywhere: the edge holds the run. The logistic loss flattens where it is small: sharpness rises, goes beyond the edge, and collapses. Lesson 09 makes this a theorem.
#
# **A trap of words.** "Edge of stability" means two things. In Cohen et al. 2021: the sharpness *hovers at* $2/\eta$. In Wu et al. and Cai et al. 2024: the *non-monotone phase*,
# whatever the sharpness does. On a quadratic they coincide. Here they do not: the logistic runs have a non-monotone phase and never hover; and at most of the recorded steps with $S > 2/\eta$ the loss *falls*.
#
# ## 5. Four ways to get sharpness wrong
#
# `sharpness` takes all eigenvalues of a closed-form Hessian where parameters are few; otherwise Lanczos iteration for the largest *algebraic* eigenvalue, a dozen products $Hv$, each about two gradients. The first network of section 3, at its start:

# %%
net = tanh_units(S5, output_std=1.0)
S = sharpness(net, data.x, data.y)
lanczos = sharpness(net, data.x, data.y, method="lanczos")
newton = spectrum(net, data.x)[..., 0] / len(data.x)
print(f"Lanczos / all eigenvalues: one up to {(lanczos / S - 1).abs().max():.0e}")
print(f"Gauss-Newton matrix / Hessian: {span(newton / S)}")

# %% [markdown]
# 1. **Time scale.** Without the factor $c$ (here $m = 20$) the stability number is 20 times too small, and a run at the edge looks calm.
# 2. **Half and mean.** With torch's `MSELoss` the Hessian is twice ours; with a sum it is $n$ times ours. A run then hovers at 2, or at $2n$.
# 3. **Gauss-Newton matrix.** $\lambda_{\max}(K)/n$ is right where the fit is: the rest of the Hessian is multiplied by residuals. At the start it is not.
# 4. **Largest magnitude.** Power iteration, and `eigsh` unless told otherwise, find the eigenvalue that is largest in *size*: for diag(1, −3) they say −3. Along
#    ordinary training runs negative eigenvalues are small, and nobody notices. (Exercise 2.)
#
# ReLU is a trap of its own: almost everywhere its second derivative is zero, and a Hessian without the kinks is all that can be computed.
#
# ## 6. Does Gauss-Newton have an edge?
#
# Undamped Gauss-Newton makes $r \to (1-\eta)\,r$ to first order: its edge should be at $\eta = 2$, **at every place, whatever the sharpness**. We go to an interpolant, for two conditionings of the inputs, and start
# again from there.
#
# **Predict.** Gradient descent beyond its edge escapes to a flatter place. Where can Gauss-Newton escape to at $\eta = 2.1$?

# %%
my_guess = ...


# %%
def nearly_there(*stack):
    data = teacher_student(20, 5, kappa=torch.tensor([[1.0], [100.0]]), seed=seeds(3))
    net = TwoLayer(5, 100, runs=(*stack, 2, 3), seed=seeds(3).expand(*stack, 2, 3) + 50)
    train(net, data.x, data.y, GaussNewton(net, 0.2), 60, until=1e-4)
    return net, data


net, data = nearly_there(3)
etas = torch.tensor([1.9, 1.99, 2.1])
rule = GaussNewton(net, etas[:, None, None].expand(3, 2, 3))
losses = train(net, data.x, data.y, rule, 150).relative.flatten(2)
net, data = nearly_there()
edge = 2 / sharpness(net, data.x, data.y)
descent, number = watch(net, data, 1.2 * edge, 600, 50)
show(*draw.newton(etas, losses, edge, 1.2, descent, number.flatten(1)))

# %%
_ = ledger.claim("newton-below", losses[20, 0], step_loss(20, 1.9).item())
_ = ledger.claim("newton-above", losses[20, -1], step_loss(20, 2.1).item())
_ = ledger.claim("newton-stays", losses[100:, -1].amin(0))
_ = ledger.claim("descent-escapes", number[-1])
guess(
    my_guess, f"nowhere: its loss stays above {losses[100:, -1].min():.0f} times the start"
)

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
# - Theorems here: the quadratic, the balancing identity. The rest at the edge is a leading order, good for small steps. Hovering in networks is a measurement.
# - Small networks, full batches, tanh. With ReLU the Hessian exists almost everywhere only, and says nothing about kinks.
# - Large steps in mean-field scaling are tame; with other settings of the same network runs above twice the step of the climb get ragged or diverge.
#
# ## Read next
#
# - Cohen et al. 2021 for the phenomenon, Damian, Nichani, Lee 2023 for self-stabilisation, Zhu et al. 2023 for degree four, Lewkowycz et al. 2020 for the catapult.
# - Lesson 09: with the logistic loss, large steps are not only survived. They pay.
