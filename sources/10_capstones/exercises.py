# ---
# jupyter:
#   regimes:
#     title: "Exercises 10: capstones"
#     minutes: 235
#     needs: ["01", "05", "06", "07", "08"]
#     papers: [arbel2023, cai2024]
#     objectives:
#       - build a method of your own and say by which measurements it is good
#       - compare two methods at the same training loss
#       - recognise a route that looks like success and is not
# ---

# %% [markdown]
# # Exercises 10: capstones
#
# Open-ended, an evening each, in any order. There is no reference to agree with: the check lets your function act and takes four measurements of what it did,
# each with a band. The bands were set on other random seeds than the check uses, and you have the same kind of problem here to
# practise on. Any way that stays within the bands is right; ways that look right and are not are told by name. You may use `torch` and whatever you have written in earlier
# exercises; hints are folded. Replace the lines `# YOUR CODE HERE` and `raise NotImplementedError()`, run the cell, check.

# %%
from itertools import product

import torch

from regimes.metrics import loss_on, refit
from regimes_course.exercises import check, see
from regimes_course.kit.page import show
from regimes_course.kit.plotting import LOSS, curve, legend, panels, predicted
from regimes_course.lesson10.experiments import (
    along_sgd,
    full_steps,
    plain_descent,
    run,
    slope,
    trained,
)
from regimes_course.lesson10.experiments import race as fresh_race

# %% [markdown] exercise="race" stars=3 minutes=75 concept="an optimizer of your own"
# ## Exercise 1: win a race at matched training loss
#
# ★★★ · 75 minutes · build
#
# You have met two methods. Gradient descent learns features and crawls (lesson 01). A full Gauss-Newton step fits at once and leaves the hidden layer
# where it was (lessons 05 and 07). Both are below, on a network with 120 hidden units, $v = 0$ and 60 samples of a teacher with two units in five
# dimensions. Build a method that beats both, at the *same* training loss: arrive as far down as Gauss-Newton, and with features.
#
# Your function gets `look` and the start `w`, and returns final weights and what is left of the training loss. `look(w)` gives the residual $r = f - y$ on the training data and
# the Jacobian $J$, and it is all that you learn of the network: each call counts as one look, and no look shows a test sample. Of each of three networks the check measures
#
# | | band | why this is fair |
# |---|---|---|
# | training loss at the weights you return | at most 1e-6 of its start | gradient descent is far above it after 40 looks, full steps go far below |
# | looks, counted by the check | at most 40 | two quite different methods of ours take about half of that |
# | test loss of random features over yours, geometric mean of the three | at least 5 | full steps stay near 1; small steps of the same method exceed it |
# | the loss you tell, against the one at your weights | within 1 % | a matter of looking before you tell |
#
# The first look is at the start you are given. The last 120 entries of `w` are the output weights.

# %%
fig, (ax,) = panels(size=(5.4, 3.2))
ends = []
for name, method in (
    ("gradient descent", plain_descent),
    ("Gauss-Newton", full_steps),
):
    one = fresh_race(10)
    w = method(one.look, one.start)
    curve(ax, range(len(one.looks)), [one.left(at) for at in one.looks], name)
    gain = one.random_features() / one.test(w)
    ends.append(f"{name} a test loss {gain:.2g} times below that of random features")
predicted(ax, [0, 40], [1e-6, 1e-6], "the finish")
ax.set(xlabel="looks", ylabel=LOSS, yscale="log", ylim=(1e-12, 3))
legend(ax)
show(fig, f"After at most 40 looks, {' and '.join(ends)}.")


# %% exercise="race"
def race(look, w):
    """Train a network by at most 40 looks.

    look: a function; look(w) is r (60,) and J (60, 840) at weights w.   w: (840,), the start.
    Returns: final weights (840,), and the share of the first training loss that is left there, a number.
    """
    ### BEGIN SOLUTION
    r, J = look(w)
    first, damping = r.square().sum(), torch.linalg.eigvalsh(J @ J.T)[-1]
    for _ in range(39):
        K = J @ J.T + damping * torch.eye(len(r), dtype=r.dtype)
        new = w - J.T @ torch.linalg.solve(K, r)
        r_new, J_new = look(new)
        if r_new.square().sum() < r.square().sum():
            w, r, J, damping = new, r_new, J_new, 0.6 * damping
        else:
            damping = 4 * damping
        if r.square().sum() < 1e-7 * first:
            break
    return w, (r.square().sum() / first).item()
    ### END SOLUTION


