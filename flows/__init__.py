"""The fund's day, said in order."""
