# ---
# jupyter:
#   regimes:
#     title: "The lazy regime: deeper"
#     minutes: 65
#     needs: ["06"]
#     papers: [buffelli2024]
#     objectives:
#       - say which directions are learned when, from the eigenvalues of the kernel
#       - measure how lazy a network is, in four ways, and how each falls with the width
#       - explain why the kernel drifts more slowly than the weights move, and test the reason
#       - bound what a kernel can know of a task from the number of its samples
# ---

# %% [markdown]
# # The lazy regime: deeper
#
# The evidence for [lesson 06](../06_lazy_regime.ipynb), over seeds, and what it leaves out: the rates in the width, handwritten digits, and a widget that watches
# the kernel itself. **Papers:** Jacot, Gabriel, Hongler 2018; Chizat, Oyallon, Bach 2019; Lee et al. 2019. They are the ground for lesson 07, where Buffelli et al. 2024 ask
# whether Gauss-Newton makes deep networks lazy. Of Huang and Yau 2020 and of Dyer and Gur-Ari 2020 we read the abstracts.
#
# The network has one hidden layer and, unless said otherwise, no bias. All its weights start from $N(0, 1)$, and both layers are trained. *erf* is
# $\mathrm{erf}(z/\sqrt2)$ throughout. The loss is $\frac1{2n}\lVert r\rVert^2$, so that a kernel $K$ moves the outputs as $\dot f = -Kr/n$.

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
from regimes_course.kit import Ledger, guess, seeds, show
from regimes_course.lesson06 import figures as draw
from regimes_course.lesson06.experiments import LINE, TENT, drifts, path, tent
from regimes_course.lesson06.widgets import lazy_dial

ledger, SEEDS, n = Ledger("06"), seeds(5), 64


# %%
def fresh(m, seed, activation="relu", scaling="ntk", d=64):
    options = {"activation": activation, "scaling": scaling, "bias": False}
    return TwoLayer(d, m, runs=seed.shape, output_std=1.0, seed=seed + 50, **options)


def slope(widths, values):
    return np.polyfit(np.log(widths), values.log(), 1)[0]


def each(name, runs):
    return torch.stack([run[name] for run in runs])


# %% [markdown]
# ## 1. How near is a kernel to that of infinite width?
#
# At the start, in NTK scaling,
#
# $$\begin{aligned}
# &K(x, x') = \frac1m\sum_{j=1}^m \big[\phi(w_j\cdot x)\,\phi(w_j\cdot x') \\
# &\;\; {} + v_j^2\,\phi'(w_j\cdot x)\,\phi'(w_j\cdot x')\; x\cdot x'\big],
# \end{aligned}$$
#
# a mean over units drawn independently, tends to its expectation $K_\infty$, for ReLU and for erf a closed form (`theory.lazy`). **Claim.** A network of width $m$
# misses it by an error of order $m^{-1/2}$ (Jacot et al. 2018, theorem 1, is the limit). The error is $\lVert K - K_\infty\rVert/\lVert K_\infty\rVert$
# (Frobenius). The data: 64 handwritten digits, 3 against 8, each image centred and of length one.

# %%
many, widths, errors = seeds(20), [32, 128, 512, 2048], {}
data = digits(3, 8, n=n, unit=True, seed=many)
for activation in ("erf", "relu"):
    limit = lazy.infinite_width_kernel(activation, data.x)
    kernels = [neural_tangent_kernel(fresh(m, many, activation), data.x) for m in widths]
    errors[activation] = torch.stack([kernel_distance(K, limit) for K in kernels])
    _ = ledger.claim(f"kernel-{activation}", slope(widths, errors[activation]), -1 / 2)
show(*draw.kernel_error(widths, errors))