# %% [markdown] hints="race"
# <details><summary>Hint 1</summary>
# When does the hidden layer move? Its derivative is proportional to v, and the movement to what is left of the residual. Both have to be there at the same time.</details>
#
# <details><summary>Hint 2</summary>
# After that there is nothing to wait for. A method that is gentle first and fast later has at least two knobs to do it with: the size of the step, and the damping.</details>
#
# <details><summary>Hint 3</summary>
# Two plans that work: fifteen Gauss-Newton steps of 0.05, then whole ones; or whole steps with a damping that begins at the largest eigenvalue of J Jᵀ
# and falls by a constant factor while the loss falls.</details>

# %% check="race"
check("10/race", race)

# %% see="race"
see("10/race", race)

# %% [markdown] discussion="race" tags=["solution"]
# **Discussion.** This is the Levenberg-Marquardt method: a damping that falls while it helps and rises when it hurts. At first it is so large that the step is nearly that of gradient
# descent, along which the hidden layer moves; at the end it is gone, and the step is Gauss-Newton's. The cell measures it beside small steps that become whole, on seeds that the check does not use.
# Both win; the falling damping learns more, because early on it leaves alone what lies along the small eigenvalues until there are features that explain it. At
# *unmatched* training loss almost anything can be shown: a run that stopped at a percent of the loss may have the better test loss today.


# %% tags=["solution"]
def small_then_whole(look, w):
    for size in [0.05] * 15 + [1.0] * 6:
        r, J = look(w)
        w = w - size * J.T @ torch.linalg.solve(J @ J.T, r)
    return w, None


for name, method in (
    ("falling damping", race),
    ("small steps, then whole", small_then_whole),
):
    gains, looks = [], []
    for seed in range(10, 22):
        one = fresh_race(seed)
        w, _ = method(one.look, one.start)
        gains.append(one.random_features() / one.test(w))
        looks.append(len(one.looks))
    middle = torch.tensor(gains).median().item()
    print(
        f"{name}: gain {middle:.2g} (median of 12, smallest {min(gains):.2g}), at most {max(looks)} looks"
    )

# %% [markdown] exercise="tracker" stars=3 minutes=75 concept="a sharpness tracker"
# ## Exercise 2: track a network to the edge
#
# ★★★ · 75 minutes · build
#
# In lesson 08 sharpness climbs until the stability number $\eta S/2$ is 1, and hovers there. Build the instrument that shows it, for a torch network
# that is trained by `torch.optim.SGD` with `lr=eta` on `nn.MSELoss`, on all the data at every step: 400 steps, and a stability number at steps 0, 20, 40, ..., 400.
#
# Your function gets two functions of the weights, joined in one vector: `gradient(w)`, and `product(w, v)`, the Hessian at `w` times `v`. Both are those of this course's loss,
# *half* the mean square, while `nn.MSELoss` has no half; so the units are yours to sort out. Your function takes the steps itself. Of each of two
# networks with 205 weights the check measures, at `eta=0.2`,
#
# | | band | why this is fair |
# |---|---|---|
# | the weights at which you ask for gradients | those of SGD, 400 steps, to 1e-9 | the next weights follow from the last ones |
# | your 21 numbers against dense Hessians | within 0.5 % | Lanczos iteration is far nearer with 8 products a number |
# | products in all | at most 300 | the whole Hessian takes 205 for one number; 14 a number are plenty |
# | mean of the last ten numbers | 0.9 to 1.2 | the edge is at 1; a wrong unit is off by a factor of two |
#
# Below are a network to practise on, its loss along SGD, and its numbers from dense Hessians. `Slope(net, x, y)` gives the two functions for any module of your own with one output.

# %%
losses, numbers = along_sgd(slope(12), eta=0.2)
fig, (ax,) = panels(size=(5.4, 3.0))
curve(ax, range(401), losses, "loss", look="edge of stability")
ax.set(xlabel="step k", ylabel="loss $L$", yscale="log")
numbers = ", ".join(f"{number:.2f}" for number in numbers[::5])
show(fig, f"The stability numbers at steps 0, 100, 200, 300 and 400 are {numbers}.")


# %% exercise="tracker"
def tracker(gradient, product, w, eta):
    """Stability numbers along 400 steps of SGD on the mean square.

    gradient: gradient(w), (p,).   product: product(w, v), (p,).   Both of half the mean square.
    w: (p,), the start.   eta: SGD's step.
    Returns: (21,), at steps 0, 20, ..., 400.
    """
    ### BEGIN SOLUTION
    q, numbers = torch.sin(torch.arange(1.0, len(w) + 1, dtype=w.dtype)), []
    for k in range(401):
        if k % 20 == 0:
            basis, images = [q / q.norm()], []
            for _ in range(10):
                images.append(product(w, basis[-1]))
                rest = images[-1]
                for b in basis * 2:
                    rest = rest - (b @ rest) * b
                basis.append(rest / rest.norm())
            Q = torch.stack(basis[:-1])
            small = Q @ torch.stack(images).T
            lam, U = torch.linalg.eigh((small + small.T) / 2)
            q = U[:, -1] @ Q
            numbers.append(eta * lam[-1])
        w = w - 2 * eta * gradient(w)
    return torch.stack(numbers)
    ### END SOLUTION


