"""The published tariff of the port authority."""

__all__ = ["CENTS"]

CENTS = {"EWR": 41_200, "JFK": 52_500, "LGA": 38_900}
"""Cents for a departure, by airport."""
