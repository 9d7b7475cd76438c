# ---
# jupyter:
#   regimes:
#     title: Gradient descent and Gauss-Newton
#     minutes: 45
#     needs: ["00"]
#     papers: [arbel2023]
#     objectives:
#       - say from the kernel which errors a network pays off first, and how long the others take
#       - derive the Gauss-Newton step from Newton's, and count its steps beforehand
#       - say what such a step costs, and when the comparison is fair
#       - choose a damping by comparing it with eigenvalues
# ---

# %% [markdown]
# # Why does training crawl, and what would a perfect step be?
#
# Two photographs of one dog; one is labelled "cat". The network answers both alike at first, and telling them apart is what takes the time: the loss drops in the
# first minutes and then hardly moves for hours. Here are two such inputs, and two ways to train:

# %% tags=["hero"]
from regimes_course.kit import evidence, guess, show
from regimes_course.lesson01 import figures as draw

show(*draw.hero())

# %% [markdown]
# Each dot is one step, drawn where the network's two answers are. Gradient descent at once gives both points what they want in common, and crawls along what they
# want differently. Gauss-Newton chooses its step so that the answers go straight to the data; its price is the second half of this lesson. With *full* Gauss-Newton
# steps, transformers of up to 150 million parameters needed 5.4 times fewer iterations than with the optimizers SOAP or Muon (Abreu et al. 2026, abstract).
#
# <details><summary>What you will be able to do</summary>
#
# - say from the kernel which errors a network pays off first, and how long the others take;
# - derive the Gauss-Newton step from Newton's, and count its steps beforehand;
# - say what such a step costs, and when the comparison is fair;
# - choose a damping by comparing it with eigenvalues.
#
# Needs: lesson [00](00_start_here.ipynb), the chain rule, eigenvalues of symmetric matrices. 45 minutes. Paper: Arbel, Menegaux, Wolinski 2023 (*Rethinking
# Gauss-Newton for learning over-parameterized models*). This lesson relies on its abstract and its published code; the formulas are derived here.</details>
#
# ## 1. Training, seen from the outputs
#
# The network has $m = 100$ hidden units, $f(x) = \frac1m \sum_j v_j \tanh(w_j x + b_j)$. It is to answer y = 1 and −0.4 at n = 2 inputs, 0.3 apart. All $w_j$ and $b_j$
# start as standard normal numbers and all $v_j$ as 0; for now only the $v_j$ are trained. The *residual* $r = f - y$ has one number per sample, and the loss is
# $L = \lVert r\rVert^2/2n$.
#
# Move the parameters by −ηδ, in the direction δ with the step size η. To first order the outputs move by −ηJδ: the *Jacobian* J has a row per sample and
# a column per parameter. Gradient descent takes $\delta = m J^T r/n$, the gradient times $m$: the $1/m$ in $f$ would make wide networks slow. So
#
# $$r \;\leftarrow\; \Big(I - \frac{\eta}{n} K\Big)\, r, \qquad K = m\, J J^T ,$$
#
# exactly while the hidden units stand still, else to first order. $K$ is the *neural tangent kernel*: how a push on one output moves the others. (With only the $v_j$
# trained, $J = \Phi/m$ with $\Phi$ what the units say at the inputs, and $K = \Phi\Phi^T/m$.) Along an
# eigenvector with eigenvalue $\lambda$ a step multiplies the residual by $1 - \eta\lambda/n$. That shrinks it while $\eta < 2n/\lambda_{\max}$, the *stability limit*.
#
# **Predict.** Two near points are alike to the network: the diagonal of K is nearly a, a, and beside it stands a slightly smaller b. The eigenvalues are then
# a + b, for the *mean* of the two outputs, and a − b, for their *difference*. Here they are as 54 to 1. At half the limit, $\eta = n/\lambda_{\max}$, the mean is
# nearly right after one step. Which share of the error in the difference is left after 100? A number.

# %%
my_guess = ...

# %% tags=["idea"] vary="two_points(0.3) -> two_points(0.15)"
import torch

from regimes_course.lesson01.experiments import circle, initial, outputs, two_points

(x, y), n, m = two_points(0.3), 2, 100  # inputs at distance 0.3
w, b, v = initial(m).chunk(3)  # w and b random, v = 0
Phi = torch.tanh(x * w + b)  # what the units say at the points: n rows, m columns
K = Phi @ Phi.T / m
lam, Q = torch.linalg.eigh(K)  # the columns of Q are, nearly, difference and mean
r = -y
for _ in range(100):
    r = r - K @ r / lam[-1]  # half the limit: η = n / λ_max
