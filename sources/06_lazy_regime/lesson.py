# ---
# jupyter:
#   regimes:
#     title: The lazy regime
#     minutes: 50
#     needs: ["01", "02"]
#     papers: [buffelli2024]
#     objectives:
#       - write a network's linearisation, and predict with its kernel what training will do
#       - say which directions are learned when, from the eigenvalues of the kernel
#       - measure how lazy a network is, and tell a bound on a rate from the rate
#       - turn a network from rich to lazy without changing its size
#       - say which scaling makes a wide network lazy, and which does not
# ---

# %% [markdown]
# # The lazy regime
#
# **After these 50 minutes you will be able to**
#
# - write a network's linearisation, and predict with its kernel what training will do,
# - say which directions are learned when, from the eigenvalues of the kernel,
# - measure how lazy a network is, and tell a bound on a rate from the rate,
# - turn a network from rich to lazy without changing its size,
# - say which scaling makes a wide network lazy, and which does not.
#
# **Needs** lessons [01](01_gradient_descent_and_gauss_newton.ipynb) and [02](02_mean_field_convergence.ipynb). **Papers:** Jacot, Gabriel, Hongler 2018 (*Neural tangent kernel*); Chizat, Oyallon, Bach 2019 (*On lazy training
# in differentiable programming*). They are the ground for lesson 07, where Buffelli et al. 2024 ask whether Gauss-Newton makes deep networks lazy.
#
# **Recap.** Answer before you unfold.
#
# <details><summary>1. What drives the outputs under gradient flow?</summary>
# The kernel K = c J Jᵀ: the outputs move as ḟ = −K r / n.</details>
#
# <details><summary>2. Why is that not yet a solution?</summary>
# K changes while the network trains: J is taken at the present weights.</details>
#
# <details><summary>3. What are the two scalings of a two-layer network?</summary>
# f = s Σ v φ(w·x) with s = 1/m (mean-field, and time runs m times as fast) or s = 1/√m (NTK). Both have a kernel of order one at any width.</details>

# %%
import numpy as np
import torch
from IPython.display import display

from regimes.kernels import LazyScaling, Linearised, neural_tangent_kernel
from regimes.metrics import change_from_init, kernel_cosine, kernel_distance
from regimes.networks import TwoLayer
from regimes.optimizers import GradientDescent
from regimes.problems import digits, parity
from regimes.sweeps import stack_size, sweep
from regimes.theory import lazy
from regimes.training import train
from regimes_course.kit import Ledger, guess, median, seeds, show, span
from regimes_course.lesson06 import figures as draw
from regimes_course.lesson06.widgets import lazy_dial

ledger, S, n = Ledger("06"), seeds(5), 64


# %%
def fresh(m, seed, activation="relu", scaling="ntk", d=64):
    options = {"activation": activation, "scaling": scaling, "bias": False}
    return TwoLayer(d, m, runs=seed.shape, output_std=1.0, seed=seed + 50, **options)


def slope(widths, values):
    return np.polyfit(np.log(widths), values.log(), 1)[0]


def each(name, runs):
    return torch.stack([run[name] for run in runs])


# %% [markdown]
# ## 1. At infinite width the kernel is a formula
#
# Our network has one hidden layer, no bias, all weights from $N(0, 1)$, and both layers are trained. Its kernel at the start,
#
# $$K(x, x') = \frac1m\sum_{j=1}^m \left[\phi(w_j\cdot x)\,\phi(w_j\cdot x') + v_j^2\,\dot\phi(w_j\cdot x)\,\dot\phi(w_j\cdot x')\; x\cdot x'\right],$$
#
# is a mean over units drawn independently. By the law of large numbers it tends to its expectation, and for ReLU and for erf that is a
# closed form (`theory.lazy`). **Claim.** A network of width $m$ misses it by an error of order $m^{-1/2}$ (Jacot et al. 2018, theorem 1, is the limit).
#
# The data: 64 handwritten digits, 3 against 8, each image centred and of length one.
#
# **Predict.** The error is measured as $\lVert K - K_\infty\rVert/\lVert K_\infty\rVert$ (Frobenius). How many times wider must a network be for an error ten
# times smaller?

# %%
my_guess = ...

