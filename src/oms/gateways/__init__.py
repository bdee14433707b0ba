"""Live connections to venues. Each process owns one session and hands what it hears to the store's inbox."""
