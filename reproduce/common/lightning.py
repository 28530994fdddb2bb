"""Lightning, imported in half the time: the one place that imports it (readers do without).

Lightning needs one class of torchmetrics, which imports `scipy.signal` and matplotlib for metrics
of audio and for plots that nobody here uses. They are hidden from it for that moment.
"""

import sys
from unittest.mock import MagicMock

HIDDEN = ("scipy.signal", "matplotlib", "matplotlib.axes", "matplotlib.pyplot")

_hidden = {name: MagicMock() for name in HIDDEN if name not in sys.modules}
sys.modules.update(_hidden)
try:
    import pytorch_lightning as pl
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from pytorch_lightning.loggers import Logger
    from pytorch_lightning.plugins.io import CheckpointIO
    from pytorch_lightning.utilities.exceptions import SIGTERMException
finally:
    for _name in _hidden:
        del sys.modules[_name]

__all__ = ["CheckpointIO", "LightningEnvironment", "Logger", "SIGTERMException", "pl"]
