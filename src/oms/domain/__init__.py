"""The language of the order book, pure: no I/O, no clock, no Temporal, no SQL."""
