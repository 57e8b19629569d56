"""What a run needs of memory, before it starts: budgets, presets, plans.

`budget` counts, `plan` holds the count against a device, `table` shows it.
"""

from .budget import Budget, Known, KnownModel, Phase, Run, budget
from .device import Device, device_here
from .kept import Kept, kept_by
from .loading import Loading, comfy_loading, library_loading
from .plan import PRESETS, Plan, make_plan
from .table import render

__all__ = [
    "PRESETS",
    "Budget",
    "Device",
    "Kept",
    "Known",
    "KnownModel",
    "Loading",
    "Phase",
    "Plan",
    "Run",
    "budget",
    "comfy_loading",
    "device_here",
    "kept_by",
    "library_loading",
    "make_plan",
    "render",
]
