# ---
# jupyter:
#   regimes:
#     title: "Exercises 04: min-norm bias"
#     minutes: 140
#     needs: ["04"]
#     papers: [min2021]
#     objectives:
#       - predict how far from the min-norm solution training ends, from what it leaves alone
#       - choose a start from which training is fast and ends near, or exactly at the min-norm solution
#       - read a guaranteed rate of convergence off the imbalance of a network
#       - solve the scalar network for any start, and take a Gauss-Newton step without a Jacobian
#       - tell optimizers apart by what they preserve
# ---

# %% [markdown]
# # Exercises 04: min-norm bias
#
# Seven exercises on [lesson 04](../lessons/04_min_norm_bias.ipynb). Replace the lines `# YOUR CODE HERE` and
# `raise NotImplementedError()`, run the cell, and
# run the check under it: it answers at once, and it recognises typical mistakes. The cell after it, `see`, redraws a picture of the
# lesson with your function; until yours passes, it takes a solution and says so. Hints are folded. Nothing later in this notebook
# depends on your answers, so you can take the exercises in any order. With little time, do the two that are marked *core*; the
# *optional* one is for the fast.
#
# Arrays are `torch.float64` tensors: inputs $X$ $(n, d)$ of rank $r$, labels $Y$ $(n, q)$, parameters $U$ $(d, m)$ and $V$ $(q, m)$ of the network
# $f(x) = VU^T x$. With orthonormal bases $\Phi_1$ ($r$ columns) of the row space of $X$ and $\Phi_2$ of what is perpendicular to it,
# $U = \Phi_1 U_1 + \Phi_2 U_2$: the part that the samples see, and the rest. Where a number is asked for, a Python number and a tensor without axes are equally right. Leave the arguments as they are.
# Numbers have to agree to seven digits, entries to seven digits of the largest one, in exercise 5 to eight. The formulas are yours to write: an answer calls nothing of `regimes`.

# %%
import torch

from regimes_course.exercises import check, see
from regimes_course.lesson04.boxes import BOXES, data, recorded

# %% [markdown] exercise="distance_from_last_layer" stars=1 minutes=10 concept="what training leaves alone" role="core"
# ## Exercise 1: how far from the min-norm solution?
#
# ★ · 10 minutes · derive, then implement · core
#
# A network was trained until it fits: $XUV^T = Y$. How far is its predictor $\Theta = UV^T$ from the min-norm solution $\hat\Theta = X^+Y$, that is,
# what is $\lVert UV^T - X^+Y\rVert_F$?
#
# You are not told $Y$, and of $U$ you have only the start. You do have the $V$ of the end. That is enough for gradient descent, stochastic gradient descent,
# momentum and Gauss-Newton, whatever the step: each of their steps moves $U$ by a combination of the rows of $X$.


# %% exercise="distance_from_last_layer"
def distance_from_last_layer(X, U_start, V_end):
    """The distance of a trained network's predictor from the min-norm solution.

    X: (n, d) inputs of any rank below d.   U_start: (d, m) before training.   V_end: (q, m) after training.
    Returns: a number.
    """
    ### BEGIN SOLUTION
    frozen = U_start - torch.linalg.pinv(X) @ (X @ U_start)
    return torch.linalg.norm(frozen @ V_end.T)
    ### END SOLUTION


# %% [markdown] hints="distance_from_last_layer"
# <details><summary>Hint 1</summary>
# Which part of U is at the end what it was at the start?</details>
#
# <details><summary>Hint 2</summary>
# Two predictors that fit the same data agree inside the row space of X, and the min-norm solution has nothing outside. So the whole difference lies outside.</details>
#
# <details><summary>Hint 3</summary>
# By hand: X = [[3, 4]], so (4, −3)/5 is perpendicular to the row space. With U = [[2, 1], [0, 5]] and V = [[1, 3]] the distance is 5.</details>

# %% check="distance_from_last_layer"
check("04/distance_from_last_layer", distance_from_last_layer)

# %% see="distance_from_last_layer"
see("04/distance_from_last_layer", distance_from_last_layer)

