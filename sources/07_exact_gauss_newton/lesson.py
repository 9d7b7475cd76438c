# ---
# jupyter:
#   regimes:
#     title: Exact Gauss-Newton in deep networks
#     minutes: 60
#     needs: ["01", "04", "06"]
#     papers: [buffelli2024]
#     objectives:
#       - run a deep network backwards, and say when rounding makes that useless
#       - compute an exact Gauss-Newton step by one walk back, and verify it before believing a curve
#       - explain why two optimizers with one training curve can differ completely on test data
#       - tell a step that learns from a step that only fits its batch
#       - compare how lazy optimizers are, at matched training loss
# ---

# %% [markdown]
# # Exact Gauss-Newton in deep networks
#
# **After this hour you will be able to**
#
# - run a deep network backwards, and say when rounding makes that useless,
# - compute an exact Gauss-Newton step by one walk back, and verify it before believing a curve,
# - explain why two optimizers with one training curve can differ completely on test data,
# - tell a step that learns from a step that only fits its batch,
# - compare how lazy optimizers are, at matched training loss.
#
# **Needs** lessons [01](01_gradient_descent_and_gauss_newton.ipynb), [04](04_min_norm_bias.ipynb) and [06](06_lazy_regime.ipynb). **Paper:** Buffelli, McGowan, Xu, Cioba, Shiu, Hennequin, Bernacchia 2024 (*Exact, tractable Gauss-Newton optimization
# in deep reversible architectures reveal poor generalization*). It trains on MNIST and CIFAR-10; we use scikit-learn's digits.
#
# **Recap.** Answer before you unfold.
#
# <details><summary>1. What does a full Gauss-Newton step of size α do to the residual, to first order?</summary>
# r ← (1 − α) r, whatever the conditioning: any δ with Jδ = r does that.</details>
#
# <details><summary>2. More parameters than outputs: how many δ solve Jδ = r?</summary>
# Infinitely many. Lesson 04: which one an optimizer takes is a choice, and it decides about everything the data do not.</details>
#
# <details><summary>3. What is the drift of the kernel, and what is it in the lazy limit (lesson 06)?</summary>
# The relative distance |K − K₀|/|K₀| from the kernel at the start; zero.</details>

# %%
import torch
from IPython.display import display

from regimes import metrics, sweep, train
from regimes.losses import CrossEntropy
from regimes.networks import Reversible
from regimes.optimizers import GaussNewton, ReversibleGaussNewton
from regimes.problems import ten_digits
from regimes.reversible_gauss_newton import exact_gauss_newton
from regimes.theory import gauss_newton, reversible
from regimes_course.kit import Ledger, at_scale, guess, seeds, show, span
from regimes_course.lesson07 import experiments as exact_runs
from regimes_course.lesson07 import figures as draw
from regimes_course.lesson07.widgets import exact_steps

# %%
ledger, S = Ledger("07"), seeds(3)
size = at_scale(course=dict(cut=256), paper=dict(cut=1024))


def fresh(m, outputs=10, seed=S, **options):
    return Reversible(64, outputs, m, runs=seed.shape, seed=seed + 100, **options)


# %% [markdown]
# ## 1. A network that runs backwards
#
# Cut the input into halves $x_1, x_2$ (here: the upper and the lower half of an image). Each of $L$ blocks changes one half by a function of the other:
# $$x_1 \leftarrow x_1 + F(x_2), \qquad x_2 \leftarrow x_2 + G(x_1), \qquad F(x) = [\phi(xV), 1]\,W .$$
# $V$ is random and fixed, with many columns ($m$); $W$ is trained, its last row is the bias. At the end a fixed head $u$ with orthonormal columns makes ten
# outputs $f = zu$ from the state $z = (x_1, x_2)$. A block is undone by subtracting what it added, in the opposite order:
# $$x_2 \leftarrow x_2 - G(x_1), \qquad x_1 \leftarrow x_1 - F(x_2) .$$
# No activation has to be kept for the way back (paper, eq. 14-15). On paper this works for any $W$. The machine rounds $z$ by about $\epsilon\lvert z\rvert$, and on the way back that
# grows as the inputs grew on the way forth. So we expect an error of about $\epsilon\,(\lvert z\rvert/\lvert x\rvert)^2$ (derived here).
#
# **Predict.** 16 blocks of width 512 whose weights have standard deviation 0.1: how much of the input comes back, in float64?