# %% [markdown] hints="tracker"
# <details><summary>Hint 1</summary>
# The mean square is twice its half: so is its gradient, and so is its sharpness. What becomes of the step, and of η S/2, in terms of `gradient` and `product`?</details>
#
# <details><summary>Hint 2</summary>
# Exercise 6 of lesson 08 finds a largest eigenvalue from products. Between two measurements the vector that belongs to it changes little: where should the next search begin?</details>
#
# <details><summary>Hint 3</summary>
# A cheap test: compare your number at step 0 with that of the dense Hessian in the cell above, before you train anything.</details>

# %% check="tracker"
check("10/tracker", tracker)

# %% see="tracker"
see("10/tracker", tracker)

# %% [markdown] discussion="tracker" tags=["solution"]
# **Discussion.** SGD's step is `w - 2 * eta * gradient(w)`, and its stability number is η times the largest eigenvalue that `product` has: the two halves cancel. Ten Lanczos products that begin at the
# last vector are enough. The cell tries fewer, by Lanczos and by power iteration, on one network of the same kind: where two large eigenvalues are near each other, power
# iteration creeps. The meter of lesson 08 needs no product at all, and is not sharpness: in a swing of period two it is 1 by construction.

# %% tags=["solution"]
one = slope(12)
w = one.start
for _ in range(200):
    w = w - 2 * 0.2 * one.gradient(w)
H = torch.stack([one.product(w, e) for e in torch.eye(len(w), dtype=w.dtype)])
true = torch.linalg.eigvalsh(H)[-1]
q = torch.sin(torch.arange(1.0, len(w) + 1, dtype=w.dtype))
krylov = [q / q.norm()]
for k in range(1, 9):
    krylov.append(H @ krylov[-1] / (H @ krylov[-1]).norm())
    if k % 4 == 0:
        Q = torch.linalg.qr(torch.stack(krylov[:k]).T).Q
        lanczos = torch.linalg.eigvalsh(Q.T @ H @ Q)[-1]
        power = krylov[k - 1] @ H @ krylov[k - 1]
        off = [abs(value / true - 1).item() for value in (lanczos, power)]
        print(
            f"{k:2} products: Lanczos is off by {off[0]:.0e}, power iteration by {off[1]:.0e}"
        )

# %% [markdown] exercise="regime_map" stars=3 minutes=75 concept="a map of regimes"
# ## Exercise 3: draw a map of gap and gain
#
# ★★★ · 75 minutes · measure
#
# Lesson 05 reads two numbers off a network in training: the *gap*, its test loss over that of its re-fit, and the *gain*, the test loss of re-fitted random features
# over that of its re-fit. Lessons 05 and 06 say on what they depend: on the size of the hidden weights at the start, and on time. Draw the map over both. Which values you put
# on the axes is yours to choose, and so is the number of seeds: they have to show the rich and the lazy end, and be paid for.
#
# Your function gets `run`. `run(std, t, seed)` trains 50 hidden units by Gauss-Newton on 40 samples from $v = 0$ to the time `t`, and returns a dictionary of tensors:
# `features` (40, 50) of the training data and `features_test` (500, 50), without the $1/m$, each also as `features_start` and `features_test_start`; the output weights `v` (50,), labels
# `y` and `y_test`. Re-fits drop eigenvalues of $\Phi\Phi^T$ of at most 1e-6 of the largest, as in exercise 4 of lesson 05. `std` may be 0.05 to 20, and `t` 0.05 to 5. At each place put the *median over
# seeds*, of gap and of gain. The check measures
#
# | | band | why this is fair |
# |---|---|---|
# | both ends covered, on 4 values of std and 3 of t or more | gap and gain each 10 or more somewhere, 2.5 or less somewhere else | so it was for each of twenty triples of seeds, at corners that lessons 05 and 06 name |
# | every number, from the runs you made there | within 2 % | definition and baseline are as above; only rounding is left |
# | runs | 3 seeds a place or more, at most 120 in all | enough for 4 by 3 places three times over |
# | your four corners against five fresh seeds | 0.75 powers of ten apart or less, on average | medians of three seeds are this far apart in less than one draw of a hundred |

