"""What this suite uses of other libraries that they do not promise to keep: each, and what for.

Where an upgrade changes one of these, its test fails by its name.
"""

import inspect
import re
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = {
    "hydra._internal.utils",  # commands/train.py: options, told from overrides
    "hydra._internal.core_plugins.basic_sweeper",  # sweeps/multirun.py: the jobs of a sweep
    "torch._dynamo.config",  # algorithms/compiled.py: gradients within a compiled step
    "torch._dynamo.exc",  # algorithms/compiled.py: a step that is traced again
    "torch._inductor.compile_fx",  # algorithms/compiled.py: options of the compiler of one graph
    "torch.ops.mkldnn._linear_pointwise",  # models/kernels.py: one product, rounded always alike
    "pool._processes",  # training/pool.py: workers that must be ended by force
    "view._internal_name",  # report/wandb_pages.py: a page that is written again
    "view._internal_id",
}
"""Everything with an underscore; what has none, and is not promised either, has a test below."""


def test_all_names_with_an_underscore_are_listed():
    private = re.compile(
        r"(?:hydra|torch|lightning_fabric|pytorch_lightning|wandb|omegaconf|submitit|joblib|ray)"
        r"(?:\.\w+)*\._[a-z]\w*(?:\.\w+)*|\b(?:pool|view)\._[a-z]\w*"
    )
    found = {
        name.removesuffix(".trace_autograd_ops").removesuffix(".default")
        for folder in ("reproduce", "baselines")
        for path in (ROOT / folder).rglob("*.py")
        for name in private.findall(path.read_text(encoding="utf-8"))
    }
    assert found == NAMED


def test_hydras_parser_tells_options_from_overrides():
    from hydra._internal.utils import get_args_parser

    given = get_args_parser().parse_args(["--cfg", "job", "seeds=2"])
    assert (given.cfg, given.overrides, given.multirun) == ("job", ["seeds=2"], False)
    for name in ("info", "help", "hydra_help", "shell_completion", "config_path", "config_name"):
        assert not getattr(given, name)


def test_hydras_sweeper_splits_overrides_into_jobs():
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_overrides(["a=1,2", "b=3"])
    (jobs,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    assert jobs == [["a=1", "b=3"], ["a=2", "b=3"]]


def test_an_application_of_hydra_can_be_set_aside():
    """config/overrides.py composes within one, which Hydra refuses."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        application = GlobalHydra.instance().hydra
        assert application is not None
        assert application.config_loader is not None
        GlobalHydra.instance().clear()
        GlobalHydra.instance().hydra = application


def test_torchs_compilers_take_what_they_are_given():
    import torch._dynamo.config
    from torch._dynamo.exc import TorchDynamoException
    from torch._inductor import config as inductor
    from torch._inductor.compile_fx import compile_fx

    assert hasattr(torch._dynamo.config, "trace_autograd_ops")
    assert issubclass(TorchDynamoException, Exception)
    assert "config_patches" in inspect.signature(compile_fx).parameters
    for option in ("cpp_wrapper", "compile_threads", "cpp_cache_precompile_headers"):
        assert hasattr(inductor, option)
    assert hasattr(inductor.cpp, "threads")


def test_a_pool_of_processes_names_them():
    with ProcessPoolExecutor(1) as pool:
        pool.submit(int).result()
        (process,) = (pool._processes or {}).values()
        assert process.is_alive()


def test_lightning_is_quiet_about_slurm_and_names_its_sigterm():
    from reproduce.common.lightning import LightningEnvironment, SIGTERMException

    assert issubclass(SIGTERMException, SystemExit)
    assert LightningEnvironment().creates_processes_externally is False


def test_wandb_knows_its_settings():
    import wandb

    wandb.Settings(silent=True, console="off", x_disable_stats=True, disable_git=True)


def test_the_files_that_are_read_without_their_packages_are_there():
    """data/digits.py and common/provenance.py: importing these takes seconds."""
    from sklearn.datasets import load_digits

    from reproduce.common.provenance import provenance
    from reproduce.data import digits

    assert (digits._levels() == load_digits(return_X_y=True)[0]).all()
    assert provenance()["packages"]["torch"] == sys.modules["torch"].__version__


@pytest.mark.integration
@pytest.mark.parametrize("module", ["sweeps.application", "training.pool"])
def test_training_starts_without_what_it_does_not_need(module):
    """The command and its workers: these modules would double their start."""
    heavy = {"matplotlib", "scipy.signal", "scipy.stats", "sklearn", "wandb",
             "torch._inductor.compile_fx"}  # fmt: skip
    program = f"import sys, reproduce.{module}; print(*({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (0, [])
