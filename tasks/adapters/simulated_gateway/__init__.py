"""A broker gateway of our own on the TWS wire, so that the real client library can be tested and taught."""