# %%
many, widths, errors = seeds(20), [32, 128, 512, 2048], {}
data = digits(3, 8, n=n, unit=True, seed=many)
for activation in ("erf", "relu"):
    limit = lazy.infinite_width_kernel(activation, data.x)
    kernels = [neural_tangent_kernel(fresh(m, many, activation), data.x) for m in widths]
    errors[activation] = torch.stack([kernel_distance(K, limit) for K in kernels])
    _ = ledger.claim(f"kernel-{activation}", slope(widths, errors[activation]), -1 / 2)
show(*draw.kernel_error(widths, errors))
falls = " and ".join(f"{draw.fall(error):.2g}" for error in errors.values())
guess(my_guess, f"100; 64 times wider, the errors are {falls} times smaller")

# %% [markdown]
# Ten times as accurate costs a hundred times the width. So the kernel at the start is known before a single weight is drawn. What about the
# kernel later on?
#
# ## 2. If the kernel stands still, training is solved
#
# Linearise the network in its weights at the start: $f(x; w) \approx f_0(x) + J_0(x)(w - w_0)$. This is a linear model, its kernel $K$ never
# moves, and its flow on the training data is $r_t = e^{-Kt/n}\, r_0$. In the basis of the eigenvectors of $K$ each coordinate decays on its own,
# at the rate $\lambda_i/n$: **directions with large eigenvalues are learned first.** At inputs that were not trained on, the outputs follow
#
# $$f_t(x') = f_0(x') - K(x', X)\,K^{-1}\left(1 - e^{-Kt/n}\right) r_0,$$
#
# which for $t\to\infty$ is kernel regression. None of this takes any training. **Claim.** A wide network does what its linearisation does
# (Lee et al. 2019, theorem 2.1).
#
# **Predict.** A ReLU network with 512 units learns to tell the digits by gradient descent. How far are its outputs on test images from the
# formula? (Labels are ±1.)

# %%
my_guess = ...


# %%
def largest(K):
    return torch.linalg.eigvalsh(K)[..., -1]


data, net = digits(3, 8, n=n, unit=True, seed=S[:3]), fresh(512, S[:3])
K, K_new = (neural_tangent_kernel(net, x, data.x) for x in (data.x, data.x_test))
r0, f0 = (net(data.x) - data.y).detach(), net(data.x_test).detach()
rule, look = GradientDescent(net, 0.1 * n / largest(K)), {"f": lambda net: net(data.x)}
trace = train(net, data.x, data.y, rule, 600, every=3, measure=look)
(lam, a0), a = lazy.modes(K, r0), lazy.modes(K, trace.measured["f"] - data.y)[1]
formula = a0 * lazy.mode_flow(lam, trace.time, n)
test_formula = f0 + lazy.flow_prediction(K, K_new, r0, trace.time[-1])
test = net(data.x_test).detach()
show(*draw.frozen(trace.time, a, formula, test, test_formula))

# %%
_ = ledger.claim("modes", (a - formula).norm(dim=-1).amax(0) / a0.norm(dim=-1))
off = (test - test_formula).square().mean(-1).sqrt()
_ = ledger.claim("wide-net", off)
kernels = [lazy.relu_kernel(x, data.x) for x in (data.x, data.x_test)]
limit = f0 + lazy.flow_prediction(*kernels, r0, trace.time[-1])
_ = ledger.claim("limit-net", (test - limit).square().mean(-1).sqrt())
linear = Linearised(fresh(128, S[:3]))
K, r0 = neural_tangent_kernel(linear, data.x), (linear(data.x) - data.y).detach()
lr = n / largest(K)
train(linear, data.x, data.y, GradientDescent(linear, lr), 50)
miss = linear(data.x) - data.y - r0 - lazy.step_prediction(K, K, r0, lr, 50)
_ = ledger.claim("linearised", miss.norm(dim=-1) / r0.norm(dim=-1))
guess(my_guess, f"{span(off)} (root mean square)")

