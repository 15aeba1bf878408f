"""Small image lists of TIFF files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image as Pillow


def table(folder: Path, *rows: str, head: str, name: str = "load_data.csv") -> Path:
    path = folder / name
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


def save(path: Path, pixels: np.ndarray, *pages: np.ndarray, **how: object) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    more = {"save_all": True, "append_images": [Pillow.fromarray(p) for p in pages]}
    Pillow.fromarray(pixels).save(path, **(more if pages else {}), **how)  # type: ignore[arg-type]
    return pixels
