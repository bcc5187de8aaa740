"""A backbone and a fitted head as one: trained, saved, loaded, asked for probabilities, differentiated."""
