"""The parts of `benchmarks/paradigm.py`: what is measured, and what is read from it."""
