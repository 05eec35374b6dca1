"""The decision of one day, composed of its stages without an orchestrator: for flows, backtest and replay alike."""
