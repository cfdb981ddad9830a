"""Random streams: one seed, an independent generator for each (stage, subject, block).

The key never holds the parameter set, so base and head see the same paths, nor the list of configured
assets, so that adding an asset changes no other asset's numbers, nor anything about workers.
"""

from __future__ import annotations

import hashlib

import numpy as np


def words(stage: str, subject: str, block: int) -> tuple[int, ...]:
    """Four 32-bit words that name a stream; a change of any part gives unrelated words."""
    digest = hashlib.blake2b(f"{stage}\x1f{subject}\x1f{block}".encode(), digest_size=16).digest()
    return tuple(int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4))


def stream(seed: int, stage: str, subject: str, block: int = 0) -> np.random.Generator:
    """Return the generator of one block of work.

    Parameters
    ----------
    seed
        The run's seed.
    stage, subject
        What is drawn and for whom, e.g. ``"posterior"``, ``"ETH:USD"``.
    block
        Index of a block of paths; the block size is a setting and never follows from the number of workers.
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=words(stage, subject, block))))
