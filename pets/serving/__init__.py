"""A trained model in a browser: a page to drop a photo on, and a JSON API, for this machine alone."""
