"""Durable things, one module each. `contract.py` is all that callers need; `ports.py` is all that they ask for."""