# %% [markdown]
# Ten times as accurate costs a hundred times the width. So the kernel at the start is known before a single weight is drawn. What about the
# kernel later on?
#
# ## 2. If the kernel stands still, training is solved
#
# Linearise the network in its weights at the start: $f(x; w) \approx f_0(x) + J_0(x)(w - w_0)$. This is a linear model, its kernel $K$ never
# moves, and its flow on the training data is $r_t = e^{-Kt/n}\, r_0$. In the basis of the eigenvectors of $K$ each coordinate decays on its own,
# at the rate $\lambda_i/n$. At inputs that were not trained on, the outputs follow
#
# $$\begin{aligned}
# &f_t(x') = f_0(x') \\
# &\quad {} - K(x', X)\,K^{-1}\left(1 - e^{-Kt/n}\right) r_0.
# \end{aligned}$$
#
# For $t\to\infty$ and an invertible $K$ this is kernel regression of $y - f_0(X)$, added to $f_0$. **Claim.** A wide network does what its
# linearisation does (Lee et al. 2019, theorem 2.1). We train ReLU networks with 512 units; labels are ±1.


# %%
def largest(K):
    return torch.linalg.eigvalsh(K)[..., -1]


data, net = digits(3, 8, n=n, unit=True, seed=SEEDS[:3]), fresh(512, SEEDS[:3])
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
linear = Linearised(fresh(128, SEEDS[:3]))
K, r0 = neural_tangent_kernel(linear, data.x), (linear(data.x) - data.y).detach()
lr = n / largest(K)
train(linear, data.x, data.y, GradientDescent(linear, lr), 50)
miss = linear(data.x) - data.y - r0 - lazy.step_prediction(K, K, r0, lr, 50)
_ = ledger.claim("linearised", miss.norm(dim=-1) / r0.norm(dim=-1))

# %% [markdown]
# On the left the coloured curves are measured on the network, the dashed ones are $e^{-\lambda_i t/n}$ with the kernel of the start. On the right
# each point is a test image. With the kernel of *infinite* width in place of the network's own the formula is less accurate, and needs no
# kernel of a network at all. `Linearised(net)` is the linear model as a network of its own; its training agrees with
# $(1-\eta K/n)^k$ to rounding (see the ledger). The rest of this page asks when the true network behaves like it.
#
# ## 3. How lazy is a wide network?
#
# Four things to measure after the same time of training:
#
# - **weights**: $\lVert w - w_0\rVert/\lVert w_0\rVert$, all parameters together;
# - **features**: the same for the outputs of the hidden units on the training data;
# - **drift** of the kernel: $\lVert K - K_0\rVert/\lVert K_0\rVert$;
# - **outputs**: root mean square of $f$ minus the formula, on test images.
#
# From here on the outputs at the start are taken out, $f - f_0$ (that is `LazyScaling(net, 1)`), so that all runs start from zero. To move the
# outputs by order one, $m$ units share the work, and each weight moves by order $m^{-1/2}$; so do features.

# %%
widths = [64, 128, 256, 512, 1024]


def trained(m, activation="relu", scaling="ntk", slower=1):
    def run(seed):
        data = digits(3, 8, n=n, unit=True, seed=seed)
        net = LazyScaling(fresh(m, seed, activation, scaling), 1.0)
        K, K_new = (neural_tangent_kernel(net, x, data.x) for x in (data.x, data.x_test))
        lr, steps = n / largest(K) / slower, 200 * slower
        train(net, data.x, data.y, GradientDescent(net, lr), steps, every=steps)
        formula = lazy.step_prediction(K, K_new, -data.y, lr, steps)
        off = (net(data.x_test) - formula).square().mean(-1).sqrt()
        return {**change_from_init(net, data.x), "outputs": off}

    return sweep(run, {"seed": SEEDS}, stack=stack_size(n, m))


# %%
runs = {a: [trained(m, a) for m in widths] for a in ("erf", "relu")}
what = ("weights", "features", "drift", "outputs")
found = {a: {name: each(name, runs[a]) for name in what} for a in runs}
show(*draw.widths(widths, found))
for a in found:
    for name in ("weights", "features"):
        _ = ledger.claim(f"{name}-{a}", slope(widths, found[a][name]))

