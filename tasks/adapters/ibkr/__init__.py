"""The fund's line to Interactive Brokers: the only package that imports the client library."""
