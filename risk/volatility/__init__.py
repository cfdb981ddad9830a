"""Conditional volatility: models, their fit, priors, posterior draws and the out-of-sample race."""
