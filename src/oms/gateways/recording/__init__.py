"""What a real IB Gateway does where no document says so, recorded: `oms gateway record`."""

from oms.gateways.recording.points import POINTS, Outcome, Point, Verdict
from oms.gateways.recording.recorder import CannotRecord, Recording, record

__all__ = ["POINTS", "CannotRecord", "Outcome", "Point", "Recording", "Verdict", "record"]
