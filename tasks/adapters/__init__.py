"""The outside world: broker, calendars, market data store."""
