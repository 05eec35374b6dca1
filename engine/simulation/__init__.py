"""A market, an exchange and a broker that live in memory and obey a seed."""
