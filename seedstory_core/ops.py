"""The layer classes models are built from, so that a host can bring its own.

Models take ``ops`` and use ``ops.Linear``, ``ops.Conv2d``, ``ops.Embedding``, ``ops.LayerNorm``,
``ops.GroupNorm``, ``ops.RMSNorm`` only; every weight sits in such a leaf, so that a host's casting
and offloading reach all of them. ``torch.nn`` itself is the default. `cast_ops` keeps weights in
the dtype and storage of their file (mapped, not copied) and casts each at use, which lets a 13 GB
fp16 file compute in fp32.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

torch_ops = nn


class _CastLinear(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(input.dtype)
        return F.linear(input, self.weight.to(input.dtype), bias)


class _CastConv2d(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(input.dtype)
        return self._conv_forward(input, self.weight.to(input.dtype), bias)


class _CastRMSNorm(nn.RMSNorm):
    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


class _CastLayerNorm(nn.LayerNorm):
    def forward(self, input: Tensor) -> Tensor:
        weight, bias = self.weight.to(input.dtype), self.bias.to(input.dtype)
        return F.layer_norm(input, self.normalized_shape, weight, bias, self.eps)


class _CastGroupNorm(nn.GroupNorm):
    def forward(self, input: Tensor) -> Tensor:
        weight, bias = self.weight.to(input.dtype), self.bias.to(input.dtype)
        return F.group_norm(input, self.num_groups, weight, bias, self.eps)


class cast_ops:  # noqa: N801 -- stands where the module torch.nn stands
    """Layers whose weights keep their file's dtype and are cast to the input's dtype at use."""

    Linear = _CastLinear
    Conv2d = _CastConv2d
    Embedding = nn.Embedding  # rows come in the weight's dtype and callers cast them
    LayerNorm = _CastLayerNorm
    GroupNorm = _CastGroupNorm
    RMSNorm = _CastRMSNorm