# %%
my_guess = ...

# %%
stds, depths, found = (1e-3, 0.02, 0.05, 0.1), (1, 2, 4, 8, 16, 32), {}
images = ten_digits(32, seed=S)
for dtype in (torch.float64, torch.float32):
    nets = [[fresh(512, std=s, blocks=L, dtype=dtype) for L in depths] for s in stds]
    both = [metrics.reconstruction(net, images.x.to(dtype)) for row in nets for net in row]
    found[dtype] = torch.stack([torch.stack(b) for b in both]).unflatten(0, (4, 6))
show(*draw.inversion(stds, depths, found))
error, growth = found[torch.float64].unbind(2)
law = reversible.inversion_error(growth, torch.finfo(torch.float64).eps)
_ = ledger.claim("inverse-law", (error / law).log10().round()[(law > 1e-15) & (law < 1)])
_ = ledger.claim("inverse-lost", error[3, 4].clamp(max=0.01))
guess(my_guess, "nothing: the error is at least 1 % of the inputs")

# %% [markdown]
# Small weights at the start keep the network near the identity. The paper starts at $10^{-3}$, and so do we from here on.
#
# ## 2. The exact step
#
# We want weights $\delta$ with $J\delta = r$, where $r = f - y$. Lift $r$ to the state by the head, $E = r u^\top$. Walk back through the blocks, rebuilding the states by the inverse,
# with the wanted movement $E = (e_1, e_2)$ and the features $A = [\phi(x_2V_F), 1]$ and $B = [\phi(x_1V_G), 1]$ of the two half layers:
# $$\delta_F = A^+ e_1, \qquad \delta_G = B^+\big(e_2 - DG[A\,\delta_F]\big), \qquad e_2 \leftarrow e_2 - DG[e_1], \qquad e_1 \leftarrow e_1 - DF[e_2] .$$
# The *cross term* $DG[A\delta_F]$ is there because $G$ reads the half that $F$ has just moved. Each block could do the whole job alone; divide by $L$. If there are more
# features than samples, $AA^+ = 1$ and the step is exact (paper, Proposition 4.4). No Jacobian, a cost near that of a gradient: `regimes.reversible_gauss_newton.walk_back`.
#
# **Verify $J\delta = r$ before believing a curve.** The authors' own history shows why: their repository holds an earlier version of the update, without the cross term.
#
# **Predict.** By how many per cent does the step miss the residual without the cross term, for weights of 0.001 and of 0.1?

# %%
my_guess = ...


# %%
def missed(L=2, m=128, std=0.05, data=images, dtype=torch.float64, **options):
    data, net = data.to(dtype), fresh(m, blocks=L, std=std, dtype=dtype)
    how = exact_gauss_newton(net, data.x, data.y, tolerance=torch.inf, **options)
    return how.solve.residual  # |J delta - r| / |r|, by one walk forwards


large = ten_digits(size.cut, seed=S)
step = {f"exact, SVD, L = {L}": missed(L, solver="svd") for L in (1, 2, 3)}
step |= {"exact, Cholesky, L = 3": missed(3), "in float32": missed(dtype=torch.float32)}
step |= {f"no cross term, std {s:g}": missed(std=s, cross_term=False) for s in stds}
step["cut at 1 %"] = missed(2, 2 * size.cut, 1e-3, large, solver="svd", cutoff=0.01)
step["width 20 for 32 images"] = missed(m=20)
show(*draw.exactness(step))

