"""Read the arrays of a saved noise record; the file may be damaged or of another kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from labelnoise.errors import InputError

_REQUIRED = ("kind", "num_classes", "clean_label", "label")


def read_record_arrays(path: Path) -> dict[str, np.ndarray]:
    """Every array of the file; the arrays that a record needs are checked.

    A record of unknown truth has no clean_label.

    Raises:
        InputError: a file that is missing, damaged, or lacks an array.
    """
    if not path.is_file():
        raise InputError(
            f"noise record '{path}' is not a file; give the noise.npz of an earlier run"
        )
    try:
        arrays = _read_npz(path)
    except Exception as error:  # a damaged file can raise any error
        raise InputError(
            f"noise record '{path}' cannot be read ({type(error).__name__}): it is damaged "
            "or not an .npz of plain arrays; give the noise.npz of an earlier run"
        ) from error
    unknown = "truth" in arrays and str(arrays["truth"]) == "unknown"
    required = [name for name in _REQUIRED if not (unknown and name == "clean_label")]
    missing = [name for name in required if name not in arrays]
    if missing:
        raise InputError(
            f"noise record '{path}' has {', '.join(arrays) or 'nothing'} and lacks "
            f"{', '.join(missing)}; give the noise.npz of an earlier run"
        )
    return arrays


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    """Every array of the file; reading them all checks that none is damaged."""
    # Opened here, because numpy does not close a damaged file.
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
