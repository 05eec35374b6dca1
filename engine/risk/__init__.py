"""How much risk the fund may take today, and why."""
