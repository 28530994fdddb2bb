"""log p(x, z), which is computed in pieces where no gradient is wanted."""

import pytest
import torch

from likelihood_models import small
from reproduce.models.decoders import BernoulliDecoder, GaussianDecoder


@pytest.mark.parametrize("decoder", [BernoulliDecoder, GaussianDecoder])
@pytest.mark.parametrize("n_points", [1, 6, 700])
def test_pieces_are_the_whole(decoder, n_points):
    target, x = small(decoder, 2, n_points=n_points)
    source = torch.Generator().manual_seed(3)
    z = torch.randn(2, 1030 if n_points < 700 else 3, n_points, 2, generator=source)
    whole = target.log_joint(x, z)
    with torch.no_grad():
        pieces = target.log_joint(x, z)
    assert pieces.shape == z.shape[:3]
    torch.testing.assert_close(pieces, whole, rtol=1e-5, atol=1e-4)
