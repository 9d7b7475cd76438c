# ---
# jupyter:
#   regimes:
#     title: "Exercises 07: exact Gauss-Newton in deep networks"
#     minutes: 110
#     needs: ["07"]
#     papers: [buffelli2024]
#     objectives:
#       - run a chain of coupling blocks backwards
#       - compute an exact Gauss-Newton step, of a block and of a chain
#       - verify any step by finite differences
#       - compute the shortest step through the kernel, without a Jacobian
#       - measure whose loss a step lowers, and how alike two sets of features are
# ---

# %% [markdown]
# # Exercises 07: exact Gauss-Newton in deep networks
#
# Seven exercises on [lesson 07](../lessons/07_exact_gauss_newton.ipynb). Replace the lines `# YOUR CODE HERE` and
# `raise NotImplementedError()`, run the cell, and
# run the check under it: it answers at once, and it recognises typical mistakes. The cell after it, `see`, redraws a picture of the
# lesson with your function; until yours passes, it takes a solution and says so. Hints are folded. Nothing later in this notebook
# depends on your answers, so you can take the exercises in any order; 1, 3
# and 6 build on each other. With little time, do the two that are marked *core*; the
# *optional* one is for the fast.
#
# Arrays are `torch.float64` tensors. Return new tensors; leave the arguments as they are. Entries have to agree to seven digits of the largest one.
# The formulas are yours to write: an answer calls nothing of `regimes`; in exercises 3 and 6 it gets `half` and `block_step`.

# %%
import torch

from regimes.problems import ten_digits
from regimes_course.exercises import check, see
from regimes_course.lesson07.experiments import block_step, half

# %% [markdown] exercise="invert" stars=1 minutes=10 concept="reversible blocks"
# ## Exercise 1: run it backwards
#
# ★ · 10 minutes · implement
#
# A chain of $L$ blocks changes the halves of its inputs in turn. On the way forth block $l$ does
# $$\begin{aligned}
# x_1 &\leftarrow x_1 + \tanh(x_2 V_{l0})\,W_{l0}, \\
# x_2 &\leftarrow x_2 + \tanh(x_1 V_{l1})\,W_{l1} .
# \end{aligned}$$
# Given the state $z = [x_1, x_2]$ after the last block, return the inputs of the first. In code $V_{l0}$ is `V[l, 0]`.


# %% exercise="invert"
def invert(z, V, W):
    """The inputs from which the chain came to z.

    z: (n, 2 h).   V: (L, 2, h, m).   W: (L, 2, m, h).
    Returns: (n, 2 h).
    """
    ### BEGIN SOLUTION
    x1, x2 = z.chunk(2, dim=1)
    for v, w in zip(V.flip(0), W.flip(0), strict=True):
        x2 = x2 - torch.tanh(x1 @ v[1]) @ w[1]
        x1 = x1 - torch.tanh(x2 @ v[0]) @ w[0]
    return torch.cat([x1, x2], dim=1)
    ### END SOLUTION


# %% [markdown] hints="invert"
# <details><summary>Hint 1</summary>
# Which half was changed last, and what was it changed by? You know everything you need to compute that.</details>
#
# <details><summary>Hint 2</summary>
# Once x2 is what it was, you can compute what was added to x1. Then go on to the block before.</details>

# %% check="invert"
check("07/invert", invert)

# %% see="invert"
see("07/invert", invert)

# %% [markdown] discussion="invert" tags=["solution"]
# **Discussion.** tanh cannot be undone where it saturates, and it need not be: a block is undone by computing *the same thing again* and subtracting it. The map preserves volume: each half
# layer is a shear. On paper the inverse is exact for any weights; *deeper* shows what rounding makes of that.

# %% [markdown] exercise="changes" stars=1 minutes=10 concept="own batch, next batch"
# ## Exercise 2: whose loss goes down?
#
# ★ · 10 minutes · measure
#
# `L[k, b]` is the loss on mini-batch `b` after `k` steps. Step `k` (counted from 0) is computed on batch `k` and leads from row `k` to row `k + 1`. Return two numbers: by what share a step
# changes the loss on its own batch, and on the next batch, on average over all steps. A fall by three quarters is -0.75.


# %% exercise="changes"
def changes(L):
    """The mean relative change of the loss by a step on its own batch, and on the next one.

    L: (steps + 1, batches), with batches > steps.
    Returns: two numbers (floats), own and next.
    """
    ### BEGIN SOLUTION
    k = torch.arange(len(L) - 1)
    own = L[k + 1, k] / L[k, k] - 1
    other = L[k + 1, k + 1] / L[k, k + 1] - 1
    return own.mean().item(), other.mean().item()
    ### END SOLUTION


