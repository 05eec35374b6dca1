"""What the fund owns and what it is worth: ledger, NAV, reconciliation."""
