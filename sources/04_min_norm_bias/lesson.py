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
# Each point is a linear function of two inputs; all points on the green line fit the one sample. A cloud of 150 two-layer networks (64 hidden units) falls onto the
# line, in three panels by *gradient flow*: gradient descent with tiny steps. The smaller their weights at the start (*size*: their standard deviation), the nearer they end to the *shortest* fit (the star). Full
# Gauss-Newton steps from the same small start end four times as far away. Who cares? What a model says where it has seen no data is exactly this choice.
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
# $\frac12\lVert X\Theta - Y\rVert^2$ adds $X^T(\dots)$ to Θ: a combination of samples. The thirty directions that no sample has are never touched. So
#
# $$\begin{aligned}
# \Theta_{\text{end}} = \hat\Theta + {}&\text{(the part of the start} \\
# &\text{ that no sample sees)},
# \end{aligned}$$
#
# where $\hat\Theta$ is the shortest of all fits, also called the *min-norm solution*. Our samples are perpendicular and of length one, so that all directions are learned
# equally fast; then $\hat\Theta = X^T Y$.
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
    0: "the loss is zero; but the answer is not unique",
    3: "thirty of fifty directions; but that is the share of the squared length",
    5: "nothing pulls the unseen part; but twenty directions are learned",
}
guess(my_guess, told, number=distance, why=why)

# %% [markdown]
# With one layer every path in the first picture would be perpendicular to the line, and a cloud of starts would keep its width. With two layers a small cloud fans out (third panel, from near). Why?
#
# ## 2. Two layers: what decides
#
# Now $\Theta = UV^T$ with U (50 × m) and V (1 × m), m = 100. Split U into the part $U_1$ in the directions of the samples and the part $U_2$ in the unseen ones. The gradient of U is $X^T(\dots)V$,
# combinations of samples again, so $U_2$ *never moves*. But it is multiplied by V, which does:
#
# $$\Theta_{\text{end}} = \hat\Theta + U_2(0)\, V(\text{end})^T .$$
#
# **One product decides: what never moves, times the last layer as it became.** What happens to V does not depend on $U_2$. So with entries of size s the
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
# point. If V alone is orthogonal to $U_2$, the paths bend away. Only if $U_1$ is orthogonal to $U_2$ as well, every run ends at the star, however large its weights. The two
# conditions, $U_1U_2^T = 0$ and $VU_2^T = 0$, are the *invariant set* of the paper: inside it they hold for ever, also under finite steps (exercise 3).
#
# So there are two ways to end near: orthogonal weights, or small ones.
#
# ## 3. The price: small is slow, and imbalance is speed
#
# The smallest network is $f = uv$, its label 1. With the error $e = 1 - uv$ the gradient flow is $\dot u = ev$, $\dot v = eu$. So the
# *imbalance* $u^2 - v^2$ never changes: a path is a piece of a hyperbola. And $\dot e = -(u^2 + v^2)\,e$, so the loss $e^2/2$ falls at the rate
#
# $$2\,(u^2 + v^2) \;\ge\; 2\,\lvert u^2 - v^2\rvert .$$
#
# **The hyperbola is a promise of speed.** Near zero, a *saddle* where neither number has a force, there is none.

# %%
show(*draw.hyperbolas())

# %% [markdown]
# In the wide network the kernel of lesson 01 is $K = U_1U_1^T + \lVert V\rVert^2 I$ (a change of V moves the outputs through $U_1$, a change of U through V), and twice its smallest eigenvalue is the slowest rate of the loss.
# **V, one row, counts with its length; $U_1$, twenty rows, with its weakest direction**, of about $\sigma_U(\sqrt m - \sqrt{20})$ if its entries are random of size $\sigma_U$. With $\sigma_V$ for V,
#
# $$\text{rate} \approx 2m\,\sigma_V^2 + 2\,\sigma_U^2\,\big(\sqrt m - \sqrt{20}\big)^2 .$$
#
# So a large layer makes training fast, first or last. And the distance? Three starts with the product $\sigma_U\sigma_V = 0.01$ and m = 100: `"first"` layer large (0.4), `"equal"` sizes,
# `"last"` layer large (0.4). Then the product is 0.001.
#
# **Predict.** For which of the three does the distance fall tenfold, too? One of them, or `"all"`.

# %%
my_start = ...

# %% tags=["idea"] vary="(1e-2, 1e-3) -> (1e-2, 1e-4)"
rates, ends = [], []
for product in (1e-2, 1e-3):
    for size_U in (0.4, product**0.5, product / 0.4):  # first layer large, equal, last
        rng, loss, size_V = np.random.default_rng(3), [], product / size_U
        U, V = size_U * rng.normal(size=(50, 100)), size_V * rng.normal(size=(1, 100))
        for _ in range(1000):
            R = X @ U @ V.T - Y
            loss.append((R**2).sum())
            U, V = U - 0.01 * X.T @ R @ V, V - 0.01 * R.T @ X @ U
        k = [np.argmax(np.array(loss) < share * loss[0]) for share in (1e-3, 1e-6)]
        rates.append(np.log(1e3) / (0.01 * (k[1] - k[0])))
        ends.append(np.linalg.norm(U @ V.T - shortest))

