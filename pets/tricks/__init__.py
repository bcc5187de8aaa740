"""Training tricks measured on cached features, each alone and each left out of all together."""
