"""Read a drawing as a reader does: from its SVG, with nothing known of the graph."""

from __future__ import annotations

import base64
import io
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

SVG = "{http://www.w3.org/2000/svg}"
SHAPE = re.compile(r"\d+(×\d+)+")


@dataclass(frozen=True)
class Picture:
    """A structure drawing."""

    root: ElementTree.Element

    @classmethod
    def of(cls, svg: bytes) -> Picture:
        return cls(ElementTree.fromstring(svg))

    @property
    def words(self) -> list[str]:
        return [element.text or "" for element in self.root.iter(f"{SVG}text")]

    @property
    def flow(self) -> tuple[str, str]:
        """What goes in and what comes out, from the title block."""
        line = next(text for text in self.words if " → " in text and " parameters" in text)
        given, _, made = line.partition(" · ")[0].partition(" → ")
        return given, made

    @property
    def parameters(self) -> int:
        line = next(text for text in self.words if text.count(" · ") > 2 and "parameters" in text)
        found = re.search(r"([\d,]+) parameters", line)
        assert found
        return int(found[1].replace(",", ""))

    @property
    def sides(self) -> list[int]:
        """The sides of the feature maps that lines speak of, the largest first."""
        shapes = [self.flow[0], *(text for text in self.words if SHAPE.fullmatch(text))]
        return sorted({_side(shape) for shape in shapes} - {0}, reverse=True)

    def groups(self, kind: str) -> Iterator[ElementTree.Element]:
        return (g for g in self.root.iter(f"{SVG}g") if g.get("class") == kind)

    @property
    def stages(self) -> list[str]:
        """Paths of the frames and closed modules that no other frame encloses, in order."""
        found = [g for g in self.root.findall(f"{SVG}g") if _is_module(g)]
        if found and found[0].get("data-path") == "features":
            found = [g for g in found[0].findall(f"{SVG}g") if _is_module(g)]
        return [g.get("data-path") or _tip(g)[0].split(" · ")[0] for g in found]

    @property
    def repeats(self) -> list[int]:
        """How often each folded block or layer stands for, in reading order."""
        times = (g.get("data-times") for k in ("frame", "box") for g in self.groups(k))
        return sorted(int(t) for t in times if t and int(t) > 1)

    @property
    def skips(self) -> tuple[int, int]:
        """How many drawn skips are identities, and how many are projections."""
        projected = [t for t in self.words if "projection" in t and "projection skip" not in t]
        return self.words.count("identity"), len(projected)

    @property
    def heaviest(self) -> str:
        """The drawn box whose copies together hold most parameters: title and path."""

        def weight(group: ElementTree.Element) -> int:
            tip = "\n".join(_tip(group))
            found = re.search(r"([\d,]+) parameters in all", tip) or re.search(
                r"([\d,]+) parameters", tip
            )
            return int(found[1].replace(",", "")) if found else 0

        most = max(self.groups("box"), key=weight)
        return _tip(most)[0].split(" · ")[0]


def _is_module(group: ElementTree.Element) -> bool:
    return group.get("class") == "frame" or group.get("data-kind") == "summary"


def _tip(group: ElementTree.Element) -> list[str]:
    title = group.find(f"{SVG}title")
    return (title.text or "").splitlines() if title is not None else [""]


def _side(shape: str) -> int:
    """Return the length that a shape has twice: of `64×56×56` and `56×56×64` it is 56."""
    counted = Counter(map(int, shape.split("×")))
    return max((length for length, times in counted.items() if times > 1), default=0)


Pixels = npt.NDArray[np.uint8]


def noise(height: int, wide: int, seed: int = 0) -> Pixels:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (height, wide, 3), dtype=np.uint8)


def texts(svg: str) -> list[str]:
    return [found.text or "" for found in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def images(svg: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg).iter(f"{SVG}image"))


def size(svg: str) -> tuple[float, float]:
    root = ElementTree.fromstring(svg)
    return float(root.attrib["width"]), float(root.attrib["height"])


def opened(uri: str) -> Pixels:
    head, _, data = uri.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
