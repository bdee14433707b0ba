"""The two ways in for programs: signed commands and target positions. Pure."""