left = (1 - lam / lam[-1]) ** 100  # the law, per mode

# %%
share = (Q.T @ r)[0] / (Q.T @ -y)[0]
guess(
    my_guess,
    f"{share:.3g} of the difference is left; the law says {left[0]:.3g}",
    number=share.item(),
    why={0: "two samples are few; but what counts is how alike they are"},
)

# %% [markdown]
# Halve the distance: the small eigenvalue falls to a quarter, and the wait is four times
# as long. No step size mends this: **the largest eigenvalue caps the step, the smallest sets the waiting time.**
#
# ## 2. Many samples: the slow modes are the fine detail
#
# Now 24 points on a circle, at angles t, and 400 ReLU units. The labels are a wave with ripples, $\cos t + \frac12 \cos 6t$. K has 24 eigenvectors, the
# *modes*. For Gauss-Newton the cell *assumes* that the outputs go straight to the labels, a tenth of the way per step (section 3).
#
# **Predict.** The eigenvalue of the ripples is a ten-thousandth of the largest. Gradient descent takes 3000 steps at half its limit. Which share of the ripples has it
# learned? A number.

# %%
my_guess = ...

# %% tags=["idea"] vary="ripple = 6 -> ripple = 3"
t, units = circle()  # 24 angles; what 400 units say there
K_circle = units @ units.T / 400
ripple = 6
labels = torch.cos(t) + 0.5 * torch.cos(ripple * t)
top = torch.linalg.eigvalsh(K_circle)[-1]
descent, straight = [0 * labels], [0 * labels]
for _ in range(3000):
    descent.append(descent[-1] - K_circle @ (descent[-1] - labels) / top)
    straight.append(straight[-1] - 0.1 * (straight[-1] - labels))
descent, straight = torch.stack(descent), torch.stack(straight)

# %%
show(*draw.circle(t, K_circle, descent, straight, ripple))
ripples = torch.cos(ripple * t)
learned = (descent[-1] @ ripples / (labels @ ripples)).item()
guess(my_guess, f"{learned:.2g} of the ripples", number=learned)

# %% [markdown]
# $1 - (1 - 10^{-4})^{3000}$ is about a quarter. The left column shows why slow means fine: the smaller the eigenvalue, the
# more its eigenvector wiggles. So this network learns coarse before fine, and stopping early smooths.
#
# ## 3. A better step: from Newton to Gauss-Newton
#
# Newton's method divides the gradient by the curvature: $\delta = H^{-1}\nabla L$ with $\nabla L = J^T r/n$ and, by the chain rule,
#
# $$H = \frac1n \Big( J^T J + \sum_i r_i\, \nabla^2 f_i \Big).$$
#
# ($\nabla^2 f_i$ are the second derivatives of output $i$.) Here it is on 30 units with $\eta = 0.1$, *all* weights trained, the $v_j$ random at first.
# Gauss-Newton is derived next.

# %%
show(*draw.newtons_plane())

# %% [markdown]
# Unrepaired, Newton looks for a point where the gradient vanishes, and finds a saddle, where both inputs get one answer.
# About half of the eigenvalues of H are negative; along those, Newton walks uphill.
#
# Gauss-Newton drops the second term of H. Not because it is small: at these starts it is 0.4 to 1 times as large as the first. But $J^T J$ has no negative eigenvalue, and
# it alone answers another question: *which move makes the outputs right?* With our 100 units $J^T J$ has 300 rows and rank 2, so we add $\mu I$ before we invert it.
# Now $(J^T J + \mu I)\, J^T = J^T (J J^T + \mu I)$; multiply by both inverses (the two $1/n$ cancel):
#
# $$\begin{aligned}
# \delta &= (J^T J + \mu I)^{-1} J^T r \\
# &= J^T (J J^T + \mu I)^{-1} r \\
# &= m J^T (K + \varepsilon I)^{-1} r , \\
# \varepsilon &= m\mu .
# \end{aligned}$$
#
# One equation per sample instead of one per parameter. As the *damping* ε goes to 0, this becomes the *shortest* δ with Jδ = r. Then, to first order, the outputs
# move by −ηr:
#
# $$r \;\leftarrow\; (1 - \eta)\, r .$$
#
# $K$ has cancelled. **Predict.** All weights are trained, η = 0.02. How many steps to a thousandth of the loss, with the inputs 0.1 apart? (First, a cell tries both forms.)

