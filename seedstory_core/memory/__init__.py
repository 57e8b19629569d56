"""What a run needs of memory, before it starts: budgets, presets, plans.

`budget` counts, `plan` holds the count against a device, `table` shows it.
"""

from .budget import Budget, Known, KnownModel, Phase, Run, budget, default_context
from .device import Device, device_here
from .kept import Kept, kept_by
from .loading import Loading, comfy_loading, library_loading
from .models import can_plan
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
    "can_plan",
    "comfy_loading",
    "default_context",
    "device_here",
    "kept_by",
    "library_loading",
    "make_plan",
    "render",
]
