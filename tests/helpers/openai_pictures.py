"""Pictures to and from OpenAI's client."""

import base64
from io import BytesIO

import numpy as np
from PIL import Image


def pixels(b64_json: str) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(base64.b64decode(b64_json))).convert("RGB"))


def png(picture: np.ndarray | Image.Image) -> bytes:
    buffer = BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(buffer, "PNG")
    return buffer.getvalue()


def transparent(picture: np.ndarray, where: np.ndarray) -> bytes:
    """A mask as OpenAI has them: the picture, clear where it may change."""
    return png(np.dstack([picture, np.where(where, 0, 255).astype(np.uint8)]))
