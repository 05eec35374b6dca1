"""From wanted trades to orders: safety, gate, jobs, prices, order life cycle."""
