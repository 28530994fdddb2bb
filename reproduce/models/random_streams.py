"""Random streams as functions of (seed, purpose).

A stream is named by a member's seed and a key such as ("train", block). Nothing about it has to
be stored: whatever is stacked with a member, and wherever its training was interrupted, it sees
the same numbers again on the same kind of device.
"""

import hashlib

import torch


def generator(device: torch.device | str, seed: int, *key: str | int) -> torch.Generator:
    """Return a fresh generator for the stream (seed, key) on `device`.

    The 64-bit seed is a hash of the name. (Torch's CPU engine uses 32 bits of it: among 10^5
    streams about one pair coincides, which repeats a few minibatches thousands of steps apart.)
    """
    name = repr((seed, *key)).encode()
    digest = hashlib.blake2b(name, digest_size=8).digest()
    return torch.Generator(device=device).manual_seed(int.from_bytes(digest, "little") >> 1)
