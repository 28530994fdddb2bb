import math

import pytest
import torch

from building import algorithm, parameters
from reproduce.algorithms.schedule import BLOCK_STEPS
from reproduce.data.images import ImageData
from reproduce.models.decoders import BernoulliDecoder, GaussianDecoder
from reproduce.models.random_streams import generator

EVERY = pytest.mark.parametrize("name", ["aevb", "wake_sleep", "full_vb"])

SIZES = [
    (BernoulliDecoder, 784, 500, 20, 1000),
    (GaussianDecoder, 560, 200, 10, 365),
    (BernoulliDecoder, 64, 100, 10, 297),
]
MORE_SIZES = [
    *((BernoulliDecoder, 784, 500, n_latent, 1000) for n_latent in (3, 5, 10, 200)),
    *((GaussianDecoder, 560, 200, n_latent, 365) for n_latent in (2, 5, 20)),
    (BernoulliDecoder, 64, 100, 5, 297),
    (GaussianDecoder, 64, 100, 10, 297),
]


@pytest.mark.parametrize(
    ("name", "decoder", "pixels", "hidden", "latent", "test_images"),
    [
        *((name, *size) for name in ("aevb", "wake_sleep", "full_vb") for size in SIZES),
        *(
            pytest.param(name, *size, marks=pytest.mark.integration)
            for name in ("aevb", "wake_sleep")
            for size in MORE_SIZES
        ),
    ],
)
def test_a_seed_of_a_stack_equals_the_same_seed_alone(
    name, decoder, pixels, hidden, latent, test_images
):
    """To the last bit, at the sizes of the experiments; see `seedwise` for what that takes."""
    source = torch.Generator().manual_seed(0)
    shape = (300 + test_images, pixels)
    bytes_ = torch.randint(256, shape, generator=source, dtype=torch.uint8)
    images = ImageData("made_up", bytes_[:300], bytes_[300:], 1 / 256, (1, pixels), "", "")
    sizes = {"decoder": decoder, "hidden": hidden, "latent": latent, "batch_size": 100}
    stack = algorithm(name, images, seeds=(5, 0, 9), std=0.01, **sizes)
    alone = algorithm(name, images, seeds=(0,), std=0.01, **sizes)
    for one in (stack, alone):
        one.training_step(range(0, 3), 0)
    assert torch.equal(parameters(stack, index=1), parameters(alone, index=0))
    assert torch.equal(stack.running_sum[1:2], alone.running_sum)
    for split in ("train", "test"):
        assert torch.equal(stack.evaluate(split)[1:2], alone.evaluate(split))
    assert not torch.equal(parameters(stack, index=0), parameters(stack, index=2))


@EVERY
def test_how_blocks_are_chunked_changes_nothing(name, images):
    one, other = algorithm(name, images), algorithm(name, images)
    one.training_step(range(0, 5), 0)
    for block in range(5):
        other.training_step(range(block, block + 1), block)
    assert torch.equal(parameters(one), parameters(other))
    assert torch.equal(one.running_sum, other.running_sum)
    assert one.samples_seen.tolist() == other.samples_seen.tolist() == [5 * BLOCK_STEPS * 20] * 2


@EVERY
def test_nothing_moves_during_warm_up(name, images):
    built = algorithm(name, images, warmup_steps=BLOCK_STEPS)
    before = parameters(built)
    built.training_step(range(0, 1), 0)
    assert torch.equal(parameters(built), before)
    for optimizer in built._raw_optimizers():
        for state in optimizer.state.values():
            assert (state["sum"] > 1e-8).any()
    built.training_step(range(1, 2), 1)
    assert not torch.equal(parameters(built), before)


