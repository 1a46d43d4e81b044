"""Probes attached to a training loop."""