# %% [markdown] discussion="distance_from_last_layer" tags=["solution"]
# **Discussion.** $U V^T = \hat\Theta + \Phi_2\,U_2(0)\,V(\infty)^T$, and $\Phi_2$ has orthonormal columns, so the distance is $\lVert U_2(0)\,V(\infty)^T\rVert_F$. All that training
# contributes is $V(\infty)$. Halve $U_2$ at the start and the distance is exactly half as large: nothing else notices, because $U_1$ and $V$ train without ever
# seeing $U_2$. Adam rescales each entry of the gradient by itself and leaves the row space: for it the formula fails.

# %% [markdown] exercise="start_sizes" stars=1 minutes=10 concept="imbalance is speed, the product is distance"
# ## Exercise 2: be fast and end near
#
# ★ · 10 minutes · derive, then implement
#
# The data are $r$ perpendicular samples of length one in $d$ dimensions, with one output, and a width $m$ far above $r$. You may choose the standard deviations $\sigma_U$, $\sigma_V$ of
# the two layers' entries. Choose them so that
#
# 1. the last layer alone gives the loss the rate `rate`,
# 2. training ends `distance` away from the min-norm solution, as a root mean square.
#
# The last layer is to be so large that training hardly changes its length: take for $\lVert V\rVert^2$ its mean at the start.


# %% exercise="start_sizes"
def start_sizes(m, r, d, rate, distance):
    """Standard deviations of the entries of U and V from which training has this rate and ends this far away.

    m: hidden units.   r: samples.   d: inputs.   rate, distance: positive numbers.
    Returns: two numbers (size_U, size_V).
    """
    ### BEGIN SOLUTION
    size_V = (rate / (2 * m)) ** 0.5
    length = m**0.5 * size_V
    return distance / ((d - r) ** 0.5 * length), size_V
    ### END SOLUTION


# %% [markdown] hints="start_sizes"
# <details><summary>Hint 1</summary>
# Section 3 of the lesson has the rate as a sum; you need one of its two terms. Section 2 has the distance.</details>
#
# <details><summary>Hint 2</summary>
# By hand: with m = 100, r = 20, d = 50, a rate of 32 and a distance of 0.55 the last layer has the size 0.4, the one of the lesson. Then V has the length 4.</details>

# %% check="start_sizes"
check("04/start_sizes", start_sizes)

# %% see="start_sizes"
see("04/start_sizes", start_sizes)

# %% [markdown] discussion="start_sizes" tags=["solution"]
# **Discussion.** $\sigma_V = \sqrt{\text{rate}/2m}$ and $\sigma_U = \text{distance}\,\sqrt{2/((d - r)\,\text{rate})}$, whatever the width. Speed and nearness are no longer at odds: make the last layer large and the
# first one small in proportion. The price is not on this bill: V hardly turns, and the hidden weights hardly move.

# %% [markdown] exercise="invariant_init" stars=2 minutes=20 concept="the invariant set" role="core"
# ## Exercise 3: start so that it ends at the min-norm solution
#
# ★★ · 20 minutes · construct · core
#
# Gradient flow, gradient descent and Gauss-Newton from $V U_2^T = 0$ *and* $U_1 U_2^T = 0$ keep both products at zero, and so end at $\hat\Theta$ if they
# end at a solution. Taking $U_2 = 0$ would be easy. Construct such a start with
#
# 1. much outside: $\lVert U_2\rVert_F \ge 1$,
# 2. an output layer: $\lVert V\rVert_F \ge 0.1$,
# 3. a network that can still learn any labels.
#
# The check trains your network by Gauss-Newton on random labels, which you do not know, and looks where it ends. There is plenty of room: $m \ge d + r + 2q$, and $q < r < d$.


# %% exercise="invariant_init"
def invariant_init(X, m, q, seed):
    """Parameters from which training ends at the min-norm solution, although U has a part that the data cannot see.

    X: (n, d) inputs of rank r < d.   m, q: the numbers of hidden units and of outputs.   seed: a whole number; the same seed, the same start.
    Returns: U (d, m) and V (q, m), both torch.float64.
    """
    ### BEGIN SOLUTION
    g = torch.Generator().manual_seed(seed)
    U = torch.randn(X.shape[1], m, generator=g, dtype=X.dtype)
    V = torch.randn(q, m, generator=g, dtype=X.dtype)
    inside, half = torch.linalg.pinv(X) @ X, m // 2
    seen = inside @ U
    U[:, :half], U[:, half:] = seen[:, :half], (U - seen)[:, half:]
    V[:, half:] = 0
    return U, V
    ### END SOLUTION


