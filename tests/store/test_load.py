import pytest
import torch

from reproduce import config, load_model
from reproduce.common.errors import UserError
from reproduce.store.store import find_cell
from reproduce.training import loop as training
from reproduce.training.loop import train


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    for latent in (2, 3):
        overrides = ["data=digits", f"model.n_latent={latent}", "samples=20000", "seeds=2",
                     "tracking=off", f"results={folder}"]  # fmt: skip
        train(config.job_from(config.compose_config(overrides)), lambda kind, payload: None)
    return folder


def test_finished_models_load_as_a_stack_with_their_trained_weights(results):
    model = load_model("digits-aevb-z3", results)
    assert (model.n_seeds, model.n_latent) == (2, 3)
    images = model.decoder.mean(torch.randn(2, 16, 3))
    assert images.shape == (2, 16, 64)
    # The mean bound of these very weights is the last point of the curve.
    cell = config.cell_from(config.compose_config(["data=digits", "model.n_latent=3"]))
    store = training.Store(results / "runs")
    digits = training.data.load("digits")
    algorithm = training.build(cell, digits, (0, 1))
    algorithm.model.load_state_dict(model.state_dict())
    algorithm.samples_seen.fill_(20_000)  # names the evaluation's random stream
    for seed, value in enumerate(algorithm.evaluate("test").tolist()):
        curve = store.curve(cell, seed)
        assert value == curve.loc[curve["split"] == "test", "value"].iloc[-1]


def test_a_run_named_to_the_end_of_a_word_is_not_taken_for_a_longer_word(tmp_path):
    store = training.Store(tmp_path / "runs")
    for latent in (2, 20, 200):
        overrides = ["data=digits", f"model.n_latent={latent}"]
        store.write_cell(config.cell_from(config.compose_config(overrides)))
    assert find_cell(store, "digits-aevb-z20").n_latent == 20
    assert find_cell(store, "digits-aevb-z200-n1").n_latent == 200
    with pytest.raises(UserError, match="Several runs begin with 'digits-aevb-z'"):
        find_cell(store, "digits-aevb-z")


def test_what_cannot_be_loaded_is_said_with_what_can(results, tmp_path):
    with pytest.raises(UserError, match="Several runs begin with 'digits-aevb'"):
        load_model("digits-aevb", results)
    with pytest.raises(UserError, match=r"There is no run 'mnist'.*digits-aevb-z2-n1500"):
        load_model("mnist", results)
    with pytest.raises(UserError, match="none yet"):
        load_model("digits", tmp_path)
