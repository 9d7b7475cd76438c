# ---
# jupyter:
#   regimes:
#     title: Min-norm bias
#     minutes: 45
#     needs: ["01"]
#     papers: [min2021]
#     objectives:
#       - say which of all the fits training ends at, and what of the start decides it
#       - make the distance from the shortest fit small by the size of the start, or exactly zero
#       - choose the sizes of two layers so that training is fast and ends near
#       - say when Gauss-Newton steps keep the choice, and when they spoil it
# ---

# %% [markdown]
# # Which of all the fits does training choose?
#
# You train the same network 150 times, and every run fits the data perfectly. On a direction that the data never showed, one answers +2 and another −2. What
# decided that, and can you choose?

# %% tags=["hero"]
from regimes_course.kit import evidence, guess, show
from regimes_course.lesson04 import figures as draw

show(*draw.hero())

# %% [markdown]
# Each point is a linear function of two inputs; all points on the green line fit the one sample. A cloud of 150 two-layer networks starts, and falls onto the
# line, in three panels by *gradient flow*: gradient descent with tiny steps. The smaller their weights at the start, the nearer they end to the *shortest* fit (the star). Full Gauss-Newton steps from the same small start end four
# times as far away. Who cares? What a model says where it has seen no data is exactly this choice.
#
# <details><summary>What you will be able to do, and what this rests on</summary>
#
# - say which of all the fits training ends at, and what of the start decides it;
# - make the distance from the shortest fit small by the size of the start, or exactly zero;
# - choose the sizes of two layers so that training is fast and ends near;
# - say when Gauss-Newton steps keep the choice, and when they spoil it.
#
# Needs lesson [01](01_gradient_descent_and_gauss_newton.ipynb). 45 minutes. Paper: Min, Tarmoun, Vidal, Mallada 2021 (*On the explicit role of initialization on
# the convergence and implicit bias of overparametrized linear networks*), in both of its versions. What is said of Gauss-Newton and of Adam is derived or measured here.</details>
#
# ## 1. One layer: the part that never moves
#
# Take 20 samples with 50 inputs each, the rows of X, and a linear function $x\cdot\Theta$. A step of gradient descent on
# $\frac12\lVert X\Theta - Y\rVert^2$ adds $X^\top(\dots)$ to Θ: a combination of samples. The thirty directions that no sample has are never touched. So
#
# $$\Theta_{\text{end}} = \hat\Theta + \text{(the part of the start that no sample sees)},$$
#
# where $\hat\Theta$ is the shortest of all fits, also called the *min-norm solution*. Our samples are perpendicular and of length one, so that all directions are learned
# equally fast; then $\hat\Theta = X^\top Y$.
#
# **Predict.** A random start of length 5; thirty of fifty directions are unseen. How far from $\hat\Theta$ does training end? A number.

# %%
my_guess = ...

# %% tags=["idea"] vary="5 * theta -> 2 * theta"
import numpy as np

rng = np.random.default_rng(0)
X = np.linalg.qr(rng.standard_normal((50, 20))).Q.T  # perpendicular rows of length 1
Y = rng.standard_normal((20, 1))
Y = Y / np.linalg.norm(Y)
shortest = X.T @ Y
theta = rng.standard_normal((50, 1))
theta = 5 * theta / np.linalg.norm(theta)
unseen = theta - X.T @ (X @ theta)
for _ in range(100):
    theta = theta - 0.3 * X.T @ (X @ theta - Y)

# %%
distance, length = np.linalg.norm(theta - shortest), np.linalg.norm(unseen)
told = (
    f"{distance:.3g}; the unseen part has length {length:.3g}; 5 √(30/50) = {15**0.5:.3g}"
)
why = {
    0: "the loss is zero, but the answer is not unique",
    5: "twenty directions are learned",
}
guess(my_guess, told, number=distance, why=why)

# %% [markdown]
# With one layer every path in the first picture would be perpendicular to the line, and a cloud of starts would keep its width. With two layers small clouds fan out. Why?
#
# ## 2. Two layers: what decides
#
# Now $\Theta = UV^\top$ with U (50 × m) and V (1 × m), m = 100. Write $U_2$ for the part of U in the unseen directions. The gradient of U is $X^\top(\dots)V$,
# combinations of samples again, so $U_2$ *never moves*. But it is multiplied by V, which does:
#
# $$\Theta_{\text{end}} = \hat\Theta + U_2(0)\, V(\text{end})^\top .$$
#
# **One product decides: what never moves, times the last layer as it became.** What happens to V does not depend on $U_2$. So with entries of standard deviation s (their *size*) the
# distance is, as a root mean square (r.m.s.) over the $U_2$ one may draw, $\sqrt{30}\, s\, \lVert V(\text{end})\rVert$.
#
# **Predict.** Start with V = 0: the network is the zero function, whatever U is. Does it end at the shortest fit? `"yes"` or `"no"`.

# %%
my_answer = ...