# %% [markdown] hints="invariant_init"
# <details><summary>Hint 1</summary>
# Both products are sums over hidden units: give different units different jobs.</details>
#
# <details><summary>Hint 2</summary>
# A unit either works for the data (its column of V and of U₁) or lies outside (its column of U₂), never both. Leave enough units at work to express any X⁺Y.
# </details>
#
# <details><summary>Hint 3</summary>
# With P = X⁺X the part of U inside the row space is PU = Φ₁U₁, the part outside U − PU = Φ₂U₂. You need no bases.</details>

# %% check="invariant_init"
check("04/invariant_init", invariant_init)

# %% see="invariant_init"
see("04/invariant_init", invariant_init)

# %% [markdown] discussion="invariant_init" tags=["solution"]
# **Discussion.** Units of two kinds are one way; another is to take any $U$ and $V$ and to subtract from the rows of $U_1$ and $V$ their projections on the rows of
# $U_2$. What it takes is that the rows of $\binom{V}{U_1}$ are perpendicular to those of $U_2$. Their products obey a linear homogeneous equation, which zero solves for
# all time. One product alone is not kept: $V U_2^T$ grows out of $U_1 U_2^T$. So a network whose output is zero at the start, even on inputs of any kind, need not
# end at the min-norm solution.

# %% [markdown] exercise="imbalance_level" stars=2 minutes=15 concept="imbalance as speed"
# ## Exercise 4: read the speed off the start
#
# ★★ · 15 minutes · implement
#
# Gradient flow conserves the imbalance $\Lambda = U_1^T U_1 - V^T V$, and the eigenvalues of $\Lambda$ bound its rate from below. Write
# $\lambda_k(A)$ for the $k$-th *largest* eigenvalue of a symmetric $A$, and $[a]_+ = \max(a, 0)$. Return three numbers, the level and the two spreads:
#
# $$\begin{aligned}
# &[\lambda_r(\Lambda)]_+ + [\lambda_q(-\Lambda)]_+, \\
# &[\lambda_1(\Lambda)]_+ - [\lambda_r(\Lambda)]_+, \\
# &[\lambda_1(-\Lambda)]_+ - [\lambda_q(-\Lambda)]_+ .
# \end{aligned}$$
#
# $\Lambda$ has $m$ eigenvalues. In a narrow network there may be no $r$-th or no $q$-th: such a term is zero. The rows of $X$ may depend on each other,
# so that $r$ may be smaller than $n$.


# %% exercise="imbalance_level"
def imbalance_level(X, U, V):
    """The level of imbalance, and how far the eigenvalues on either side of zero are spread.

    X: (n, d) inputs of any rank.   U: (d, m).   V: (q, m).
    Returns: three numbers (level, spread_plus, spread_minus).
    """
    ### BEGIN SOLUTION
    r, q = int(torch.linalg.matrix_rank(X)), len(V)
    U1 = torch.linalg.svd(X, full_matrices=False).Vh[:r] @ U
    lam = torch.linalg.eigvalsh(U1.T @ U1 - V.T @ V)  # the smallest first
    plus = torch.cat([lam.flip(0).clamp(min=0), lam.new_zeros(r)])
    minus = torch.cat([(-lam).clamp(min=0), lam.new_zeros(q)])
    return plus[r - 1] + minus[q - 1], plus[0] - plus[r - 1], minus[0] - minus[q - 1]
    ### END SOLUTION


