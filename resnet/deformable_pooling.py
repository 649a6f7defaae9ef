"""Deformable ROI pooling as layers, also ones that compute their offsets (Dai et al., 2017; Zhu et al., 2018)."""

from __future__ import annotations

import torch
from torch import nn

from resnet.ops import deform_roi_pooling


class DeformRoIPooling(nn.Module):
    """`resnet.ops.deform_roi_pooling` with its settings.

    Args:
        spatial_scale: takes the image's coordinates to x's; 1/16 for a feature map of stride 16.
        out_size: height and width of a region in the result.
        out_channels: of the result; x has group_size ^ 2 times as many.
        no_trans: bins stay in place.
        group_size: cells of a region along an axis, each with channels of its own.
        part_size: offsets of a region along an axis; None for out_size.
        sample_per_part: samples per bin and axis.
        trans_std: what offsets are multiplied by, 0 to 1; 0.1 in the papers.
    """

    def __init__(
        self,
        spatial_scale: float,
        out_size: int,
        out_channels: int,
        no_trans: bool,
        group_size: int = 1,
        part_size: int | None = None,
        sample_per_part: int = 4,
        trans_std: float = 0.0,
    ) -> None:
        super().__init__()
        self.spatial_scale, self.out_size, self.out_channels = spatial_scale, out_size, out_channels
        self.no_trans, self.group_size = no_trans, group_size
        self.part_size = out_size if part_size is None else part_size
        self.sample_per_part, self.trans_std = sample_per_part, trans_std

    def pool(
        self, x: torch.Tensor, rois: torch.Tensor, offset: torch.Tensor | None
    ) -> torch.Tensor:
        """The regions with bins displaced by offset, or in place where it is None."""
        settings = (self.group_size, self.part_size, self.sample_per_part, self.trans_std)
        size = (self.spatial_scale, self.out_size, self.out_channels)
        return deform_roi_pooling(x, rois, offset, *size, offset is None, *settings)

    def forward(
        self, x: torch.Tensor, rois: torch.Tensor, offset: torch.Tensor | None = None
    ) -> torch.Tensor:
        """x (N, out_channels * group_size ^ 2, H, W), rois (K, 5) and offset (K, 2 * classes, part_size, part_size).

        Returns:
            (K, out_channels, out_size, out_size). offset is not looked at with no_trans.

        Raises:
            ValueError: There is no offset, without no_trans; or as `resnet.ops.deform_roi_pooling`.
        """
        if self.no_trans:
            return self.pool(x, rois, None)
        if offset is None:
            raise ValueError(
                f"{type(self).__name__}: offset must be a tensor (K, 2 * classes, part_size, part_size), "
                "got None; with no_trans=True there is none"
            )
        return self.pool(x, rois, offset)

    def extra_repr(self) -> str:
        return (
            f"spatial_scale={self.spatial_scale}, out_size={self.out_size}, "
            f"out_channels={self.out_channels}, no_trans={self.no_trans}, "
            f"group_size={self.group_size}, part_size={self.part_size}, "
            f"sample_per_part={self.sample_per_part}, trans_std={self.trans_std}"
        )


def _hidden(inputs: int, widths: list[int], outputs: int) -> nn.Sequential:
    """Linear layers with ReLUs between them, of which the last one begins at 0."""
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    last = nn.Linear(inputs, outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, last)


class DeformRoIPoolingPack(DeformRoIPooling):
    """Deformable ROI pooling that computes its own offsets from the regions with their bins in place.

    `offset_fc`, three linear layers of which the last begins at 0, gives x and y of each bin in parts of the region's
    size, for all channels alike. So it begins as pooling without offsets, as in the paper. Layers have the names of
    maskrcnn-benchmark, whose weights it loads.

    Args:
        spatial_scale, out_size, out_channels, group_size, sample_per_part, trans_std: as of `DeformRoIPooling`.
        no_trans: bins stay in place, and there are no layers.
        part_size: None or out_size.
        deform_fc_channels: width of the hidden layers.

    Raises:
        ValueError: part_size is another number.
    """

    def __init__(
        self,
        spatial_scale: float,
        out_size: int,
        out_channels: int,
        no_trans: bool,
        group_size: int = 1,
        part_size: int | None = None,
        sample_per_part: int = 4,
        trans_std: float = 0.0,
        deform_fc_channels: int = 1024,
    ) -> None:
        settings = (group_size, part_size, sample_per_part, trans_std)
        super().__init__(spatial_scale, out_size, out_channels, no_trans, *settings)
        if self.part_size != out_size:
            raise ValueError(
                f"{type(self).__name__}: part_size must be out_size {out_size}, since each bin gets an offset, "
                f"got {part_size}"
            )
        self.deform_fc_channels = deform_fc_channels
        if not no_trans:
            self.make_layers()

    def make_layers(self) -> None:
        bins = self.out_size * self.out_size
        widths = [self.deform_fc_channels] * 2
        self.offset_fc = _hidden(bins * self.out_channels, widths, bins * 2)

    def offsets(self, pooled: torch.Tensor) -> torch.Tensor:
        """(K, 2, out_size, out_size) from regions (K, out_channels, out_size, out_size)."""
        return self.offset_fc(pooled.flatten(1)).unflatten(1, (2, self.out_size, self.out_size))

    def forward(self, x: torch.Tensor, rois: torch.Tensor) -> torch.Tensor:
        """x (N, out_channels * group_size ^ 2, H, W), rois (K, 5) -> (K, out_channels, out_size, out_size)."""
        pooled = self.pool(x, rois, None)
        return pooled if self.no_trans else self.pool(x, rois, self.offsets(pooled))


class ModulatedDeformRoIPoolingPack(DeformRoIPoolingPack):
    """The same with a factor of 0 to 1 for each bin (Zhu et al., Deformable ConvNets v2, 2018), 1/2 at the beginning.

    `mask_fc`, two linear layers and a sigmoid, gives it. Arguments and errors are those of `DeformRoIPoolingPack`.
    """

    def make_layers(self) -> None:
        super().make_layers()
        bins = self.out_size * self.out_size
        self.mask_fc = _hidden(bins * self.out_channels, [self.deform_fc_channels], bins)
        self.mask_fc.append(nn.Sigmoid())

    def forward(self, x: torch.Tensor, rois: torch.Tensor) -> torch.Tensor:
        """x (N, out_channels * group_size ^ 2, H, W), rois (K, 5) -> (K, out_channels, out_size, out_size)."""
        pooled = self.pool(x, rois, None)
        if self.no_trans:
            return pooled
        mask = self.mask_fc(pooled.flatten(1)).unflatten(1, (1, self.out_size, self.out_size))
        return self.pool(x, rois, self.offsets(pooled)) * mask