def test_aevb_is_adagrad_by_the_formula(images):
    """theta += eta g / sqrt(G + 1e-8), g of the sum of bounds plus (M/N) log N(theta; 0, I)."""
    built = algorithm("aevb", images, warmup_steps=3)
    reference = algorithm("aevb", images)
    names = [name for name, _ in reference.model.named_parameters()]
    accumulated = {name: torch.zeros_like(p) for name, p in reference.model.named_parameters()}
    noise = reference._draw(0)
    for step in range(BLOCK_STEPS):
        x = reference.pixels(noise["index"][:, step])
        objective = reference.bound(x, noise["posterior"][:, step]).sum()
        for name, p in reference.model.named_parameters():
            if name.endswith("weight"):
                objective = (
                    objective + 20 / 300 * torch.distributions.Normal(0, 1).log_prob(p).sum()
                )
        gradients = torch.autograd.grad(objective, list(reference.model.parameters()))
        with torch.no_grad():
            for name, p, g in zip(names, reference.model.parameters(), gradients, strict=True):
                accumulated[name] += g**2
                if step >= 3:
                    p += 0.05 * g / torch.sqrt(accumulated[name] + 1e-8)
    built.training_step(range(0, 1), 0)
    assert torch.allclose(parameters(built), parameters(reference), atol=2e-6)


def test_wake_and_sleep_each_touch_only_their_half_and_match_a_direct_derivation(images):
    built = algorithm("wake_sleep", images, warmup_steps=0, step_size=1e-3)
    encoder, decoder = built.model.encoder, built.model.decoder
    noise = {name: value[:, 0] for name, value in built._draw(0).items()}
    x = built.pixels(noise.pop("index"))
    posterior = encoder(x)
    z = (posterior.mean + (posterior.log_variance / 2).exp() * noise["posterior"][:, 0]).detach()
    logits = decoder.output(torch.tanh(z @ decoder.hidden.weight + decoder.hidden.bias))
    log_likelihood = -torch.nn.functional.binary_cross_entropy_with_logits(
        logits, x, reduction="sum"
    )
    wake = torch.autograd.grad(log_likelihood, list(decoder.parameters()))
    before = parameters(encoder)
    gradients = {}

    def spy(loss, index):
        optimizer = built._raw_optimizers()[index]
        halves = {0: decoder, 1: encoder}
        others = halves[1 - index]
        untouched = parameters(others)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        gradients[index] = [p.grad.clone() for p in halves[index].parameters()]
        optimizer.step()
        assert torch.equal(parameters(others), untouched)

    built.adagrad_step = spy
    bound = built.step(x, noise)
    assert bound.shape == (2,)
    for ours, direct in zip(gradients[0], wake, strict=True):
        assert torch.allclose(ours, -direct, rtol=1e-4, atol=1e-5)

    # The dream is made by the decoder just updated; the encoder has not moved since.
    dreamt_z = noise["prior"]
    dreamt_x = (noise["pixel"] < decoder.mean(dreamt_z)).float()[:, 0]
    with torch.no_grad():
        after = parameters(encoder)
        torch.nn.utils.vector_to_parameters(before, encoder.parameters())
    q = encoder(dreamt_x)
    log_q = torch.distributions.Normal(q.mean, (q.log_variance / 2).exp()).log_prob(dreamt_z[:, 0])
    sleep = torch.autograd.grad(log_q.sum(), list(encoder.parameters()))
    for ours, direct in zip(gradients[1], sleep, strict=True):
        assert torch.allclose(ours, -direct, rtol=1e-4, atol=1e-5)
    assert not torch.equal(after, before)


@pytest.mark.parametrize("sgvb", ["A", "B"])
def test_wake_sleep_reports_the_variational_bound_of_its_wake_batch(images, sgvb):
    built = algorithm("wake_sleep", images, warmup_steps=1000, sgvb=sgvb, n_samples=2)
    noise = {name: value[:, 0] for name, value in built._draw(0).items()}
    x = built.pixels(noise.pop("index"))
    expected = built.bound(x, noise["posterior"]).mean(1)
    assert torch.allclose(built.step(x, noise), expected, atol=1e-4)


def test_running_bound_is_the_mean_of_the_minibatches_since_the_mark(images):
    built = algorithm("aevb", images)
    seen = []
    step = built.step
    built.step = lambda *arguments: seen.append(step(*arguments)) or seen[-1]
    built.training_step(range(0, 2), 0)
    assert torch.allclose(built.running_bound(), torch.stack(seen).double().mean(0))
    built.start_new_mark()
    built.training_step(range(2, 3), 1)
    assert torch.allclose(built.running_bound(), torch.stack(seen[-BLOCK_STEPS:]).double().mean(0))