# %%
_ = ledger.claim("exact-svd", torch.cat([v for name, v in step.items() if "SVD" in name]))
_ = ledger.claim("exact-cholesky", step["exact, Cholesky, L = 3"])
_ = ledger.claim("cross-term", step["no cross term, std 0.1"])
_ = ledger.claim("cut", step["cut at 1 %"])
for L in (1, 3):
    net, y = fresh(64, outputs=64, blocks=L, std=0.05), torch.zeros(3, 8, 64).double()
    rules = ReversibleGaussNewton(net), GaussNewton(net)
    exact, short = (r.direction(images.x[:, :8], y).tensors[0].flatten(1) for r in rules)
    _ = ledger.claim(f"blocks-{L}", (exact - short).norm(dim=1) / short.norm(dim=1))
percent = [span(100 * step[f"no cross term, std {s:g}"]) for s in (1e-3, 0.1)]
guess(my_guess, "{} % and {} %".format(*percent))

# %% [markdown]
# With tiny weights the wrong step looks right at first: it misses by less than one per cent, and grows worse as the weights grow. Cutting small singular values, which the paper does for
# stability, costs exactness too, and more so at the size of its runs (`python3 course.py paper 07` measures it with $n = 1024$). And a network narrower than the batch has no exact step at all; `ReversibleGaussNewton`
# then refuses, and says by how much it misses.
#
# For one block and all 64 state coordinates as outputs this step *is* the Moore-Penrose (min-norm) step. From two blocks on it is a longer one. We can
# afford to compare: the course's `GaussNewton` takes the shortest step, through the kernel of this network, a Hadamard product a half layer
# (`networks.ReversibleJacobian`), a $10n\times10n$ matrix. The paper calls this infeasible at its size.
#
# ## 3. One training curve, two networks
#
# **Claim.** *Any* right inverse gives the same error flow $\dot r = -r$, so two of them agree up to $O(\alpha)$ (paper, Theorem 4.3), and $\log L$ falls by $2\log(1-\alpha)$ a step.

# %%
small, few, traces = ten_digits(64, seed=S), ten_digits(24, seed=S), {}
for alpha, k in ((0.1, 36), (0.25, 24), (0.5, 12)):
    net = fresh(256)
    traces[alpha] = train(net, small.x, small.y, ReversibleGaussNewton(net, alpha), k)
    slope = -alpha * traces[alpha].rate((1e-2, 1e-6 if alpha > 0.1 else 1e-3))
    _ = ledger.claim(f"slope-{alpha:g}", slope, -alpha * gauss_newton.discrete_rate(alpha))


def residual_at_one(rule, alpha):
    net = fresh(128, std=0.02)
    train(net, few.x, few.y, rule(net, alpha), round(1 / alpha), every=100)
    return (net(few.x) - few.y).flatten(1)


alphas = (0.1, 0.05, 0.025)
ends = [
    [residual_at_one(O, a) for O in (ReversibleGaussNewton, GaussNewton)] for a in alphas
]
gaps = torch.stack([(e - s).norm(dim=1) / s.norm(dim=1) for e, s in ends])
show(*draw.rates(traces, alphas, gaps))
_ = ledger.claim("gap-order", (gaps[0] / gaps[-1]).log2() / 2)

# %% [markdown]
# The theorem holds. Now the question the theorem does not answer. 256 training images, all others for the test; both rules with $\alpha = 0.5$. Both are exact, $J\delta = r$; we call the rule of section 2
# *exact* after the paper's title, and the other one *min-norm*.
#
# **Predict.** After four steps both training losses are about 0.4 % of their start. The min-norm rule classifies about nine of ten test images. And the exact rule?

# %%
my_guess = ...


