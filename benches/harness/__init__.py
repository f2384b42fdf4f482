"""What `benches/compare` is made of. Python's standard library only."""