def test_training_images_are_evaluated_up_to_the_ten_thousandth():
    bytes_ = torch.randint(256, (10_100, 4), generator=torch.Generator().manual_seed(0))
    bytes_ = bytes_.to(torch.uint8)
    changed = bytes_.clone()
    changed[10_000:] = 255 - changed[10_000:]
    touched = changed.clone()
    touched[9_999] = 255 - touched[9_999]
    of_train, of_test = [], []
    for pixels in (bytes_, changed, touched):
        images = ImageData("made_up", pixels, pixels, 1 / 256, (2, 2), "", "")
        built = algorithm("aevb", images)
        of_train.append(built.evaluate("train"))
        of_test.append(built.evaluate("test"))
    assert torch.equal(of_train[0], of_train[1])
    assert not torch.equal(of_train[0], of_train[2])
    assert not torch.equal(of_test[0], of_test[1])  # test images are all evaluated


def test_evaluation_is_the_bound_over_the_split(images):
    built = algorithm("aevb", images)
    x = images.test.float() * images.scale
    values = []
    for _ in range(4):
        many = torch.randn(2, 4000, 40, 3)
        values.append(built.sgvb(built.model, x.expand(2, -1, -1), many).mean(1).detach())
    expected = torch.stack(values).mean(0)
    single = built.sgvb(built.model, x.expand(2, -1, -1), torch.randn(2, 1, 40, 3)).detach()
    spread = (single - torch.stack(values).mean(0)[:, None]).std(1) / math.sqrt(40)
    assert ((built.evaluate("test") - expected).abs() < 5 * spread).all()
    assert torch.equal(built.evaluate("test"), built.evaluate("test"))  # its own random stream


def test_minibatches_are_drawn_with_replacement_over_the_whole_training_set(images):
    built = algorithm("aevb", images, batch_size=300)
    index = torch.cat([built._draw(block)["index"].flatten() for block in range(20)])
    counts = torch.bincount(index, minlength=300)
    assert counts.min() > 0
    assert len(built._draw(0)["index"][0, 0].unique()) < 250  # 190 expected of 300
    expected = len(index) / 300
    chi_squared = ((counts - expected) ** 2 / expected).sum().item()
    assert abs(chi_squared - 299) < 5 * math.sqrt(2 * 299)


def test_streams_depend_on_every_part_of_their_name():
    names = [(0, "train", "a", 1), (1, "train", "a", 1), (0, "train", "b", 1), (0, "train", "a", 2)]
    draws = [torch.rand(4, generator=generator("cpu", *name)) for name in names]
    assert torch.equal(draws[0], torch.rand(4, generator=generator("cpu", *names[0])))
    for i in range(4):
        for j in range(i):
            assert not torch.equal(draws[i], draws[j])


@EVERY
def test_a_seed_that_diverges_leaves_the_others_alone(name, images):
    built, healthy = algorithm(name, images), algorithm(name, images)
    with torch.no_grad():
        built.model.decoder.output.weight[0].fill_(math.nan)
    for one in (built, healthy):
        one.training_step(range(0, 3), 0)
    assert not built.running_sum[0].isfinite()
    assert torch.equal(parameters(built, index=1), parameters(healthy, index=1))
    assert torch.equal(built.running_sum[1], healthy.running_sum[1])


def test_dreams_are_clipped_on_request(images):
    built = algorithm("wake_sleep", images, decoder=GaussianDecoder, clip_dreams=True)
    dreamt = []
    forward = built.model.encoder.forward
    built.model.encoder.forward = lambda x: dreamt.append(x) or forward(x)
    for clip in (True, False):
        built.clip_dreams = clip
        built.training_step(range(0, 1), 0)
        _, dream = dreamt[-2:]  # a wake batch, then a dream
        inside = ((dream >= 0) & (dream <= 1)).all()
        assert inside if clip else not inside
