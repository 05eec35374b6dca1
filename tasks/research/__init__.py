"""Research tasks: database and settings, no broker."""
