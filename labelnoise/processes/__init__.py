"""The processes of a run: their ranks and shared numbers, and the signals that end them."""