# %% [markdown]
# Weights move as $m^{-1/2}$, and so do features (with ReLU not quite yet at these widths). **The drift of the kernel falls faster.** An earlier version of
# this page called that a gap between a bound of order $m^{-1/2}$ and an observation of ours. That was wrong: a drift of order $1/m$ is known (Dyer and Gur-Ari 2020; Huang
# and Yau 2020). Here is the reason in a few lines, and an experiment on the reason, which is ours.
#
# $K = \frac1m\sum_j k_j$ is a mean over units. To leading order unit $j$ moves by $\Delta w_j = -\frac{1}{\sqrt m}\, v_j \sum_i a_i\,\phi'(w_j\cdot x_i)\, x_i$ and
# $\Delta v_j = -\frac1{\sqrt m}\sum_i a_i\,\phi(w_j\cdot x_i)$, with $a_i$ the residuals added up over time, the same for all units. Put into the formula of section 1, every term of
# the change
#
# $$dK = \frac1m\sum_{j=1}^m dk_j, \qquad dk_j \sim m^{-1/2},$$
#
# contains $v_j$ to an odd power. The $v_j$ have random signs, so the mean of the $dk_j$ is smaller than each of them by another $m^{-1/2}$: together $1/m$. (Terms of second order need
# no signs: they are $1/m$ anyway. For ReLU, whose slope jumps, this is not a proof.)
#
# An explanation has to survive an experiment. **Take the random signs away:** replace $v_j$ by $|v_j|$ at the start. Then nothing cancels for ReLU, and the
# drift should fall as $m^{-1/2}$. For erf it should not matter: for each unit $w_j$ one at $-w_j$ would cancel it, whatever the sign of $v_j$, since in every term
# the odd functions $\phi$, $\phi''$ stand an odd number of times.
#
# **Predict.** Which slopes do you expect for $|v_j|$, for erf and for ReLU? (Sixteen seeds, 256 to 2048 units, 50 steps; none of these seeds was looked at before the
# ledger's tolerances were chosen.)

# %%
my_guess = ...
wide, RATES = [256, 512, 1024, 2048], seeds(16) + 200


def rate(activation, **options):
    return torch.stack([drifts(m, activation, RATES, **options) for m in wide])


random = {a: rate(a) for a in ("erf", "relu")}

# %%
alike = {a: rate(a, one_sign=True) for a in ("erf", "relu")}

# %%
show(*draw.signs(wide, {a: (random[a], alike[a]) for a in random}))
ran = {"m": f"{wide[0]} to {wide[-1]}", "seeds": len(RATES)}
for a, power in (("erf", -1), ("relu", -1 / 2)):
    _ = ledger.claim(f"drift-{a}", slope(wide, random[a]), -1, **ran)
    _ = ledger.claim(f"one-sign-{a}", slope(wide, alike[a]), power, **ran)
slopes = [np.median(slope(wide, alike[a])) for a in alike]
guess(my_guess, f"{slopes[0]:.2f} for erf, {slopes[1]:.2f} for ReLU (medians)")

# %% [markdown]
# Known $-1$, measured as the ledger says. Single seeds scatter widely, so a few of them say little about an exponent, and at these widths a limit may be near but not
# reached. The contrast is the solid part: with one sign ReLU's kernel drifts as $m^{-1/2}$, and erf's doesn't mind.
#
# ## 4. A dial from rich to lazy
#
# Multiply what the network adds to its start by $\alpha$,
#
# $$f_\alpha(x) = \alpha\,[f(x) - f_0(x)],$$
#
# and divide the step by $\alpha^2$ (`LazyScaling(net, alpha)`; Chizat et al. do without $f_0$ and ask that it be small). The kernel at the start is then the same for
# every $\alpha$. **Claim.** Large $\alpha$ is lazy, at any width (Chizat et al. 2019, section 2), and a lazy network can be much worse on new data (their section 3).
#
# First the lesson's tent, over seeds: how far the weights move, and which share of the bends between -0.9 and 0.9, by their size $|v|\,\lVert(w, b)\rVert$, is within 0.03 of a corner of the data. Then
# **sparse parity**: 30 random signs, the label is the product of the first two, 256 samples, trained to an error of 1 %. *Alignment* is the cosine of $K$ and $yy^T$,
# $y^T K y/(n\lVert K\rVert)$.

