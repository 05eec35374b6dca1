"""Factor signals and their health."""