# %% tags=["idea"] vary="mu = 1e-7 -> mu = 1e-2"
f, J = outputs(initial(m), x)  # J: 2 rows, 300 columns
mu = 1e-7
wide = torch.linalg.solve(J.T @ J + mu * torch.eye(300), J.T @ (f - y))
small = J.T @ torch.linalg.solve(J @ J.T + mu * torch.eye(2), f - y)
apart = (wide - small).norm() / small.norm()
print(f"they differ by {'less than 1e-9' if apart < 1e-9 else apart.item()}")
print(f"length of δ: {small.norm():.3g}")

# %%
my_steps = ...

# %% tags=["idea"] vary="0.02, {} -> 0.1, {}"
eta, took = 0.02, {}
for distance in (0.3, 0.1):
    (z, y), theta, k = two_points(distance), initial(m), 0
    f, J = outputs(theta, z)
    while (f - y).square().sum() > 1e-3 * y.square().sum():
        theta = theta - eta * J.T @ torch.linalg.solve(J @ J.T, f - y)
        f, J = outputs(theta, z)
        k = k + 1
    took[distance] = k
law = torch.log(torch.tensor(1e-3)) / (2 * torch.log(torch.tensor(1 - eta)))
told = f"{took[0.1]} steps; at distance 0.3, {took[0.3]}; law for both {law.ceil():.0f}"
guess(my_steps, told, number=took[0.1])

# %% [markdown]
# The loss is a square, so $(1 - \eta)^{2k}$ has to fall to a thousandth: there is no $K$ in it. The extra steps at
# distance 0.1 come from "to first order": with η = 0.1 there are more.
#
# **Is the comparison fair?** A Gauss-Newton step costs 3 gradients on our two points: 33 steps cost as much as 99 gradients. Gradient descent takes 181 steps, and only 92
# at its best step, near the limit: no gain. On the circle it costs
# 13: 33 steps cost about 430 gradients, where 3000 have learned a quarter of the ripples. With millions of samples the n × n system is out of reach, and
# optimizers such as K-FAC, Shampoo or SOAP approximate it. And why 33? On frozen units, η = 1 needs *one* step. We take small ones because the
# law is first order.
#
# <details><summary>How this is counted</summary>
#
# With d numbers per input (1 on the line, 2 on the circle) a gradient costs about $4nmd$ operations; a Gauss-Newton step costs $4n^2m$ more, to build K, and
# $n^3/3$, to solve. In gradients: $1 + n/d + n^2/(12\,md)$.</details>
#
# ## 4. Damping: between the two
#
# With damping a mode no longer decays at the rate 1 but at $\lambda/(\lambda + \varepsilon)$: nearly 1 where $\lambda \gg \varepsilon$; nearly
# $\lambda/\varepsilon$ where $\lambda \ll \varepsilon$, proportional to $\lambda$ as in gradient descent.
#
# **Predict.** The two eigenvalues are 0.0155 and 0.835. Along the unit eigenvectors, the labels are 1.00 of difference and 0.39 of mean. Which of 0.01, 0.03, 0.1, 0.3, 1
# turns the first move *half way* from the straight line to gradient descent's? (Seen from the axis of the difference, the straight line lies at 21°, gradient descent's move at 87°,
# half way at 54°. There mean over difference is 1.4, not 0.39: the mean decays 3.6 times as fast. Solve for ε.) The picture takes
# infinitely small steps: after time s, $e^{-s\lambda/(\lambda + \varepsilon)}$ of a mode is left.

# %%
my_damping = ...

# %% tags=["idea"] vary="(0, 0.01, 0.03, 0.1, 0.3, 1, 10) -> (0, 0.04, 10)"
y, time = two_points()[1], torch.logspace(-2, 4, 500, dtype=torch.float64)
start = Q.T @ y  # the labels along difference and mean
flow, angle = {}, {}
for eps in (0, 0.01, 0.03, 0.1, 0.3, 1, 10):
    rate = lam / (lam + eps)
    flow[eps] = torch.stack([y - Q @ (torch.exp(-s * rate) * start) for s in time])
    turn = torch.cosine_similarity(rate * start, start, 0).clamp(max=1)
    angle[eps] = torch.rad2deg(torch.acos(turn)).item()
