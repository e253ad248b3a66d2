"""What every view keeps to: analyse a sound into arrays, draw the arrays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from noizenet.views.sound import Sound

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class DrawOptions:
    """`scale` is ``log`` or ``linear`` (frequency of the spectrogram); `title` stands above."""

    scale: str = "log"
    title: str = ""
    colour_bar: bool = True


class View(ABC):
    """One way to look at sound."""

    name: ClassVar[str]
    height: ClassVar[float]  # inches

    @abstractmethod
    def analyse(self, sound: Sound) -> Any:
        """Reduce a sound of any length to a few arrays, in constant memory."""

    @abstractmethod
    def draw(self, data: Any, axes: Axes, figure: Figure, options: DrawOptions) -> None:
        """Draw what :meth:`analyse` returned."""


def time_axis(axes: Axes, seconds: float) -> float:
    """Label a time axis in seconds, or in minutes where that reads better; return the divisor."""
    if seconds > 600:
        axes.set_xlabel("time (minutes)")
        return 60.0
    axes.set_xlabel("time (s)")
    return 1.0
