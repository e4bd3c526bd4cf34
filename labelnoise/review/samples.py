"""Show a sample: its picture as a ``data:`` address, or its values in words."""

from __future__ import annotations

import base64
import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

# Pictures of a larger side are shrunk, and those above LOSSLESS are saved as JPEG.
LARGEST, LOSSLESS = 160, 64
QUALITY = 85
# Values of a sample that is not an image.
MOST_VALUES = 8


def picture(pixels: UInt8[np.ndarray, "c h w"]) -> str:
    """An image of one or three channels as the ``data:`` address of a PNG or JPEG.

    Example:
        >>> picture(np.zeros((3, 2, 2), dtype=np.uint8))[:22]
        'data:image/png;base64,'
    """
    channels = pixels[0] if len(pixels) == 1 else pixels[:3].transpose(1, 2, 0)
    image = Image.fromarray(np.ascontiguousarray(channels))
    image.thumbnail((LARGEST, LARGEST))
    lossless = max(image.size) <= LOSSLESS
    content = io.BytesIO()
    if lossless:
        image.save(content, "PNG", optimize=True)
    else:
        image.save(content, "JPEG", quality=QUALITY)
    kind = "png" if lossless else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"


def values_in_words(sample: Tensor) -> list[tuple[str, str]]:
    """The first values of a row of features, or of each patch of a sample.

    Example:
        >>> import torch
        >>> values_in_words(torch.tensor([0.5, 2.0]))
        [('value 1', '0.5'), ('value 2', '2')]
        >>> values_in_words(torch.tensor([[1.0, 0.0], [0.25, -3.0]]))
        [('patch 1', '1, 0'), ('patch 2', '0.25, -3')]
    """
    if sample.ndim == 1:
        shown = [(f"value {i + 1}", _number(v)) for i, v in enumerate(sample[:MOST_VALUES])]
        more = len(sample) - len(shown)
        return [*shown, ("and", f"{more} more values")] if more > 0 else shown
    rows = sample.flatten(1)
    return [(f"patch {i + 1}", _row(row)) for i, row in enumerate(rows[:MOST_VALUES])]


def _row(row: Tensor) -> str:
    more = f", and {len(row) - MOST_VALUES} more" if len(row) > MOST_VALUES else ""
    return ", ".join(map(_number, row[:MOST_VALUES])) + more


def _number(value: Tensor) -> str:
    return f"{float(value) + 0.0:.3g}"  # not -0