# %% [markdown] hints="imbalance_level"
# <details><summary>Hint 1</summary>
# Which part of U can the data see? Any orthonormal basis of the row space will do, and so will the projector on it, X⁺X.</details>
#
# <details><summary>Hint 2</summary>
# torch.linalg.eigvalsh puts the smallest eigenvalue first. The largest eigenvalues of −Λ are the smallest of Λ, with the sign changed. Think of both
# lists as going on with zeros.</details>
#
# <details><summary>Hint 3</summary>
# By hand: X = [[2, 0, 0], [0, 3, 0]], U = [[3, 0, 0, 0, 0], [0, 1, 0, 0, 0], [1, 1, 1, 1, 1]], V = [[0, 0, 2, 0, 0], [0, 0, 0, 4, 0]]. The eigenvalues of Λ
# are 9, 1, 0, −4, −16, and the answer is (5, 8, 12).</details>

# %% check="imbalance_level"
check("04/imbalance_level", imbalance_level)

# %% see="imbalance_level"
see("04/imbalance_level", imbalance_level)

# %% [markdown] discussion="imbalance_level" tags=["solution"]
# **Discussion.** With the loss $\frac12\lVert Y - XUV^T\rVert_F^2$ the level alone guarantees
# $L(t) - L^* \le e^{-2 s_r^2 c t}\,(L(0) - L^*)$, where $c$ is the level and $s_r$ the smallest singular value of $X$ that is not zero. The whole $U$ in place
# of $U_1$ gives a conserved matrix too, so a test of conservation does not find that mistake. But the "guarantee" it leads to is too good, and training
# breaks it. For wide networks nobody forms the $m\times m$ matrix: at most $r + q$ of its eigenvalues differ from zero, and a QR decomposition finds them.

# %% [markdown] exercise="gn_step" stars=2 minutes=25 concept="Gauss-Newton without a Jacobian"
# ## Exercise 5: a Gauss-Newton step from two small eigendecompositions
#
# ★★ · 25 minutes · derive, then implement
#
# Inside the row space the predictor is $U_1 V^T$, and it should become the target $\Phi_1^T\hat\Theta$. The undamped Gauss-Newton step is the shortest change
# of *all* parameters that does so to first order: of all solutions of
#
# $$dU_1\,V^T + U_1\,dV^T = \text{target} - U_1 V^T$$
#
# the one with the smallest $\lVert dU_1\rVert_F^2 + \lVert dV\rVert_F^2$. Show that it has the form $dU_1 = FV$, $dV = F^T U_1$ with one matrix $F$ of shape $(r, q)$, find
# the equation that $F$ solves, and solve it without the Jacobian, which is $rq \times (r + q)m$. The sum of any eigenvalue of $U_1U_1^T$ and any of
# $VV^T$ is positive here; each of the two matrices by itself may be singular.


# %% exercise="gn_step"
def gn_step(U1, V, target):
    """The undamped Gauss-Newton step of a two-layer linear network, inside the row space of the data.

    U1: (r, m).   V: (q, m).   target: (r, q), what U1 V^T should be.
    Returns: the changes dU1 (r, m) and dV (q, m) of a full step.
    """
    ### BEGIN SOLUTION
    a, P = torch.linalg.eigh(U1 @ U1.T)
    b, Q = torch.linalg.eigh(V @ V.T)
    residual = P.T @ (target - U1 @ V.T) @ Q
    F = P @ (residual / (a[:, None] + b)) @ Q.T
    return F @ V, F.T @ U1
    ### END SOLUTION


# %% [markdown] hints="gn_step"
# <details><summary>Hint 1</summary>
# The shortest solution of J δ = R is δ = Jᵀ F. What does the transposed Jacobian of U₁Vᵀ do to a matrix F?</details>
#
# <details><summary>Hint 2</summary>
# F V Vᵀ + U₁ U₁ᵀ F = R is a Sylvester equation. In the eigenvectors of U₁U₁ᵀ on the left and those of VVᵀ on the right, each entry of F has an
# equation of its own.</details>
#
# <details><summary>Hint 3</summary>
# By hand: U₁ = [[1, 0, 0]], V = [[1, 0, 0], [0, 2, 0]] and the target [[3, 5]] give F = [[1, 1]], dU₁ = [[1, 2, 0]] and dV = [[1, 0, 0], [1, 0, 0]].</details>

# %% check="gn_step"
check("04/gn_step", gn_step)

