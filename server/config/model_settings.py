"""Settings of models that are not in `settings`, which is at its limit of lines."""

from __future__ import annotations

from pydantic import Field

from sightline.server.config.setting_types import DetectorName, DeviceName, SettingsGroup


class DetectorSettings(SettingsGroup):
    """Detector"""

    model: DetectorName = "builtin"
    """Finds objects by phrases: `builtin`, `off`, or an OWLv2 or Grounding DINO model of
    transformers, `OWNER/MODEL` or `local-dir:PATH`."""
    device: DeviceName = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:N` or `mps`."""
    threshold: float = Field(default=0.3, ge=0, le=1)
    """Boxes with a lower score are dropped. The score of the built-in model is the probability that
    a box is right, on pictures like those of its training."""
