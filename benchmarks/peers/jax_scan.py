"""Peer: JAX, many steps in one compiled program, for one model or for several by `vmap`.

As JAX's own example of a variational auto-encoder
(https://github.com/jax-ml/jax/blob/main/examples/mnist_vae.py) it keeps the images on the device
and compiles a whole loop of updates; with `jax.lax.scan`
(https://docs.jax.dev/en/latest/_autosummary/jax.lax.scan.html) and donated buffers
(https://docs.jax.dev/en/latest/buffer_donation.html), and several models as in "Automatic
vectorization" (https://docs.jax.dev/en/latest/automatic-vectorization.html).

It is the fastest of the forms that we tried, measured in turn on two cores of an AMD EPYC: a
minibatch's indices and noise drawn before the loop, softplus written out, and Adagrad in its three
lines together make about a tenth over the loop that draws inside, `jax.nn.softplus` and
`optax.adagrad`. Layout of the weights, images as float32, unrolled or longer loops, and XLA's flags
for Eigen's threads and wider vectors made no difference.
"""
# pyright: reportMissingImports=false
# (JAX is an optional extra.)

import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.peers.workload import (
    BATCH_SIZE,
    LEARNING_RATE,
    N_HIDDEN,
    N_LATENT,
    N_PIXELS,
    N_TRAIN,
    WARM_UP_STEPS,
    Clock,
    Measurement,
    grey_levels,
    parser,
    positive_int,
    report,
)

SCAN_STEPS = 100  # steps of a compiled loop
ACCUMULATOR_START = 1e-8
DECAY = BATCH_SIZE / N_TRAIN

Params = dict[str, dict[str, jax.Array]]
State = tuple[Params, Params]
Chunk = Callable[[State, jax.Array, jax.Array], State]

SHAPES = {
    "encoder": (N_PIXELS, N_HIDDEN),
    "mean": (N_HIDDEN, N_LATENT),
    "log_variance": (N_HIDDEN, N_LATENT),
    "hidden": (N_LATENT, N_HIDDEN),
    "logits": (N_HIDDEN, N_PIXELS),
}


def initial(key: jax.Array) -> Params:
    """Return weights (in, out) from N(0, 0.01²), and biases of zero."""
    keys = jax.random.split(key, len(SHAPES))
    return {
        name: {"weight": 0.01 * jax.random.normal(k, shape), "bias": jnp.zeros(shape[1])}
        for k, (name, shape) in zip(keys, SHAPES.items(), strict=True)
    }


def linear(layer: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    """Apply one layer to x (batch, in)."""
    return x @ layer["weight"] + layer["bias"]


def negative_elbo(params: Params, x: jax.Array, noise: jax.Array) -> jax.Array:
    """Return minus the bound of images (batch, pixel), summed over the minibatch, in nats.

    `noise` (batch, latent) is standard normal.
    """
    hidden = jnp.tanh(linear(params["encoder"], x))
    mean, log_variance = linear(params["mean"], hidden), linear(params["log_variance"], hidden)
    z = mean + jnp.exp(0.5 * log_variance) * noise
    logits = linear(params["logits"], jnp.tanh(linear(params["hidden"], z)))
    softplus = jnp.maximum(logits, 0) + jnp.log1p(jnp.exp(-jnp.abs(logits)))
    reconstruction = jnp.sum(softplus - x * logits)
    kl = -0.5 * jnp.sum(1 + log_variance - mean**2 - jnp.exp(log_variance))
    return reconstruction + kl


def start(key: jax.Array) -> State:
    """Return the weights and Adagrad's accumulators at the beginning."""
    params = initial(key)
    return params, jax.tree.map(lambda p: jnp.full_like(p, ACCUMULATOR_START), params)


def update(state: State, x: jax.Array, noise: jax.Array) -> State:
    """Take one step of Adagrad on a minibatch (batch, pixel) with its noise (batch, latent).

    As in `benchmarks.peers.model`, the prior on the weight matrices is their weight decay.
    """
    params, sums = state
    gradient = jax.grad(negative_elbo)(params, x, noise)
    gradient = jax.tree.map(lambda g, p: g + DECAY * p if p.ndim == 2 else g, gradient, params)
    sums = jax.tree.map(lambda s, g: s + g * g, sums, gradient)
    params = jax.tree.map(
        lambda p, g, s: p - LEARNING_RATE * g / jnp.sqrt(s), params, gradient, sums
    )
    return params, sums


def train_chunk(state: State, key: jax.Array, x_train: jax.Array) -> State:
    """Take `SCAN_STEPS` steps, each on a minibatch drawn from the bytes x_train (image, pixel)."""
    for_index, for_noise = jax.random.split(key)
    index = jax.random.randint(for_index, (SCAN_STEPS, BATCH_SIZE), 0, len(x_train))
    noise = jax.random.normal(for_noise, (SCAN_STEPS, BATCH_SIZE, N_LATENT))

    def step(state: State, drawn: tuple[jax.Array, jax.Array]) -> tuple[State, None]:
        index, noise = drawn
        return update(state, x_train[index].astype(jnp.float32) / 256, noise), None

    return jax.lax.scan(step, state, (index, noise))[0]


def compiled(seeds: int) -> tuple[Callable[[jax.Array], State], Chunk]:
    """Return `start` and `train_chunk` for so many models; several take a key each."""
    if seeds == 1:
        return start, jax.jit(train_chunk, donate_argnums=0)
    together = jax.vmap(train_chunk, in_axes=(0, 0, None))
    return jax.vmap(start), jax.jit(together, donate_argnums=0)


def measure(seconds: float, threads: int, seeds: int = 1) -> Measurement:
    """Train for `seconds` after a warm-up; return samples/s over all seeds, and memory.

    Parameters
    ----------
    seconds
        How long to measure.
    threads
        CPU threads that XLA may use.
    seeds
        Models trained at once; 1 goes without `vmap`.
    """
    limit_threads(threads)
    begin, chunk = compiled(seeds)
    key = jax.random.key(0)

    def next_keys() -> Any:
        nonlocal key
        key, found = jax.random.split(key)
        return found if seeds == 1 else jax.random.split(found, seeds)

    x_train = jnp.asarray(grey_levels())
    state = begin(next_keys())
    warm_up = -(-WARM_UP_STEPS // SCAN_STEPS)
    clock = Clock(seconds, SCAN_STEPS * BATCH_SIZE * seeds, warm_up)
    while True:
        state = jax.block_until_ready(chunk(state, next_keys(), x_train))
        if clock.tick():
            return clock.measurement()


def limit_threads(threads: int) -> None:
    """Let XLA use so many threads.

    It starts one for each core that the process may run on, once, and has no setting of its own;
    so the cores are what is limited. Only Linux lets a process do that.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--seeds", type=positive_int, default=1, help="models trained at once")
    report(measure, options.parse_args())