# %%
def full_batch(rule, steps, halves="top and bottom", from_zero=False, every=1):
    def run(seed):
        data = ten_digits(256, seed=seed, halves=halves)
        net = fresh(1024, seed=seed, from_zero=from_zero)
        right = {"test": lambda net: metrics.accuracy(net, data.x_test, data.y_test)}
        trace = train(
            net, data.x, data.y, rule(net, 0.5), steps, every=every, measure=right
        )
        return {"loss": trace.relative.T, "test": trace.measured["test"].T}

    return sweep(run, {"seed": S}, stack=1)


exact, shortest = full_batch(ReversibleGaussNewton, 8), full_batch(GaussNewton, 4)
evidence = {
    h: full_batch(ReversibleGaussNewton, 5, h, every=5) for h in ("columns", "checkerboard")
}
evidence["from f = 0"] = full_batch(ReversibleGaussNewton, 5, from_zero=True, every=5)
show(*draw.climax(exact, shortest, evidence))

# %%
_ = ledger.claim("exact-fails", exact["test"][:, -1])
_ = ledger.claim("shortest-works", shortest["test"][:, -1])
_ = ledger.claim("same-curve", exact["loss"][:, 4] / shortest["loss"][:, 4])
_ = ledger.claim("halves", evidence["checkerboard"]["test"][:, -1] - exact["test"][:, -1])
_ = ledger.claim("from-zero", evidence["from f = 0"]["test"][:, -1] - exact["test"][:, -1])
guess(my_guess, f"{span(100 * exact['test'][:, -1], '.0f')} %")

# %% [markdown]
# One training curve, and 40 points between the test accuracies. It is lesson 04 again, in a deep network: thousands of solutions fit, the training loss cannot tell them apart, and the optimizer
# chooses. The min-norm step chooses the one nearest to where it is. What does the exact step choose?
#
# Each half layer must produce its exact share of the wanted movement of *all* state coordinates from the *other half image alone*. At the start the network puts out $xu$, pixels the
# half layer cannot see. It is asked to remove them, exactly, on every training image; it can only memorise. The right panel is the evidence: halves that know more
# about each other (columns, checkerboard) do better, and so does a network whose outputs start at zero ($f = (z - x)\,u$). So "Gauss-Newton generalises poorly" is here mostly: *this right
# inverse* generalises poorly. (The paper shows training curves at full batch; the test accuracies are ours.)
#
# ## 4. Mini-batches: whose loss goes down?
#
# $n = 1437$ images in batches of 64, shifted by up to one pixel, anew in each epoch; squared loss, width 512.
#
# **Predict.** A step with $\alpha = 0.5$ removes three quarters of the loss on its own batch. What does it do to the next batch?

# %%
my_guess = ...

# %%
many = ten_digits(1437, seed=S)


def after_training(name, lr):
    net, feed = fresh(512), many.batches(64, seed=S + 7, shift=True)
    rule = exact_runs.optimizer(name, net, lr)
    train(net, many.x, many.y, rule, 44, every=44, batches=feed)
    return exact_runs.batch_changes(rule, feed, 22)


rates = {"exact Gauss-Newton": 0.5, "Adam": 1e-3}
changes = {name: after_training(name, lr) for name, lr in rates.items()}
stored = exact_runs.long_runs()
show(*draw.batches(changes, stored))

# %%
own, other = changes["exact Gauss-Newton"].mean(1)
_ = ledger.claim("own-batch", own)
_ = ledger.claim("next-batch", other)
newton, shorter, adam = (stored["shifted"][name] for name in draw.COMPARED)
_ = ledger.claim("saturates", newton[:, -1] / newton[:, 16])
_ = ledger.claim("behind-adam", newton[:, -1] / adam[:, -1])
_ = ledger.claim("shortest-ahead", shorter[:, -1] / newton[:, -1])
guess(my_guess, f"it changes by {span(100 * other, '+.1f')} % on average: nothing learned")

