"""A page for people who look at suspicious labels and correct them."""
