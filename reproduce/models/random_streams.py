"""Random streams as functions of (seed, purpose).

A stream is named by a seed and a key such as ("train", block). Nothing about it has to
be stored: whatever is stacked with a seed, and wherever its training was interrupted, it sees
the same numbers again on the same kind of device.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


def generator(device: torch.device | str, seed: int, *key: str | int) -> torch.Generator:
    """Return a fresh generator for the stream (seed, key) on `device`.

    The 64-bit seed is a hash of the name. (Torch's CPU engine uses 32 bits of it: among 10^5
    streams about one pair coincides, which repeats a few minibatches thousands of steps apart.)
    """
    name = repr((seed, *key)).encode()
    digest = hashlib.blake2b(name, digest_size=8).digest()
    return torch.Generator(device=device).manual_seed(int.from_bytes(digest, "little") >> 1)


@dataclass(frozen=True)
class ImageStreams:
    """Random numbers as functions of (seed, image, purpose), whichever other images are in a batch.

    Attributes
    ----------
    seeds
        One per seed.
    names
        What names an image, a hash of its content; (seed, batch).
    device
        Where numbers are drawn.
    """

    seeds: tuple[int, ...]
    names: tuple[tuple[str, ...], ...]
    device: torch.device

    @classmethod
    def of(cls, x: Float[Tensor, "seed batch pixel"], seeds: Sequence[int]) -> "ImageStreams":
        """Name the streams of the images x."""
        names = tuple(
            tuple(hashlib.blake2b(image.tobytes(), digest_size=8).hexdigest() for image in rows)
            for rows in x.cpu().numpy()
        )
        return cls(tuple(seeds), names, x.device)

    def draw(
        self, normal: Sequence[int], uniform: Sequence[int], *key: str | int
    ) -> tuple[Float[Tensor, "seed batch ..."], Float[Tensor, "seed batch ..."]]:
        """Draw numbers from N(0, 1) and from [0, 1), of the shapes `normal` and `uniform` each."""
        normals, uniforms = [], []
        for seed, names in zip(self.seeds, self.names, strict=True):
            sources = [generator(self.device, seed, *key, name) for name in names]
            normals.append(
                torch.stack(
                    [torch.randn(tuple(normal), generator=s, device=self.device) for s in sources]
                )
            )
            uniforms.append(
                torch.stack(
                    [torch.rand(tuple(uniform), generator=s, device=self.device) for s in sources]
                )
            )
        return torch.stack(normals), torch.stack(uniforms)
