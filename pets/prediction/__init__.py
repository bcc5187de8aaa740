"""A trained model in use: pictures in, a table and a page of their classes out."""