# %% tags=["idea"] vary="(0.3, 0.1, 0.05) -> (0.2, 0.1, 0.07)"
rng = np.random.default_rng(1)
for s in (0.3, 0.1, 0.05):
    U, V = s * rng.standard_normal((50, 100)), s * rng.standard_normal((1, 100))
    U2 = U - X.T @ (X @ U)  # the part of U that no sample sees
    for _ in range(3000):
        R = X @ U @ V.T - Y
        U, V = U - 0.03 * X.T @ R @ V, V - 0.03 * R.T @ X @ U
    end, product = np.linalg.norm(U @ V.T - shortest), np.linalg.norm(U2 @ V.T)
    law = (30 * s**2 * (V**2).sum()) ** 0.5
    print(f"s = {s}: {end:.6f} away, the product {product:.6f}; r.m.s. {law:.2g}")

# %%
show(*draw.conditions())
why = {"yes": "the start is zero as a function, but it is not zero as weights"}
guess(my_answer, "no: V grows along U₁, and U₁ is not orthogonal to U₂", why=why)

# %% [markdown]
# The first two numbers of each line agree to the last digit: that is the point. The picture, again with two inputs, starts from *large* weights. From V = 0 a fan opens, from one
# point. If V alone is orthogonal to $U_2$, the paths bend away. Only if the seen part $U_1$ is orthogonal to $U_2$ as well, every run ends at the star, however large its weights. The two
# conditions, $U_1U_2^\top = 0$ and $VU_2^\top = 0$, are the *invariant set* of the paper: inside it they hold for ever, also under finite steps.
#
# So there are two ways to end near: orthogonal weights, or small ones.
#
# ## 3. The price: small is slow, and imbalance is speed
#
# The smallest network is $f = uv$, its label 1. With the error $e = 1 - uv$ the gradient flow is $\dot u = ev$, $\dot v = eu$. So the
# *imbalance* $u^2 - v^2$ never changes: a path is a piece of a hyperbola. And the loss $e^2/2$ falls at the rate
#
# $$2\,(u^2 + v^2) \;\ge\; 2\,\lvert u^2 - v^2\rvert .$$
#
# **The hyperbola is a promise of speed.** Near the saddle at zero there is none.

# %%
show(*draw.hyperbolas())

# %% [markdown]
# The start with $u = v$ is the small one: nearly all its time passes before anything is seen.
#
# In the wide network the kernel of lesson 01 is $K = U_1U_1^\top + \lVert V\rVert^2 I$, and twice its smallest eigenvalue is the slowest rate of the loss. **V, one row, counts with its length; $U_1$, twenty rows,
# with its weakest direction.** At a random start of sizes $\sigma_U$, $\sigma_V$:
#
# $$\text{rate} \approx 2m\,\sigma_V^2 + 2m\,\sigma_U^2\,\big(1 - \sqrt{20/m}\big)^2 .$$
#
# **Predict.** m = 100. The product $\sigma_U\sigma_V$ is fixed at 0.01. Which start is fastest: `"first"` layer large (0.4 and 0.025), `"equal"`, or `"last"` layer large
# (0.025 and 0.4)?

# %%
my_start = ...

# %% tags=["idea"] vary="(0.1, 0.1) -> (0.2, 0.05)"
rates, ends = [], []
for size_U, size_V in ((0.4, 0.025), (0.1, 0.1), (0.025, 0.4)):
    rng, loss = np.random.default_rng(3), []
    U, V = size_U * rng.standard_normal((50, 100)), size_V * rng.standard_normal((1, 100))
    for _ in range(1000):
        R = X @ U @ V.T - Y
        loss.append((R**2).sum())
        U, V = U - 0.01 * X.T @ R @ V, V - 0.01 * R.T @ X @ U
    k = [np.argmax(np.array(loss) < share * loss[0]) for share in (1e-3, 1e-6)]
    rates.append(np.log(1e3) / (0.01 * (k[1] - k[0])))
    ends.append(np.linalg.norm(U @ V.T - shortest))
    print(f"sizes {size_U}, {size_V}: a millionth of the loss left after {k[1]} steps")

# %%
starts, weakest = ((0.4, 0.025), (0.1, 0.1), (0.025, 0.4)), (1 - 0.2**0.5) ** 2
law = [200 * v**2 + 200 * u**2 * weakest for u, v in starts]
told = ", ".join(f"{rates[i]:.2g} (formula {law[i]:.2g})" for i in range(3))
told = f"last. Rates: {told}. Distances: {', '.join(f'{end:.2g}' for end in ends)}"
why = {"first": "it has more weights; but the weakest direction counts"}
guess(my_start, told, why=why | {"equal": "this is the slowest: no imbalance"})

