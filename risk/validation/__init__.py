"""Validation: how good forecasts have been."""
