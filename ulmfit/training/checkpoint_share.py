"""How far the last checkpoint of a training has come, read without torch."""

from __future__ import annotations

from pathlib import Path

from ulmfit.pipeline.files import read_json

CHECKPOINTS = "checkpoints"
"""Folder of a training's checkpoints, in its scratch folder."""
CHECKPOINT_STATE, TOTAL_STEPS = "state.json", "total_steps"


def share_done(checkpoints: Path) -> float | None:
    """Return the share of a training that its newest checkpoint has done, 0 to 1; None: not known."""
    for folder in sorted(checkpoints.glob("step-*"), reverse=True):
        try:
            state = read_json(folder / CHECKPOINT_STATE)["state"]
            return min(1.0, int(state["step"]) / max(int(state[TOTAL_STEPS]), 1))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # damaged, or written by an earlier version
    return None
