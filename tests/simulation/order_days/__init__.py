"""Execution days on the simulated exchange, with faults drawn from a seed and judged by the broker's own books."""
