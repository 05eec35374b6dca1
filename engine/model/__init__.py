"""The vocabulary: immutable values, valid when made."""