# %% [markdown]
# The bars are the paper's figure 3, the curves its figure 2: each step of the exact rule fits its batch and undoes what earlier ones did elsewhere; the training loss stops falling. Two remarks.
# A smaller step does help here (the paper says it does not). And a min-norm step removes as much of its own batch's loss and as little of the next one's (second frame of section 8), and yet after 12 epochs that rule is ahead of the exact one after 40: the two bars alone do not
# tell whether a step learns.
#
# The long runs took minutes. They are stored; `python -m tools.exact_steps` measures them again, and a test compares a sample.
#
# ## 5. Lazy or not
#
# **Claim.** Under Gauss-Newton the kernel and the features of the blocks stay near their start, under Adam they do not, later blocks more (paper, figure 4). For this we need
# *another configuration*: cross entropy, clean images, six blocks. We compare at the first record with a training loss below 0.05, because everything drifts for ever with cross entropy.
#
# **Predict.** Sort by CKA of the last block with its start, the most lazy first: exact Gauss-Newton, gradient descent, Adam, Adam with a step eight times smaller.

# %%
my_guess = ...

# %%
loss, first = CrossEntropy(10), fresh(128, blocks=6)
measure = metrics.compare_to_init(first, many.x_test, many.x_test[:, :16])
measure["train"] = lambda net: metrics.loss_on(net, many.x, many.y, loss=loss)
measure["right"] = lambda net: metrics.accuracy(net, many.x_test, many.y_test)
rules = {"exact Gauss-Newton": (0.6, 132), "gradient descent": (0.08, 132)}
rules |= {"slow Adam": (5e-4, 154), "Adam": (4e-3, 88)}


def at_same_loss(name, lr, k):
    net, feed = fresh(128, blocks=6), many.batches(64, seed=S + 7)
    rule = exact_runs.optimizer(name.replace("slow ", ""), net, lr, loss=loss)
    trace = train(net, many.x, many.y, rule, k, every=22, measure=measure, batches=feed)
    return trace.first_below(0.05, "train")


found = {name: at_same_loss(name, *rule) for name, rule in rules.items()}
start = measure["participation"](first)
show(*draw.lazy(found, start))

# %%
newton, descent, slow, adam = found.values()
_ = ledger.claim("lazier-than-gd", newton["cka"][-1] - descent["cka"][-1])
_ = ledger.claim("gd-lazier-than-adam", descent["cka"][-1] - adam["cka"][-1])
_ = ledger.claim("slow-adam", slow["cka"][-1] - descent["cka"][-1])
_ = ledger.claim("drift-adam", adam["drift"] / newton["drift"])
_ = ledger.claim("directions-kept", newton["participation"] / start)
_ = ledger.claim("directions-lost", adam["participation"] / start)
_ = ledger.claim("cross-entropy", newton["right"] - adam["right"])
guess(my_guess, "exact Gauss-Newton; gradient descent and slow Adam, alike; Adam")

# %% [markdown]
# The order is the paper's, and it is mild. Even the most lazy kernel drifts by more than its own size: "lazy" is a comparison here, not the limit of lesson 06. And slow Adam is as lazy as gradient descent: much of "Adam learns features"
# is its step size. The exact step keeps all directions that the images use, the others keep half.
#
# ## 6. Break it
#
# Three ways to leave the ground on which this works. Each is an error with what was measured in it; we print the reason.


# %%
def refused(net, steps=0, **options):
    try:
        rule = ReversibleGaussNewton(net, 1.0, **options)
        train(net, images.x, images.y, rule, steps)
    except (ValueError, ArithmeticError) as error:
        print("-", str(error).split("because ")[-1].split(" by ")[0].split(". To take")[0])


refused(fresh(20))
refused(fresh(512, std=0.1, blocks=16))
refused(fresh(128), steps=20, loss=loss, newton=True)