# %% see="gn_step"
see("04/gn_step", gn_step)

# %% [markdown]
# **Predict.** Draw all weights with standard deviation $m^{-\alpha}$. The expected distance of the solution from $\hat\Theta$ is $\sqrt{d - r}\;m^{-\alpha}\lVert V\rVert_F$, with the $V$ of
# the end. How does it scale with the width $m$ for $\alpha = 0.25$, $0.5$ and $0.75$, once for small Gauss-Newton steps and once for full ones? Write down
# six exponents before you measure them with your function.

# %% [markdown] discussion="gn_step" tags=["solution"]
# **Discussion.** $\delta = J^T F$ says that each layer moves along the other one, and $JJ^T$ is the Sylvester operator. A mode of the residual is divided by
# $a_i + b_j$ and shared between the layers as $b_j$ to $a_i$: the larger the other layer, the more it moves. Steps of this form leave $U_2$ alone and keep the invariant
# set. `scipy.linalg.solve_sylvester` solves the same equation. The next cell measures the six exponents.

# %% tags=["solution"]
r, q, widths = 5, 2, 2 ** torch.arange(9, 15)
g = torch.Generator().manual_seed(0)
target = torch.randn(r, q, generator=g, dtype=torch.float64) / 2
for alpha in (0.25, 0.5, 0.75):
    for eta, steps in ((0.05, 300), (1.0, 8)):
        lengths = []
        for m in widths.tolist():
            U1, V = torch.randn(r + q, m, generator=g, dtype=torch.float64).split((r, q))
            U1, V = U1 / m**alpha, V / m**alpha
            for _ in range(steps):
                dU1, dV = gn_step(U1, V, target)
                U1, V = U1 + eta * dU1, V + eta * dV
            lengths.append(V.norm() / m**alpha)
        x, z = widths.log(), torch.stack(lengths).log()
        x = x - x.mean()
        slope = round((x @ z.float() / (x @ x)).item(), 2) + 0.0  # no -0.00
        print(f"alpha {alpha:<4}  step {eta:<4}  distance ~ m^{slope:+.2f}")

# %% [markdown] tags=["solution"]
# Small steps follow the flow: the exponents are 0, −1/2 and −3/4. The theorem's exponent $-(2\alpha - \tfrac12)$ would be −1 at $\alpha = 0.75$, but its range ends at
# $\alpha = \tfrac12$: beyond, $V$ grows to a size that does not depend on the width. Full steps from a small start have −1/2: where both layers are tiny, the first step
# overshoots, and it does so the more, the smaller they are.

# %% [markdown] exercise="what_is_kept" stars=2 minutes=20 concept="three properties of an optimizer"
# ## Exercise 6: which optimizer is this?
#
# ★★ · 20 minutes · break it
#
# Fifteen optimizers train the same two-layer linear network, and all of them bring the loss down. Some break what this lesson rests on. You get recordings only: from a random start with
# some step (`coarse`), from the same start with a quarter of the step and recorded at the same times (`fine`), and with the coarse step from a start inside the invariant set
# with $U_2 \neq 0$ (`inside`).

# %%
X, Y = data()
for number, box in enumerate(BOXES):
    U, V = recorded(box).coarse
    loss = (Y - X @ U @ V.mT).square().sum((1, 2)) / 2
    print(f"optimizer {number:2}: loss {loss[0]:.2f} -> {loss[-1]:.2f}")

# %% [markdown]
# Write the function that says what an optimizer keeps:
#
# 1. *frozen*: $U_2 = \Phi_2^T U$ does not move, but for rounding,
# 2. *kept*: from inside the set, $V U_2^T$ and $U_1 U_2^T$ both stay zero, but for rounding,
# 3. *conserved*: every entry of $\Lambda = U_1^T U_1 - V^T V$ is conserved in the limit of small steps. Finite steps make it drift, by an amount in proportion
#    to the step.


