"""Separate random streams from one seed, so that draws for one purpose do not affect others."""

from __future__ import annotations

import hashlib

import torch


def derive_seed(seed: int, *names: str | int) -> int:
    """Hash ``seed`` and the names of the stream into an independent 63-bit seed.

    With a cryptographic hash, neighbouring seeds (0, 1, 2, ...) and neighbouring batches are
    independent; with offsets added to a seed they would not be.

    Example:
        >>> derive_seed(0, "noise") == derive_seed(0, "noise")
        True
        >>> derive_seed(0, "noise") == derive_seed(0, "split")
        False
    """
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(seed: int, *names: str | int) -> torch.Generator:
    """Return the CPU generator of a named stream, for example ``stream(seed, "shuffle", epoch)``.

    All draws are made on the CPU, so that the data of a run do not depend on its device.
    """
    return torch.Generator().manual_seed(derive_seed(seed, *names))
