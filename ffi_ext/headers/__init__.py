"""C headers: their text, what they declare, what of it Python can have. Knows nothing of torch."""