# %% exercise="what_is_kept"
def what_is_kept(X, coarse, fine, inside):
    """What an optimizer keeps, from three recordings of it.

    X: (n, d) inputs of rank r < n.
    coarse, fine, inside: pairs U (k, d, m), V (k, q, m), the weights at k times; U[0] and V[0] are the start.
    Returns: three verdicts (frozen, kept, conserved), each True or False.
    """
    ### BEGIN SOLUTION
    r = torch.linalg.matrix_rank(X)
    Phi1, Phi2 = torch.linalg.svd(X).Vh.split((r, X.shape[1] - r))

    def drift(U, V):
        Lambda = (Phi1 @ U).mT @ (Phi1 @ U) - V.mT @ V
        return (Lambda - Lambda[0]).abs().max().item()

    U2 = Phi2 @ coarse[0]
    frozen = (U2 - U2[0]).abs().max().item() < 1e-9
    U, V = inside
    products = torch.cat([V, Phi1 @ U], 1) @ (Phi2 @ U).mT
    kept = products.abs().max().item() < 1e-9
    return frozen, kept, drift(*fine) < max(drift(*coarse) / 2, 1e-9)
    ### END SOLUTION


# %% [markdown] hints="what_is_kept"
# <details><summary>Hint 1</summary>
# The full singular value decomposition of X has both bases: the first r rows of its last factor span the row space, the others what no sample sees. A
# projector, X⁺X, does as well.</details>
#
# <details><summary>Hint 2</summary>
# No bound on the drift of Λ in one run can be right: a good optimizer with large steps drifts more than a bad one with small ones. What does the
# drift do when the step is a quarter as large?</details>
#
# <details><summary>Hint 3</summary>
# One of the optimizers conserves Λ to rounding. A ratio of two rounding errors can be anything.</details>

# %% check="what_is_kept"
check("04/what_is_kept", what_is_kept)

# %% see="what_is_kept"
see("04/what_is_kept", what_is_kept)

# %% [markdown] discussion="what_is_kept" tags=["solution"]
# **Discussion.** Three properties, three reasons. $U_2$ is *frozen* by every step that moves $U$ by combinations of the samples: mini-batches, momentum, any preconditioner on the side
# of the samples. The set is *kept* by steps $dU_1 = F_1 V$, $dV = F_2 U_1$ with any $F_1$, $F_2$, and sums of such steps: blocks and unequal rates pass, and so
# does weight decay, which shrinks everything alike. *Conserved* takes $F_2 = F_1^T$: each layer at the same rate, with the same residual. Adam rescales each entry of the gradient by itself
# and loses all three, and with them the bias to the min-norm solution.
#
# Momentum with a fixed factor conserves $\Lambda$ in the limit, although its drift at a given step is an order of magnitude above that of gradient descent. And no optimizer here has
# a frozen $U_2$, conserves $\Lambda$ and still leaves the set. None can, if $m \ge r + q$: $\Lambda$ determines the space that the rows of $V$ and $U_1$ span.

# %% tags=["solution"]
print("   frozen kept conserved")
for number, box in enumerate(BOXES):
    frozen, kept, conserved = ("yes" if verdict else "no" for verdict in box.keeps)
    print(f"{number:2} {frozen:6} {kept:4} {conserved:9} {box.name}")
# %% [markdown] exercise="scalar_flow" stars=3 minutes=30 concept="hyperbolas" role="optional"
# ## Exercise 7: solve the scalar network, from any start
#
# ★★★ · 30 minutes · derive, then implement · optional
#
# The smallest network, $u v$ for a label $y$, under the gradient flow of $\frac12 (y - uv)^2$:
#
# $$\dot u = (y - uv)\,v, \qquad \dot v = (y - uv)\,u .$$
#
# From a balanced start, $u_0 = v_0$, the product follows a sigmoid. Find $u(t)$ and $v(t)$ from *any* start: they stay on a hyperbola
# $u^2 - v^2 = u_0^2 - v_0^2$, so one unknown function of time is all that is left. Your formula has to serve on both branches, for
# $y < 0$, from $v_0 = -u_0$, where for $y > 0$ the flow ends at the saddle, and at $t = 400$, where growing exponentials overflow.


