"""The interface of views: reduce audio to arrays, draw the arrays."""

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
    """`scale` is ``log`` or ``linear`` (frequency axis of the spectrogram); `title` is the axes' title."""

    scale: str = "log"
    title: str = ""
    colour_bar: bool = True


class View(ABC):
    """A plot of audio."""

    name: ClassVar[str]
    height: ClassVar[float]  # inches

    @abstractmethod
    def analyse(self, sound: Sound) -> Any:
        """Reduce audio of any length to a few arrays, in constant memory."""

    @abstractmethod
    def draw(self, data: Any, axes: Axes, figure: Figure, options: DrawOptions) -> None:
        """Draw the result of :meth:`analyse`."""


def time_axis(axes: Axes, seconds: float) -> float:
    """Label a time axis in seconds, or in minutes above 600 s; return the divisor."""
    if seconds > 600:
        axes.set_xlabel("time (minutes)")
        return 60.0
    axes.set_xlabel("time (s)")
    return 1.0