# %% [markdown]
# On the left the coloured curves are measured on the network, the dashed ones are $e^{-\lambda_i t/n}$ with the kernel of the start. On the right
# each point is a test image. With the kernel of *infinite* width in place of the network's own the formula is less accurate, and needs no
# kernel of a network at all. `Linearised(net)` is the linear model as a network of its own; its training agrees with
# $(1-\eta K/n)^k$ to rounding (see the ledger). The rest of the lesson asks when the true network behaves like it.
#
# ## 3. How lazy is a wide network?
#
# Four things to measure after the same time of training, each relative to the start: how far the **weights** went, how far the
# hidden **features** went, how far the **kernel** drifted, and how far the test **outputs** are from the formula. From here on the outputs at the
# start are taken out, $f - f_0$ (that is `LazyScaling(net, 1)`), so that all runs start from zero.
#
# To move the outputs by order one, $m$ units share the work, and each weight moves by order $m^{-1/2}$. So weights and features move by
# $m^{-1/2}$, and it is often said that the kernel does, too. What is proved is a bound: it drifts by *at most* that order (Lee et al. 2019, theorem 2.1).
#
# **Predict.** At $m = 1024$ the weights move a quarter as far as at $m = 64$. By what factor does the drift of the kernel fall?

# %%
my_guess = ...

# %%
widths = [64, 128, 256, 512, 1024]


def trained(m, activation="relu", scaling="ntk", sign=lambda v: v, slower=1):
    def run(seed):
        data = digits(3, 8, n=n, unit=True, seed=seed)
        net = fresh(m, seed, activation, scaling)
        net.v.data = sign(net.v.data)
        net = LazyScaling(net, 1.0)
        K, K_new = (neural_tangent_kernel(net, x, data.x) for x in (data.x, data.x_test))
        lr, steps = n / largest(K) / slower, 200 * slower
        train(net, data.x, data.y, GradientDescent(net, lr), steps, every=steps)
        formula = lazy.step_prediction(K, K_new, -data.y, lr, steps)
        off = (net(data.x_test) - formula).square().mean(-1).sqrt()
        return {**change_from_init(net, data.x), "outputs": off}

    return sweep(run, {"seed": S}, stack=stack_size(n, m))


# %%
runs = {a: [trained(m, a) for m in widths] for a in ("erf", "relu")}
what = ("weights", "features", "drift", "outputs")
found = {a: {name: each(name, runs[a]) for name in what} for a in runs}
show(*draw.widths(widths, found))
for a in found:
    for name in ("weights", "features", "drift"):
        _ = ledger.claim(f"{name}-{a}", slope(widths, found[a][name]))
falls = ", ".join(f"{draw.fall(found[a]['drift']):.2g} for {draw.NAMES[a]}" for a in found)
guess(my_guess, f"{falls} (medians); a slope of -1/2 would be 4")

# %% [markdown]
# Weights move as $m^{-1/2}$, and so do features (with ReLU not quite yet at these widths). **The drift of the kernel falls faster:** $-1/2$ is a bound, not
# its rate. Why? Write the change of $K$ to first order in the weights: a mean over $m$ units of terms that each contain one factor $v_j$ from the gradient. The change of a
# unit is of order $m^{-1/2}$, but the signs of $v_j$ are random, so the mean of these terms is smaller by another $m^{-1/2}$: together $m^{-1}$. (First
# order is not the whole story for ReLU, whose kinks flip: see how slowly its test outputs approach the formula.)
#
# An explanation has to survive an experiment. **Take the random signs away:** replace $v_j$ by $|v_j|$ at the start. The prediction: the drift of ReLU
# now falls as $m^{-1/2}$. For erf it should not matter: $\mathrm{erf}$ is odd, so that for each unit $w_j$ one at $-w_j$ would cancel it, whatever the sign
# of $v_j$.
#
# **Predict.** Which slopes do you expect?

# %%
my_guess = ...

# %%
one_sign = {a: [trained(m, a, sign=torch.abs) for m in widths[:4]] for a in ("erf", "relu")}
drifts = {a: (found[a]["drift"][:4], each("drift", one_sign[a])) for a in one_sign}
show(*draw.signs(widths[:4], drifts))
for a, (_, alike) in drifts.items():
    _ = ledger.claim(f"one-sign-{a}", slope(widths[:4], alike))
slopes = [np.median(slope(widths[:4], alike)) for _, alike in drifts.values()]
guess(my_guess, f"{slopes[0]:.2f} for erf, {slopes[1]:.2f} for ReLU (medians)")