# %%
rich, middle, stiff = ([path(a, seed=int(s)) for s in SEEDS + 20] for a in (0.1, 1.0, 10.0))
ratio = [(b.moved[-1] / a.moved[-1]).item() for a, b in zip(middle, stiff, strict=True)]
_ = ledger.claim("tenth", ratio, 0.1, seeds=len(SEEDS))
_ = ledger.claim("corners-rich", [run.at_corners() for run in rich], seeds=len(SEEDS))
_ = ledger.claim("corners-lazy", [run.at_corners() for run in stiff], seeds=len(SEEDS))
x, line = (torch.stack([z, torch.ones_like(z)], 1) for z in (TENT, LINE))
limit = lazy.kernel_regression(*(lazy.relu_kernel(z, x) for z in (x, line)), tent(TENT))
_ = ledger.claim("limit-tent", (limit - tent(LINE)).abs().max())

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
        flipped = (net(-data.x) * data.y > 0).double().mean(-1)
        right, kernel = ((g * data.y_test > 0).double().mean(-1) for g in (f, formula))
        K_end, yy = neural_tangent_kernel(net, data.x), data.y[:, None] * data.y[..., None]
        off = (f - formula).square().mean(-1).sqrt()
        found = dict(right=right, kernel=kernel, off=off, flipped=flipped)
        found["left"] = trace.relative[-1]
        return found | change_from_init(net, data.x) | {"aligned": kernel_cosine(K_end, yy)}

    return sweep(run, {"seed": SEEDS[:3]}, stack=1)


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

# %% [markdown]
# One network, one step, one start: from nearly all right to no better than a kernel, by one number in front. At $\alpha = 30$ the network *is* kernel
# regression. At $\alpha = 0.1$ the kernel has drifted by several times its size, and it has drifted *towards the labels*: its alignment with $yy^T$
# is several times that of the lazy one. (The drift falls a little faster than $\alpha^{-1}$, its rate in the limit.)
#
# ## 5. Count before you train
#
# Kernel regression answers with a sum of $n$ functions, $K(\cdot, x_1), \dots, K(\cdot, x_n)$: a space of at most $n$ dimensions, fixed before a label is seen. The $C = \binom dk$ products of
# $k$ out of $d$ signs are orthonormal under the uniform distribution. Let $P$ project on that space. Then $\sum_S \lVert P\chi_S\rVert^2 \le n$ over all products $\chi_S$, so an average one keeps at
# most $n/C$ of its square. $K_\infty$ depends on inner products only, so with random inputs all products of $k$ signs are alike:
#
# $$E\,\lVert f - \chi_S\rVert^2 \ge 1 - \frac nC .$$
#
# The bound holds for anything that answers with $n$ functions fixed in advance. It says when a kernel *cannot*; when it can depends on the weight it gives to products of
# $k$ signs. For ReLU without a bias $K_\infty$ has an even part and $\frac12\, x\cdot x'$, no other odd part (write $\pi - \theta$ as $\frac\pi2 + \arcsin\cos\theta$). So products of three signs have weight zero, and no number of samples helps.


# %%
def regression(n, d, k=2):
    data = parity(n, d, k=k, seed=SEEDS + 30)
    K, K_new = (lazy.relu_kernel(x, data.x) for x in (data.x, data.x_test))
    f = (K_new @ torch.linalg.solve(K + 1e-9 * torch.eye(n), data.y[..., None]))[..., 0]
    return (f * data.y_test > 0).double().mean(-1), (f - data.y_test).square().mean(-1)


few, error = regression(256, 30)
_ = ledger.claim("count", regression(256, 15)[0], n=256, d=15, C=105, seeds=len(SEEDS))
_ = ledger.claim("count-too-few", few, n=256, d=30, C=435, seeds=len(SEEDS))
_ = ledger.claim("count-bound", error, low=1 - 256 / 435, n=256, d=30, seeds=len(SEEDS))
_ = ledger.claim("count-three", regression(512, 20, 3)[0], n=512, d=20, seeds=len(SEEDS))