# %%
law = [200 * (1e-2 / u) ** 2 + 2 * u**2 * (10 - 20**0.5) ** 2 for u in (0.4, 0.1, 0.025)]
told = [", ".join(f"{x:.2g}" for x in some) for some in (rates, law, ends[:3], ends[3:])]
why = {"all": "the product counts as long as V stays as it was; but it may have to grow"}
why["first"] = "V starts smallest there; but then it has to grow most"
guess(my_start, f"last. Distances: {told[2]}; then {told[3]}", why=why)
print(f"Rates: {told[0]}. The formula at the first product: {told[1]}")

# %% [markdown]
# By section 2 the distance is $\sqrt{30}\,\sigma_U\lVert V(\text{end})\rVert$, and what V becomes depends on the larger layer:
#
# - a large *last* layer fits almost as it is, V keeps its length √m σ_V, and the distance is √30 √m σ_U σ_V: the product counts;
# - from equal sizes V grows to length 1: √30 σ_U;
# - a large *first* layer leaves the fit to V, which grows to 1/(σ_U √(m − 21)) (r.m.s. over $U_1$). Times its large $U_2$ that is √(30/79) = 0.62, *however small the product*; V = 0 is the extreme.
#
# **Smallness brings you near, at a cost in speed. A large last layer is speed at no cost in distance; a large first layer is speed, and far.** (The price: with a large last layer the hidden weights
# hardly move, and lesson 05 asks for features.) Where V grows, the rate is above the formula; a bound that holds all the way is in *deeper*.
#
# ## 4. Does Gauss-Newton keep the choice?
#
# It is fast from any start. Back to one sample, with label 1: now u (the part of U that the sample sees) and v are vectors of m numbers, and the output is $u\cdot v$. The
# shortest step that fits to first order is
#
# $$\begin{aligned}
# u &\leftarrow u + Fv, \qquad v \leftarrow v + Fu, \\
# F &= \frac{1 - u\cdot v}{\lVert u\rVert^2 + \lVert v\rVert^2} .
# \end{aligned}$$
#
# Gradient flow moves in the same direction, at another speed. So tiny Gauss-Newton steps follow its path, and $U_2$ stays frozen too. Let γ = m s² be the squared length of u and of v at the start, nearly at right angles.
# The flow keeps the two lengths equal and ends with u · v = 1, where $\lVert v\rVert^2 = \sqrt{\gamma^2 + 1}$, about 1 from a small start. A full step has F ≈ 1/(2γ), and ‖v‖² becomes γ + F²γ.
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
times = (v @ v) ** 0.5 / (1 + 1 / 64**2) ** 0.25  # U₂ is the same
why = {16: "that is the squared length; but the distance goes with the length itself"}
guess(my_factor, f"{times:.2g} times, |v|² = {v @ v:.2g} not 1", number=times, why=why)
show(*draw.lengths())

# %% [markdown]
# The first step lands at 1 + F² u · v, and F = 32 makes the neglected term as large as the label: a miss on either side. Now both vectors are long, the next F is tiny, and a small move calls the output back;
# *the length of V it does not*: the product that decides is four times too large. Steps of 0.1 end where the flow ends, here; a step is small only compared with the start.
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
# The first picture with sliders: size s = m to the power −α, width, kind of start, method.
#
# 1. Up to which α do full Gauss-Newton steps end no farther than the flow (m = 64)?
# 2. Which is the largest Gauss-Newton step that ends within 10 % of the flow at α = 1, m = 64?
# 3. At α = 1/4, does a wider network end nearer?
#
# <details><summary>What we found</summary>
#
# 1. Up to 0.6, where they end as far. They end farther if γ is below 1/(2√2): then γ + 1/(4γ) exceeds √(γ² + 1), with γ = m s² = m^(1 − 2α).
# 2. 0.1; at 0.3 it is 1.4 times as far.
# 3. No: about 1 at every width. At α = 1/2 the distance falls as m to the power −1/2, at α = 1 as 1/m.</details>

# %% tags=["widget"] id="widget"
from regimes_course.lesson04.widgets import line_of_fits

line_of_fits.show()

# %% [markdown]
# ## The answer in three sentences
#
# What decides is $U_2(0)\,V(\text{end})^T$: weights that the data never touch, times the last layer as it becomes. Make it small by starting small, which is slow unless the last layer is the large one, or start inside the set where it stays zero; an output of zero is not enough. Full Gauss-Newton steps from a small start make V too long in one stroke and spoil the choice; small steps
# keep it.
#
# ## How sure are we?

# %%
which = "distance-identity large-last large-first rate-start newton-full newton-flow"
evidence("04", *which.split())

# %% [markdown]
# A *sanity bound* is a number that we chose to test against. With a nonlinearity $U_2$ is frozen, too, but there is no shortest Θ to end at: nothing is claimed there. The laws over widths, the theorems on the rate, and a table of eight optimizers stand in
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