# %%
sizes = {name: tuple(part.shape) for name, part in run(1.0, 0.5, seed=20).items()}
for name, shape in sizes.items():
    print(f"{name:20} {shape}")


# %% exercise="regime_map"
def regime_map(run):
    """Medians of gap and gain over the start of the hidden weights and time.

    run: run(std, t, seed) trains a network, and returns its features, v and labels.
    Returns: {"std": (a,), "t": (b,), "gap": (a, b), "gain": (a, b)}, rising axes.
    """

    ### BEGIN SOLUTION
    def fitted(F, F_test, y, y_test):
        lam, Q = torch.linalg.eigh(F @ F.T)
        keep = lam > 1e-6 * lam[-1]
        out = F_test @ (F.T @ (Q[:, keep] @ (Q[:, keep].T @ y / lam[keep])))
        return (out - y_test).square().mean()

    std = torch.tensor([0.1, 0.5, 2.0, 10.0], dtype=torch.float64)
    t = torch.tensor([0.5, 1.0, 4.0], dtype=torch.float64)
    told = torch.empty(4, 3, 3, 2, dtype=torch.float64)
    for i, j, seed in product(range(4), range(3), range(3)):
        d = run(std[i].item(), t[j].item(), seed)
        f = d["features_test"] @ d["v"] / len(d["v"])
        again = fitted(d["features"], d["features_test"], d["y"], d["y_test"])
        rf = fitted(d["features_start"], d["features_test_start"], d["y"], d["y_test"])
        told[i, j, seed, 0] = (f - d["y_test"]).square().mean() / again
        told[i, j, seed, 1] = rf / again
    gap, gain = told.median(2).values.unbind(-1)
    return {"std": std, "t": t, "gap": gap, "gain": gain}
    ### END SOLUTION


# %% [markdown] hints="regime_map"
# <details><summary>Hint 1</summary>
# Where does a network hide what it has learned, and where has it nothing to hide? And what becomes of any gap when the training is done?</details>
#
# <details><summary>Hint 2</summary>
# Both axes want logarithmic steps. Try one seed first, at the corners only, to see where they should be.</details>
#
# <details><summary>Hint 3</summary>
# One function for a re-fit's test loss, called twice at each run: with the features now, and with those of the start. Both are fitted on y and tested on y_test.</details>

# %% check="regime_map"
check("10/regime_map", regime_map)

# %% see="regime_map"
see("10/regime_map", regime_map)

# %% [markdown] discussion="regime_map" tags=["solution"]
# **Discussion.** The gain falls along the start and hardly cares about time once there has been some; the gap falls along time, whatever the start. So the two axes of the map are nearly the two numbers: what the
# hidden layer learns is decided by its start, and the gap says how much of the last layer is still to do. Between seeds both spread over more than a power of ten where they are large, as the cell shows for one corner:
# a mean would be the luckiest seed over their number. Regimes are told by powers of ten, and powers of ten are what three seeds can give.

# %% tags=["solution"]
one = {"gap": [], "gain": []}
for seed in range(20, 29):
    corner = trained(0.1, 1.0, seed)
    x, y, new, right = corner.data.x, corner.data.y, corner.data.x_test, corner.data.y_test
    own, again, rf = (
        loss_on(net, new, right).item()
        for net in (corner.net, refit(corner.net, x, y), refit(corner.start, x, y))
    )
    one["gap"].append(own / again)
    one["gain"].append(rf / again)
for name, values in one.items():
    low, middle, high = torch.tensor(values).quantile(torch.tensor([0.0, 0.5, 1.0]))
    print(
        f"std 0.1, t = 1: the {name} of nine seeds goes from {low:.2g} to {high:.2g}, median {middle:.2g}"
    )

# %% [markdown]
# ## Two questions to write about
#
# 10 minutes · three or four sentences each, in your own words, before you open the model answer
#
# **1.** Why is a race between two optimizers decided at a matched training loss, and not after the same number of steps or the same time?
#
# <details><summary>A model answer</summary>
#
# After the same number of steps the two have fitted differently much, and the test loss of a run that is not done says how far it is rather than what it has found. At
# the same training loss both explain the data equally well, and what differs is which of the many fits was chosen. The steps or looks they took then are the price, which is
# compared separately.</details>
#
# **2.** What would happen to the race if the hidden weights at the start were twenty times larger?
#
# <details><summary>A model answer</summary>
#
# The features would then be large, and a small relative movement of the hidden weights, or none, would do: the network would be nearly lazy. A gentle beginning would
# then buy little, since the hidden layer has no need to move, and all methods that fit would end near the test loss of random features. Nobody would win by features, only
# by looks.</details>
