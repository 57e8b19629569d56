"""Does this library compute what the reference computed? Cases over a folder of recorded tensors.

The folder holds MANIFEST.json (sizes, tolerances, special token ids), tiny checkpoints in the
reference's own layout, and the inputs and outputs of each stage. Nothing is tuned to one folder:
sizes come from the manifest, tolerances from the entry of the file that holds the expected values.
"""

from __future__ import annotations

from .run import run_parity

__all__ = ["run_parity"]
