"""`oms demo`: a morning's orders on paper venues, played by every role and checked at the end."""

from oms.cli.demo.command import add_commands

__all__ = ["add_commands"]
