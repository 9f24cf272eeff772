"""What the port authority charges, as it has made known."""

__all__ = ["CENTS"]

CENTS = {"EWR": 41_200, "JFK": 52_500, "LGA": 38_900}
"""For a departure, by airport."""