# %% [markdown] hints="changes"
# <details><summary>Hint 1</summary>
# For step k the own batch is column k, the next one column k + 1. Both are compared in rows k and k + 1.</details>
#
# <details><summary>Hint 2</summary>
# By hand: L = [[2, 4], [1, 5]] has one step. Own: 1/2 − 1 = −0.5. Next: 5/4 − 1 = 0.25.</details>

# %% check="changes"
check("07/changes", changes)

# %% see="changes"
see("07/changes", changes)

# %% [markdown] discussion="changes" tags=["solution"]
# **Discussion.** The gap between the two says how much of a step is about its own batch only. A large gap by itself is no verdict: in the lesson the min-norm step has the same gap and generalises well,
# because what it learns on one batch does less harm to the others. Look at the whole training loss, too.

# %% [markdown] exercise="one_block" stars=2 minutes=15 concept="the exact step of a block" role="core"
# ## Exercise 3: one block moves it all
#
# ★★ · 15 minutes · implement · core
#
# Now with ReLU and a bias: `half(x, V, W)` gives you a half layer at `x`, with `.output` (what it adds), `.A` (features $[\phi(xV), 1]$) and
# `.jvp(t)` (how the output moves if $x$ moves by $t$). An example:

# %%
generator = torch.Generator().manual_seed(0)
v, w, x = (torch.randn(*s, generator=generator).double() for s in ((3, 8), (9, 3), (4, 3)))
layer, tiny = half(x, v, w), torch.full((4, 3), 1e-6).double()
moved = half(x + tiny, v, w).output - layer.output
print("features:", tuple(layer.A.shape), " output:", tuple(layer.output.shape))
print("jvp is right to 1e-5:", torch.allclose(moved, layer.jvp(tiny), atol=1e-5 * 1e-6))

# %% [markdown]
# Given the input `x` of *one* block and a wanted movement `E` of its output, return the shortest weights `delta` with $J\,\delta = E$. With $E = (e_1, e_2)$, the first half layer
# has to make $e_1$; no other can. What is left for the second to do?


# %% exercise="one_block"
def one_block(x, E, V, W):
    """The shortest weights that move the output of a block by E, to first order.

    x, E: (n, 2 h).   V: (2, h, m).   W: (2, m + 1, h), with m + 1 >= n.
    Returns: (2, m + 1, h).
    """
    ### BEGIN SOLUTION
    (x1, x2), (e1, e2) = x.chunk(2, dim=1), E.chunk(2, dim=1)
    F = half(x2, V[0], W[0])
    G = half(x1 + F.output, V[1], W[1])
    delta_F = torch.linalg.pinv(F.A) @ e1
    delta_G = torch.linalg.pinv(G.A) @ (e2 - G.jvp(F.A @ delta_F))
    return torch.stack([delta_F, delta_G])
    ### END SOLUTION


# %% [markdown] hints="one_block"
# <details><summary>Hint 1</summary>
# Which x1 does the second half layer read? And what does moving that x1 by A δ_F do to x2?</details>
#
# <details><summary>Hint 2</summary>
# δ_F = A⁺ e1, the shortest solution of A δ_F = e1. For the second half layer a part of e2 is there already: G.jvp(A δ_F).</details>

# %% check="one_block"
check("07/one_block", one_block)

# %% see="one_block"
see("07/one_block", one_block)

# %% [markdown] discussion="one_block" tags=["solution"]
# **Discussion.** Since $A\,\delta_F = e_1$, what is left for the second half layer does not depend on *which* $\delta_F$ made it: so both can be the shortest of their kind, and the pair is the shortest of all. With
# weights of 0.001 the step without the cross term misses $E$ by less than one per cent, and a curve would hardly show it. That is why the check uses large weights.

# %% [markdown] exercise="verified" stars=2 minutes=15 concept="right inverse" role="core"
# ## Exercise 4: which of these are right inverses?
#
# ★★ · 15 minutes · verify · core
#
# Somebody hands you steps, and does not say how they were computed. `outputs(w)` are the outputs of a network with weights `w`. Say of each step δ whether $J\delta = r$, that is whether
# $\lVert J\delta - r\rVert$ is at most a thousandth of $\lVert r\rVert$. Moving the weights a little is enough; no formula of the network is needed. (Which of the right ones would you train with?)


# %% exercise="verified"
def verified(outputs, w, r, steps):
    """For each step, whether it moves the outputs by r, to first order, within a thousandth of r's length.

    outputs: a function from weights to outputs (n, q).   w: weights.   r: (n, q).   steps: a list of tensors like w.
    Returns: a list of True or False, one for each step.
    """
    ### BEGIN SOLUTION
    found = []
    for step in steps:
        h = 1e-6 / step.norm()
        moved = (outputs(w + h * step) - outputs(w - h * step)) / (2 * h)
        found.append(bool((moved - r).norm() <= 1e-3 * r.norm()))
    return found
    ### END SOLUTION


