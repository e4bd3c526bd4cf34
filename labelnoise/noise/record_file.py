"""The arrays of a saved noise record, read from a file that may be damaged or foreign."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from labelnoise.errors import InputError

_REQUIRED = ("kind", "num_classes", "clean_label", "label")


def read_record_arrays(path: Path) -> dict[str, np.ndarray]:
    """Every array of the file, which has all that a record cannot be without.

    A record of unknown truth has no clean_label.

    Raises:
        InputError: for a file that is missing, damaged, or lacks an array.
    """
    if not path.is_file():
        raise InputError(f"noise record '{path}' is no file; write the noise.npz of an earlier run")
    try:
        arrays = _read_npz(path)
    except Exception as error:  # damage can surface as any error, from zip's to zlib's
        raise InputError(
            f"noise record '{path}' cannot be read ({type(error).__name__}): it is damaged "
            "or no .npz of plain arrays; write the noise.npz of an earlier run"
        ) from error
    unknown = "truth" in arrays and str(arrays["truth"]) == "unknown"
    required = [name for name in _REQUIRED if not (unknown and name == "clean_label")]
    missing = [name for name in required if name not in arrays]
    if missing:
        raise InputError(
            f"noise record '{path}' holds {', '.join(arrays) or 'nothing'} and lacks "
            f"{', '.join(missing)}; write the noise.npz of an earlier run"
        )
    return arrays


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    """Every array of the file; reading them all checks that none is damaged."""
    # Opened here, since numpy leaves a damaged file open.
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
