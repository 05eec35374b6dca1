"""Currency, tail and overlay hedges, and the crisis playbook."""
