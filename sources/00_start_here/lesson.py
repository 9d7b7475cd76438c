# ---
# jupyter:
#   regimes:
#     title: Start here
#     minutes: 10
#     needs: []
#     papers: [arbel2023, min2021, veiga2022, buffelli2024, cai2024]
#     objectives:
#       - name four ways in which one over-parameterised network can learn
#       - move from one to another with scaling, width and step
#       - read a lesson, solve its exercises and have them checked
# ---

# %% [markdown]
# # Start here
#
# A network with more parameters than data can fit the data in infinitely many ways. Which way it takes is decided by how it
# starts, how it is scaled, how large its steps are and along which direction they go. Such a combination is called a
# *regime*. This course is about regimes: what five research papers prove about them, and what you see when you measure.
#
# **After these ten minutes you will be able to**
#
# - name four ways in which one over-parameterised network can learn,
# - move from one to another with scaling, width and step,
# - read a lesson, solve its exercises and have them checked.
#
# The pages you open by `python3 course.py lab` are your own copies, in the folder `work/lessons`: run, change and annotate them.

# %%
from regimes.metrics import spectrum
from regimes.networks import TwoLayer
from regimes.optimizers import EdgeFraction, GaussNewton, GradientDescent
from regimes.problems import wave
from regimes.training import train
from regimes_course.kit import guess, show
from regimes_course.learner.progress import progress
from regimes_course.lesson00 import figures as draw
from regimes_course.lesson00.widgets import four_regimes

# %% [markdown]
# ## One network, eight points, four regimes
#
# The network has one hidden layer of $m = 100$ units,
# $$f(x) = s \sum_{j=1}^{m} v_j \tanh(w_j x + b_j),$$
# and starts from random numbers: all $w_j, b_j, v_j$ are standard normal. It has 300 parameters; the data are eight points on a
# wave. Only three things will differ between the four runs:
#
# | regime | output scale $s$ | direction | size of the step |
# |---|---|---|---|
# | feature learning | $1/m$ | gradient | well below the stability limit |
# | lazy | $1/\sqrt m$ | gradient | well below the stability limit |
# | edge of stability | $1/m$ | gradient | at the stability limit |
# | Gauss-Newton | $1/m$ | Gauss-Newton | shrinks the error by a tenth |
#
# The *stability limit* is the step beyond which gradient descent, on a network that did not change, would diverge. Lesson 01
# explains it, and the Gauss-Newton direction.
#
# **Predict.** All four runs start from the same weights. In which one do the hidden weights move least? Replace the three dots
# by `"feature learning"`, `"lazy"`, `"edge of stability"` or `"Gauss-Newton"`, then run on.

# %%
my_guess = ...

# %%
problem = wave()


def run(scaling, optimizer, steps):
    net = TwoLayer(1, 100, activation="tanh", scaling=scaling, output_std=1.0, seed=1)
    start = net.W.detach().clone()
    trace = train(net, problem.x, problem.y, optimizer(net), steps)
    return net(problem.x_test), trace, ((net.W - start).norm() / start.norm()).item()


def below_the_limit(net):
    return GradientDescent(net, EdgeFraction(0.25))


def at_the_limit(net):
    return GradientDescent(net, 2 * len(problem.x) / spectrum(net, problem.x)[0].item())


runs = {
    "feature learning": run("mean_field", below_the_limit, 1000),
    "lazy": run("ntk", below_the_limit, 1000),
    "edge of stability": run("mean_field", at_the_limit, 1000),
    "Gauss-Newton": run("mean_field", lambda net: GaussNewton(net, 0.1, damping=1e-4), 100),
}

# %%
show(*draw.regimes(problem, runs, chaotic="edge of stability"))

# %%
guess(
    my_guess,
    f"the hidden weights move least in the lazy run: {100 * runs['lazy'][2]:.0f} %",
)

# %% [markdown]
# What to see:
#
# - **Feature learning.** With $s = 1/m$ each unit has little say, so the units have to move: the network builds its own features.
# - **Lazy.** With $s = 1/\sqrt m$ smaller movements of all the units add up to the answer. At $m = 100$ the hidden weights still move, but
#   several times less than under feature learning; the wider the network, the less they move.
# - **Edge of stability.** The loss is not monotone at first, as if the step were too large, and then goes down all the same: the
#   network has moved to where this step is just stable.
# - **Gauss-Newton.** After a slower start almost a straight line on the logarithmic axis, in a tenth of the steps (mind the axis): every
#   part of the error shrinks at nearly one rate. (A little damping, lesson 01, makes the rates differ where the kernel is nearly singular.)
#
# ## A first widget
#
# Three positions of its sliders, for readers without a running kernel:

# %%
# the third is chaotic: its numbers differ between machines
steady = list(four_regimes.frames.items())[:2]
told = [f"({t}) {four_regimes.sentence(four_regimes.compute(**f))}" for t, f in steady]
show(
    four_regimes.film((4.2, 2.3), columns=3),
    "Scaling 1/m with small steps bends the units towards the wave; scaling 1/√m moves "
    "them much less; steps at the stability limit make the loss jump before it falls. "
    + " ".join(told),
)

# %% [markdown]
# Run the next cell and move the sliders by mouse or with the arrow keys. *Sharpness* is the largest eigenvalue of $K/n$,
# where the matrix $K$ decides how fast the $n$ outputs move (lesson 01); gradient descent is stable while step × sharpness is below 2. Try
# to find
#
# 1. a width at which scaling by $1/\sqrt m$ is no longer lazy,
# 2. the smallest step after which step × sharpness ends at 2,
# 3. a step from which the run does not come back.

# %% tags=["widget"]
four_regimes.show()

# %% [markdown]
# ## How a lesson works
#
# A lesson makes a **claim** in plain words and says which paper and equation it is from. You **predict** what will happen, run
# a cell, and see the **measurement solid** beside the **prediction dashed**. The last table of each lesson, its *ledger*, sets
# what was predicted beside what was measured, over several random seeds where chance matters. Where our measurement disagrees with a paper, the ledger
# says so.
#
# **Exercises.** In a second terminal, in the course's folder:
#
# - `python3 course.py start 01` copies the exercises of lesson 01 to the folder `work`, which is yours: nothing is ever overwritten there.
# - In the notebook, each exercise has hints to unfold and a check that answers at once.
# - `python3 course.py check work/01_gradient_descent_and_gauss_newton.ipynb` runs all the checks of a notebook and prints your score.
# - `python3 course.py progress` lists which exercises you have passed, which mistakes were recognised, and what is next.
#
# The solved notebooks are in the folder `solutions`.
#
# **Help.** `python3 course.py doctor` looks at your installation and names what is off and what mends it. `python3 course.py help`
# lists all commands. The symbols are listed in `docs/NOTATION.md`.
#
# ## Map of the course
#
# | lesson | question | paper |
# |---|---|---|
# | [01 Gradient descent and Gauss-Newton](01_gradient_descent_and_gauss_newton.ipynb) | why does one crawl where the other does not? | Arbel et al. 2023 |
# | [02 Mean-field convergence](02_mean_field_convergence.ipynb) | what is a very wide network? | Arbel et al. 2023 |
# | [03 Phases of SGD](03_phases_of_sgd.ipynb) | how do step, width and dimension interplay? | Veiga et al. 2022 |
# | [04 Min-norm bias](04_min_norm_bias.ipynb) | which of all the fits is chosen? | Min et al. 2021 |
# | [05 Hidden learning](05_hidden_learning.ipynb) | can features be good while the loss is poor? | Arbel et al. 2023 |
# | [06 Lazy regime](06_lazy_regime.ipynb) | when is a network a kernel machine? | Buffelli et al. 2024 |
# | [07 Exact Gauss-Newton](07_exact_gauss_newton.ipynb) | why does the perfect step generalise poorly? | Buffelli et al. 2024 |
# | [08 Edge of stability](08_edge_of_stability.ipynb) | what happens beyond the stability limit? | Cai et al. 2024 |
# | [09 Large steps](09_large_steps.ipynb) | can unstable steps be the faster ones? | Cai et al. 2024 |
#
# Each lesson says at its top which others it needs. How far you are:

# %% tags=["personal"]
progress()

# %% [markdown]
# The papers:
#
# - M. Arbel, R. Menegaux, P. Wolinski: *Rethinking Gauss-Newton for learning over-parameterized models*, NeurIPS 2023, arXiv 2302.02904.
# - H. Min, S. Tarmoun, R. Vidal, E. Mallada: *On the explicit role of initialization on the convergence and implicit bias of
#   overparametrized linear networks*, ICML 2021, arXiv 2105.06351.
# - R. Veiga, L. Stephan, B. Loureiro, F. Krzakala, L. Zdeborová: *Phase diagram of stochastic gradient descent in
#   high-dimensional two-layer neural networks*, NeurIPS 2022, arXiv 2202.00293.
# - D. Buffelli, J. McGowan, W. Xu, A. Cioba, D. Shiu, G. Hennequin, A. Bernacchia: *Exact, tractable Gauss-Newton optimization in
#   deep reversible architectures reveal poor generalization*, NeurIPS 2024, arXiv 2411.07979.
# - Y. Cai, J. Wu, S. Mei, M. Lindsey, P. L. Bartlett: *Large stepsize gradient descent for non-homogeneous two-layer networks:
#   margin improvement and fast optimization*, NeurIPS 2024, arXiv 2406.08654.
#
# Next: [01 Gradient descent and Gauss-Newton](01_gradient_descent_and_gauss_newton.ipynb).
