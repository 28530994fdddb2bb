"""Blocks of steps as CUDA graphs: the bookkeeping anywhere, the graphs themselves on a GPU."""

import pytest
import torch

from building import algorithm, parameters
from reproduce.algorithms import base as algorithm_module
from reproduce.models.decoders import BernoulliDecoder, GaussianDecoder

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


class Recording:
    """A stand-in that runs the steps when it is replayed, as a graph would."""

    def __init__(self, steps, noise):
        self.steps, self.noise, self.replays = steps, noise, 0

    def replay(self):
        self.replays += 1
        self.steps(self.noise)


def trained(name, images, blocks, graphs, device="cpu", **settings):
    built = algorithm(name, images, warmup_steps=15, **settings)
    if device == "cuda":
        built.to(device)
        optimizers = built.configure_optimizers()
        built._raw_optimizers = lambda: optimizers
    built._captures = lambda: graphs
    built.training_step(range(blocks), 0)
    return built


@pytest.mark.parametrize("name", ["aevb", "wake_sleep"])
def test_replayed_blocks_see_their_own_noise_and_the_warm_up_stays_outside(
    name, images, monkeypatch
):
    monkeypatch.setattr(algorithm_module, "BlockGraph", Recording)
    eager, replayed = (trained(name, images, 6, graphs) for graphs in (False, True))
    assert isinstance(replayed._graph, Recording)
    assert replayed._graph.replays == 4  # of blocks 2 to 5: the warm-up ends within block 1
    assert torch.equal(parameters(eager.model), parameters(replayed.model))
    assert torch.equal(eager.running_sum, replayed.running_sum)
    assert torch.equal(eager.running_steps, replayed.running_steps)


def test_a_continued_run_takes_its_first_block_without_a_graph(images, monkeypatch):
    monkeypatch.setattr(algorithm_module, "BlockGraph", Recording)
    built = algorithm("aevb", images, warmup_steps=0)
    built._captures = lambda: True
    built.training_step(range(40, 41), 0)
    assert built._graph is None
    built.training_step(range(41, 43), 0)
    assert isinstance(built._graph, Recording)
    assert built._graph.replays == 2


@on_gpu
@pytest.mark.parametrize("decoder", [BernoulliDecoder, GaussianDecoder])
@pytest.mark.parametrize("name", ["aevb", "wake_sleep"])
def test_a_graph_trains_as_eager_steps_do(name, decoder, images):
    eager, graph = (
        trained(name, images, 8, graphs, "cuda", decoder=decoder) for graphs in (False, True)
    )
    assert graph._graph is not None
    assert torch.allclose(parameters(eager.model), parameters(graph.model), rtol=1e-4, atol=1e-6)
    assert torch.allclose(eager.running_sum, graph.running_sum, rtol=1e-5)
    assert not torch.equal(
        parameters(graph.model), parameters(algorithm(name, images).model).cuda()
    )


@on_gpu
@pytest.mark.parametrize("name", ["aevb", "wake_sleep"])
def test_one_step_on_the_gpu_is_the_step_on_the_cpu(name, images):
    here = algorithm(name, images, warmup_steps=0)
    there = algorithm(name, images, warmup_steps=0).to("cuda")
    optimizers = there.configure_optimizers()
    there._raw_optimizers = lambda: optimizers
    noise = {key: value[:, 0] for key, value in here._draw(0).items()}
    index = noise.pop("index")
    bound = here.step(here.pixels(index), noise)
    noise = {key: value.cuda() for key, value in noise.items()}
    again = there.step(there.pixels(index.cuda()), noise)
    assert torch.allclose(bound, again.cpu(), rtol=1e-5)
    assert torch.allclose(parameters(here.model), parameters(there.model).cpu(), atol=1e-5)