# %% [markdown]
# The last one asks for more than the paper's experiments did: to divide $p - y$ by the curvature of the cross entropy (generalised Gauss-Newton). The result is as large as one over the probability of the right
# class. The published runs leave this division out.
#
# ## 7. What did not reproduce, and what the record says
#
# Sections 4 and 5 needed **two configurations**: no single one of ours shows both the saturation and the laziness.
#
# | claimed | here |
# |---|---|
# | with cross entropy, Gauss-Newton saturates in mini-batches and generalises worse than Adam | not on clean digits: at matched training loss it is ahead (ledger). With squared loss and shifts or noisy labels: yes (section 4) |
# | Gauss-Newton is lazy | with cross entropy at matched loss: yes (section 5). With squared loss and shifts: no, there it has the *lowest* CKA (widget, middle step) |
# | other learning rates do not help | a smaller step does (section 4) |
# | comparing with the min-norm step is infeasible | at this size it is not, and it changes the answer (section 3) |
#
# **Paper and code.** The code leaves out the $1/L$ of the formula, so its step 0.5 with two blocks is $\alpha = 1$ here. Its first block is linear, so there the features do not have full row rank. It drops
# singular values below 1 %, so its steps are not exact (section 2). And "6 blocks" and "12 layers" are the same thing: two half layers a block.
#
# **Versions.** An abstract on the conference's pages says that these runs *learn* features, with a changing kernel; the final text says the opposite, *lazy*. The history of the code holds an update without the cross term and a corrected one. That the correction caused the reversal is our guess, and we have not been able to confirm it. We teach the final version. What we can
# show is a step that looks right and is not: check $J\delta = r$.
#
# ## 8. Turn the knobs
#
# Three positions of the sliders: squared loss, three blocks of width 256, $n = 1024$, ten epochs (stored runs, one seed).

# %%
show(*exact_steps.filmstrip("Three stored runs.", (10, 3.0)))

# %% [markdown]
# Run the next cell. Find
#
# 1. with the exact rule and its middle step, the best and the worst batch size: what changes as the batch comes nearer to the width?
# 2. data and a batch size with which the exact rule is hardly worse than the min-norm rule,
# 3. data on which Adam beats both,
# 4. a run that diverges.
#
# After ten epochs Adam and gradient descent with small steps have not finished: compare them with care. For a step or a batch size between the positions, measured on the spot
# in seconds: `from regimes_course.lesson07.widgets import live` and `show(*live(step=0.3, batch=48))`.
#
# <details><summary>What we found</summary>1. 32 is best, 128 worst: the more samples for the same width, the longer the step that fits them all. 2. Clean images, batches of 32. 3. Noisy labels, from the middle step on. 4. The exact rule with the large step and batches of 128.</details>

# %% tags=["widget"] id="widget"
exact_steps.show()

# %% [markdown]
# ## What we measured against what was predicted

# %%
display(ledger)

# %% [markdown]
# ## Limits
#
# - 64 pixels, at most $n = 1437$ images, three seeds. `python3 course.py paper 07` cuts the singular values of $n = 1024$ images, as many as the published runs have in a batch.
# - "Poor generalisation" is measured on this data and this network. Section 3 shows a reason, not the only one.
# - The learning rates of gradient descent and Adam are not tuned for test accuracy.
#
# ## Exercises and what to read next
#
# `python3 course.py start 07` puts the exercises into your folder `work`: invert a chain of blocks, walk back with the cross term, the min-norm step by the kernel, whose loss a step lowers, and CKA.
#
# - D. Buffelli, J. McGowan, W. Xu, A. Cioba, D. Shiu, G. Hennequin, A. Bernacchia: *Exact, tractable Gauss-Newton optimization in deep reversible architectures reveal poor generalization*, NeurIPS 2024.
# - A. N. Gomez, M. Ren, R. Urtasun, R. B. Grosse: *The reversible residual network*, NeurIPS 2017, arXiv 1707.04585.
# - S. Kornblith, M. Norouzi, H. Lee, G. Hinton: *Similarity of neural network representations revisited*, ICML 2019, arXiv 1905.00414.