# %% [markdown] hints="verified"
# <details><summary>Hint 1</summary>
# J δ is the derivative of outputs(w + h δ) with respect to h, at h = 0.</details>
#
# <details><summary>Hint 2</summary>
# Take a small move both ways: (outputs(w + h δ) − outputs(w − h δ)) / (2 h). A step may be long or short: choose h by its length.</details>

# %% check="verified"
check("07/verified", verified)

# %% see="verified"
see("07/verified", verified)

# %% [markdown] discussion="verified" tags=["solution"]
# **Discussion.** All that pass have one training curve, to first order; nothing here tells which of them generalises. In the lesson it was not even the length that told. So verify first, and then measure on data
# the step has not seen.

# %% [markdown] exercise="cka" stars=2 minutes=10 concept="centred kernel alignment" role="optional"
# ## Exercise 5: how alike are two sets of features?
#
# ★★ · 10 minutes · implement · optional
#
# Section 6 of [*deeper*](../lessons/deeper/07_exact_gauss_newton.ipynb) compares features by linear CKA, of features $X$ and $Y$ of the same samples. Centre the columns of both, then
# $$\mathrm{CKA} = \frac{\lVert X^T Y\rVert_F^2}{\lVert X^T X\rVert_F\,\lVert Y^T Y\rVert_F} .$$
# What must a measure of "the same features" not see? Here are the digits; the second set is the first one rotated, shifted and magnified.

# %%
images = ten_digits(100, seed=0).x
noise = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
turn = torch.linalg.qr(noise.double())[0]
same = 3 * images @ turn + 5
print("entries agree:", torch.allclose(images, same), " but the CKA should be 1")


# %% exercise="cka"
def cka(X, Y):
    """How alike two sets of features of the same samples are.

    X: (n, a).   Y: (n, b).
    Returns: a number (float) from 0 to 1.
    """
    ### BEGIN SOLUTION
    X, Y = X - X.mean(dim=0), Y - Y.mean(dim=0)
    norm = torch.linalg.matrix_norm
    return (norm(X.T @ Y) ** 2 / (norm(X.T @ X) * norm(Y.T @ Y))).item()
    ### END SOLUTION


# %% [markdown] hints="cka"
# <details><summary>Hint 1</summary>
# Samples are rows: a column is one feature on all samples, and its mean is over the rows. Centre both sets.</details>
#
# <details><summary>Hint 2</summary>
# The Frobenius norm is the root of the sum of squares: torch.linalg.matrix_norm without further arguments. Only the numerator is squared.</details>

# %% check="cka"
check("07/cka", cka)

# %% see="cka"
see("07/cka", cka)

# %% [markdown] discussion="cka" tags=["solution"]
# **Discussion.** It is the cosine between the centred Gram matrices $XX^T$ and $YY^T$: rotations leave them alone, a common factor drops out, centring removes shifts. A single feature that is magnified does change it: a network
# that stretches one direction, as Adam does in *deeper*, loses CKA and participation ratio together.

# %% [markdown] exercise="exact_step" stars=3 minutes=20 concept="the exact step"
# ## Exercise 6: the walk through a chain
#
# ★★★ · 20 minutes · implement
#
# Given the state `z` after the *last* of several blocks and a wanted movement `E` of it, return weights `delta` with $J\,\delta = E$: for each block the shortest weights of this block
# that would move $z$ by $E$ on their own, and at the end the mean over the blocks. (That is not the shortest step of all: exercise 7 has that one.) `block_step(x, E, V, W)` does exercise 3
# for you, so two things are left: the input of each block, and the movement that is wanted at its output.


# %% exercise="exact_step"
def exact_step(z, E, V, W):
    """Weights that move the state by E, to first order: the mean over blocks of each block's own step.

    z, E: (n, 2 h).   V: (L, 2, h, m).   W: (L, 2, m + 1, h), with m + 1 >= n.
    Returns: (L, 2, m + 1, h).
    """
    ### BEGIN SOLUTION
    (x1, x2), (e1, e2) = z.chunk(2, dim=1), E.chunk(2, dim=1)
    delta = torch.empty_like(W)
    for b in reversed(range(len(W))):
        G = half(x1, V[b, 1], W[b, 1])
        x2 = x2 - G.output
        F = half(x2, V[b, 0], W[b, 0])
        x1 = x1 - F.output
        x, wanted = torch.cat([x1, x2], dim=1), torch.cat([e1, e2], dim=1)
        delta[b] = block_step(x, wanted, V[b], W[b])
        e2 = e2 - G.jvp(e1)
        e1 = e1 - F.jvp(e2)
    return delta / len(W)
    ### END SOLUTION