# %% exercise="scalar_flow"
def scalar_flow(u0, v0, y, t):
    """Where the flow of (y - u v)^2 / 2 is at the times t.

    u0, v0: two numbers, not both zero.   y: a number, not zero.   t: (k,) times >= 0.
    Returns: u and v, each (k,), to seven digits of the largest number in the two.
    """
    ### BEGIN SOLUTION
    s0, d0 = u0 + v0, u0 - v0
    P, M = s0**2 / 4, d0**2 / 4
    c = (y**2 + 4 * P * M) ** 0.5
    E = torch.exp(-2 * c * t)
    above = c + y + 2 * M + (c - y - 2 * M) * E
    below = c - y + 2 * P + (c + y - 2 * P) * E
    s, d = s0 * torch.sqrt(above / below), d0 * torch.sqrt(below / above)
    return (s + d) / 2, (s - d) / 2
    ### END SOLUTION


# %% [markdown] hints="scalar_flow"
# <details><summary>Hint 1</summary>
# Take s = u + v and d = u − v. How do they move? Both are their start times an exponential, of the same integral and with opposite signs.</details>
#
# <details><summary>Hint 2</summary>
# With P = s₀²/4, M = d₀²/4 and w = (s/s₀)² the product is uv = P w − M/w, so that dw/dt = 2 (M + y w − P w²): a Riccati equation. Write w = a/b, with
# da/dt = y a + 2M b and db/dt = 2P a − y b from a = b = 1. Nothing has to be divided by P.</details>
#
# <details><summary>Hint 3</summary>
# The matrix [[y, 2M], [2P, −y]] has the square c² I with c² = y² + 4PM, so its exponential is cosh(ct) I + sinh(ct)/c times itself. Divide a and b by
# e^(ct). To try: u₀ = v₀ = 1/2 and y = 1 give uv = 1/(1 + 3 e^(−2t)).</details>

# %% check="scalar_flow"
check("04/scalar_flow", scalar_flow)

# %% see="scalar_flow"
see("04/scalar_flow", scalar_flow)

# %% [markdown] discussion="scalar_flow" tags=["solution"]
# **Discussion.** $\theta = \int (y - uv)\,dt$ is the rapidity of a Lorentz boost: $s = s_0 e^{\theta}$ and $d = d_0 e^{-\theta}$, that is
# $u = u_0\cosh\theta + v_0\sinh\theta$ and $v = v_0\cosh\theta + u_0\sinh\theta$. Hence $sd$ is conserved, and neither $s$ nor $d$ ever changes its sign: which of the two
# branches of $uv = y$ is reached, the start decides. With $s_0 = 0$ and $y > 0$ there is nothing to grow, $d$ decays, and the flow ends at the saddle
# $u = v = 0$. The exponent $2c = \sqrt{4y^2 + (u_0^2 - v_0^2)^2}$ is the late rate of the error, and twice that is the rate of the loss: imbalance is speed.

# %% [markdown]
# ## Two questions to write about
#
# 10 minutes · three or four sentences each, in your own words, before you open the model answer
#
# **1.** Stochastic gradient descent with momentum takes another way than gradient descent, and may end at another distance from the min-norm
# solution. Why does the formula of exercise 1 hold for both all the same? And why not for Adam?
#
# <details><summary>A model answer</summary>
#
# The formula needs one thing: U₂, the part of U outside the row space, is at the end what it was at the start. The gradient by U is Xᵀ times something, for all samples or
# for a few, and momentum adds up such gradients; so both move U inside the row space only. What differs is the V at the end, and the formula is told that. Adam divides each entry of the
# gradient by a size of its own. What comes out is no combination of the rows of X, U₂ moves, and the formula is about a U₂ that no longer exists.</details>
#
# **2.** Take a start as in exercise 2, with a large last layer. What would happen to the rate and to the distance if you drew V with twice the standard deviation, and U with half of it?
#
# <details><summary>A model answer</summary>
#
# The rate of the last layer is 2m σ_V², so it would be four times as large. The distance is √(d − r) σ_U times the length of V, which is √m σ_V: one factor is halved, the other
# doubled, and the distance stays what it was. So speed and nearness can be chosen apart. (With U drawn as before the distance would have doubled: a large last layer alone is fast and
# ends far away.)</details>
