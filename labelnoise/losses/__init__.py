"""Losses of single samples for labels that may be wrong: logits and labels in, one number each out.

Every function here takes ``logits`` (n, K) and given labels ``label`` (n,), and returns (n,) losses
that autograd can follow. Options out of range raise ``InputError``.
"""

from labelnoise.losses.robust import ce, gce, mae

__all__ = ["ce", "gce", "mae"]
