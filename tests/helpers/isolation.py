"""A place of its own for a test run: none of the user's results, data, home or settings are seen.

`conftest.py` calls this before anything else is imported; worker and child processes inherit it.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

KEPT = (
    "PATH", "LANG", "LC_", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "CXX", "CUDA_",
    "PYTEST_", "AEVB_TEST_SHAPES", "PYTHON", "OPENBLAS_", "COV_", "TERM", "SYSTEMROOT",
)  # fmt: skip
"""Beginnings of the variables that tests may see; all others belong to the user."""
HOME = "AEVB_TEST_HOME"


def isolate() -> None:
    """Empty the environment but for `KEPT`, with a new folder as the home."""
    inherited = os.environ.get(HOME)  # by xdist's workers
    data_dir = os.environ.get("AEVB_TEST_DATA_DIR", os.environ.get("DATA_DIR", ""))
    for name in [name for name in os.environ if not name.startswith(KEPT)]:
        del os.environ[name]
    home = inherited or tempfile.mkdtemp(prefix="aevb-tests-")
    if not inherited:
        atexit.register(shutil.rmtree, home, ignore_errors=True)
    os.environ |= {
        HOME: home,
        "PYTHONPATH": str(Path(__file__).parents[2]),  # tests do not begin in the repository
        "HOME": home,
        "AEVB_OFFLINE": "1",
        "AEVB_TEST_DATA_DIR": os.path.abspath(data_dir) if data_dir else "",
        "GOMP_SPINCOUNT": "1000",  # as `reproduce` sets it, before torch is loaded
        "WANDB_SILENT": "true",
    }
