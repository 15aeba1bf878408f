"""What a screen takes, from what was measured on one plate."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["plan"]

PLATES, WELLS, FIELDS, CHANNELS = 2000, 384, 9, 5
SIDES = (1080, 2160)  # 2 × 2 binned, and not
CORES = (16, 64)


def plan(ns_a_pixel: Mapping[str, float], ratio: float) -> str:
    """Print hours and cores as a table.

    Parameters
    ----------
    ns_a_pixel : mapping
        Nanoseconds of a core that each way takes for a pixel.
    ratio : float
        Bytes of pixels to a byte on disk.
    """
    lines = [
        f"{PLATES:,} plates × {WELLS} wells × {FIELDS} fields × {CHANNELS} channels, uint16, as if"
        " every core did what these did and storage kept up:",
        "",
        "| field | way | TB of pixels | TB on disk | core-hours | "
        + " | ".join(f"hours, {cores} cores | GB/s from disk" for cores in CORES)
        + " |",
        "|---|---|" + "---|" * (3 + 2 * len(CORES)),
    ]
    for side in SIDES:
        pixels = PLATES * WELLS * FIELDS * CHANNELS * side**2
        on_disk = 2 * pixels / ratio
        for way, ns in ns_a_pixel.items():
            hours = pixels * ns * 1e-9 / 3600
            cells = [f"{side}²", way, f"{2e-12 * pixels:.0f}", f"{1e-12 * on_disk:.0f}"]
            cells.append(f"{hours:,.0f}")
            for cores in CORES:
                cells.append(f"{hours / cores:,.1f}")
                cells.append(f"{on_disk * cores / hours / 3600 * 1e-9:.2f}")
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