# %% [markdown]
# Change the seed: the numbers scatter, the order stays. Where V grows on the way, the rate is above the formula. The distances differ little: for them the *product* of
# the sizes counts. **Smallness brings you near, at a cost in speed. Imbalance is speed, at no cost in distance.** (A price is paid elsewhere: with a large last layer the hidden weights hardly move, and lesson 05 asks for features.)
#
# ## 4. Does Gauss-Newton keep the choice?
#
# It is fast from any start. Back to one sample, with label 1: now u (the part of U that the sample sees) and v are vectors of m numbers, and the output is $u\cdot v$. The
# shortest step that fits to first order is
#
# $$u \leftarrow u + Fv, \qquad v \leftarrow v + Fu, \qquad F = \frac{1 - u\cdot v}{\lVert u\rVert^2 + \lVert v\rVert^2} .$$
#
# Gradient flow moves in the same direction, at another speed. So tiny Gauss-Newton steps follow its path, and $U_2$ stays frozen too. From a small start the flow ends with
# $\lVert v\rVert^2 \approx 1$. A full step from $\lVert u\rVert^2 \approx \lVert v\rVert^2 \approx \gamma$, with $u\cdot v \approx 0$, has $F \approx 1/2\gamma$, and $\lVert v\rVert^2$ becomes $\gamma + F^2\gamma$.
#
# **Predict.** γ = 1/64. How many times farther than the flow does Gauss-Newton with full steps end? A number.

# %%
my_factor = ...

# %% tags=["idea"] vary="1.0, np -> 0.1, np"
eta, rng = 1.0, np.random.default_rng(0)
u, v = rng.standard_normal((2, 64)) / 64  # γ = 1/64
for k in range(round(6 / eta) + 1):
    if k * eta in (0, 1, 2, 6):
        print(f"step {k}: output {u @ v:.3g}, |v|² = {v @ v:.3g}")
    F = eta * (1 - u @ v) / (u @ u + v @ v)
    u, v = u + F * v, v + F * u
times = draw.times_farther()
told = f"{times:.2g} times: V is four times as long, |v|² = 16 instead of 1"
guess(my_factor, told, number=times)
show(*draw.lengths())

# %% [markdown]
# The first step misses the label on either side. The next steps call the output back; *the length of V they do not*, and so the product that decides is
# four times too large. Steps of 0.1 end where the flow ends, here. A step is small only compared with the start: with a thousand units, steps of 0.1 are too large.
#
# ## It breaks when the step leaves the seen directions
#
# Everything rests on steps that are combinations of samples. Adam divides each coordinate by its own size. Start with $U_2 = 0$, so that nothing unseen is there:

# %%
show(*draw.adam())

# %% [markdown]
# Adam's ends are no cloud around the star, but a clump *beside* it, on the side where both entries are equal: coordinate-wise steps of equal size go there. (Measured here at one angle of
# the sample; no law is claimed.)
#
# ## Play
#
# The first picture with sliders: size m to the power −α, width, kind of start, method.
#
# 1. Up to which α do full Gauss-Newton steps end no farther than the flow (m = 64)?
# 2. Which is the largest Gauss-Newton step that ends within 10 % of the flow at α = 1, m = 64?
# 3. At α = 1/4, does a wider network end nearer?
#
# <details><summary>What we found</summary>1. Up to 0.6, where they end as far. They end farther if γ is below 1/(2√2): then γ + 1/4γ exceeds √(γ² + 1). 2. 0.1; at 0.3 it is 1.4 times
# as far. 3. No: about 1 at every width. At α = 1/2 the distance falls as m to the power −1/2, at α = 1 as 1/m.</details>

# %% tags=["widget"] id="widget"
from regimes_course.lesson04.widgets import line_of_fits

line_of_fits.show()

# %% [markdown]
# ## The answer in three sentences
#
# What decides is $U_2(0)\,V(\text{end})^\top$: weights that the data never touch, times the last layer as it becomes. Make it small by starting small, which is slow unless the layers are
# unbalanced, or start inside the set where it stays zero; an output of zero is not enough. Full Gauss-Newton steps from a small start make V too long in one stroke and spoil the choice; small steps
# keep it.
#
# ## How sure are we?

# %%
which = "distance-identity outside width-theorem rate-start newton-full newton-flow"
evidence("04", *which.split())

# %% [markdown]
# A *sanity bound* is a number that we chose to test against. The laws over widths, the theorems on the rate, and a table of eight optimizers stand in
# [deeper](deeper/04_min_norm_bias.ipynb), with one disagreement: at the sizes of the paper's Figure 1 our narrowest networks end a few percent farther than it shows.
#
# ## Exercises
#
# `python3 course.py start 04` puts seven exercises into your folder `work`. Then lesson [05](05_hidden_learning.ipynb): a fit is a choice of features too. Can they be good while the loss is poor?
#
# <details><summary>What to read next</summary>
#
# - H. Min, S. Tarmoun, R. Vidal, E. Mallada: *On the explicit role of initialization on the convergence and implicit bias of overparametrized linear
#   networks*, ICML 2021, arXiv 2105.06351; the second version has another title.
# - A. Saxe, J. McClelland, S. Ganguli: *Exact solutions to the nonlinear dynamics of learning in deep linear neural networks*, ICLR 2014, arXiv 1312.6120.
# - D. Kunin and others: *Neural mechanics: symmetry and broken conservation laws in deep learning dynamics*, ICLR 2021, arXiv 2012.04728.
# - D. Kunin and others: *Get rich quick: exact solutions reveal how unbalanced initializations promote rapid feature learning*, 2024, arXiv 2406.06158: what imbalance does to features, after the paper.</details>
