"""The order protocol explored exhaustively: every order of steps of two writers, the broker, the clock and the faults.

The tables, the send gate's rule, what a restart concludes and the proof of absence are the shipped ones, imported.
"""