# %% [markdown]
# ## 6. Two scalings of one network
#
# $1/m = \frac1{\sqrt m}\cdot\frac1{\sqrt m}$: **mean-field scaling is NTK scaling with the dial at $\alpha = 1/\sqrt m$.** With $f_0 = 0$ this is an identity: the
# two networks take the same steps (in the ledger). So a wider network in mean-field scaling turns its own dial towards rich, against the width that makes it lazy.

# %%
mean_field = [trained(m, scaling="mean_field", slower=3) for m in widths[:4]]
show(*draw.scalings(widths[:4], found["relu"]["drift"][:4], each("drift", mean_field)))
_ = ledger.claim("mean-field", slope(widths[:4], each("drift", mean_field)))


def without_start(scaling, alpha):  # twins with v negated: f = 0 at the start
    net = fresh(64, SEEDS, scaling=scaling).units(torch.arange(64).repeat(2))
    net.v.data[:, 64:] *= -1
    net, data = LazyScaling(net, alpha), digits(3, 8, n=n, unit=True, seed=SEEDS)
    train(net, data.x, data.y, GradientDescent(net, 1.0), 100, every=100)
    return net(data.x_test).detach()


one, other = without_start("mean_field", 1.0), without_start("ntk", 128**-0.5)
_ = ledger.claim("same-network", (one - other).norm(dim=-1) / one.norm(dim=-1))

# %% [markdown]
# The drift stays. In mean-field scaling there is no width at which the kernel stands still, and this is why lesson 02 had a limit in which features are
# learned. "Wide networks are lazy" is a statement about a scaling.
#
# ## 7. What breaks: a network that cannot
#
# The dial is no cure. Take erf for ReLU, everything else as in section 4, but for steps a third as long: with erf the kernel grows so much at a
# small $\alpha$ that the step of section 4 becomes unstable.

# %%
blind = [dial(alpha, "erf", slower=3) for alpha in alphas[:3]]
_ = ledger.claim("blind", each("right", blind))
_ = ledger.claim("mirror", each("flipped", blind))
_ = ledger.claim("fitted", each("left", [*turned, *blind]))

# %% [markdown]
# Chance, at $\alpha = 1$ as at the rich end. Without a bias $\mathrm{erf}(w\cdot x)$ is odd in $x$, so $f(-x) = -f(x)$ whatever the weights are. But the parity of two signs
# is even: $y(-x) = y(x)$. The network fits its 256 samples, and says the wrong thing on their mirror images. A regime says how
# a network uses its functions; it does not give it new ones.
#
# ## 8. Turn the dial
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
# <details><summary>What we found</summary>
#
# 1. From α = 0.3 down, in the first half of the steps: two samples that agree in both signs have become alike to the network.
# 2. Width 32, α = 0.05: the kernel grows during training, and the limit falls below the step.
# 3. 256, and 32.</details>

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
# - Rates of weights and features were fitted between $m = 64$ and $m = 1024$ over five seeds, the drift between $m = 256$ and $m = 2048$ over sixteen; single seeds scatter.
# - The corners of the tent and the counts are of one task each.
# - The formulas are exact for infinite width at a fixed time. At a fixed width they fail for long times or large labels.
#
# ## Papers
#
# - A. Jacot, F. Gabriel, C. Hongler: *Neural tangent kernel*, NeurIPS 2018, arXiv 1806.07572.
# - J. Lee et al.: *Wide neural networks of any depth evolve as linear models under gradient descent*, NeurIPS 2019, arXiv 1902.06720.
# - L. Chizat, E. Oyallon, F. Bach: *On lazy training in differentiable programming*, NeurIPS 2019, arXiv 1812.07956.
# - Y. Cho, L. Saul: *Kernel methods for deep learning*, NeurIPS 2009; C. Williams: *Computing with infinite networks*, NeurIPS 1996 (the expectations).
# - J. Huang, H.-T. Yau: *Dynamics of deep neural networks and neural tangent hierarchy*, ICML 2020, arXiv 1909.08156 (abstract read).
# - E. Dyer, G. Gur-Ari: *Asymptotics of wide networks from Feynman diagrams*, ICLR 2020, arXiv 1909.11304 (abstract read).
