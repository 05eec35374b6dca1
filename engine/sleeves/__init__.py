"""What each sleeve of the fund wants to hold."""