# %% [markdown]
# Both predictions hold. The bound $-1/2$ is reached, by a network whose output weights all have one sign.
#
# ## 4. A dial from rich to lazy
#
# So far the width made networks lazy. It is not the width as such. Multiply what the network adds to its start by $\alpha$,
#
# $$f_\alpha(x) = \alpha\,[f(x) - f_0(x)],$$
#
# and run time $\alpha^2$ times slower (`LazyScaling(net, alpha)`; Chizat et al. do without $f_0$ and ask that it be small). The kernel at the start is the same for every $\alpha$, and so is the
# step. But at a large $\alpha$ a small change of the weights is enough to fit the labels. **Claim.** Large $\alpha$ is lazy, at
# any width (Chizat et al. 2019, section 2), and a lazy network can be much worse on new data (their section 3).
#
# Digits 3 and 8 cannot show the second part: rich or lazy, networks of all widths are right on almost all test images. So take a task that rewards features. **Sparse
# parity:** 30 random signs, the label is the product of the first two, and 256 samples. A network that finds the two has solved it; to a kernel
# all signs are alike.
#
# **Predict.** Width 256, trained to an error of 1 %. What share of new samples is right at $\alpha = 0.1$, and at $\alpha = 30$?

# %%
my_guess = ...

# %%
alphas = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0]


def dial(alpha, activation="relu", slower=1):
    def run(seed):
        data, net = parity(256, 30, seed=seed), fresh(256, seed, activation, d=30)
        net = LazyScaling(net, alpha)
        K, K_new = (neural_tangent_kernel(net, x, data.x) for x in (data.x, data.x_test))
        rule = GradientDescent(net, 256 / largest(K) / slower)
        trace = train(net, data.x, data.y, rule, 1000, until=0.01, every=1000)
        f, formula = net(data.x_test), lazy.kernel_regression(K, K_new, data.y)
        right, kernel = ((g * data.y_test > 0).double().mean(-1) for g in (f, formula))
        K_end, yy = neural_tangent_kernel(net, data.x), data.y[:, None] * data.y[..., None]
        off = (f - formula).square().mean(-1).sqrt()
        found = dict(right=right, kernel=kernel, off=off, left=trace.relative[-1])
        return found | change_from_init(net, data.x) | {"aligned": kernel_cosine(K_end, yy)}

    return sweep(run, {"seed": S[:3]}, stack=1)


# %%
turned = [dial(alpha) for alpha in alphas]
right, drift = each("right", turned), each("drift", turned)
show(*draw.dial(alphas, right, each("kernel", turned)[0], drift))
_ = ledger.claim("rich", right[0])
_ = ledger.claim("lazy", right[-1])
_ = ledger.claim("rich-drift", drift[0])
_ = ledger.claim("lazy-drift", drift[-1])
_ = ledger.claim("drift-falls", slope(alphas[2:5], drift[2:5]))
_ = ledger.claim("kernel-regression", turned[-1]["off"])
_ = ledger.claim("alignment", turned[0]["aligned"] / turned[-1]["aligned"])
guess(my_guess, f"{span(right[0], '.0%')} and {span(right[-1], '.0%')}")

# %% [markdown]
# One network, one step, one start: from nearly all right to no better than a kernel, by one number in front. At $\alpha = 30$ the network *is* kernel
# regression. At $\alpha = 0.1$ the kernel has drifted by several times its size, and it has drifted *towards the labels*: its alignment with $yy^\top$
# is several times that of the lazy one. (The drift falls a little faster than $\alpha^{-1}$, its rate in the limit.)
#
# ## 5. Two scalings of one network
#
# $1/m = \frac1{\sqrt m}\cdot\frac1{\sqrt m}$: **mean-field scaling is NTK scaling with the dial at $\alpha = 1/\sqrt m$.** With $f_0 = 0$ this is an identity: the
# two networks take the same steps (in the ledger). So a wider network in mean-field scaling turns its own dial towards rich, against the width that makes it lazy.
#
# **Predict.** From 64 to 512 units in mean-field scaling: does the drift rise, fall, or stay?

# %%
my_guess = ...

# %%
mean_field = [trained(m, scaling="mean_field", slower=3) for m in widths[:4]]
show(*draw.scalings(widths[:4], found["relu"]["drift"][:4], each("drift", mean_field)))
_ = ledger.claim("mean-field", slope(widths[:4], each("drift", mean_field)))


