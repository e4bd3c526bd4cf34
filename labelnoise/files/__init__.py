"""Files written whole or not at all, CSV tables with names from users, and checksums."""
