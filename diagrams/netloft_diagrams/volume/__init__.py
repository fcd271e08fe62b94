"""The look of the AlexNet and LeNet papers: feature maps as solids, joined by kernels."""

from netloft_diagrams.volume.place import figure
from netloft_diagrams.volume.steps import volumes
from netloft_diagrams.volume.tikz import tikz
from netloft_diagrams.volume.vector import volume_svg

__all__ = ["figure", "tikz", "volume_svg", "volumes"]