def without_start(scaling, alpha):
    net = fresh(64, S, scaling=scaling).units(torch.arange(64).repeat(2))
    net.v.data[:, 64:] *= -1
    net, data = LazyScaling(net, alpha), digits(3, 8, n=n, unit=True, seed=S)
    train(net, data.x, data.y, GradientDescent(net, 1.0), 100, every=100)
    return net(data.x_test).detach()


one, other = without_start("mean_field", 1.0), without_start("ntk", 128**-0.5)
_ = ledger.claim("same-network", (one - other).norm(dim=-1) / one.norm(dim=-1))
ends = median(each("drift", mean_field))
guess(my_guess, f"medians {ends[0]:.2g} at 64 and {ends[-1]:.2g} at 512 units")

# %% [markdown]
# It stays. In mean-field scaling there is no width at which the kernel stands still, and this is why lesson 02 had a limit in which features are
# learned. "Wide networks are lazy" is a statement about a scaling.
#
# ## 6. What breaks: a network that cannot
#
# The dial is no cure. Take erf for ReLU, everything else as in section 4, but for steps a third as long: with erf the kernel grows so much at a
# small $\alpha$ that the step of section 4 becomes unstable.
#
# **Predict.** What share of new samples is right at $\alpha = 0.1$, on the rich side?

# %%
my_guess = ...

# %%
blind = [dial(alpha, "erf", slower=3) for alpha in alphas[:3]]
_ = ledger.claim("blind", each("right", blind))
_ = ledger.claim("fitted", each("left", [*turned, *blind]))
guess(
    my_guess,
    f"{span(blind[0]['right'], '.0%')}; at α = 1: {span(blind[2]['right'], '.0%')}",
)

# %% [markdown]
# Chance, at $\alpha = 1$ as at the rich end. Without a bias $\mathrm{erf}(w\cdot x)$ is odd in $x$, so $f(-x) = -f(x)$ whatever the weights are. But the parity of two signs
# is even: $y(-x) = y(x)$. The network fits its 256 samples, and says the wrong thing on their mirror images. A regime says how
# a network uses its functions; it does not give it new ones.
#
# ## 7. Turn the dial
#
# A smaller parity problem (16 signs, 96 samples), trained while you move. The kernel's rows are sorted by the two signs that count. Three positions of the sliders:

# %%
show(*lazy_dial.filmstrip("Three settings of the dial.", (9.6, 3.2)))

# %% [markdown]
# Run the next cell. Find
#
# 1. two bright blocks in a corner of the kernel, in which it had none: at which $\alpha$ do they appear, and when in training?
# 2. a run that diverges, although its step was a third of the stability limit at the start,
# 3. a width at which the kernel drifts by less than a quarter of its size at $\alpha = 1$, and one at which it drifts three times as far.
#
# <details><summary>What we found</summary>1. From α = 0.3 down, in the first half of the steps: two samples that agree in both signs have become alike to the
# network. 2. Width 32, α = 0.05: the kernel grows during training, and the limit falls below the step. 3. 256, and 32.</details>

# %% tags=["widget"] id="widget"
lazy_dial.show()

# %% [markdown]
# ## What we measured against what was predicted

# %%
display(ledger)

# %% [markdown]
# ## Limits
#
# - Two layers, squared loss, full batch. Depth changes the constants and brings kernels that are products of these; lesson 07 is about deep networks.
# - Rates were fitted between $m = 64$ and $m = 1024$ over five seeds; single seeds scatter (see the ledger), and rates for ReLU are still changing with the width.
# - The formulas are exact for infinite width at a fixed time. At a fixed width they fail for long times or large labels.
#
# ## Exercises and what to read next
#
# `python3 course.py start 06` puts the exercises into your folder `work`: the closed-form kernel, a prediction without training, and the dial by
# hand. Lesson 07 asks whether exact Gauss-Newton makes deep networks lazy.
#
# - A. Jacot, F. Gabriel, C. Hongler: *Neural tangent kernel*, NeurIPS 2018, arXiv 1806.07572.
# - J. Lee et al.: *Wide neural networks of any depth evolve as linear models under gradient descent*, NeurIPS 2019, arXiv 1902.06720.
# - L. Chizat, E. Oyallon, F. Bach: *On lazy training in differentiable programming*, NeurIPS 2019, arXiv 1812.07956.
# - Y. Cho, L. Saul: *Kernel methods for deep learning*, NeurIPS 2009; C. Williams: *Computing with infinite networks*, NeurIPS 1996 (the expectations).