descent_flow = torch.stack([y - Q @ (torch.exp(-s * lam) * start) for s in time])
show(*draw.fan(flow, descent_flow, y, angle))
half = min(angle, key=lambda eps: abs(angle[eps] - angle[10] / 2))
guess(my_damping, f"{half}", why={1: "1 looks natural; but the unit is an eigenvalue"})

# %% [markdown]
# Half way lies *between* the eigenvalues, near the small one: the fast mode hardly notices the damping, the slow one is held back. That buys a short step:
# at 0.03 the move δ is a third as long.
#
# ## It breaks when the inputs come too close
#
# The nearer the inputs, the farther the units must move to tell them apart: the shortest δ with Jδ = r grows as one over the distance. But "to first order"
# means for *short* moves. All weights trained:

# %%
show(*draw.breaks())

# %% [markdown]
# A shorter step keeps nearer to the line. At distance 0.01 the undamped run swings, and arrives after 110 steps. With ε = 0.01 the loss never exceeds its start. With
# ε = 0.001 the run never arrives: the units are thrown so far that tanh saturates; from there the two inputs look the same for good, and at best the network answers 0.3 to both
# (from five starts, in *deeper*). A little damping is no little insurance.
#
# ## Play
#
# The first picture with sliders. (With all weights trained, gradient descent takes half of its *current* limit.)
#
# 1. Between which two distances does the law of gradient descent pass 1000 steps?
# 2. Which damping turns the first move half way?
# 3. Output weights only, no damping: which step needs one step, which one zig-zags and converges, which one diverges?
#
# <details><summary>What we found</summary>
#
# 1. Between 0.15 (730 steps) and 0.1 (about 1650): four times as long per halving of the distance.
# 2. Damping 0.03, which turns it by 27 of 66 degrees.
# 3. The steps 1, 1.9 and 2.2: a step multiplies the residual by 1 − η, which is 0, −0.9 and −1.2.
#
# </details>

# %% tags=["widget"] id="widget"
from regimes_course.lesson01.widgets import two_outputs

two_outputs.show()

# %% [markdown]
# ## The answer in three sentences
#
# Training moves the outputs through the kernel K, and an error along an eigenvector of K decays at its eigenvalue: what all samples share is learned at once, what
# tells neighbours apart comes last. Gauss-Newton multiplies by the inverse of K, so that every error has one rate and the number of steps is known beforehand.
# It pays with an n × n system per step and with long moves along small eigenvalues, which damping shortens by turning it back into gradient descent.
#
# ## How sure are we?

# %%
evidence(
    "01",
    "frozen-modes",
    "gn-steps-ill",
    "gd-crawls",
    "large-damping",
    "little-damping",
    "digits-steps",
)

# %% [markdown]
# A *sanity bound* is a number that we chose to test against. Nothing here contradicts the paper's abstract. Seeds, more claims and a surprise stand in
# [deeper](deeper/01_gradient_descent_and_gauss_newton.ipynb): rewrite the parameters, and the test outputs move otherwise.
#
# ## Exercises
#
# `python3 course.py start 01` puts four exercises into `work`. Then lesson [02](02_mean_field_convergence.ipynb): K is made of the weights, and they move.
#
# <details><summary>What to read next</summary>
#
# - M. Arbel, R. Menegaux, P. Wolinski: *Rethinking Gauss-Newton for learning over-parameterized models*, NeurIPS 2023, arXiv 2302.02904.
# - N. Abreu, N. Vyas, S. Kakade, D. Morwani: *The potential of second-order optimization for LLMs: a study with full Gauss-Newton*, ICLR 2026, arXiv 2510.09378. A
#   Gauss-Newton step for each layer alone does nearly as well.
# - M. Best McKay, N. P. Lawrence, B. Wetton, R. B. Gopaluni: *Error whitening: why Gauss-Newton outperforms Newton*, 2026, arXiv 2605.11316: section 3, with $J J^T$ replaced by the identity.
# - D. Morwani and others: *A new perspective on Shampoo's preconditioner*, 2024, arXiv 2406.17748: Shampoo as an approximation of Gauss-Newton.
# - A. Jacot, F. Gabriel, C. Hongler: *Neural tangent kernel: convergence and generalization in neural networks*, NeurIPS 2018, arXiv 1806.07572.
# - G. Goh: *Why momentum really works*, Distill 2017: the ratio of the eigenvalues becomes its root.</details>
