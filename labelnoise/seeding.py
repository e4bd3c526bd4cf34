"""Separate random streams from one seed, so that no part's draws depend on another's."""

from __future__ import annotations

import hashlib

import torch


def derive_seed(seed: int, *names: str | int) -> int:
    """Hash ``seed`` and the stream's names into an independent 63-bit seed.

    A cryptographic hash keeps neighbouring seeds (0, 1, 2, ...) and neighbouring batches unrelated,
    which adding offsets to one seed would not.

    Example:
        >>> derive_seed(0, "noise") == derive_seed(0, "noise")
        True
        >>> derive_seed(0, "noise") == derive_seed(0, "split")
        False
    """
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(seed: int, *names: str | int) -> torch.Generator:
    """Return the CPU generator of one named stream, for example ``stream(seed, "shuffle", epoch)``.

    Every draw is made on the CPU and moved, so that a run's data do not depend on its device.
    """
    return torch.Generator().manual_seed(derive_seed(seed, *names))
