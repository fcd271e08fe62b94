"""What a network saw in a picture, and sheets of pictures; numpy alone, so it needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Ranked", "Seen", "Sheet", "Tile"]


@dataclass(frozen=True)
class Ranked:
    """A class and its place in a network's answer.

    Attributes:
        index: Of the class among the network's outputs.
        label: Its name; empty where none is known.
        share: Its softmax probability, in [0, 1].
    """

    index: int
    label: str
    share: float


@dataclass(frozen=True, eq=False)
class Seen:
    """What one network saw in one picture.

    Attributes:
        model: The network's name.
        picture: The picture's name.
        pixels: uint8 of shape (height, width, 3), red, green and blue, as the network saw it.
        top: The likeliest classes, the likeliest first; at least one.
        assigned: The class that the map is for.
        map: float32 of shape (height, width), in [0, 1]: how much each place speaks for that class.
        method: `gradcam` or `gradcam++`.
        layer: Module path of the layer whose features were weighed.
        form: `closed form` or `gradient`: how the weights were found.
        weights: Where the network's own weights come from; random ones see nothing.
    """

    model: str
    picture: str
    pixels: npt.NDArray[np.uint8]
    top: tuple[Ranked, ...]
    assigned: Ranked
    map: npt.NDArray[np.float32]
    method: str
    layer: str
    form: str
    weights: str = ""

    @property
    def predicted(self) -> Ranked:
        """The likeliest class."""
        return self.top[0]


@dataclass(frozen=True, eq=False)
class Tile:
    """One picture of a contact sheet.

    Attributes:
        pixels: uint8 of shape (height, width, 3), red, green and blue.
        caption: What it is.
        note: A second line, smaller.
    """

    pixels: npt.NDArray[np.uint8]
    caption: str
    note: str = ""


@dataclass(frozen=True, eq=False)
class Sheet:
    """Pictures side by side.

    Attributes:
        title: What they are.
        subtitle: How they were made.
        tiles: In the order of reading.
    """

    title: str
    subtitle: str
    tiles: tuple[Tile, ...]
