"""Reports as one HTML file, which needs no server, no network and no other file."""
