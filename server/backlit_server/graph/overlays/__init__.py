"""Other tables to differentiate by: rows laid over VJPS, and relevance."""
