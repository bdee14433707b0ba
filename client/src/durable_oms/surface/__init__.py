"""The operations, by what they are about. A method says what a call carries; `operation` makes the call."""