# %% [markdown] hints="exact_step"
# <details><summary>Hint 1</summary>
# Go from the last block to the first. The input of a block comes from undoing it, as in exercise 1.</details>
#
# <details><summary>Hint 2</summary>
# What movement at the *input* of a block leads to (e1, e2) at its output, with the weights as they are? Undo the movement like the state: the same two subtractions, with jvp
# in place of output.</details>
#
# <details><summary>Hint 3</summary>
# e2 ← e2 − G.jvp(e1), then e1 ← e1 − F.jvp(e2) with the new e2. At the end divide by the number of blocks.</details>

# %% check="exact_step"
check("07/exact_step", exact_step)

# %% see="exact_step"
see("07/exact_step", exact_step)

# %% [markdown] discussion="exact_step" tags=["solution"]
# **Discussion.** The corrected right-hand side of exercise 3, $e_2 - G.\mathrm{jvp}(e_1)$, *is* the pulled-back $e_2$: so the lesson's loop gets along with six lines. Dividing by the number of blocks is one of many
# ways to share the work; any weights that sum to one would do, and give another right inverse.

# %% [markdown] exercise="min_norm" stars=3 minutes=20 concept="the shortest step"
# ## Exercise 7: the shortest step
#
# ★★★ · 20 minutes · derive, then implement
#
# A network has weights $W_k$ in several layers. Output $c$ of sample $i$ moves by $\sum_k a_{ki}^T\,\dot W_k\, s_{kic}$ if the weights move by $\dot W_k$, with features $a_{ki}$ and
# sensitivities $s_{kic}$. Return the shortest of all steps that move the outputs by $r$, one tensor per layer, without writing down the Jacobian.


# %% exercise="min_norm"
def min_norm(A, S, r):
    """The shortest step with J delta = r, by the kernel.

    A: a list of features (n, k).   S: a list of sensitivities (n, q, h), of the same length.   r: (n, q).
    Returns: a list of (k, h), in the same order.
    """
    ### BEGIN SOLUTION
    n, q = r.shape
    K = sum(
        torch.einsum("ik,jk,ich,jdh->icjd", a, a, s, s) for a, s in zip(A, S, strict=True)
    )
    v = torch.linalg.solve(K.reshape(n * q, n * q), r.flatten()).reshape(n, q)
    return [a.T @ torch.einsum("ic,ich->ih", v, s) for a, s in zip(A, S, strict=True)]
    ### END SOLUTION


# %% [markdown] hints="min_norm"
# <details><summary>Hint 1</summary>
# The shortest step is δ = Jᵀ v with K v = r and K = J Jᵀ. An entry of K belongs to two outputs, (i, c) and (j, d).</details>
#
# <details><summary>Hint 2</summary>
# The row of J for output (i, c) is, in layer k, the outer product of a_ki and s_kic. What is the inner product of two outer products?</details>
#
# <details><summary>Hint 3</summary>
# K[(i,c),(j,d)] = Σ_k (a_ki · a_kj)(s_kic · s_kjd). And Jᵀ v is in layer k Σ_i a_ki (Σ_c v_ic s_kic)ᵀ.</details>

# %% check="min_norm"
check("07/min_norm", min_norm)

# %% see="min_norm"
see("07/min_norm", min_norm)

# %% [markdown] discussion="min_norm" tags=["solution"]
# **Discussion.** The inner product of outer products is a product of inner products: that is the product, entry by entry, of lesson 01, one layer at a time. In the lesson this step and the exact one followed one training
# curve, and their test accuracies differed by 40 points. Theorem 4.3 of Buffelli et al. 2024 is about the training curve. The step of exercise 6 is as exact as this one, and longer.

# %% [markdown]
# ## Two questions to write about
#
# 10 minutes · three or four sentences each, in your own words, before you open the model answer
#
# **1.** Theorem 4.3 says that all right inverses of the Jacobian have one training curve, to first order. Why does it say nothing about new images, and what
# is it that decides there?
#
# <details><summary>A model answer</summary>
#
# To first order a step is seen by the training outputs as Jδ alone, and Jδ = r for all of them: so they all fit equally fast. On a new image the
# output moves by another row times δ, which none of the equations fixes. With more weights than training outputs there are many δ, and the rule that
# chooses among them decides what happens there. What a rule can see matters: a half layer that has to make its whole share from one half of the pixels
# can only memorise, while rules that share the work out need not.</details>
#
# **2.** What would happen to the exact step, and to its check by finite differences, if the second half layer read the half as it was before the first one
# changed it?
#
# <details><summary>A model answer</summary>
#
# The block would then be another function: both halves would move at once, from the old values. The cross term would have no reason to be, as G no longer
# sees what F adds: δ_G = A⁺ e₂ would be right, and the step with the cross term would miss. Finite differences of the new outputs would say so
# at once. But the block could no longer be undone by computing the same thing again and subtracting it: to find the old x₁ one would need the old x₂, and to
# find that the old x₁.</details>
